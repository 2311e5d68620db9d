"""ShuffleNet V2.

Ma et al., "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design", 2018, figure 3 and table 5.
"""

from __future__ import annotations

from collections.abc import Callable

from nnvis import blocks
from nnvis.blocks.chains import conv
from nnvis.graph import Graph
from nnvis.layers import BatchNorm2d, GlobalAvgPool2d, Linear, MaxPool2d, ReLU
from nnvis.layers.base import Shape
from nnvis.zoo.blocks import SMALL_IMAGES, is_small, scaled, sequential
from nnvis.zoo.registry import register

#: Output channels of the three stages and of the last convolution, and parameters, by width.
_WIDTHS = {
    "0_5": ((48, 96, 192), 1024, "1,366,792"), "1_0": ((116, 232, 464), 1024, "2,278,604"),
    "1_5": ((176, 352, 704), 1024, "3,503,624"), "2_0": ((244, 488, 976), 2048, "7,393,996"),
}  # fmt: skip
_REPEATS = (4, 8, 4)


def _shufflenet(g: Graph, num_classes: int, stages: tuple[int, int, int], last: int, width_mult: float) -> Graph:
    small, first = is_small(g), scaled(24, width_mult)
    stem = conv(first, 3, 1 if small else 2)
    y = sequential(g, g.input, [stem, BatchNorm2d(), ReLU()], "conv1")
    y = y if small else g.add(MaxPool2d(3, 2, padding=1), y, name="maxpool")
    for number, (channels, repeats) in enumerate(zip(stages, _REPEATS, strict=True), 2):
        for unit in range(repeats):
            width = channels if width_mult == 1 else scaled(channels, width_mult)
            y = blocks.shuffle_unit(g, y, width, 1 if unit else 2, name=f"stage{number}.{unit}")
    y = sequential(g, y, [conv(scaled(last, width_mult)), BatchNorm2d(), ReLU()], "conv5")
    g.output = g.add(Linear(num_classes), g.add(GlobalAvgPool2d(), y, name="global_pool"), name="fc")
    return g


_NOTES = """ShuffleNet V2 x{title}: half of the channels passes each unit by, and a shuffle mixes the halves.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        Below 64 pixels, as for 32x32 images, the first convolution has stride 1 and the max pooling is left out:
        stride 8 in all instead of 32.
    width_mult : float
        Channels of every layer, rounded to multiples of 8; 1 keeps the paper's.

    Notes
    -----
    {parameters} parameters. Ma et al., "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design",
    2018, figure 3 and table 5. Nodes are named as in torchvision's ``shufflenet_v2_x{name}``.
    """


def _define(name: str) -> Callable[..., Graph]:
    stages, last, parameters = _WIDTHS[name]

    def build(num_classes: int = 1000, input_shape: Shape = (224, 224, 3), width_mult: float = 1.0) -> Graph:
        g = Graph(input_shape, name=f"shufflenet_v2_x{name}")
        return _shufflenet(g, num_classes, stages, last, width_mult)

    build.__name__ = build.__qualname__ = f"shufflenet_v2_x{name}"
    build.__doc__ = _NOTES.format(title=name.replace("_", "."), parameters=parameters, name=name)
    return register(**SMALL_IMAGES)(build)


for _name in _WIDTHS:
    _define(_name)
