"""SKNet. Li, Wang, Hu and Yang, "Selective Kernel Networks", 2019, section 3 and table 1."""

from __future__ import annotations

from nnvis.blocks import sk_basic_residual, sk_residual
from nnvis.blocks.chains import conv
from nnvis.graph import Graph, Node
from nnvis.layers import BatchNorm2d, GlobalAvgPool2d, Linear, MaxPool2d, ReLU
from nnvis.layers.base import Shape
from nnvis.zoo.blocks import SMALL_IMAGES, chain, is_small, scaled
from nnvis.zoo.registry import register


def _stem(g: Graph, width_mult: float) -> Node:
    first = scaled(64, width_mult)
    stem = conv(first, 3) if is_small(g) else conv(first, 7, 2)
    y = chain(g, g.input, {"conv1": stem, "bn1": BatchNorm2d(), "act1": ReLU()})
    return y if is_small(g) else g.add(MaxPool2d(3, 2, padding=1), y, name="maxpool")


@register(**SMALL_IMAGES)
def sknet50(
    num_classes: int = 1000,
    input_shape: Shape = (224, 224, 3),
    blocks: tuple[int, ...] = (3, 4, 6, 3),
    groups: int = 32,
    width_mult: float = 1.0,
) -> Graph:
    """SKNet-50: every unit chooses, channel by channel, between a window of 3x3 and one of 5x5.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        Below 64 pixels, as for 32x32 images, the first convolution is 3x3 with stride 1 and the max pooling is left
        out: stride 8 in all instead of 32.
    blocks : tuple of int
        Units of each stage.
    groups : int
        Groups of the convolutions that are chosen from.
    width_mult : float
        Channels of every layer, rounded to multiples of 8, or of `groups` where there are groups.

    Notes
    -----
    27,479,784 parameters. Li et al., "Selective Kernel Networks", 2019, section 3 and table 1 (27.5 M). M = 2 branches,
    G = 32 groups, r = 16 and L = 32, as in the paper; nodes are named as in timm's ``skresnext50_32x4d``. Downsampling
    is in the selective kernel.
    """
    g = Graph(input_shape, name="sknet50")
    y = _stem(g, width_mult)
    for stage, count in enumerate(blocks):
        channels = scaled(128 * 2**stage, width_mult, max(8, groups))
        for block in range(count):
            stride, name = 2 if stage and not block else 1, f"layer{stage + 1}.{block}"
            y = sk_residual(g, y, channels, stride, groups, name=name)
    g.output = chain(g, y, {"global_pool": GlobalAvgPool2d(), "fc": Linear(num_classes)})
    return g


@register(**SMALL_IMAGES)
def sk_resnet18(num_classes: int = 1000, input_shape: Shape = (224, 224, 3), width_mult: float = 1.0) -> Graph:
    """SK-ResNet-18: the first convolution of each basic block chooses between a window of 3x3 and one of 5x5.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        Small images as for ``sknet50``.
    width_mult : float
        Channels of every layer, rounded to multiples of 8.

    Notes
    -----
    11,958,056 parameters. Li et al., "Selective Kernel Networks", 2019, section 3, has bottleneck blocks only; this is
    timm's ``skresnet18``, whose names nodes have: the blocks of ResNet-18 (He et al., 2015, table 1), where each of the
    two convolutions reads one half of the channels, so that both together are as large as the one whose place they
    take. Gates squeeze to an eighth of the channels, 16 at least (r = 8, L = 16).
    """
    g = Graph(input_shape, name="sk_resnet18")
    y = _stem(g, width_mult)
    for stage in range(4):
        for block in range(2):
            stride = 2 if stage and not block else 1
            channels, name = scaled(64 * 2**stage, width_mult), f"layer{stage + 1}.{block}"
            y = sk_basic_residual(g, y, channels, stride, name=name)
    g.output = chain(g, y, {"global_pool": GlobalAvgPool2d(), "fc": Linear(num_classes)})
    return g
