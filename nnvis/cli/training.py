"""Runs a training for ``nnvis train``: reporting, signals, and what to say in the end."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from nnvis.cli import console, exits
from nnvis.cli.compute import describe_device, using_threads
from nnvis.cli.nets import graph_for_data
from nnvis.cli.reporters import Facts, JsonReporter, LineReporter, QuietReporter, Reporter
from nnvis.cli.settings import data_source, describe, train_options
from nnvis.cli.signals import StopOnSignal
from nnvis.events import Event, Finished, Started, Stopped

if TYPE_CHECKING:
    from nnvis.training import Training


def start(args: argparse.Namespace) -> int:
    """Train from the beginning."""
    from nnvis.device import get_device
    from nnvis.init import initializer
    from nnvis.network import Network
    from nnvis.train import make_training

    def make(stop: StopOnSignal) -> Training:
        # What can be checked at once comes before the data, which may take long to load.
        init = None if args.init is None else initializer(args.init)
        get_device(args.device or "cpu")
        source = data_source(args)
        data = source.load()
        graph = graph_for_data(args.net, args.net_option, data, single=args.loss == "bce")
        graph.init = init or graph.init
        options = train_options(args, data, graph)
        net = Network(graph, args.device or "cpu", args.seed, args.precision or "fast")
        return make_training(net, data, options, args.out or "auto", source=source, stop=stop)

    return _run(args, make)


def resume(args: argparse.Namespace) -> int:
    """Go on with a saved run."""
    from nnvis.train import resume as resume_training

    def make(stop: StopOnSignal) -> Training:
        return resume_training(args.resume, epochs=args.epochs, device=args.device, stop=stop)

    return _run(args, make)


def _run(args: argparse.Namespace, make: Callable[[StopOnSignal], Training]) -> int:
    with using_threads(args.threads), StopOnSignal() as stop:
        training = make(stop)
        reporter = _reporter(args)
        with contextlib.closing(reporter):
            reporter.begin(_facts(training))
            try:
                last = _follow(training, reporter, stop)
            except KeyboardInterrupt as interrupt:
                reporter.close()
                return _aborted(training, interrupt)
            return _conclude(training, reporter, last, stop)


def _reporter(args: argparse.Namespace) -> Reporter:
    if args.json:
        return JsonReporter()
    if args.quiet:
        return QuietReporter()
    if not console.is_terminal():
        return LineReporter()
    from nnvis.cli.live import LiveReporter

    return LiveReporter()


def _facts(training: Training) -> Facts:
    net, data = training.net, training.data
    sizes = {part: console.number(len(split)) for part, split in data.splits().items()}
    examples = ", ".join(f"{size} {'training' if part == 'train' else part}" for part, size in sizes.items())
    settings, length = describe(training.options)
    return Facts(
        network=f"{net.graph.name} ({console.number(net.graph.num_parameters())} parameters)",
        data=f"{data.name} ({examples} examples)",
        settings=settings,
        length=length,
        device=describe_device(net.device.name),
        classes=training.options.loss.decision != "none",
        held_out=training.held_out,
    )


def _follow(training: Training, reporter: Reporter, stop: StopOnSignal) -> Event:
    """Train to the end; the last event says how it ended."""
    told = False
    with contextlib.closing(training.run()) as events:
        for event in events:
            stop.training = stop.training or isinstance(event, Started)
            reporter.handle(event)
            if stop() and not told:
                told = True
                reporter.note("stopping and saving; once more ends at once")
    return event


# --- in the end -------------------------------------------------------------------------------------------


def _conclude(training: Training, reporter: Reporter, last: Event, stop: StopOnSignal) -> int:
    folder = _folder(training)
    if isinstance(last, Stopped) and last.reason == "interrupted":
        text = f"interrupted after step {last.step:,} of {training.total_steps:,}"
        data = {"folder": folder, "stopped": "interrupted", "epoch": last.epoch, "step": last.step}
        reporter.result([text, _resume_hint(folder)], data)
        return stop.exit_code
    assert isinstance(last, Finished)
    reporter.result(_final_lines(training, last), _final_data(training, last))
    return exits.OK


def _aborted(training: Training, interrupt: KeyboardInterrupt) -> int:
    """After a second signal, or a first one before the first step: say how to go on, if that is possible."""
    folder = training.folder
    saved = folder is not None and folder.last.exists()
    exits.complain(f"interrupted; {_resume_hint(folder.path)}" if folder and saved else "interrupted.")
    return exits.signal_code(interrupt)


def _folder(training: Training) -> Path:
    assert training.folder is not None
    return training.folder.path


def _resume_hint(folder: Path) -> str:
    return f"resume with: nnvis train --resume {_quoted(folder)}"


def _final_lines(training: Training, last: Finished) -> list[str]:
    folder = _quoted(_folder(training))
    lines = [f"{_headline(last)}{_best(training)}", f"saved in {folder}", ""]
    if training.state.ended:
        lines[:0] = ["stopped early: no improvement on the " + training.held_out + " examples"]
    lines.append(f"test it again:  nnvis eval {folder}")
    if len(training.net.input_shape) == 3:
        lines.append(f"ask it:         nnvis predict {folder} IMAGE.png")
    return [*lines, f"train it more:  nnvis train --resume {folder} --epochs {2 * training.options.epochs}"]


def _headline(last: Finished) -> str:
    metrics = last.metrics
    parts = [f"accuracy {console.percent(metrics['test_accuracy'])}"] if "test_accuracy" in metrics else []
    if "test_loss" in metrics:
        parts.append(f"loss {console.loss_text(metrics['test_loss'])}")
    return f"test {', '.join(parts)}" if parts else "done"


def _best(training: Training) -> str:
    """Where the best epoch was, unless it was the last."""
    best = training.state.best
    if not best or best["epoch"] == training.state.epoch:
        return ""
    value = console.loss_text(best["value"]) if best["metric"].endswith("loss") else console.percent(best["value"])
    what = best["metric"].replace("val_", f"{training.held_out} ")
    return f" (best {what} {value} in epoch {best['epoch']}, which eval and predict use)"


def _final_data(training: Training, last: Finished) -> dict:
    return {
        "folder": _folder(training),
        "stopped": training.state.ended or None,
        "epoch": last.epoch,
        "step": last.step,
        "best": training.state.best,
        **last.metrics,
    }


def _quoted(folder: Path) -> str:
    import shlex

    return shlex.quote(str(folder))
