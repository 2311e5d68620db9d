"""What a layer is: hyper-parameters, a shape rule, parameters, and a hand-written forward and backward.

A layer is immutable data. It owns no arrays: the :class:`~nnvis.network.Network` allocates them and hands them to
``forward`` and ``backward`` in a :class:`Flow`.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from nnvis.errors import ConfigError, ShapeError, UnknownNameError
from nnvis.init import Initializer, Zeros, initializer

#: Shape of one example, without the batch axis: ``(H, W, C)``, ``(T, D)`` or ``(D,)``.
Shape = tuple[int, ...]
Pair = tuple[int, int]
#: What a caller may give for a pair: a whole number or ``(h, w)`` (or a word that the layer knows). Layers turn it
#: into a pair when they are made, which a type checker cannot follow.
PairLike = Any


@dataclass(frozen=True)
class Parameter:
    """A trainable array that a layer asks for.

    Attributes
    ----------
    shape : tuple of int
    init : Initializer
        Used when neither the layer nor the graph names another one.
    fan_in, fan_out : int
        Number of inputs that feed one output value, and of outputs that one input value feeds.
    """

    shape: Shape
    init: Initializer = field(default_factory=Zeros)
    fan_in: int = 1
    fan_out: int = 1
    chosen: bool = False

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Buffer:
    """A saved array that training changes but gradients do not (running statistics)."""

    shape: Shape
    value: float


@dataclass(frozen=True)
class Cache:
    """A work array that ``forward`` fills and ``backward`` reads.

    Attributes
    ----------
    shape : tuple of int
        With the batch axis in front if `per_example`.
    dtype : str or None
        NumPy dtype; None means the network's float type.
    only_back : bool
        For ``backward`` alone, which fills it, too: until then its memory serves others.
    """

    shape: Shape
    dtype: str | None = None
    per_example: bool = True
    only_back: bool = False


class Flow:
    """The arrays of one node in one pass, as views into the network's memory.

    Attributes
    ----------
    xs, y : list of ndarray, ndarray
        Inputs and output; the first axis is the batch.
    dxs, dy : list of ndarray or None, ndarray
        Gradients of the loss with respect to them. An entry of `dxs` is None where nobody needs it.
    params, grads, buffers, caches : dict of str to ndarray
    kernels : module
        ``kernels.cpu`` or ``kernels.reference``.
    training : bool
        Training behaviour (batch statistics, dropout) or inference behaviour.
    replay : bool
        True when a pass is repeated only to look at it: state such as running statistics must not change.
    key : int
        Random key of this node in this step.
    activation : str
        What is applied to the output in the same pass: "none", "relu" or "relu6".
    arrived : ndarray
        Gradient of the output as the nodes behind left it; differs from `dy` where a layer masks it first.
    exact : bool
        True asks for results by the formula alone, at the price of speed: no algorithm that rounds in other ways.
    parts : set of int
        Numbers of the inputs in whose gradient others write all channels that this node does not read.
    pooled : bool
        Whether of every 2x2 tile of `dy` at most one value of a channel is not 0, since a maximum pool handed it back.
    """

    __slots__ = (
        "activation", "arrived", "buffers", "caches", "dxs", "dy", "exact", "grads", "kernels", "key", "params",
        "parts", "pooled", "replay", "training", "xs", "y",
    )  # fmt: skip

    def __init__(self, kernels: ModuleType, training: bool):
        self.kernels = kernels
        self.training = training
        self.replay = False
        self.exact = False
        self.pooled = False
        self.activation = "none"
        self.key = 0
        self.parts: set[int] = set()
        self.xs: list[np.ndarray] = []
        self.dxs: list[np.ndarray | None] = []
        self.y: np.ndarray = None  # type: ignore[assignment]
        self.dy: np.ndarray = None  # type: ignore[assignment]
        self.arrived: np.ndarray = None  # type: ignore[assignment]
        self.params: dict[str, np.ndarray] = {}
        self.grads: dict[str, np.ndarray] = {}
        self.buffers: dict[str, np.ndarray] = {}
        self.caches: dict[str, np.ndarray] = {}

    @property
    def x(self) -> np.ndarray:
        """The only input."""
        return self.xs[0]

    @property
    def dx(self) -> np.ndarray | None:
        """Gradient of the only input, or None where nobody needs it."""
        return self.dxs[0]


#: Every layer class by kind, filled as the classes are defined.
LAYERS: dict[str, type[Layer]] = {}


@dataclass(frozen=True)
class Layer:
    """Base of all layers. Subclasses are frozen dataclasses whose fields are the hyper-parameters."""

    #: Group in a palette: data, convolution, normalisation, activation, pooling, linear, merge, shape, attention.
    family: ClassVar[str] = "other"
    #: Number of inputs; None means two or more.
    arity: ClassVar[int | None] = 1
    #: Arrays that ``backward`` reads: "x" (inputs), "y" (output), "dy". The others' memory is reused.
    backward_reads: ClassVar[frozenset[str]] = frozenset({"x", "dy"})
    #: The output is the input under another shape; neither pass computes anything.
    is_view: ClassVar[bool] = False
    #: Backward hands `dy` on to every input unchanged.
    passes_gradient: ClassVar[bool] = False
    #: ``forward`` may write `y` over `x`, and ``backward`` `dx` over `dy`, element by element.
    in_place_forward: ClassVar[bool] = False
    in_place_backward: ClassVar[bool] = False
    #: ``backward`` first computes `dy` from what arrived.
    masks_gradient: ClassVar[bool] = False
    #: The layer draws random numbers from ``Flow.key``.
    is_random: ClassVar[bool] = False
    #: Both passes are kernel calls alone, whose arguments follow from the arrays and from ``Flow.replay``, not from
    #: what the arrays hold: a plan notes the calls and makes them again without asking the layer. Weights that it hands
    #: to kernels are parameters: a frozen network keeps what kernels make of them.
    repeats: ClassVar[bool] = False

    def __init_subclass__(cls, listed: bool = True, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if listed and "repeats" not in vars(cls) and not {"forward", "backward"}.isdisjoint(vars(cls)):
            cls.repeats = False  # other passes than those of which a base said so
        if listed and not cls.__name__.startswith("_"):
            LAYERS[cls.__name__] = cls

    @property
    def kind(self) -> str:
        """Class name, as it stands in graph files."""
        return type(self).__name__

    # --- what the layer needs -----------------------------------------------------------------------------

    def output_shape(self, *shapes: Shape) -> Shape:
        """Shape of one output example, from those of the inputs; raises ShapeError if they do not fit."""
        return shapes[0]

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        """Trainable arrays by name."""
        return {}

    def state(self, *shapes: Shape) -> dict[str, Buffer]:
        """Saved arrays without gradient, by name."""
        return {}

    def caches(self, *shapes: Shape) -> dict[str, Cache]:
        """Work arrays kept from forward to backward, by name."""
        return {}

    def multiply_adds(self, *shapes: Shape) -> int:
        """Multiply-accumulate operations of one forward pass over one example."""
        return 0

    def reads_back(self, number: int) -> bool:
        """Whether ``backward`` reads input `number`."""
        return "x" in self.backward_reads

    def reads_part(self, number: int, *shapes: Shape) -> tuple[int, int] | None:
        """The first channel of input `number` that is read, and how many are; None if all of them are."""
        return None

    # --- what the layer does ------------------------------------------------------------------------------

    def forward(self, at: Flow) -> None:
        """Compute ``at.y`` from ``at.xs``."""
        raise NotImplementedError(f"{self.kind} has no forward pass")

    def backward(self, at: Flow) -> None:
        """Assign ``at.dxs`` and ``at.grads`` from ``at.dy``."""
        raise NotImplementedError(f"{self.kind} has no backward pass")

    # --- as data ------------------------------------------------------------------------------------------

    def config(self) -> dict[str, Any]:
        """Hyper-parameters as plain JSON values."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @staticmethod
    def from_config(kind: str, config: dict[str, Any]) -> Layer:
        """The layer of this `kind` with these hyper-parameters."""
        if kind not in LAYERS:
            raise UnknownNameError(f"There is no layer kind {kind!r}; known are {', '.join(sorted(LAYERS))}.")
        cls = LAYERS[kind]
        known = {f.name for f in dataclasses.fields(cls)}
        if unknown := set(config) - known:
            raise ConfigError(f"{kind} has no option {sorted(unknown)[0]!r}; it has {', '.join(sorted(known))}.")
        # An initialiser with options is a mapping in JSON, and an object in a layer.
        given = {n: initializer(v) if n.endswith("_init") and isinstance(v, dict) else v for n, v in config.items()}
        try:
            return cls(**given)
        except TypeError as error:
            raise ConfigError(f"{kind} cannot be made from {config}: {error}.") from None

    def _set(self, **values: Any) -> None:
        """Replace fields of this frozen dataclass, for use in ``__post_init__`` alone."""
        for name, value in values.items():
            object.__setattr__(self, name, value)


