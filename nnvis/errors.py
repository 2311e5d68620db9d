"""The exceptions of nnvis: each message is one sentence that says what was found, what was expected and what to do."""

from __future__ import annotations


class NnvisError(Exception):
    """Base of every error that nnvis raises on purpose; the command line shows its message and exits with 2."""


class GraphError(NnvisError, ValueError):
    """The network's graph cannot work: a cycle, a missing input, a name used twice.

    Parameters
    ----------
    message : str
        One sentence.
    node : str, optional
        Name of the faulty node, so that an editor can mark it.
    """

    def __init__(self, message: str, node: str | None = None):
        super().__init__(message)
        self.node = node


class ShapeError(GraphError):
    """Shapes do not fit, in a graph or between data and network."""


class ConfigError(NnvisError, ValueError):
    """An option has a value that makes no sense."""


class UnknownNameError(NnvisError, KeyError):
    """No network, data set, layer or node has this name."""

    def __str__(self) -> str:
        return str(self.args[0])


class DataError(NnvisError, ValueError):
    """A data set or file cannot be read, or holds values that cannot be right."""


class CheckpointError(NnvisError, ValueError):
    """A checkpoint is torn, or belongs to another graph."""


class DeviceError(NnvisError, RuntimeError):
    """The asked-for device is not there or cannot be used."""


class OutputError(NnvisError, OSError):
    """A result cannot be written: no permission, no space."""


class OutOfMemoryError(NnvisError, MemoryError):
    """Arrays are larger than the memory that is left."""


class DivergedError(NnvisError, ArithmeticError):
    """The loss became NaN or infinite.

    Parameters
    ----------
    message : str
        One sentence that names the step and the first node with a non-finite value.
    step : int
    node : str, optional
    """

    def __init__(self, message: str, step: int, node: str | None = None):
        super().__init__(message)
        self.step = step
        self.node = node
