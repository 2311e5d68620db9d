"""Attention; the formulas are in :mod:`kernels.reference.attention`.

The textbook's kernel (:mod:`kernels.cuda.textbook`) gives a thread to every query; it reads all keys and values for
each. Here the two sums, over features and over keys, and the four of the gradients are products of matrices, one for
each head of each image, on the tiles of :mod:`kernels.cuda.tiles`: what a block reads serves 64 or 128 queries. Arrays
stay where they are, even where queries, keys and values share one, since the tiles are told how far images, tokens and
heads lie apart. Between the products, softmax works on whole rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels.cuda import toolkit
from kernels.cuda.indices import divided
from kernels.cuda.jit import inner
from kernels.cuda.maps import flat
from kernels.cuda.scratch import room
from kernels.cuda.softmax import softmax_backward, softmax_forward
from kernels.cuda.tiles import COLUMNS, GROUPS, INNER, OWN, ROWS, Operand, Product, Sizes, at_or_zero, one_by_one

_ZERO = np.float32(0)
#: Numbers of the two operands: floats from image to image, from head to head and from line to line of its matrix, and
#: whether all lines begin at multiples of 16 bytes.
LEFT, RIGHT = OWN, OWN + 4
_IMAGE, _HEAD, _LINE, _ALIGNED = range(4)


# --- where the operands lie ------------------------------------------------------------------------------------


def _operand(own: int, lines: int, positions: int, across: bool) -> Operand:
    """A side whose numbers begin at `own`; `lines` and `positions` say which sizes are those of its matrix."""
    image_floats, head_floats, line_floats, aligned = own + _IMAGE, own + _HEAD, own + _LINE, own + _ALIGNED

    @inner
    def locate(group, sizes):
        image, head = divided(group, sizes[GROUPS])
        return image * sizes[image_floats] + head * sizes[head_floats]

    @inner
    def fetch(array, line, position, begin, sizes):
        if line >= sizes[lines]:
            return _ZERO, _ZERO, _ZERO, _ZERO
        begin += line * sizes[line_floats]
        if sizes[aligned]:
            return at_or_zero(array, begin, position, sizes[positions])
        return one_by_one(array, begin + position, sizes[positions] - position)

    return Operand(fetch, across, locate)


_LEFT = {False: _operand(LEFT, ROWS, INNER, across=False), True: _operand(LEFT, INNER, ROWS, across=True)}
_RIGHT = {False: _operand(RIGHT, INNER, COLUMNS, across=True), True: _operand(RIGHT, COLUMNS, INNER, across=False)}
#: Products by which of their sides are transposed, left and right.
_PRODUCTS = {
    (ta, tb): Product(f"heads_{'t' if ta else 'n'}{'t' if tb else 'n'}", _LEFT[ta], _RIGHT[tb])
    for ta, tb in ((False, True), (False, False), (True, False))
}


@dataclass(frozen=True)
class _Matrices:
    """A matrix (lines, positions) for each head of each image, and how far they lie apart in memory, in floats."""

    memory: Any
    images: int
    heads: int
    lines: int
    positions: int
    image: int
    head: int
    line: int

    def numbers(self) -> tuple[int, ...]:
        """What the kernels are told of an operand."""
        floats = self.image, self.head, self.line
        return *floats, toolkit.address(self.memory) % 16 == 0 and all(each % 4 == 0 for each in floats)


def _features(array: Any, heads: int) -> _Matrices:
    """Of features (N, T, D), which may be a part of those of a larger array: matrices (T, D / heads)."""
    images, tokens, features = array.shape
    image, line = (stride // array.dtype.itemsize for stride in array.strides[:2])
    width = features // heads
    return _Matrices(toolkit.line(array), images, heads, tokens, width, image, width, line)


def _pairs(array: Any) -> _Matrices:
    """Of numbers for every query and key (N, heads, T, S): matrices (T, S)."""
    images, heads, queries, keys = array.shape
    head = queries * keys
    return _Matrices(flat(array), images, heads, queries, keys, heads * head, head, keys)


def _multiply(
    left: _Matrices,
    right: _Matrices,
    result: _Matrices,
    transpose_left: bool = False,
    transpose_right: bool = False,
    scale: float = 1.0,
) -> None:
    """``result = scale * op(left) @ op(right)``, head by head, where op transposes or not."""
    r, steps = result, left.lines if transpose_left else left.positions
    sizes = Sizes(r.lines, r.positions, steps, r.line, r.head, r.heads, images=r.images, image=r.image)
    if r.memory.size:
        product, own = _PRODUCTS[transpose_left, transpose_right], (*left.numbers(), *right.numbers())
        product.run(left.memory, right.memory, None, r.memory, sizes, own, scale=scale)


def _check(q: Any, k: Any, v: Any, y: Any, weights: Any, heads: int) -> None:
    (images, queries, depth), (_, keys, width) = q.shape, v.shape
    expected = (images, keys, depth), (images, keys, width), (images, queries, width), (images, heads, queries, keys)
    whole = heads >= 1 and depth % heads == 0 and width % heads == 0
    if not whole or tuple(tuple(each.shape) for each in (k, v, y, weights)) != expected:
        shapes = ", ".join(str(tuple(each.shape)) for each in (q, k, v, y, weights))
        raise ValueError(f"attention of {heads} heads cannot work on {shapes}")
    _check_rows(q, k, v, y)


def _check_rows(*arrays: Any) -> None:
    if any(each.size and each.strides[2] != each.dtype.itemsize for each in arrays):
        raise ValueError("attention needs float32 features that lie side by side")


# --- what networks call ----------------------------------------------------------------------------------------


def attention_forward(q: Any, k: Any, v: Any, y: Any, weights: Any, heads: int, scale: float, softmax: bool) -> None:
    """``weights = softmax(scale q k^T)`` and ``y = weights v``, head by head.

    Parameters
    ----------
    q : device array (N, T, D)
        This, k, v and y may be parts of the features of larger arrays.
    k : device array (N, S, D)
    v : device array (N, S, E)
    y : device array (N, T, E)
        Output.
    weights : device array (N, heads, T, S)
        Output, kept for the backward pass.
    heads : int
        Divides D and E.
    scale : float
        Usually ``1 / sqrt(D / heads)``.
    softmax : bool
        False leaves it out.
    """
    _check(q, k, v, y, weights, heads)
    queries, keys, values = (_features(each, heads) for each in (q, k, v))
    shares = _pairs(weights)
    _multiply(queries, keys, shares, transpose_right=True, scale=scale)
    if softmax:
        softmax_forward(weights, weights)
    _multiply(shares, values, _features(y, heads))


def attention_backward(
    q: Any,
    k: Any,
    v: Any,
    weights: Any,
    dy: Any,
    dq: Any | None,
    dk: Any | None,
    dv: Any | None,
    heads: int,
    scale: float,
    softmax: bool,
) -> None:
    """Gradients of queries, keys and values.

    Parameters
    ----------
    q : device array (N, T, D)
        All arrays but the weights may be parts of the features of larger ones.
    k : device array (N, S, D)
    v : device array (N, S, E)
    weights : device array (N, heads, T, S)
        As the forward pass wrote them.
    dy : device array (N, T, E)
    dq, dk, dv : device array or None
        Outputs, shaped like q, k and v; None where no gradient is wanted.
    heads, scale, softmax
        As in the forward pass.
    """
    _check(q, k, v, dy, weights, heads)
    _check_rows(*(each for each in (dq, dk, dv) if each is not None))
    upstream = _features(dy, heads)
    if dv is not None:
        _multiply(_pairs(weights), upstream, _features(dv, heads), transpose_left=True)
    if dq is None and dk is None:
        return
    slopes = _slopes(upstream, _features(v, heads), weights, softmax)
    if dq is not None:
        _multiply(slopes, _features(k, heads), _features(dq, heads), scale=scale)
    if dk is not None:
        _multiply(slopes, _features(q, heads), _features(dk, heads), transpose_left=True, scale=scale)


def _slopes(upstream: _Matrices, values: _Matrices, weights: Any, softmax: bool) -> _Matrices:
    """Gradients of the scaled products of queries and keys."""
    found = room("slopes of attention", weights.size).reshape(weights.shape)
    slopes = _pairs(found)
    _multiply(upstream, values, slopes, transpose_right=True)
    if softmax:
        softmax_backward(weights, found, found)
    return slopes
