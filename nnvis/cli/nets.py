"""From the NET argument to a graph: a name of the zoo, or a graph file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnvis.cli.arguments import options_dict
from nnvis.errors import ConfigError, GraphError, NnvisError, ShapeError

if TYPE_CHECKING:
    from nnvis.data import Dataset
    from nnvis.graph import Graph

NET_HELP = "a network of the zoo, such as lenet5 (see 'nnvis zoo'), or a graph file (.json)"


def is_graph_file(net: str) -> bool:
    """Whether `net` means a file, or the folder of a run, and not a name."""
    return net.endswith(".json") or "/" in net or Path(net).is_file() or (Path(net) / "graph.json").is_file()


def training_defaults(net: str) -> dict[str, Any]:
    """Training settings that suit this network: those of its zoo entry, or none for a graph file.

    Raises the same errors as :func:`load_graph`, so that they come before the data are loaded, which may take long.
    """
    from nnvis import zoo

    if is_graph_file(net):
        read_graph(Path(net))
        return {}
    return dict(zoo.entry(net).defaults)


def load_graph(net: str, options: list[tuple[str, str]], **shape: Any) -> Graph:
    """The graph that NET means.

    Parameters
    ----------
    net : str
    options : list of (str, str)
        ``--net-option`` pairs.
    **shape
        ``input_shape`` and ``num_classes`` for a network of the zoo, where they are not its default.
    """
    from nnvis import zoo

    if not is_graph_file(net):
        return zoo.build(net, **shape, **options_dict(options, zoo.entry(net).options))
    if options:
        raise ConfigError(f"--net-option is for networks of the zoo; the graph file {net} is complete as it is.")
    return read_graph(Path(net))


def shape_options(args: argparse.Namespace) -> dict[str, Any]:
    """Keyword arguments for :func:`load_graph` from ``--input-shape`` and ``--classes``."""
    given = {"input_shape": args.input_shape, "num_classes": args.classes}
    options = {key: value for key, value in given.items() if value is not None}
    if options and is_graph_file(args.net):
        raise ConfigError("--input-shape and --classes are for networks of the zoo; a graph file fixes its shapes.")
    return options


def read_graph(path: Path) -> Graph:
    """The graph in a file, or in the folder of a run; errors name the file."""
    from nnvis.graph import Graph

    path = path / "graph.json" if path.is_dir() else path
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise GraphError(f"There is no graph file {path}; check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise GraphError(f"The graph file {path} cannot be read: {_reason(error)}.") from None
    try:
        return Graph.from_json(text)
    except GraphError as error:
        raise type(error)(f"{path}: {error}", error.node) from None


def graph_for_data(net: str, options: list[tuple[str, str]], data: Dataset, single: bool = False) -> Graph:
    """The graph that NET means, fitted to a data set, or checked against it.

    Parameters
    ----------
    net : str
    options : list of (str, str)
        ``--net-option`` pairs.
    data : Dataset
    single : bool
        Tell two classes apart by one output, as the binary cross-entropy does.

    Raises
    ------
    ShapeError
        The network cannot take the data set's examples, or has another number of outputs.
    """
    given = dict(options)
    outputs = 1 if single and data.num_outputs == 2 else data.num_outputs
    shape = {"input_shape": data.input_shape, "num_classes": outputs}
    try:
        graph = load_graph(net, options, **{k: v for k, v in shape.items() if k not in given})
    except ShapeError as error:
        if is_graph_file(net):
            raise
        message = f"{net} cannot take the examples of '{data.name}', of shape {_times(data.input_shape)}: {error}"
        raise ShapeError(message, error.node) from None
    _check_ends(graph, data)
    return graph


def _check_ends(graph: Graph, data: Dataset) -> None:
    if graph.input_shape != data.input_shape:
        raise ShapeError(
            f"{graph.name} takes examples of shape {_times(graph.input_shape)}, but those of '{data.name}' have "
            f"{_times(data.input_shape)}; choose other data or change the network's input_shape."
        )
    outputs = graph.shapes()[graph.output.name]
    binary = data.task == "classification" and data.num_outputs == 2 and outputs == (1,)
    if outputs != (data.num_outputs,) and not binary:
        raise ShapeError(
            f"{graph.name} ends in '{graph.output.name}' with outputs of shape {_times(outputs)}, but '{data.name}' "
            f"needs {data.num_outputs}; change the last layer.",
            graph.output.name,
        )


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _reason(error: Exception) -> str:
    if isinstance(error, NnvisError):
        return str(error)
    return getattr(error, "strerror", None) or "it is not text"
