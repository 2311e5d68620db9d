"""Elementwise kernels from a formula: one thread for four floats, which it reads and writes with one instruction each.

A formula is a function of numbers and of one more number, the parameter, that is the same for all elements. Outputs may
be inputs: a thread reads its elements before it writes them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kernels.cuda import launch
from kernels.cuda.jit import inner, kernel
from kernels.cuda.toolkit import cuda
from kernels.cuda.vectors import load4, store4

#: Elements of a thread.
EACH = 4


def flat(array: Any) -> Any:
    """A flat view."""
    return array if len(array.shape) == 1 else array.reshape(array.size)


def flatten(*arrays: Any) -> list:
    """Flat views of arrays of equal size.

    Raises
    ------
    ValueError
        If the sizes differ.
    """
    size = arrays[0].size
    if any(each.size != size for each in arrays):
        shapes = ", ".join(str(tuple(each.shape)) for each in arrays)
        raise ValueError(f"an elementwise kernel needs arrays of one size, got {shapes}")
    return [flat(each) for each in arrays] if size else list(arrays)


def map_none(name: str, formula: Callable) -> Callable[..., None]:
    """A function ``(y, parameter)``, ``y = formula(parameter)``; `name` is that of its kernel."""
    function = inner(formula)

    def body(y, parameter):
        i = EACH * cuda.grid(1)
        value = function(parameter)
        if i + EACH <= y.size:
            store4(y, i, value, value, value, value)
        else:
            for j in range(i, y.size):
                y[j] = value

    return _launcher("void(float32[::1], float32)", name, formula, body)


def map_one(name: str, formula: Callable) -> Callable[..., None]:
    """A function ``(x, y, parameter=0.0)``, ``y = formula(x, parameter)``; `name` is that of its kernel."""
    function = inner(formula)

    def body(x, y, parameter):
        i = EACH * cuda.grid(1)
        if i + EACH <= y.size:
            a, b, c, d = load4(x, i)
            store4(
                y,
                i,
                function(a, parameter),
                function(b, parameter),
                function(c, parameter),
                function(d, parameter),
            )
        else:
            for j in range(i, y.size):
                y[j] = function(x[j], parameter)

    return _launcher("void(float32[::1], float32[::1], float32)", name, formula, body)


def map_two(name: str, formula: Callable) -> Callable[..., None]:
    """A function ``(a, b, y, parameter=0.0)``, ``y = formula(a, b, parameter)``; `name` is that of its kernel."""
    function = inner(formula)

    def body(a, b, y, parameter):
        i = EACH * cuda.grid(1)
        if i + EACH <= y.size:
            a0, a1, a2, a3 = load4(a, i)
            b0, b1, b2, b3 = load4(b, i)
            store4(
                y,
                i,
                function(a0, b0, parameter),
                function(a1, b1, parameter),
                function(a2, b2, parameter),
                function(a3, b3, parameter),
            )
        else:
            for j in range(i, y.size):
                y[j] = function(a[j], b[j], parameter)

    return _launcher("void(float32[::1], float32[::1], float32[::1], float32)", name, formula, body)


def _launcher(signature: str, name: str, formula: Callable, body: Callable) -> Callable[..., None]:
    """Make a kernel of `body`; return a function that runs it on arrays of any one shape."""
    body.__name__, body.__doc__ = name, formula.__doc__
    compiled = kernel(signature)(body)
    count = signature.count("[::1]")

    def run(*arguments: Any) -> None:
        vectors, parameter = flatten(*arguments[:count]), arguments[count:] or (0.0,)
        if vectors[0].size:
            compiled(launch.over(vectors[0].size, EACH), *vectors, *parameter)

    return run
