"""What the start page offers: networks to begin with, each with data and settings that suit it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import nnvis as nv
from nnvis.options import TrainOptions
from ui.document.layout import tidy
from ui.document.state import DocumentState, Settings, from_graph


@dataclass(frozen=True)
class Template:
    """One card of the start page."""

    key: str
    title: str
    explanation: str
    make: Callable[[], DocumentState]


def _settings(data: str, epochs: int, lr: float, batch_size: int = 64, adam: bool = False, **options) -> Settings:
    optimizer = nv.Adam(lr=lr) if adam else nv.SGD(lr=lr, momentum=0.9)
    return Settings(data, 0.1, TrainOptions(epochs, batch_size, optimizer, clip_norm=1.0, **options))


def _from_zoo(name: str, settings: Settings, **options) -> Callable[[], DocumentState]:
    return lambda: tidy(from_graph(nv.zoo.build(name, **options), settings))


def _toy(data: str, width: int) -> Callable[[], DocumentState]:
    def make() -> DocumentState:
        graph = nv.Graph((2,), name=data)
        last = graph.input
        for number in (1, 2):
            last = graph.add(nv.Linear(width), last, name=f"fc{number}")
            last = graph.add(nv.Tanh(), last, name=f"tanh{number}")
        graph.output = graph.add(nv.Linear(2), last, name="out")
        return tidy(from_graph(graph, _settings(data, 200, 0.1, batch_size=32)))

    return make


TEMPLATES = (
    Template("lenet5", "LeNet-5", "The classic digit reader of 1998, on MNIST. Learns in seconds.",
             _from_zoo("lenet5", _settings("mnist", 5, 0.05))),
    Template("moons", "Two moons", "A tiny net that bends a line around two moons of points.", _toy("moons", 8)),
    Template("spirals", "Spirals", "Two arms that wind around each other: harder than it looks.", _toy("spirals", 16)),
    Template("mlp", "Digits without convolution", "Two layers of fully connected units on MNIST, to compare with.",
             _from_zoo("mlp", _settings("mnist", 5, 0.05))),
    Template("vgg11", "VGG-11", "Deep stacks of 3x3 convolutions on small colour shapes.",
             _from_zoo("vgg11", _settings("shapes", 5, 0.02), num_classes=10, input_shape=(32, 32, 3))),
    Template("resnet20", "ResNet-20", "Shortcuts let gradients through twenty layers.",
             _from_zoo("resnet20", _settings("shapes", 5, 0.05))),
    Template("mobilenet_v2", "MobileNet V2", "Depthwise convolutions: few multiplications for a phone. Half its width.",
             _from_zoo("mobilenet_v2", _settings("shapes", 5, 0.05), num_classes=10, input_shape=(32, 32, 3),
                       width_mult=0.5)),
    Template("vit", "Vision Transformer", "No convolution: patches of a digit attend to each other. Four small layers.",
             _from_zoo("vit_ti_16", _settings("mnist", 5, 0.001, adam=True), num_classes=10, input_shape=(28, 28, 1),
                       num_layers=4, num_heads=4, hidden_dim=64, mlp_dim=128)),
    Template("empty", "Empty canvas", "Build your own, layer by layer.",
             lambda: DocumentState(settings=_settings("mnist", 5, 0.05))),
)  # fmt: skip
