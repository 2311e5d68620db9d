"""Maximum pooling, with the winner of each window as a byte (or an int32 for large windows).

A thread does one float of the output, or, backward, of the image: neighbours are channels of one pixel. Backward it
gathers the gradients of all windows that see its pixel and that it won, so nobody adds to what another adds to.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kernels.cuda import launch, windows
from kernels.cuda.indices import divided, larger
from kernels.cuda.jit import Kernel, kernel
from kernels.cuda.maps import flat
from kernels.cuda.toolkit import cuda

Pair = tuple[int, int]
_ZERO, _LOWEST = np.float32(0), np.float32(-math.inf)


def _forward_for(dtype: str) -> Kernel:
    def body(x, y, argmax, rows, columns, height, width, out_height, out_width, channels, taps, nobody):
        """Maximum of windows that tables describe; a maximum that is not above 0 has the winner `nobody`, if any."""
        i = cuda.grid(1)
        if i < y.size:
            window, channel = divided(i, channels)
            line, ow = divided(window, out_width)
            image, oh = divided(line, out_height)
            top, left = rows[2 * out_height + oh], columns[2 * out_width + ow]
            best, winner = _LOWEST, -1
            for h in range(rows[oh], rows[out_height + oh]):
                first = (image * height + h) * width
                for w in range(columns[ow], columns[out_width + ow]):
                    value = x[(first + w) * channels + channel]
                    if value > best or value != value or winner < 0:  # not-a-number beats all that come before it
                        best, winner = value, (h - top) * taps + w - left
            if nobody >= 0 and best <= _ZERO:
                best, winner = _ZERO, nobody
            y[i], argmax[i] = best, larger(winner, 0)

    signature = f"void(float32[::1], float32[::1], {dtype}[::1], int32[::1], int32[::1]{7 * ', int32'})"
    return _named(f"max_pool_forward_{dtype}_kernel", signature, body)


def _backward_for(dtype: str) -> Kernel:
    def body(dy, argmax, dx, rows, columns, height, width, out_height, out_width, channels, taps):
        """Gradient of the maximum: the sum of `dy` of all windows that a pixel won."""
        i = cuda.grid(1)
        if i < dx.size:
            pixel, channel = divided(i, channels)
            line, w = divided(pixel, width)
            image, h = divided(line, height)
            slope = _ZERO
            for oh in range(rows[h], rows[height + h]):
                tap = (h - rows[2 * height + oh]) * taps + w
                first = (image * out_height + oh) * out_width
                for ow in range(columns[w], columns[width + w]):
                    place = (first + ow) * channels + channel
                    if argmax[place] == tap - columns[2 * width + ow]:
                        slope += dy[place]
            dx[i] = slope

    signature = f"void(float32[::1], {dtype}[::1], float32[::1], int32[::1], int32[::1]{6 * ', int32'})"
    return _named(f"max_pool_backward_{dtype}_kernel", signature, body)


def _named(name: str, signature: str, body: Callable) -> Kernel:
    body.__name__ = name
    return kernel(signature)(body)


_TYPES = ("uint8", "int32")
_FORWARD = {dtype: _forward_for(dtype) for dtype in _TYPES}
_BACKWARD = {dtype: _backward_for(dtype) for dtype in _TYPES}

# --- the functions -------------------------------------------------------------------------------


def _check(image: Any, output: Any, argmax: Any, dtypes: tuple[str, ...]) -> None:
    shapes = [tuple(each.shape) for each in (image, output, argmax)]
    if shapes[0][::3] != shapes[1][::3] or shapes[1] != shapes[2]:
        text = f"{shapes[0]}, {shapes[1]} and {shapes[2]}"
        raise ValueError(f"image, output and argmax of a pool do not fit each other: {text}")
    if str(argmax.dtype) not in dtypes:
        raise ValueError(f"argmax must be {' or '.join(dtypes)} here, is {argmax.dtype}")


def _index_types(kernel: Pair) -> tuple[str, ...]:
    return _TYPES if kernel[0] * kernel[1] <= 256 else ("int32",)


def _check_tiles(x: Any, y: Any, argmax: Any, kernel: Pair, stride: Pair, padding: Pair) -> None:
    """Refuse windows that are not 2x2 tiles inside the image, with winners as bytes."""
    inside = 2 * y.shape[1] <= x.shape[1] and 2 * y.shape[2] <= x.shape[2] and str(argmax.dtype) == "uint8"
    if not inside or (tuple(kernel), tuple(stride), tuple(padding)) != ((2, 2), (2, 2), (0, 0)):
        raise ValueError(f"rectified pooling is for 2x2 tiles, not kernel {kernel}, stride {stride}, padding {padding}")


def _axes(image: Any, output: Any, *geometry: Pair) -> list[windows.Axis]:
    return windows.axes_of(tuple(image.shape[1:3]), tuple(output.shape[1:3]), *geometry)


def _forward(x: Any, y: Any, argmax: Any, axes: list, taps: int, nobody: int) -> None:
    if y.size:
        arrays, sizes = (flat(x), flat(y), flat(argmax)), (*x.shape[1:3], *y.shape[1:3], x.shape[3])
        work = _FORWARD[str(argmax.dtype)]
        work(launch.over(y.size), *arrays, *map(windows.forward, axes), *sizes, taps, nobody)


def _backward(dy: Any, argmax: Any, dx: Any, axes: list, taps: int) -> None:
    if any((starts >= stops).any() for starts, stops, _ in map(windows.table, axes)):
        raise ValueError(f"a window of the pool lies outside the image: {tuple(dx.shape)} to {tuple(dy.shape)}")
    if dx.size:
        arrays, sizes = (flat(dy), flat(argmax), flat(dx)), (*dx.shape[1:3], *dy.shape[1:3], dx.shape[3])
        work = _BACKWARD[str(argmax.dtype)]
        work(launch.over(dx.size), *arrays, *map(windows.backward, axes), *sizes, taps)


def max_pool2d_forward(
    x: Any, y: Any, argmax: Any, kernel: Pair, stride: Pair, padding: Pair, rectified: bool = False
) -> None:
    """Largest value of each window and where in the window it was.

    Of equal values the first in reading order wins. A window that holds NaN gives NaN, and its last NaN is the winner.

    Parameters
    ----------
    x : device array (N, H, W, C)
    y : device array (N, OH, OW, C)
        Output.
    argmax : device array (N, OH, OW, C), uint8 or int32
        Output: ``kh * KW + kw`` of the winner; uint8 only if ``KH * KW <= 256``.
    kernel, stride, padding : (int, int)
        Vertical and horizontal, in pixels.
    rectified : bool
        Whether what is pooled is ``max(x, 0)``, for windows that are 2x2 tiles. A maximum that is not above 0 has no
        winner: its `argmax` is ``KH * KW``.

    Raises
    ------
    ValueError
        For windows that are no tiles, if `rectified`.
    """
    _check(x, y, argmax, _index_types(kernel))
    if rectified:
        _check_tiles(x, y, argmax, kernel, stride, padding)
    nobody = kernel[0] * kernel[1] if rectified else -1
    _forward(x, y, argmax, _axes(x, y, kernel, stride, padding), kernel[1], nobody)


def max_pool2d_backward(dy: Any, argmax: Any, dx: Any, kernel: Pair, stride: Pair, padding: Pair) -> None:
    """Gradient of the maximum: all of `dy` goes to the winner, and overlapping windows add up.

    Parameters
    ----------
    dy : device array (N, OH, OW, C)
    argmax : device array (N, OH, OW, C)
        As :func:`max_pool2d_forward` wrote it.
    dx : device array (N, H, W, C)
        Output.
    kernel, stride, padding : (int, int)
        Vertical and horizontal, in pixels.

    Raises
    ------
    ValueError
        If a window has no pixel of the image, and thus no winner.
    """
    _check(dx, dy, argmax, _index_types(kernel))
    _backward(dy, argmax, dx, _axes(dx, dy, kernel, stride, padding), kernel[1])


def adaptive_max_pool2d_forward(x: Any, y: Any, argmax: Any) -> None:
    """Maximum over OH x OW windows that cover the image, as those of the adaptive average do.

    Parameters
    ----------
    x : device array (N, H, W, C)
    y : device array (N, OH, OW, C)
        Output.
    argmax : device array (N, OH, OW, C), int32
        Output: ``h * W + w`` of the winner in the image.
    """
    _check(x, y, argmax, ("int32",))
    _forward(x, y, argmax, _axes(x, y), x.shape[2], -1)


def adaptive_max_pool2d_backward(dy: Any, argmax: Any, dx: Any) -> None:
    """Gradient of the adaptive maximum: ``dx[n, argmax, c] += dy[n, i, j, c]``.

    Parameters
    ----------
    dy : device array (N, OH, OW, C)
    argmax : device array (N, OH, OW, C), int32
        As :func:`adaptive_max_pool2d_forward` wrote it.
    dx : device array (N, H, W, C)
        Output.
    """
    _check(dx, dy, argmax, ("int32",))
    _backward(dy, argmax, dx, _axes(dx, dy), dx.shape[2])
