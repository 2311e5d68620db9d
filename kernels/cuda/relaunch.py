"""Kernels launched again and again with the same arguments.

To make an array or a number into an argument of the driver takes Python microseconds, and a product has dozens of them:
in small networks longer than the GPU computes. They are made once here, and kept.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


def relaunching(compiled: Any, where: tuple, arguments: tuple) -> Callable[[], None]:
    """What launches a compiled kernel on so many blocks and threads of a stream, `where`, with these arguments.

    It keeps the arguments, whose memory is in use as long as it is.
    """
    try:
        return _prepared(compiled, where, arguments)
    except (AttributeError, TypeError, ValueError):  # the simulator, or a CUDA package that works in another way
        return functools.partial(_launch, compiled, where, arguments)


def _launch(compiled: Any, where: tuple, arguments: tuple) -> None:
    compiled[where](*arguments)


def _prepared(compiled: Any, where: tuple, arguments: tuple) -> Callable[[], None]:
    (kernel,), how = compiled.overloads.values(), compiled[where]
    ready: list[list] = [[] for _ in arguments]
    to_copy_back: list = []
    for kind, value, made in zip(kernel.argument_types, arguments, ready, strict=True):
        kernel._prepare_args(kind, value, how.stream, to_copy_back, made)
    if to_copy_back:
        raise ValueError("arrays of the host are copied anew for every launch")
    again: Any = object.__new__(_twin(type(kernel)))
    vars(again).update(vars(kernel), kept=arguments)
    return functools.partial(again.launch, ready, how.griddim, how.blockdim, how.stream, how.sharedmem)


#: By class of the package's kernels: one whose arguments are those of the driver already.
_TWINS: dict[type, Any] = {}


def _twin(kind: type) -> Any:
    def _prepare_args(self, kind, value, stream, to_copy_back, made):
        made.extend(value)

    if kind not in _TWINS:
        _TWINS[kind] = type("Prepared", (kind,), {"_prepare_args": _prepare_args})
    return _TWINS[kind]
