"""Shapes as sums that a learner can follow: ``(32 + 2*1 - 3)/2 + 1 = 16``."""

from __future__ import annotations

from nnvis.layers.base import Layer, Shape, describe


def window_sum(size: int, kernel: int, stride: int, padding: int, dilation: int, result: int) -> str:
    """Positions of a window along one axis, as a sum."""
    reach = dilation * (kernel - 1) + 1
    room = f"({size} + 2*{padding} - {reach})" if padding else f"({size} - {reach})"
    exact = (size + 2 * padding - reach) % stride == 0
    quotient = room if stride == 1 else f"{room}/{stride}" if exact else f"⌊{room}/{stride}⌋"
    return f"{quotient} + 1 = {result}"


def shape_sum(layer: Layer, inputs: tuple[Shape, ...], output: Shape) -> str:
    """How the output's shape comes about, in one line."""
    if hasattr(layer, "kernel_size") and len(inputs[0]) == 3 and isinstance(layer.kernel_size, tuple):
        return _windows(layer, inputs[0], output)
    if layer.kind == "Flatten":
        return f"{'*'.join(map(str, inputs[0]))} = {output[0]}"
    if layer.kind == "Concat":
        return f"{' + '.join(str(s[-1]) for s in inputs)} = {output[-1]} channels"
    return f"{' , '.join(map(describe, inputs))} → {describe(output)}"


def _windows(layer: Layer, shape: Shape, output: Shape) -> str:
    def pick(name: str, default: int, axis: int) -> int:
        value = getattr(layer, name, None)
        value = default if value is None else value
        return value[axis] if isinstance(value, tuple) else value

    sums = []
    for axis in (0, 1):
        kernel = pick("kernel_size", 1, axis)
        stride = pick("stride", kernel, axis)
        sums.append(window_sum(shape[axis], kernel, stride, pick("padding", 0, axis), pick("dilation", 1, axis),
                               output[axis]))  # fmt: skip
    height, width = sums
    return height if height == width else f"height {height}, width {width}"


def parameter_sum(layer: Layer, inputs: tuple[Shape, ...]) -> str:
    """The number of trainable values as a sum: ``5*5*1*6 + 6 = 156``."""
    shapes = [p.shape for p in layer.parameters(*inputs).values()]
    if not shapes:
        return "no parameters"
    total = sum(p.size for p in layer.parameters(*inputs).values())
    return f"{' + '.join('*'.join(map(str, s)) for s in shapes)} = {total:,}"
