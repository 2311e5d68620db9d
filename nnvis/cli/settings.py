"""From options to the settings of a run: what the user said, else what suits the network, else what suits most."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from nnvis.cli.arguments import options_dict
from nnvis.cli.nets import training_defaults
from nnvis.errors import ConfigError

if TYPE_CHECKING:
    from nnvis.data import Dataset
    from nnvis.graph import Graph
    from nnvis.losses import Loss
    from nnvis.optim import Optimizer
    from nnvis.options import TrainOptions
    from nnvis.runs import DataSource

#: What ``--optimizer`` takes.
OPTIMIZERS = ("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw")
_WITH_MOMENTUM = ("momentum", "nesterov")
_ADAPTIVE = ("rmsprop", "adam", "adamw")

#: Data where neither the user nor the network's zoo entry says.
_USUAL_DATA = "mnist"


def data_source(args: argparse.Namespace) -> DataSource:
    """Where the examples of ``nnvis train`` come from: enough to load the same ones again."""
    from nnvis.runs import DataSource

    suits = training_defaults(args.net)
    name = args.data or suits.get("data", _USUAL_DATA)
    options = {"seed": args.seed} | options_dict(args.data_option)
    return DataSource(name, options, args.validation or 0.0, args.limit, args.seed)


def train_options(args: argparse.Namespace, data: Dataset, graph: Graph) -> TrainOptions:
    """Options of the training; where the command line is silent, those of the network's zoo entry."""
    from nnvis.options import TrainOptions

    suits = training_defaults(args.net)
    return TrainOptions(
        epochs=_first(args.epochs, suits.get("epochs"), 5),
        batch_size=_first(args.batch_size, suits.get("batch_size"), 64),
        optimizer=_optimizer(args, suits),
        loss=_loss(args, data, graph),
        schedule=_first(args.schedule, suits.get("schedule"), "constant"),
        augmentation=_first(args.augment, _usual_augmentation(suits, data), "none"),
        seed=args.seed,
        clip_norm=_first(args.clip_norm, suits.get("clip_norm"), None),
        early_stopping=args.early_stopping,
        checkpoint_every=_first(args.checkpoint_every, "60s"),
    )


def _optimizer(args: argparse.Namespace, suits: dict[str, Any]) -> Optimizer:
    from nnvis.optim import optimizer

    own = suits.get("optimizer", "momentum")
    if own == "momentum" and not _first(args.momentum, suits.get("momentum"), 0.9):
        own = "sgd"
    name = args.optimizer or own
    options = {"lr": args.lr, "weight_decay": args.weight_decay, "l1": args.l1}
    if name in _WITH_MOMENTUM:
        options["momentum"] = _first(args.momentum, suits.get("momentum"), 0.9)
    elif args.momentum:
        raise ConfigError(f"--momentum is for --optimizer {' or '.join(_WITH_MOMENTUM)}, not {name}.")
    # A network's learning rate and decay were chosen for its optimiser; those of the other kind have their own.
    same_kind = (name in _ADAPTIVE) == (own in _ADAPTIVE)
    usual: dict[str, float | None] = {"lr": 1e-3 if name in _ADAPTIVE else 0.05}
    if same_kind:
        usual |= {key: suits[key] for key in ("lr", "weight_decay") if key in suits}
    return optimizer(name, **{key: _first(value, usual.get(key), None) for key, value in options.items()})


def _loss(args: argparse.Namespace, data: Dataset, graph: Graph) -> Loss:
    from nnvis.losses import loss

    single = graph.shapes()[graph.output.name] == (1,)
    usual = "mse" if data.task == "regression" else "bce" if single else "cross_entropy"
    name = args.loss or usual
    if args.label_smoothing and name != "cross_entropy":
        raise ConfigError(f"--label-smoothing is for --loss cross_entropy, not {name}.")
    return loss(name, **({"label_smoothing": args.label_smoothing} if args.label_smoothing else {}))


def _usual_augmentation(suits: dict[str, Any], data: Dataset) -> str | None:
    """The network's usual augmentation, for colour images only: a mirrored digit is no digit."""
    colour = len(data.input_shape) == 3 and data.input_shape[-1] == 3
    return suits.get("augment") if colour else None


def _first(*values: Any) -> Any:
    """The first that is not None."""
    return next((value for value in values if value is not None), None)


def describe(options: TrainOptions) -> tuple[str, str]:
    """The settings as two lines: how each step learns, and how long and on what it goes on."""
    chosen = options.optimizer
    words = [f"{'nesterov' if getattr(chosen, 'nesterov', False) else chosen.name} lr {chosen.lr:g}"]
    numbers = {"momentum": getattr(chosen, "momentum", 0), "weight decay": chosen.weight_decay, "l1": chosen.l1}
    words += [f"{name} {value:g}" for name, value in numbers.items() if value]
    words += [str(options.schedule)] * (str(options.schedule) != "constant")
    words += [] if options.clip_norm is None else [f"gradient norm at most {options.clip_norm:g}"]
    length = [f"{options.epochs} epoch{'s' * (options.epochs != 1)}", f"batch {options.batch_size}"]
    length += [f"augment {options.augmentation}"] * (str(options.augmentation) != "none")
    return ", ".join(words), ", ".join([*length, f"seed {options.seed}"])
