"""``nnvis train NET``: trains a network on a data set, or goes on with a run."""

from __future__ import annotations

import argparse
from typing import Any

from nnvis.cli import arguments as a
from nnvis.cli.nets import NET_HELP
from nnvis.cli.settings import OPTIMIZERS
from nnvis.errors import ConfigError

EXAMPLES = """\
nnvis train lenet5
nnvis train resnet20 --data ~/cifar10 --epochs 10 --augment crop4,flip
nnvis train mlp --data spirals --data-option classes=3 --net-option hidden=32,32
nnvis train my_graph.json --data mnist --optimizer adam --lr 1e-3 --schedule warmup:1+cosine
nnvis train lenet5 --epochs 1 --limit 2000 --json > events.jsonl
nnvis train --resume runs/lenet5-mnist-1
"""

#: Options that may be given beside ``--resume``; all others are fixed by the run.
WITH_RESUME = {"resume", "epochs", "threads", "device", "json", "quiet", "debug"}


def add_arguments(parser: a.Parser) -> None:
    """Describe the options."""
    parser.add_argument("net", nargs="?", metavar="NET", help=NET_HELP)
    _add_data(parser.add_argument_group("data"))
    _add_network(parser.add_argument_group("network"))
    _add_optimisation(parser.add_argument_group("optimisation"))
    _add_run(parser.add_argument_group("run"))


def _add_data(group: Any) -> None:
    group.add_argument("--data", metavar="NAME|PATH", help="see 'nnvis datasets' (default: what suits the network)")
    a.add_data_options(group)
    group.add_argument("--validation", type=a.fraction, metavar="SHARE", help="hold this share out, such as 0.1")
    group.add_argument("--limit", type=a.count, metavar="N", help="use N examples of each split at most")
    group.add_argument("--augment", metavar="LIST", help="such as crop4,flip, or none")


def _add_network(group: Any) -> None:
    a.add_net_options(group)
    group.add_argument("--init", metavar="NAME", help="initial weights: he, xavier, normal, uniform, zeros")


def _add_optimisation(group: Any) -> None:
    group.add_argument("--epochs", type=a.count, metavar="N", help="passes over the training examples")
    group.add_argument("--batch-size", type=a.count, metavar="N", help="examples in a step")
    group.add_argument(
        "--optimizer", type=a.one_of(OPTIMIZERS, "optimizer"), metavar="NAME", help=", ".join(OPTIMIZERS)
    )
    group.add_argument("--lr", type=a.positive, metavar="X", help="learning rate")
    group.add_argument("--momentum", type=a.fraction, metavar="X", help="for momentum and nesterov")
    group.add_argument("--weight-decay", type=a.not_negative, metavar="X", help="L2 penalty")
    group.add_argument("--l1", type=a.not_negative, metavar="X", help="L1 penalty")
    group.add_argument("--schedule", metavar="FORM", help="constant, cosine, step:30,60, warmup:1+cosine")
    group.add_argument("--loss", metavar="NAME", help="cross_entropy, bce or mse (default: suits the data)")
    group.add_argument("--label-smoothing", type=a.fraction, metavar="X", help="for cross_entropy")
    group.add_argument("--clip-norm", type=a.positive, metavar="X", help="largest norm of the gradient")
    group.add_argument("--early-stopping", type=a.count, metavar="N", help="stop after N epochs without improvement")


def _add_run(group: Any) -> None:
    group.add_argument("--seed", type=a.whole, default=0, metavar="N", help="of weights, order and dropout (0)")
    a.add_compute(group)
    group.add_argument(
        "--precision", choices=("fast", "exact"),
        help="exact convolves by direct sums only (default: fast, which rounds in other ways where that is quicker)",
    )  # fmt: skip
    group.add_argument("--out", metavar="FOLDER", help="where to save (default: runs/NET-DATA...)")
    group.add_argument("--resume", metavar="FOLDER", help="go on with the run that is saved there")
    group.add_argument("--checkpoint-every", metavar="N|TIME", help="steps or time, such as 500 or 5m (60s)")
    group.add_argument("--json", action="store_true", help="print each event as one line of JSON")
    group.add_argument("--quiet", action="store_true", help="print only the result")


def run(args: argparse.Namespace) -> int:
    """Train, and return the exit code."""
    _check(args)
    # Later than the check: a slip of the fingers is answered at once.
    from nnvis.cli.training import resume, start

    return resume(args) if args.resume else start(args)


def _check(args: argparse.Namespace) -> None:
    if not args.resume:
        if args.net is None:
            raise a.UsageError("Name a network, such as 'nnvis train lenet5', or --resume a run; see 'nnvis zoo'.")
        return
    parser = a.Parser()
    add_arguments(parser)
    defaults = vars(parser.parse([]))
    fixed = [k for k, v in vars(args).items() if k not in WITH_RESUME and v != defaults.get(k)]
    if fixed:
        what = "NET" if fixed[0] == "net" else "--" + fixed[0].replace("_", "-")
        raise ConfigError(
            f"{what} cannot be given with --resume, which goes on with the saved settings; "
            "only --epochs, --threads and --device may change."
        )