def _plain(value: Any) -> Any:
    if isinstance(value, Initializer):
        return value.config()
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return value


def weight(shape: Shape, fan_in: int, fan_out: int, chosen: Any, default: Initializer) -> Parameter:
    """A weight array whose initialiser is the layer's own choice, if it made one, or `default`."""
    init = initializer(chosen) if chosen is not None else default
    return Parameter(shape, init, fan_in, fan_out, chosen=chosen is not None)


def bias(size: int, chosen: Any = None) -> Parameter:
    """A bias vector; zero unless the layer says otherwise. A graph-wide initialiser never touches it."""
    return Parameter((size,), initializer(chosen) if chosen is not None else Zeros(), chosen=True)


# --- checks that every family shares ------------------------------------------------------------------------


def pair(value: Any, name: str, minimum: int) -> Pair:
    """`value` or `(h, w)` as a pair of whole numbers not below `minimum`."""
    values = (value, value) if isinstance(value, int | np.integer) else tuple(value)
    good = len(values) == 2 and all(isinstance(v, int | np.integer) and v >= minimum for v in values)
    if not good:
        raise ConfigError(f"{name} must be a whole number (or two) of at least {minimum}, not {value!r}.")
    return int(values[0]), int(values[1])


def whole(value: Any, name: str, minimum: int) -> int:
    """`value` as a whole number not below `minimum`."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < minimum:
        raise ConfigError(f"{name} must be a whole number of at least {minimum}, not {value!r}.")
    return int(value)


def rows(array: np.ndarray) -> np.ndarray:
    """A view ``(M, C)`` of an array ``(..., C)``."""
    return array if array.ndim == 2 else array.reshape(math.prod(array.shape[:-1]), array.shape[-1])


def fraction(value: Any, name: str) -> float:
    """`value` as a number with 0 <= value < 1."""
    if not isinstance(value, int | float) or not 0 <= value < 1:
        raise ConfigError(f"{name} must be a number from 0 up to, but not including, 1, not {value!r}.")
    return float(value)


def image_shape(kind: str, shape: Shape) -> tuple[int, int, int]:
    """`shape` if it is that of an image, else ShapeError."""
    if len(shape) != 3:
        raise ShapeError(f"{kind} needs images (H, W, C) but gets shape {describe(shape)}.")
    return shape  # type: ignore[return-value]


def describe(shape: Shape) -> str:
    """``28x28x6``, as messages and tables show shapes."""
    return "x".join(map(str, shape)) if shape else "scalar"


def window_output(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool = False) -> int:
    """Number of window positions along one axis: ``(size + 2*padding - dilation*(kernel-1) - 1) / stride + 1``.

    With `ceil`, a last window may hang over the far edge if it starts inside the image or its near padding.
    """
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    steps = -(-room // stride) if ceil else room // stride
    if ceil and steps * stride >= size + padding:
        steps -= 1
    return steps + 1


def window_shape(
    kind: str, shape: Shape, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1), ceil: bool = False
) -> Pair:
    """Output height and width of a sliding window; ShapeError if it does not fit once."""
    height, width, _ = image_shape(kind, shape)
    axes = zip((height, width), kernel, stride, padding, dilation, strict=True)
    out = tuple(window_output(size, k, s, p, d, ceil) for size, k, s, p, d in axes)
    if min(out) < 1:
        reach = describe(tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)))
        raise ShapeError(
            f"{kind}'s {reach} window is larger than its input {describe(shape)} with padding "
            f"{padding[0]}, {padding[1]}; use a smaller kernel or more padding."
        )
    return out  # type: ignore[return-value]
