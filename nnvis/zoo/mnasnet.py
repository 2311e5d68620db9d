"""MnasNet. Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", 2019, figure 7 and table 1.

A1 is the network of figure 7; B1 is what the search finds without squeeze-and-excitation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nnvis.blocks.gates import squeeze_excite
from nnvis.graph import Graph, Node
from nnvis.layers import Add, BatchNorm2d, Conv2d, Dropout, GlobalAvgPool2d, Linear, ReLU
from nnvis.layers.base import Layer, Shape
from nnvis.zoo.blocks import SMALL_IMAGES, chain, is_small, scaled, sequential
from nnvis.zoo.registry import register

#: TensorFlow's decay of 0.9997 of the running statistics.
_MOMENTUM = 3e-4


@dataclass(frozen=True)
class _Stage:
    """A row of the table: blocks of inverted residuals, with squeeze-and-excitation or without."""

    channels: int
    kernel: int
    stride: int
    expansion: int
    blocks: int
    se: bool = False


_B1 = (
    _Stage(24, 3, 2, 3, 3), _Stage(40, 5, 2, 3, 3), _Stage(80, 5, 2, 6, 3), _Stage(96, 3, 1, 6, 2),
    _Stage(192, 5, 2, 6, 4), _Stage(320, 3, 1, 6, 1),
)  # fmt: skip
_A1 = (
    _Stage(24, 3, 2, 6, 2), _Stage(40, 5, 2, 3, 3, True), _Stage(80, 3, 2, 6, 4), _Stage(112, 3, 1, 6, 2, True),
    _Stage(160, 5, 2, 6, 3, True), _Stage(320, 3, 1, 6, 1),
)  # fmt: skip


def _norm() -> BatchNorm2d:
    return BatchNorm2d(momentum=_MOMENTUM)


def _conv(channels: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> Conv2d:
    return Conv2d(channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False)


# Its blocks are inverted residuals, but with ReLU, another momentum and names, and with gates in the middle: here they
# are written out, and only recorded under that kind.

# --- B1, named as in torchvision --------------------------------------------------------------------------


def _b1_block(g: Graph, x: Node, prefix: str, stage: _Stage, channels: int, stride: int) -> Node:
    inputs = g.shape_of(x)[2]
    hidden = inputs * stage.expansion
    layers = [_conv(hidden), _norm(), ReLU(), _conv(hidden, stage.kernel, stride, hidden), _norm(), ReLU()]
    y = sequential(g, x, [*layers, _conv(channels), _norm()], f"{prefix}.layers")
    return g.add(Add(), [y, x], name=f"{prefix}.add") if stride == 1 and inputs == channels else y


def _b1(g: Graph, num_classes: int, alpha: float, dropout: float) -> Graph:
    small, first, second = is_small(g), scaled(32, alpha), scaled(16, alpha)
    stem: list[Layer] = [_conv(first, 3, 1 if small else 2), _norm(), ReLU()]
    depthwise: list[Layer] = [_conv(first, 3, groups=first), _norm(), ReLU(), _conv(second), _norm()]
    y = sequential(g, g.input, [*stem, *depthwise], "layers")
    for number, stage in enumerate(_B1):
        for block in range(stage.blocks):
            stride = stage.stride if not block and not (small and number == 0) else 1
            with g.block(f"layers.{8 + number}.{block}", "inverted_residual") as name:
                y = _b1_block(g, y, name, stage, scaled(stage.channels, alpha), stride)
    y = sequential(g, y, [_conv(1280), _norm(), ReLU()], "layers", 14)
    y = g.add(GlobalAvgPool2d(), y, name="global_pool")
    y = g.add(Dropout(dropout), y, name="classifier.0") if dropout else y
    g.output = g.add(Linear(num_classes), y, name="classifier.1")
    return g


_NOTES = """MnasNet-B1 of width {title}: inverted residuals whose kernels and sizes were searched for speed on a phone.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        Below 64 pixels, as for 32x32 images, the first convolution and the first block with stride 2 (``layers.8.0``)
        keep the size: stride 8 in all instead of 32.
    dropout : float
        Rate in front of the classifier; 0 for none.
    width_mult : float
        A further factor of the channels, all but the last 1280.

    Notes
    -----
    {parameters} parameters. Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", 2019, table 1;
    stages are those of the authors' code. Nodes are named as in torchvision's ``{name}``; channels are rounded to
    multiples of 8.
    """


def _define(name: str, alpha: float, parameters: str) -> Callable[..., Graph]:
    def build(
        num_classes: int = 1000, input_shape: Shape = (224, 224, 3), dropout: float = 0.2, width_mult: float = 1.0
    ) -> Graph:
        return _b1(Graph(input_shape, name=name), num_classes, alpha * width_mult, dropout)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = _NOTES.format(title=alpha, parameters=parameters, name=name)
    return register(**SMALL_IMAGES)(build)


_define("mnasnet0_5", 0.5, "2,218,512")
_define("mnasnet0_75", 0.75, "3,170,208")
_define("mnasnet1_0", 1.0, "4,383,312")
_define("mnasnet1_3", 1.3, "6,282,256")


# --- A1, named as in timm ---------------------------------------------------------------------------------


def _a1_block(g: Graph, x: Node, prefix: str, stage: _Stage, channels: int, stride: int) -> Node:
    inputs = g.shape_of(x)[2]
    hidden = inputs * stage.expansion
    expand = {"conv_pw": _conv(hidden), "bn1": _norm(), "act1": ReLU()}
    depthwise = {"conv_dw": _conv(hidden, stage.kernel, stride, hidden), "bn2": _norm(), "act2": ReLU()}
    y = chain(g, x, {**expand, **depthwise}, prefix)
    if stage.se:
        y = squeeze_excite(g, y, max(1, inputs // 4), ("conv_reduce", "conv_expand"), name=f"{prefix}.se")
    y = chain(g, y, {"conv_pwl": _conv(channels), "bn3": _norm()}, prefix)
    return g.add(Add(), [y, x], name=f"{prefix}.add") if stride == 1 and inputs == channels else y


def _a1_stem(g: Graph, width_mult: float, small: bool) -> Node:
    first, second = scaled(32, width_mult), scaled(16, width_mult)
    y = chain(g, g.input, {"conv_stem": _conv(first, 3, 1 if small else 2), "bn1": _norm(), "act1": ReLU()})
    depthwise = {"conv_dw": _conv(first, 3, groups=first), "bn1": _norm(), "act1": ReLU()}
    return chain(g, y, {**depthwise, "conv_pw": _conv(second), "bn2": _norm()}, "blocks.0.0")


@register(**SMALL_IMAGES)
def mnasnet_a1(
    num_classes: int = 1000, input_shape: Shape = (224, 224, 3), dropout: float = 0.2, width_mult: float = 1.0
) -> Graph:
    """MnasNet-A1: as MnasNet-B1, with squeeze-and-excitation where the search put it.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        Small images as for ``mnasnet1_0``.
    dropout : float
        Rate in front of the classifier; 0 for none.
    width_mult : float
        Channels of every layer but the last, rounded to multiples of 8.

    Notes
    -----
    3,887,038 parameters. Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", 2019, figure 7
    and table 1 (3.9 M). A gate squeezes to a quarter of the block's input channels. Nodes are named as in timm's
    ``semnasnet_100``.
    """
    g = Graph(input_shape, name="mnasnet_a1")
    small = is_small(g)
    y = _a1_stem(g, width_mult, small)
    for number, stage in enumerate(_A1, 1):
        for block in range(stage.blocks):
            stride = stage.stride if not block and not (small and number == 1) else 1
            with g.block(f"blocks.{number}.{block}", "inverted_residual") as name:
                y = _a1_block(g, y, name, stage, scaled(stage.channels, width_mult), stride)
    y = chain(g, y, {"conv_head": _conv(1280), "bn2": _norm(), "act2": ReLU(), "global_pool": GlobalAvgPool2d()})
    y = g.add(Dropout(dropout), y, name="dropout") if dropout else y
    g.output = g.add(Linear(num_classes), y, name="classifier")
    return g
