"""Depthwise convolution: every channel with a filter of its own, a thread for each result.

Threads of a warp do neighbouring channels of one pixel, so that they read and write whole cache lines. Such a
convolution does few operations for each float that it reads: it is as fast as memory allows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kernels.cuda.jit import inner, kernel
from kernels.cuda.launch import blocks, over
from kernels.cuda.maps import flat
from kernels.cuda.scratch import room
from kernels.cuda.sums import add_splits
from kernels.cuda.tiles import ACTIVATIONS, activated
from kernels.cuda.toolkit import cuda

Pair = tuple[int, int]

_ZERO = np.float32(0)
#: Numbers that the kernels are told; EACH is 1 if every image has filters of its own, else 0.
(
    IMAGES,
    HEIGHT,
    WIDTH,
    OUT_HEIGHT,
    OUT_WIDTH,
    CHANNELS,
    ROWS,
    COLUMNS,
    STRIDE_H,
    STRIDE_W,
    PAD_H,
    PAD_W,
    STEP_H,
    STEP_W,
    EACH,
) = range(15)
_SIZES = "UniTuple(int32, 15)"
#: Channels and rows of threads of a block that sums over pixels, and pixels that make a split worth it.
LANES, LINES, SPLIT_PIXELS, MOST_SPLITS = 32, 8, 256, 64
_THREADS = LANES * LINES


def handles(x: Any, y: Any, groups: int) -> bool:
    """Whether a convolution from arrays of the shape of `x` to those of `y` is depthwise."""
    return groups == x.shape[3] == y.shape[3]


@inner
def _input_at(image, row, column, tap_row, tap_column, sizes):
    """The pixel that an output pixel sees through a tap, counted over all images; below 0 outside."""
    y = row * sizes[STRIDE_H] - sizes[PAD_H] + tap_row * sizes[STEP_H]
    x = column * sizes[STRIDE_W] - sizes[PAD_W] + tap_column * sizes[STEP_W]
    if y < 0 or y >= sizes[HEIGHT] or x < 0 or x >= sizes[WIDTH]:
        return -1
    return (image * sizes[HEIGHT] + y) * sizes[WIDTH] + x


@inner
def _output_at(image, row, column, tap_row, tap_column, sizes):
    """The output pixel that saw an input pixel through a tap, counted over all images; below 0 if none did."""
    y = row + sizes[PAD_H] - tap_row * sizes[STEP_H]
    x = column + sizes[PAD_W] - tap_column * sizes[STEP_W]
    if y < 0 or x < 0 or y % sizes[STRIDE_H] != 0 or x % sizes[STRIDE_W] != 0:
        return -1
    y, x = y // sizes[STRIDE_H], x // sizes[STRIDE_W]
    if y >= sizes[OUT_HEIGHT] or x >= sizes[OUT_WIDTH]:
        return -1
    return (image * sizes[OUT_HEIGHT] + y) * sizes[OUT_WIDTH] + x


@inner
def _weight_at(own, tap_row, tap_column, channel, sizes):
    """Where the weight of a tap lies, among filters number `own`."""
    return ((own * sizes[ROWS] + tap_row) * sizes[COLUMNS] + tap_column) * sizes[CHANNELS] + channel


@kernel(f"void(float32[::1], float32[::1], float32[::1], float32[::1], {_SIZES}, int32, int32)")
def depthwise_forward_kernel(x, w, bias, y, sizes, has_bias, activation):
    """A thread for each output pixel and channel."""
    i = cuda.grid(1)
    channels = sizes[CHANNELS]
    if i < sizes[IMAGES] * sizes[OUT_HEIGHT] * sizes[OUT_WIDTH] * channels:
        channel, pixel = i % channels, i // channels
        column, row = pixel % sizes[OUT_WIDTH], pixel // sizes[OUT_WIDTH] % sizes[OUT_HEIGHT]
        image = pixel // (sizes[OUT_WIDTH] * sizes[OUT_HEIGHT])
        own = image * sizes[EACH]
        total = bias[own * channels + channel] if has_bias else _ZERO
        for tap_row in range(sizes[ROWS]):
            for tap_column in range(sizes[COLUMNS]):
                at = _input_at(image, row, column, tap_row, tap_column, sizes)
                if at >= 0:
                    weight = w[_weight_at(own, tap_row, tap_column, channel, sizes)]
                    total += x[at * channels + channel] * weight
        y[i] = activated(total, activation)


@kernel(f"void(float32[::1], float32[::1], float32[::1], {_SIZES})")
def depthwise_data_kernel(dy, w, dx, sizes):
    """A thread for each input pixel and channel: it gathers from the output pixels that saw it."""
    i = cuda.grid(1)
    channels = sizes[CHANNELS]
    if i < sizes[IMAGES] * sizes[HEIGHT] * sizes[WIDTH] * channels:
        channel, pixel = i % channels, i // channels
        column, row = pixel % sizes[WIDTH], pixel // sizes[WIDTH] % sizes[HEIGHT]
        image = pixel // (sizes[WIDTH] * sizes[HEIGHT])
        total, own = _ZERO, image * sizes[EACH]
        for tap_row in range(sizes[ROWS]):
            for tap_column in range(sizes[COLUMNS]):
                at = _output_at(image, row, column, tap_row, tap_column, sizes)
                if at >= 0:
                    weight = w[_weight_at(own, tap_row, tap_column, channel, sizes)]
                    total += dy[at * channels + channel] * weight
        dx[i] = total


@kernel(f"void(float32[::1], float32[::1], float32[::1], {_SIZES}, int32)")
def depthwise_weights_kernel(x, dy, partial, sizes, splits):
    """A block for 32 channels, one tap and a split of the pixels; its eight lines of threads are added in the end."""
    shared = cuda.shared.array(_THREADS, np.float32)
    thread, tap, split = cuda.threadIdx.x, cuda.blockIdx.y, cuda.blockIdx.z
    channels, lane, line = sizes[CHANNELS], thread % LANES, thread // LANES
    channel = cuda.blockIdx.x * LANES + lane
    tap_row, tap_column = tap // sizes[COLUMNS], tap % sizes[COLUMNS]
    pixels = sizes[IMAGES] * sizes[OUT_HEIGHT] * sizes[OUT_WIDTH]
    begin, end = split * pixels // splits, (split + 1) * pixels // splits
    total = _ZERO
    if channel < channels:
        for pixel in range(begin + line, end, LINES):
            column, row = pixel % sizes[OUT_WIDTH], pixel // sizes[OUT_WIDTH] % sizes[OUT_HEIGHT]
            image = pixel // (sizes[OUT_WIDTH] * sizes[OUT_HEIGHT])
            at = _input_at(image, row, column, tap_row, tap_column, sizes)
            if at >= 0:
                total += x[at * channels + channel] * dy[pixel * channels + channel]
    shared[thread] = total
    cuda.syncthreads()
    if line == 0 and channel < channels:
        for other in range(1, LINES):
            total += shared[other * LANES + lane]
        partial[(split * sizes[ROWS] * sizes[COLUMNS] + tap) * channels + channel] = total


def _sizes(x: Any, w: Any, y: Any, stride: Pair, padding: Pair, dilation: Pair) -> tuple[np.int32, ...]:
    numbers = (*x.shape[:3], *y.shape[1:4], *w.shape[-4:-2], *stride, *padding, *dilation, len(w.shape) == 5)
    return tuple(np.int32(number) for number in numbers)


def forward(
    x: Any, w: Any, b: Any, y: Any, stride: Pair, padding: Pair, dilation: Pair, activation: str = "none"
) -> None:
    """:func:`kernels.cuda.conv.conv2d_forward` where :func:`handles` says so, and with filters (N, KH, KW, 1, C)."""
    sizes = _sizes(x, w, y, stride, padding, dilation)
    first, flags = (y if b is None else b), (np.int32(b is not None), np.int32(ACTIVATIONS[activation]))
    depthwise_forward_kernel(over(y.size), flat(x), flat(w), flat(first), flat(y), sizes, *flags)


def backward_data(dy: Any, w: Any, dx: Any, stride: Pair, padding: Pair, dilation: Pair) -> None:
    """:func:`kernels.cuda.conv.conv2d_backward_data` where :func:`handles` says so, and with such filters."""
    sizes = _sizes(dx, w, dy, stride, padding, dilation)
    depthwise_data_kernel(over(dx.size), flat(dy), flat(w), flat(dx), sizes)


def backward_weights(x: Any, dy: Any, dw: Any, stride: Pair, padding: Pair, dilation: Pair) -> None:
    """The gradient of the weights of :func:`kernels.cuda.conv.conv2d_backward_weights`."""
    pixels = dy.size // dy.shape[3]
    splits = max(1, min(MOST_SPLITS, pixels // SPLIT_PIXELS))
    partial = flat(dw) if splits == 1 else room("splits of depthwise weights", splits * dw.size)
    _run_splits(x, dy, dw, partial, splits, stride, padding, dilation)
    if splits > 1:
        add_splits(partial, flat(dw), splits)


def backward_weights_each(x: Any, dy: Any, dw: Any, stride: Pair, padding: Pair, dilation: Pair) -> None:
    """The gradient of filters (N, KH, KW, 1, C): each image is a split of the pixels, whose sums are not added."""
    _run_splits(x, dy, dw, flat(dw), x.shape[0], stride, padding, dilation)


def _run_splits(
    x: Any, dy: Any, dw: Any, partial: Any, splits: int, stride: Pair, padding: Pair, dilation: Pair
) -> None:
    channels, taps = dy.shape[3], math.prod(dw.shape[-4:-2])
    sizes = _sizes(x, dw, dy, stride, padding, dilation)
    shape = blocks(-(-channels // LANES), taps, splits, _THREADS)
    depthwise_weights_kernel(shape, flat(x), flat(dy), partial, sizes, np.int32(splits))
