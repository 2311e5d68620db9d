"""Read the plain data of a pickle without executing it.

A pickle is a program for a small stack machine, and two of its instructions call any function that
the file names. This reader is that machine without these two: a named function stays a name. Only what
CIFAR's python batches hold comes out: dictionaries, lists, tuples, numbers, text, bytes and
NumPy arrays of numbers, which are rebuilt here from their bytes.

Source: the instruction list in CPython's ``pickletools``.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnvis.errors import DataError


@dataclass(frozen=True)
class _Name:
    """A function or class that the file names; it is never looked up."""

    module: str
    name: str


@dataclass
class _DType:
    """What a file says about an array's number type."""

    code: str
    byte_order: Any = "|"

    def resolve(self) -> np.dtype:
        if not re.fullmatch(r"[biuf][1248]", self.code):
            raise ValueError(f"array of type {self.code}")
        if self.byte_order not in ("<", ">", "|", "="):
            raise ValueError(f"byte order {self.byte_order}")
        return np.dtype(self.byte_order + self.code)


class _Array:
    """An array whose content comes with a later instruction."""


_MARK = object()
_RECONSTRUCT = {_Name(f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")}
_FROM_BUFFER = {_Name(f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")}
_EMPTY_BYTES = {_Name(module, "bytes") for module in ("builtins", "__builtin__")}
_DTYPE, _NDARRAY, _ENCODE = _Name("numpy", "dtype"), _Name("numpy", "ndarray"), _Name("_codecs", "encode")
_KNOWN = _RECONSTRUCT | _FROM_BUFFER | _EMPTY_BYTES | {_DTYPE, _NDARRAY, _ENCODE}


def read_pickle(content: bytes, title: str) -> Any:
    """Return the data of the pickle `content`; strings of Python 2 come out as text (latin-1).

    Parameters
    ----------
    content : bytes
    title : str
        How an error names the file.

    Raises
    ------
    DataError
        If the pickle is torn, or holds anything but plain data: for example a call of a function.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(content):
            machine.step(opcode.name, argument)
        if len(machine.stack) != 1:
            raise ValueError("more than one value at the end")
        return machine.stack[0]
    except _RefusedError as refused:
        raise DataError(
            f"{title} is not plain data ({refused}), and nnvis runs no code from a pickle: get the original file."
        ) from None
    except (ValueError, TypeError, IndexError, KeyError, RecursionError, OverflowError) as error:
        raise DataError(f"{title} is a damaged pickle ({error}): get the file again.") from None


class _RefusedError(Exception):
    """The pickle wants something that plain data does not need."""


class _Machine:
    """The stack machine: values, marks, and a memo of values that are used again."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Execute one instruction."""
        if name in _PUSH_ARGUMENT:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _INSTRUCTIONS:
            _INSTRUCTIONS[name](self, argument)
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise _RefusedError(f"it has the instruction {name}")

    def pop(self) -> Any:
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        for at in range(len(self.stack) - 1, -1, -1):
            if self.stack[at] is _MARK:
                values = self.stack[at + 1 :]
                del self.stack[at:]
                return values
        raise ValueError("a mark is missing")

    def pop_count(self, count: int) -> tuple[Any, ...]:
        if len(self.stack) < count:
            raise ValueError("a value is missing")
        values = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        return values

    def extend(self, values: list[Any]) -> None:
        _expect(self.stack[-1], list).extend(values)

    def new_dict(self, values: list[Any]) -> None:
        self.stack.append({})
        self.put_items(values)

    def put_items(self, values: list[Any]) -> None:
        target = _expect(self.stack[-1], dict)
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[key] = value

    def memoize(self, key: int) -> None:
        self.memo[key] = self.stack[-1]

    def global_name(self, module: Any, name: Any) -> None:
        if _Name(module, name) not in _KNOWN:
            raise _RefusedError(f"it names {module}.{name}")
        self.stack.append(_Name(module, name))

    def reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        self.stack.append(_rebuild(function, arguments))

    def build(self) -> None:
        state, target = self.pop(), self.stack[-1]
        if isinstance(target, _DType):
            target.byte_order = _expect(state[1], str)
        elif isinstance(target, _Array):
            self._replace_top(_filled_array(state))
        else:
            raise _RefusedError(f"it changes an object of type {type(target).__name__}")

    def _replace_top(self, value: Any) -> None:
        """Put `value` where the stand-in on top of the stack is, also in the memo."""
        old, self.stack[-1] = self.stack[-1], value
        for key in [key for key, each in self.memo.items() if each is old]:
            self.memo[key] = value


def _expect(value: Any, kind: type) -> Any:
    if not isinstance(value, kind) and not (kind is bytes and isinstance(value, bytearray)):
        raise ValueError(f"found {type(value).__name__} in place of {kind.__name__}")
    return value


def _rebuild(function: Any, arguments: Any) -> Any:
    """What the few known constructors would make of `arguments`."""
    if function in _RECONSTRUCT:
        return _Array()
    if function in _FROM_BUFFER:
        content, dtype, shape, order = arguments
        return _array(content, dtype, shape, order)
    if function == _DTYPE:
        return _DType(_expect(arguments[0], str))
    if function == _ENCODE and arguments[1] in ("latin1", "latin-1"):
        return _expect(arguments[0], str).encode("latin-1")
    if function in _EMPTY_BYTES and not arguments:
        return b""
    raise _RefusedError("it calls a function")


def _filled_array(state: Any) -> np.ndarray:
    """The array that NumPy's own ``__setstate__`` would make."""
    _, shape, dtype, fortran, content = state
    if isinstance(content, str):  # bytes of Python 2
        content = content.encode("latin-1")
    return _array(content, dtype, shape, "F" if fortran else "C")


def _array(content: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    _expect(content, bytes), _expect(dtype, _DType), _expect(shape, tuple)
    if order not in ("C", "F"):
        raise ValueError(f"array order {order}")
    flat = np.frombuffer(content, dtype.resolve())
    count = 1
    for size in shape:
        count *= size
    if count != flat.size or min(shape, default=0) < 0:
        raise ValueError(f"{flat.size} numbers for an array of shape {shape}")
    return flat.reshape(shape, order=order)


_PUSH_ARGUMENT = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
})  # fmt: skip
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
}
_INSTRUCTIONS: dict[str, Callable[[_Machine, Any], Any]] = {
    "POP": lambda m, _: m.stack.pop(),
    "POP_MARK": lambda m, _: m.pop_to_mark(),
    "DUP": lambda m, _: m.stack.append(m.stack[-1]),
    "LIST": lambda m, _: m.stack.append(m.pop_to_mark()),
    "DICT": lambda m, _: m.new_dict(m.pop_to_mark()),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.pop_to_mark())),
    "TUPLE1": lambda m, _: m.stack.append(m.pop_count(1)),
    "TUPLE2": lambda m, _: m.stack.append(m.pop_count(2)),
    "TUPLE3": lambda m, _: m.stack.append(m.pop_count(3)),
    "APPEND": lambda m, _: m.extend([m.pop()]),
    "APPENDS": lambda m, _: m.extend(m.pop_to_mark()),
    "SETITEM": lambda m, _: m.put_items(list(m.pop_count(2))),
    "SETITEMS": lambda m, _: m.put_items(m.pop_to_mark()),
    "PUT": lambda m, key: m.memoize(int(key)),
    "BINPUT": lambda m, key: m.memoize(key),
    "LONG_BINPUT": lambda m, key: m.memoize(key),
    "MEMOIZE": lambda m, _: m.memoize(len(m.memo)),
    "GET": lambda m, key: m.stack.append(m.memo[int(key)]),
    "BINGET": lambda m, key: m.stack.append(m.memo[key]),
    "LONG_BINGET": lambda m, key: m.stack.append(m.memo[key]),
    "GLOBAL": lambda m, words: m.global_name(*words.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.global_name(*m.pop_count(2)),
    "REDUCE": lambda m, _: m.reduce(),
    "BUILD": lambda m, _: m.build(),
}
