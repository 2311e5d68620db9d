"""``nnvis COMMAND ...``: finds the command, runs it, and turns every error into a sentence and an exit code.

A command is a module of this package with ``add_arguments(parser)`` and ``run(args) -> int``. Only the one that runs is
imported, so that ``nnvis --help`` answers at once.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import warnings
from collections.abc import Iterator

from nnvis.cli import exits
from nnvis.cli.arguments import Parser, UsageError, command_parser, did_you_mean, program_words

#: Command, of one word or two -> (module, what it does).
COMMANDS = {
    "app": ("desktop", "open the desktop app: build by dragging, watch it learn"),
    "train": ("train", "train a network on a data set"),
    "eval": ("evaluate", "measure a trained run on test data"),
    "predict": ("predict", "classify images with a trained run"),
    "summary": ("summary", "show a network's nodes, shapes, parameters and costs"),
    "plan": ("plan", "show what a pass runs: algorithms, fusions, memory"),
    "zoo": ("zoo", "list the networks that come with nnvis"),
    "datasets": ("datasets", "list the data sets that nnvis knows by name"),
    "gradcheck": ("gradcheck", "check a network's gradients against finite differences"),
    "bench": ("bench", "time kernels and training steps, beside PyTorch if it is there"),
    "bench profile": ("bench_profile", "show where a training step spends its time, node by node"),
    "bench ladder": ("bench_ladder", "show how an operation gets faster, from the formula to the engine"),
    "warmup": ("warmup", "compile all kernels now, on all cores, so that nothing waits for it later"),
    "devices": ("devices", "list the devices that nnvis can compute on"),
}

EXAMPLES = """\
examples:
  nnvis app                              build and watch networks in a window
  nnvis train lenet5                     train on the MNIST digits that come with nnvis
  nnvis train mlp --data moons           a toy data set that one can look at
  nnvis eval runs/lenet5-mnist           test the run again
  nnvis predict runs/lenet5-mnist 7.png  ask it about an image
  nnvis summary resnet20                 look at a network

'nnvis COMMAND --help' explains a command. Exit codes: 0 done, 1 a bug in nnvis, 2 bad input,
3 training diverged, 130 or 143 interrupted.
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Parameters
    ----------
    argv : list of str, optional
        Words after the program's name; by default those of this process.
    """
    words = program_words(argv)
    debug = "--debug" in words or os.environ.get("NNVIS_DEBUG", "0") not in ("", "0")
    try:
        with _tolerant_output(), _quiet_warnings(debug):
            code = _run(words)
            sys.stdout.flush()
            return code
    except SystemExit as stop:  # argparse ends --help and --version this way
        return int(stop.code or 0)
    except BaseException as error:
        return exits.report(error, debug)


def _run(words: list[str]) -> int:
    top = _top_parser()
    if not words:
        top.print_help()
        return exits.OK
    command, rest = words[0], words[1:]
    if command == "help":
        command, rest = (rest[0], ["--help"]) if rest else ("--help", [])
    if command.startswith("-"):
        top.parse([command])
        command = ""
    if rest and f"{command} {rest[0]}" in COMMANDS:
        command, rest = f"{command} {rest[0]}", rest[1:]
    if command not in COMMANDS:
        raise UsageError(f"There is no command '{command}'{did_you_mean(command, COMMANDS)}; see 'nnvis --help'.")
    module_name, summary = COMMANDS[command]
    module = importlib.import_module(f"nnvis.cli.{module_name}")
    parser = command_parser(command, summary, module.EXAMPLES)
    module.add_arguments(parser)
    return module.run(parser.parse(rest))


def _top_parser() -> Parser:
    from nnvis import __version__

    parser = Parser(
        prog="nnvis",
        usage="nnvis COMMAND ...",
        description="A deep-learning engine that one can take apart.\n\ncommands:\n" + _command_list(),
        epilog=EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"nnvis {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error (or set NNVIS_DEBUG=1)")
    return parser


def _command_list() -> str:
    return "\n".join(f"  {name:<15}{summary}" for name, (_, summary) in COMMANDS.items())


@contextlib.contextmanager
def _tolerant_output() -> Iterator[None]:
    """A terminal or file that cannot show a character gets a question mark, not a crash."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    yield


@contextlib.contextmanager
def _quiet_warnings(debug: bool) -> Iterator[None]:
    """Libraries' warnings are for developers; a user gets results and errors."""
    with warnings.catch_warnings():
        if not debug:
            warnings.simplefilter("ignore")
        yield
