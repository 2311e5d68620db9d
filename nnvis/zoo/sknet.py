"""SKNet. Li, Wang, Hu and Yang, "Selective Kernel Networks", 2019, section 3 and table 1."""

from __future__ import annotations

from nnvis.graph import Graph, Node
from nnvis.layers import (
    AdaptiveAvgPool2d,
    Add,
    BatchNorm2d,
    BranchSoftmax,
    Conv2d,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    Multiply,
    ReLU,
    Split,
)
from nnvis.layers.base import Layer, Shape
from nnvis.zoo.blocks import SMALL_IMAGES, chain, is_small, scaled
from nnvis.zoo.registry import register


def _conv(channels: int, kernel: int = 1, stride: int = 1, dilation: int = 1, groups: int = 1) -> dict[str, Layer]:
    padding = dilation * (kernel // 2)
    return {"conv": Conv2d(channels, kernel, stride, padding, dilation, groups, bias=False), "bn": BatchNorm2d()}


def _selective_kernel(
    g: Graph, x: Node, prefix: str, channels: int, stride: int, groups: int, squeezed: int, split: bool = False
) -> Node:
    """Two convolutions, one dilated to a window of 5x5; gates that see both weigh them channel by channel.

    With `split` each convolution reads one half of the channels.
    """
    inputs = [g.add(Split(2, half), x, name=f"{prefix}.split{half}") for half in (0, 1)] if split else [x, x]
    paths = [
        chain(g, inputs[i], {**_conv(channels, 3, stride, i + 1, groups), "act": ReLU()}, f"{prefix}.paths.{i}")
        for i in (0, 1)
    ]
    joint = g.add(Add(), paths, name=f"{prefix}.fuse")
    squeeze: dict[str, Layer] = {
        "pool": AdaptiveAvgPool2d(1), "fc_reduce": Conv2d(squeezed, 1, bias=False),
        "bn": BatchNorm2d(), "act": ReLU(), "fc_select": Conv2d(2 * channels, 1, bias=False),
        "softmax": BranchSoftmax(2),
    }  # fmt: skip
    gates = chain(g, joint, squeeze, f"{prefix}.attn")
    weighed = []
    for number, path in enumerate(paths):
        gate = g.add(Split(2, number), gates, name=f"{prefix}.gate{number}")
        weighed.append(g.add(Multiply(), [path, gate], name=f"{prefix}.weighed{number}"))
    return g.add(Add(), weighed, name=f"{prefix}.select")


def _block(g: Graph, x: Node, prefix: str, channels: int, stride: int, groups: int) -> Node:
    """1x1, selective kernel, and 1x1 to twice the channels, beside a shortcut."""
    y = chain(g, x, {**_conv(channels), "act": ReLU()}, f"{prefix}.conv1")
    y = _selective_kernel(g, y, f"{prefix}.conv2", channels, stride, groups, scaled(channels / 16, divisor=32))
    return _residual(g, x, chain(g, y, _conv(2 * channels), f"{prefix}.conv3"), prefix, stride)


def _basic_block(g: Graph, x: Node, prefix: str, channels: int, stride: int) -> Node:
    """Selective kernel, each of its convolutions on half of the channels, and 3x3."""
    squeezed = scaled(channels / 8, divisor=16)
    y = _selective_kernel(g, x, f"{prefix}.conv1", channels, stride, 1, squeezed, split=True)
    return _residual(g, x, chain(g, y, _conv(channels, 3), f"{prefix}.conv2"), prefix, stride)


def _residual(g: Graph, x: Node, y: Node, prefix: str, stride: int) -> Node:
    """The branch `y` plus `x`, which a 1x1 convolution brings to its size where they differ."""
    outputs = g.shape_of(y)[2]
    if stride > 1 or g.shape_of(x)[2] != outputs:
        pick: dict[str, Layer] = {"0": Conv2d(outputs, 1, stride, bias=False), "1": BatchNorm2d()}
        x = chain(g, x, pick, f"{prefix}.downsample")
    return g.add(ReLU(), g.add(Add(), [y, x], name=f"{prefix}.add"), name=f"{prefix}.act")


def _stem(g: Graph, width_mult: float) -> Node:
    small, first = is_small(g), scaled(64, width_mult)
    stem = Conv2d(first, 3, padding=1, bias=False) if small else Conv2d(first, 7, 2, padding=3, bias=False)
    y = chain(g, g.input, {"conv1": stem, "bn1": BatchNorm2d(), "act1": ReLU()})
    return y if small else g.add(MaxPool2d(3, 2, padding=1), y, name="maxpool")


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
            y = _block(g, y, f"layer{stage + 1}.{block}", channels, 2 if stage and not block else 1, groups)
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
            y = _basic_block(g, y, f"layer{stage + 1}.{block}", scaled(64 * 2**stage, width_mult), stride)
    g.output = chain(g, y, {"global_pool": GlobalAvgPool2d(), "fc": Linear(num_classes)})
    return g
