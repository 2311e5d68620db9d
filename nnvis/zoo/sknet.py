"""SKNet. Li, Wang, Hu and Yang, "Selective Kernel Networks", 2019, section 3 and table 1."""

from __future__ import annotations

from nnvis.blocks import sk_residual
from nnvis.graph import Graph
from nnvis.layers import BatchNorm2d, Conv2d, GlobalAvgPool2d, Linear, MaxPool2d, ReLU
from nnvis.layers.base import Shape
from nnvis.zoo.blocks import SMALL_IMAGES, chain, is_small, scaled
from nnvis.zoo.registry import register


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
    27,479,784 parameters (table 1 of the paper: 27.5 M). M = 2 branches, G = 32 groups, r = 16 and L = 32, as in the
    paper; nodes are named as in timm's ``skresnext50_32x4d``. Downsampling is in the selective kernel.
    """
    g = Graph(input_shape, name="sknet50")
    small, first = is_small(g), scaled(64, width_mult)
    stem = Conv2d(first, 3, padding=1, bias=False) if small else Conv2d(first, 7, 2, padding=3, bias=False)
    y = chain(g, g.input, {"conv1": stem, "bn1": BatchNorm2d(), "act1": ReLU()})
    y = y if small else g.add(MaxPool2d(3, 2, padding=1), y, name="maxpool")
    for stage, count in enumerate(blocks):
        channels = scaled(128 * 2**stage, width_mult, max(8, groups))
        for block in range(count):
            stride, name = 2 if stage and not block else 1, f"layer{stage + 1}.{block}"
            y = sk_residual(g, y, channels, stride, groups, name=name)
    g.output = chain(g, y, {"global_pool": GlobalAvgPool2d(), "fc": Linear(num_classes)})
    return g
