"""ResNet-20 for CIFAR with what came after it: gates, attention between pixels, deformable windows.

The papers have these in networks for ImageNet; here they sit in the small one of He et al., "Deep Residual Learning for
Image Recognition", 2015, section 4.2, which learns within minutes. Hu et al., "Squeeze-and-Excitation Networks", 2018,
section 3; Wang et al., "Non-local Neural Networks", 2018, section 3; Dai et al., "Deformable Convolutional
Networks", 2017, section 2.1; Zhu et al., "Deformable ConvNets v2", 2019, section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from nnvis import blocks
from nnvis.errors import ConfigError
from nnvis.graph import Graph, Node
from nnvis.layers import BatchNorm2d, Conv2d, GlobalAvgPool2d, Linear, ReLU
from nnvis.layers.base import Shape
from nnvis.zoo.blocks import chain
from nnvis.zoo.registry import register
from nnvis.zoo.resnet_cifar import CIFAR

#: ``block(graph, input, prefix, channels, stride)`` adds a residual block.
Block = Callable[[Graph, Node, str, int, int], Node]
#: Blocks by stage and place within it.
LAST_STAGE = ((2, 0), (2, 1), (2, 2))
_MIDDLE = ((1, 1), (2, 1))
_ALL = tuple((stage, number) for stage in range(3) for number in range(3))


def _plain(g: Graph, x: Node, prefix: str, channels: int, stride: int, se: bool = False) -> Node:
    build = blocks.se_residual if se else blocks.basic_residual
    return build(g, x, channels, stride, shortcut="A", name=prefix)


def body(g: Graph, width: int, special: Block, places: Collection[tuple[int, int]]) -> Node:
    """The first convolution and nine residual blocks, `special` ones at these `places`."""
    stem = Conv2d(width, 3, padding=1, bias=False)
    y = chain(g, g.input, {"conv1": stem, "bn1": BatchNorm2d(), "relu": ReLU()})
    for stage, number in _ALL:
        block = special if (stage, number) in places else _plain
        stride = 2 if stage and not number else 1
        y = block(g, y, f"layer{stage + 1}.{number}", width * 2**stage, stride)
    return y


def _resnet20(g: Graph, num_classes: int, width: int, special: Block, places: Collection[tuple[int, int]]) -> Graph:
    y = body(g, width, special, places)
    g.output = chain(g, y, {"avgpool": GlobalAvgPool2d(), "fc": Linear(num_classes)})
    return g


@register("se_resnet20_cifar", **CIFAR)
def se_resnet20(num_classes: int = 10, input_shape: Shape = (32, 32, 3), width: int = 16) -> Graph:
    """SE-ResNet-20 for CIFAR-10: every residual branch weighs its channels by a gate that sees the whole image.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        Strides as for ``resnet20``, at any size.
    width : int
        Channels of the first stage.

    Notes
    -----
    272,095 parameters. Hu et al., "Squeeze-and-Excitation Networks", 2018, section 3 (its journal version of 2019 has
    ResNet-110 and deeper ones on CIFAR). Gates squeeze to a sixteenth of the channels, so to 1, 2 and 4; the same
    network as ``resnet20(se=True)``.
    """

    def block(g: Graph, x: Node, prefix: str, channels: int, stride: int) -> Node:
        return _plain(g, x, prefix, channels, stride, se=True)

    return _resnet20(Graph(input_shape, name="se_resnet20"), num_classes, width, block, _ALL)


@register("nonlocal_resnet20_cifar", **CIFAR)
def nonlocal_resnet20(num_classes: int = 10, input_shape: Shape = (32, 32, 3), width: int = 16) -> Graph:
    """Non-local ResNet-20 for CIFAR-10: two blocks of attention let distant pixels look at each other.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        Strides as for ``resnet20``, at any size.
    width : int
        Channels of the first stage.

    Notes
    -----
    280,202 parameters. Wang et al., "Non-local Neural Networks", 2018, section 3, has no network for CIFAR; behind the
    middle block of the second and third stage, here on 16x16 and 8x8 pixels. The blocks are those of
    ``nonlocal_resnet50``, with its deviations.
    """

    def block(g: Graph, x: Node, prefix: str, channels: int, stride: int) -> Node:
        return blocks.non_local(g, _plain(g, x, prefix, channels, stride), name=f"{prefix}.nl")

    return _resnet20(Graph(input_shape, name="nonlocal_resnet20"), num_classes, width, block, _MIDDLE)


@register("deform_resnet20_cifar", **CIFAR)
def deform_resnet20(
    num_classes: int = 10, input_shape: Shape = (32, 32, 3), version: int = 2, width: int = 16
) -> Graph:
    """ResNet-20 for CIFAR-10 with deformable convolution: where each window looks is learned from the image.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        Strides as for ``resnet20``, at any size.
    version : int
        1: offsets alone. 2: offsets, and factors for what is read.
    width : int
        Channels of the first stage.

    Notes
    -----
    316,459 parameters in version 2, 300,880 in version 1. Dai et al., "Deformable Convolutional Networks", 2017,
    section 2.1, and Zhu et al., "Deformable ConvNets v2", 2019, section 4, have no network for CIFAR; deformable is the
    second convolution of each block of the last stage. The convolution that makes offsets is called
    ``conv2.conv_offset`` and starts at zero, as in ``deform_resnet50``: windows are regular at first.
    """
    if version not in (1, 2):
        raise ConfigError(f"Deformable convolution has the versions 1 and 2, not {version!r}.")

    def block(g: Graph, x: Node, prefix: str, channels: int, stride: int) -> Node:
        return blocks.deformable_basic_residual(g, x, channels, stride, version, "A", name=prefix)

    return _resnet20(Graph(input_shape, name="deform_resnet20"), num_classes, width, block, LAST_STAGE)
