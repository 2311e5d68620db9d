"""The benchmark's networks as one writes them in PyTorch, with nnvis's names of parameters; tests compare the values.

They follow torchvision's code where it matters for speed: rectifiers work in place.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from nnvis.bench.torch_nets.basics import LeNet5, mlp
from nnvis.bench.torch_nets.googlenet import GoogLeNet
from nnvis.bench.torch_nets.mobilenet import mobilenet_v2
from nnvis.bench.torch_nets.resnet import resnet
from nnvis.bench.torch_nets.resnet_cifar import ResNetCifar
from nnvis.bench.torch_nets.shufflenet import shufflenet_v2
from nnvis.bench.torch_nets.vgg import vgg
from nnvis.bench.torch_nets.vit import VisionTransformer

__all__ = [
    "TWINS", "GoogLeNet", "LeNet5", "ResNetCifar", "VisionTransformer", "mlp", "mobilenet_v2", "resnet",
    "shufflenet_v2", "vgg",
]  # fmt: skip

#: What makes the twin of a network of the zoo, by the zoo's name and the side of its images.
TWINS: dict[tuple[str, int], Callable[[], nn.Module]] = {
    ("mlp", 28): mlp,
    ("lenet5", 28): LeNet5,
    ("resnet20", 32): ResNetCifar,
    ("vgg11", 32): vgg,
    ("mobilenet_v2", 32): partial(mobilenet_v2, 10, small=True),
    ("mobilenet_v2", 224): mobilenet_v2,
    ("shufflenet_v2_x1_0", 32): partial(shufflenet_v2, 10, small=True),
    ("googlenet", 32): partial(GoogLeNet, 10, small=True),
    ("vit_ti_16", 32): VisionTransformer,
    ("resnet18", 224): resnet,
}
