"""Whole networks beside their twins in PyTorch: training steps, and the answer to a single image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from nnvis.bench.case import Case, Work, layouts, random_array, torch_module


@dataclass(frozen=True)
class Target:
    """A network of the zoo on a batch.

    Attributes
    ----------
    net : str
        Name in the zoo.
    batch : int
    size : int
        Side of its images: 28 for MNIST, 32 for CIFAR-10, 224 for ImageNet.
    """

    net: str
    batch: int
    size: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one image."""
        return (self.size, self.size, 1 if self.size == 28 else 3)

    @property
    def classes(self) -> int:
        """Of the classifier: ImageNet has 1000."""
        return 1000 if self.size == 224 else 10

    def __str__(self) -> str:
        return f"{self.net} {self.size}x{self.size}, batch {self.batch}"

    def graph(self):
        """Ours."""
        import nnvis as nv

        return nv.zoo.build(self.net, num_classes=self.classes, input_shape=self.shape)

    def twin(self) -> Any:
        """PyTorch's, of the same architecture."""
        from nnvis.bench import torch_nets

        return torch_nets.TWINS[self.net, self.size]()

    def examples(self) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels."""
        return random_array(self.batch, *self.shape), np.arange(self.batch) % 10


#: What one learns with, at the sizes one uses.
TRAINING = (
    Target("mlp", 64, 28), Target("mlp", 256, 28), Target("lenet5", 64, 28), Target("lenet5", 256, 28),
    Target("resnet20", 64, 32), Target("vgg11", 64, 32), Target("mobilenet_v2", 32, 32),
    Target("shufflenet_v2_x1_0", 32, 32), Target("googlenet", 32, 32), Target("vit_ti_16", 32, 32),
    Target("resnet18", 8, 224),
)  # fmt: skip
INFERENCE = (Target("lenet5", 1, 28), Target("resnet18", 1, 224), Target("mobilenet_v2", 1, 224))


# --- training -----------------------------------------------------------------------------------------------


def our_step(target: Target) -> Work:
    """A training step of ours: forward, loss, backward, SGD with momentum."""
    import nnvis as nv

    trainer = nv.Trainer(nv.Network(target.graph()), optimizer=nv.SGD(lr=0.01, momentum=0.9))
    return partial(trainer.step, *target.examples())


def torch_steps(target: Target) -> Iterator[tuple[str, Work]]:
    """The same in PyTorch, by memory format."""
    x, labels = target.examples()
    for name, (images,) in layouts(x):
        yield name, _torch_step(_in_format(target.twin(), name), images, labels)


def _in_format(model: Any, name: str) -> Any:
    torch = torch_module()
    return model.to(memory_format=torch.channels_last) if name == "channels-last" else model


def _torch_step(model: Any, x: Any, labels: np.ndarray) -> Work:
    torch = torch_module()
    model.train()
    targets = torch.from_numpy(labels)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        _torch_loss(model(x), targets).backward()
        optimizer.step()

    return step


def _torch_loss(found: Any, targets: Any) -> Any:
    """Cross-entropy; auxiliary classifiers, whose logits follow the network's own, count for 0.3 each."""
    cross_entropy = torch_module().nn.functional.cross_entropy
    logits, *aux = found if isinstance(found, tuple) else (found,)
    return sum((0.3 * cross_entropy(each, targets) for each in aux), cross_entropy(logits, targets))


# --- inference ----------------------------------------------------------------------------------------------


def our_answer(target: Target) -> Work:
    """A forward pass of ours, as a trained network makes it."""
    import nnvis as nv

    return partial(nv.Network(target.graph()).forward, target.examples()[0])


def torch_answers(target: Target) -> Iterator[tuple[str, Work]]:
    """The same in PyTorch, by memory format."""
    for name, (images,) in layouts(target.examples()[0]):
        yield name, _torch_answer(_in_format(target.twin(), name), images)


def _torch_answer(model: Any, x: Any) -> Work:
    torch = torch_module()
    model.eval()

    def answer() -> None:
        with torch.inference_mode():
            model(x)

    return answer


# --- cases --------------------------------------------------------------------------------------------------


def net_cases() -> dict[str, list[Case]]:
    """The cases by group."""
    return {
        "train": [Case(f"step {each}", partial(_training, each)) for each in TRAINING],
        "inference": [Case(f"inference {each}", partial(_inference, each)) for each in INFERENCE],
    }


def _training(target: Target) -> tuple[Work, dict[str, Work]]:
    return our_step(target), dict(torch_steps(target))


def _inference(target: Target) -> tuple[Work, dict[str, Work]]:
    return our_answer(target), dict(torch_answers(target))
