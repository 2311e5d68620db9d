"""Loops of an assembly, and the mix of instructions that one round of them takes.

PTX and SASS are read alike: a line is an instruction, a label, or nothing of interest. Instructions form blocks, which
jumps connect; a loop is what lies between a label and a jump back to it (Aho, Lam, Sethi and Ullman, "Compilers",
2006, section 9.6.6).

Of the ways through a loop, the one that is counted has the most loads of sixteen bytes, and the fewest instructions
among those: the way of a tile that lies inside its array, where four floats are read at once.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

_LABEL = re.compile(r"^\s*([.$][\w$.]+):")
_PTX = re.compile(r"^\t(?P<when>@!?%p\d+ )?\s*(?P<name>[a-z][\w.]*)(?P<rest>[^;]*);")
_SASS = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?P<when>@!?U?P[T\d]+ )?\s*(?P<name>[A-Z][\w.]*)(?P<rest>[^;]*);")
_TARGET = re.compile(r"[.$]L_[\w$]+|\$__internal[\w$]+")
#: How names of routines begin that ptxas adds.
_ROUTINE = "$__internal"


class Line(NamedTuple):
    """An instruction, or a label, whose name ends with a colon; whether it is conditional, and where it jumps to."""

    name: str
    conditional: bool = False
    target: str = ""

    @property
    def is_label(self) -> bool:
        return self.name.endswith(":")

    @property
    def ends(self) -> bool:
        """Whether nothing behind it is reached."""
        return not self.conditional and self.name.startswith(("EXIT", "RET", "ret"))


@dataclass
class Block:
    """Instructions without a jump in between, by kind, and the numbers of the blocks that may follow."""

    mix: Counter = field(default_factory=Counter)
    after: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Loop:
    """A loop: the number of its first block, of the one that jumps back, and of all."""

    head: int
    tail: int
    blocks: frozenset[int]


class Program:
    """The blocks of a kernel and its loops.

    Parameters
    ----------
    text : str
        PTX or SASS.
    """

    def __init__(self, text: str):
        self._lines = list(_read(text))
        places = {line.name[:-1]: place for place, line in enumerate(self._lines) if line.is_label}
        self._labels = {name: place for name, place in places.items() if not name.startswith(_ROUTINE)}
        self.blocks = self._connected()
        self.loops = sorted(self._find_loops(), key=lambda loop: self.mix_of(loop)["all"])

    # --- blocks ----------------------------------------------------------------------------------

    def _connected(self) -> list[Block]:
        """Blocks begin at labels and behind jumps."""
        behind = {place + 1 for place, line in enumerate(self._lines) if line.target in self._labels}
        starts = sorted({0, *self._labels.values(), *behind} - {len(self._lines)})
        numbers = {start: number for number, start in enumerate(starts)}
        stops = [*starts[1:], len(self._lines)]
        return [self._block(start, stop, numbers) for start, stop in zip(starts, stops, strict=True)]

    def _block(self, start: int, stop: int, numbers: dict[int, int]) -> Block:
        block, lines = Block(), self._lines[start:stop]
        for line in lines:
            block.mix += _kinds(line.name)
            if line.target and line.target not in self._labels:
                block.mix["all"] += self._length_of(line.target)
        last = lines[-1]
        jumps = last.target in self._labels
        if jumps:
            block.after.append(numbers[self._labels[last.target]])
        if stop in numbers and not last.ends and (last.conditional or not jumps):
            block.after.append(numbers[stop])
        return block

    def _length_of(self, routine: str) -> int:
        """Instructions of a routine, such as that which divides, up to its first return."""
        names = [line.name for line in self._lines]
        begin = names.index(f"{routine}:")
        stop = next(i for i in range(begin, len(names)) if names[i].startswith("RET"))
        return sum(not line.is_label for line in self._lines[begin : stop + 1])

    # --- loops -----------------------------------------------------------------------------------

    def _find_loops(self) -> Iterator[Loop]:
        before: dict[int, list[int]] = {i: [] for i in range(len(self.blocks))}
        for i, block in enumerate(self.blocks):
            for j in block.after:
                before[j].append(i)
        for tail, block in enumerate(self.blocks):
            for head in block.after:
                if head <= tail and (found := _between(head, tail, before)):
                    yield Loop(head, tail, found)

    def mix_of(self, loop: Loop) -> Counter:
        """All instructions of a loop, whichever way they lie on."""
        return sum((self.blocks[i].mix for i in loop.blocks), Counter())

    def round_of(self, loop: Loop, inside: Loop | None = None, times: int = 1) -> Counter:
        """Instructions of one round of a loop, in which another one, `inside`, goes round so many times."""
        backward = {(each.tail, each.head) for each in self.loops}
        repeated = inside.blocks if inside and inside != loop else frozenset()

        @functools.cache
        def way(i: int) -> Counter:
            count = times if i in repeated else 1
            own = Counter({kind: count * number for kind, number in self.blocks[i].mix.items()})
            onward = [j for j in self.blocks[i].after if j in loop.blocks and (i, j) not in backward]
            return own + min(map(way, onward), key=_preference) if onward and i != loop.tail else own

        return way(loop.head)


def _preference(mix: Counter) -> tuple[int, int]:
    return -mix["wide loads"], mix["all"]


def _between(head: int, tail: int, before: dict[int, list[int]]) -> frozenset[int]:
    """Blocks from which `tail` is reached without `head`; none if the way in is not by `head`."""
    found, left = {head, tail}, [tail] if tail != head else []
    while left:
        for i in before[left.pop()]:
            if i not in found:
                found.add(i)
                left.append(i)
    return frozenset(found) if 0 not in found or head == 0 else frozenset()


def _read(text: str) -> Iterator[Line]:
    """Labels and instructions of the kernel, without declarations."""
    _, entry, body = text.partition(".entry")
    for line in (body if entry else text).splitlines():
        label, code = _LABEL.match(line), _PTX.match(line) or _SASS.match(line)
        if label:
            yield Line(f"{label[1]}:")
        elif code and code["name"] != "NOP":
            jumps = code["name"].startswith(("bra", "BRA", "CALL"))
            target = _TARGET.search(code["rest"]) if jumps else None
            yield Line(code["name"], bool(code["when"]), target[0] if target else "")


def _kinds(name: str) -> Counter:
    """What an instruction counts as."""
    if name.endswith(":"):
        return Counter()
    mix = Counter({"all": 1, "fma": int(name.startswith(("fma.rn.f32", "FFMA")))})
    mix["barriers"] = int(name.startswith(("bar.sync", "BAR")))
    size = _bytes(name)
    mix["shared loads"] = int(name.startswith(("ld.shared", "LDS")))
    mix["shared bytes"] = size * name.startswith(("ld.shared", "LDS", "st.shared", "STS"))
    mix["global bytes"] = size * name.startswith(("ld.global", "LDG"))
    mix["wide loads"] = int(mix["global bytes"] == 16)
    return +mix


def _bytes(name: str) -> int:
    """Bytes that an instruction of memory moves for a thread: ``LDS.128``, ``ld.global.v4.f32``."""
    many, bits = re.search(r"\.v([24])", name), re.search(r"\.[fbus](8|16|32|64)\b|\.(64|128)\b", name)
    width = int(next(each for each in bits.groups() if each)) if bits else 32
    return (int(many[1]) if many else 1) * width // 8
