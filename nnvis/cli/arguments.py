"""Reading the command line: a parser whose complaints are one sentence, and the types of options."""

from __future__ import annotations

import argparse
import ast
import difflib
import math
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from nnvis.errors import ConfigError


class UsageError(ConfigError):
    """The command line itself is wrong."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises :class:`UsageError`, and suggests what a misspelt option may have meant."""

    def __init__(self, **options: Any):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def parse(self, words: list[str]) -> argparse.Namespace:
        """Read `words`, all of which must be known."""
        args, extra = self.parse_known_args(words)
        if extra:
            self.error(self._unknown(extra))
        return args

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with `message` as a sentence that points to the help."""
        text = message[:1].upper() + message[1:]
        raise UsageError(f"{text.rstrip('.')}; see '{self.prog} --help'.")

    def _unknown(self, extra: list[str]) -> str:
        option = next((word for word in extra if word.startswith("-")), None)
        if option is None:
            return f"'{' '.join(extra)}' is one argument too many"
        known = [o for action in self._actions for o in action.option_strings]
        return f"there is no option '{option.partition('=')[0]}'{did_you_mean(option.partition('=')[0], known)}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``" (did you mean 'train'?)"``, or nothing where no known word is close."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def command_parser(name: str, summary: str, examples: str) -> Parser:
    """Parser of one subcommand, with its `examples` below the options and the options that all share."""
    lines = [f"  {line}" for line in examples.strip().splitlines()]
    parser = Parser(
        prog=f"nnvis {name}",
        description=summary[:1].upper() + summary[1:] + ".",
        epilog="\n".join(["examples:", *lines]),
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def add_json(parser: Parser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")


def add_compute(parser: Parser) -> None:
    """Add ``--device`` and ``--threads``."""
    parser.add_argument("--device", metavar="NAME", help="cpu (default), cuda or reference; see 'nnvis devices'")
    parser.add_argument("--threads", type=count, metavar="N", help="CPU threads (default: all cores)")


def add_data_options(parser: Parser) -> None:
    """Add ``--data-option``."""
    parser.add_argument(
        "--data-option", action="append", default=[], type=key_value, metavar="KEY=VALUE",
        help="option of the data set, such as noise=0.2 or size=32,32; may be repeated",
    )  # fmt: skip


def add_net_options(parser: Parser) -> None:
    """Add ``--net-option``."""
    parser.add_argument(
        "--net-option", action="append", default=[], type=key_value, metavar="KEY=VALUE",
        help="option of the network, such as form=1998 or hidden=64,32; may be repeated",
    )  # fmt: skip


def add_shape_options(parser: Parser) -> None:
    """Add ``--input-shape`` and ``--classes``."""
    parser.add_argument("--input-shape", type=shape, metavar="HxWxC", help="shape of one example, such as 32x32x3")
    parser.add_argument("--classes", type=count, metavar="N", help="number of outputs")


# --- types of options -------------------------------------------------------------------------------------


def _number(text: str, kind: Callable[[str], Any], accept: Callable[[Any], bool], expected: str) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not math.isfinite(value) or not accept(value):
        raise argparse.ArgumentTypeError(f"'{text}' is not {expected}")
    return value


def count(text: str) -> int:
    """A whole number of at least 1."""
    return _number(text, int, lambda n: n >= 1, "a whole number of at least 1")


def whole(text: str) -> int:
    """A whole number of at least 0."""
    return _number(text, int, lambda n: n >= 0, "a whole number of at least 0")


def positive(text: str) -> float:
    """A number above 0."""
    return _number(text, float, lambda x: x > 0, "a number above 0")


def not_negative(text: str) -> float:
    """A number of at least 0."""
    return _number(text, float, lambda x: x >= 0, "a number of at least 0")


def fraction(text: str) -> float:
    """A number of at least 0 and below 1."""
    return _number(text, float, lambda x: 0 <= x < 1, "a number of at least 0 and below 1")


def shape(text: str) -> tuple[int, ...]:
    """``32x32x3`` as (32, 32, 3)."""
    try:
        sizes = tuple(int(part) for part in text.lower().replace(",", "x").split("x"))
    except ValueError:
        sizes = ()
    if not 1 <= len(sizes) <= 3 or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a shape such as 32x32x3 (height, width, channels)")
    return sizes


def key_value(text: str) -> tuple[str, str]:
    """``key=value`` as a pair of strings."""
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form KEY=VALUE")
    return key, value


def one_of(names: Iterable[str], what: str) -> Callable[[str], str]:
    """Type of an option that takes one of `names`; the error suggests the closest."""
    known = tuple(names)

    def check(text: str) -> str:
        if text not in known:
            hint = did_you_mean(text, known) or f"; known are {', '.join(known)}"
            raise argparse.ArgumentTypeError(f"there is no {what} '{text}'{hint}")
        return text

    return check


def options_dict(pairs: list[tuple[str, str]], defaults: dict[str, Any] | None = None) -> dict[str, Any]:
    """Pairs of :func:`key_value` as keyword arguments; a value becomes what its text looks like.

    Parameters
    ----------
    pairs : list of (str, str)
    defaults : dict, optional
        An option whose default is text stays text, even if it looks like a number.
    """
    return {k: v if isinstance((defaults or {}).get(k), str) else literal(v) for k, v in pairs}


def literal(text: str) -> Any:
    """``"3"`` as 3, ``"64,32"`` as (64, 32), ``"true"`` as True; anything else as text."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def program_words(argv: list[str] | None) -> list[str]:
    """The words after the program's name."""
    return list(sys.argv[1:] if argv is None else argv)
