"""Layers that do the work of several neighbours in a graph; :mod:`nnvis.fusion` says when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from nnvis.layers.activation import ReLU, ReLU6
from nnvis.layers.base import Buffer, Cache, Flow, Layer, Parameter, Shape, rows
from nnvis.layers.conv import Conv2d
from nnvis.layers.norm import BatchNorm2d
from nnvis.layers.pooling import MaxPool2d

#: How names of parameters and buffers of a second node begin.
NORM = "norm."
#: Activations that can be fused with what is in front of them.
ACTIVATIONS: dict[type[Layer], str] = {ReLU: "relu", ReLU6: "relu6"}
KINDS = {word: layer.__name__ for layer, word in ACTIVATIONS.items()}


@dataclass(frozen=True)
class BatchNormActivation(Layer, listed=False):
    """Batch normalisation, perhaps the addition of a second input, and an activation."""

    repeats: ClassVar[bool] = True
    in_place_backward: ClassVar[bool] = True
    backward_reads: ClassVar[frozenset[str]] = frozenset({"x", "y", "dy"})

    norm: BatchNorm2d
    added: bool
    activation: str

    def reads_back(self, number: int) -> bool:
        return number == 0  # not the shortcut

    @property
    def kind(self) -> str:
        return " + ".join([self.norm.kind, *["Add"] * self.added, KINDS[self.activation]])

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        return self.norm.parameters(*shapes)

    def state(self, *shapes: Shape) -> dict[str, Buffer]:
        return self.norm.state(*shapes)

    def caches(self, *shapes: Shape) -> dict[str, Cache]:
        return self.norm.caches(*shapes) | {"offset": Cache((shapes[0][-1],), per_example=False)}

    def forward(self, at: Flow) -> None:
        x, y, gamma, beta = rows(at.xs[0]), rows(at.y), at.params["weight"], at.params["bias"]
        shortcut = rows(at.xs[1]) if self.added else None
        running = at.buffers["running_mean"], at.buffers["running_var"]
        if not at.training:
            at.kernels.batch_norm_activation_forward_inference(
                x, gamma, beta, *running, shortcut, y, self.norm.eps, self.activation
            )
            return
        rates = 0.0 if at.replay else self.norm.momentum, self.norm.eps
        at.kernels.batch_norm_activation_forward_train(
            x, gamma, beta, shortcut, y, *_batch(at), *running, *rates, self.activation
        )

    def backward(self, at: Flow) -> None:
        dx = rows(at.dxs[0] if at.dxs[0] is not None else at.dy)
        shortcut = (rows(at.y), rows(at.dxs[1])) if self.added else (None, None)  # type: ignore[arg-type]
        at.kernels.batch_norm_activation_backward_train(
            rows(at.xs[0]), at.params["weight"], *_batch(at), shortcut[0], rows(at.dy), dx, shortcut[1],
            at.grads["weight"], at.grads["bias"], self.activation,
        )  # fmt: skip


@dataclass(frozen=True)
class NormalisedConv(Layer, listed=False):
    """Batch normalisation in training, perhaps an activation, and the convolution that reads what comes of it."""

    repeats: ClassVar[bool] = True

    norm: BatchNorm2d
    between: str
    conv: Conv2d

    @property
    def kind(self) -> str:
        between = [KINDS[self.between]] if self.between != "none" else []
        return " + ".join([self.norm.kind, *between, self.conv.kind])

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        in_front = self.norm.parameters(*shapes)
        return self.conv.parameters(*shapes) | {NORM + key: value for key, value in in_front.items()}

    def state(self, *shapes: Shape) -> dict[str, Buffer]:
        return {NORM + key: value for key, value in self.norm.state(*shapes).items()}

    def caches(self, *shapes: Shape) -> dict[str, Cache]:
        return self.norm.caches(*shapes) | {"offset": Cache((shapes[0][-1],), per_example=False)}

    def multiply_adds(self, *shapes: Shape) -> int:
        return self.conv.multiply_adds(*shapes)

    def forward(self, at: Flow) -> None:
        gamma, beta = at.params["norm.weight"], at.params["norm.bias"]
        running = at.buffers["norm.running_mean"], at.buffers["norm.running_var"]
        rates = 0.0 if at.replay else self.norm.momentum, self.norm.eps
        at.kernels.batch_norm_statistics(rows(at.x), gamma, beta, *_batch(at), *running, *rates)
        filters = at.params["weight"], at.params.get("bias")
        at.kernels.conv2d_normalised_forward(
            at.x, gamma, *_batch(at), *filters, at.y, *self.conv.geometry, self.between
        )

    def backward(self, at: Flow) -> None:
        gamma, slopes = at.params["norm.weight"], (at.grads["weight"], at.grads.get("bias"))
        at.kernels.conv2d_normalised_backward_weights(
            at.x, gamma, *_batch(at), at.dy, *slopes, *self.conv.geometry, self.between
        )
        at.kernels.conv2d_backward_data(at.dy, at.params["weight"], at.dx, *self.conv.how(at), at.pooled)
        dx = rows(at.dx)  # type: ignore[arg-type]
        at.kernels.batch_norm_activation_backward_train(
            rows(at.x), gamma, *_batch(at), None, dx, dx, None, at.grads["norm.weight"], at.grads["norm.bias"],
            self.between,
        )  # fmt: skip


def _batch(at: Flow) -> tuple[Any, ...]:
    """What a normalisation has found out about the batch."""
    return at.caches["mean"], at.caches["inv_std"], at.caches["offset"]


@dataclass(frozen=True)
class FoldedConv(Layer, listed=False):
    """A convolution, the batch normalisation behind it, which inference makes a part of it, and an activation."""

    repeats: ClassVar[bool] = True

    conv: Conv2d
    norm: BatchNorm2d
    activation: str

    @property
    def kind(self) -> str:
        kinds = [self.conv.kind, self.norm.kind]
        return " + ".join(kinds if self.activation == "none" else [*kinds, KINDS[self.activation]])

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        behind = self.norm.parameters(self.conv.output_shape(*shapes))
        return self.conv.parameters(*shapes) | {NORM + key: value for key, value in behind.items()}

    def state(self, *shapes: Shape) -> dict[str, Buffer]:
        behind = self.norm.state(self.conv.output_shape(*shapes))
        return {NORM + key: value for key, value in behind.items()}

    def multiply_adds(self, *shapes: Shape) -> int:
        return self.conv.multiply_adds(*shapes)

    def forward(self, at: Flow) -> None:
        norm = at.params["norm.weight"], at.params["norm.bias"]
        running = at.buffers["norm.running_mean"], at.buffers["norm.running_var"]
        *geometry, algorithm = self.conv.how(at)
        at.kernels.conv2d_norm_forward(
            at.x, at.params["weight"], at.params.get("bias"), *norm, *running, at.y, *geometry, self.norm.eps,
            algorithm, self.activation,
        )  # fmt: skip


@dataclass(frozen=True)
class Around(Layer, listed=False):
    """A layer that also applies an activation, on the way."""

    inner: Layer
    activation: str

    @property
    def repeats(self) -> bool:  # type: ignore[override]
        return self.inner.repeats

    @property
    def kind(self) -> str:
        return f"{self.inner.kind} + {KINDS[self.activation]}"

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        return self.inner.parameters(*shapes)

    def caches(self, *shapes: Shape) -> dict[str, Cache]:
        return self.inner.caches(*shapes)

    def forward(self, at: Flow) -> None:
        at.activation = self.activation
        self.inner.forward(at)

    def backward(self, at: Flow) -> None:
        self.inner.backward(at)


@dataclass(frozen=True)
class Activated(Around, listed=False):
    """A convolution or linear layer, and an activation. Which sums it let pass is told by its output."""

    masks_gradient: ClassVar[bool] = True
    backward_reads: ClassVar[frozenset[str]] = frozenset({"x", "y", "dy"})

    def backward(self, at: Flow) -> None:
        getattr(at.kernels, f"{self.activation}_backward")(at.y, at.arrived, at.dy)
        super().backward(at)


@dataclass(frozen=True)
class ActivatedAdd(Activated, listed=False):
    """An addition and an activation: all that was added gets the masked gradient."""

    arity: ClassVar[int | None] = None
    passes_gradient: ClassVar[bool] = True
    backward_reads: ClassVar[frozenset[str]] = frozenset({"y", "dy"})


@dataclass(frozen=True)
class PooledConv(Around, listed=False):
    """A convolution, perhaps ReLU, and a maximum pool over tiles: of the sums only the largest are written."""

    inner: Conv2d
    pool: MaxPool2d

    @property
    def kind(self) -> str:
        between = [KINDS[self.activation]] if self.activation != "none" else []
        return " + ".join([self.inner.kind, *between, self.pool.kind])

    def caches(self, *shapes: Shape) -> dict[str, Cache]:
        return self.pool.caches(self.inner.output_shape(*shapes))

    def forward(self, at: Flow) -> None:
        filters = at.params["weight"], at.params.get("bias")
        rectified = self.activation == "relu"
        at.kernels.conv2d_pool_forward(at.x, *filters, at.y, at.caches["argmax"], *self.inner.geometry, rectified)

    def backward(self, at: Flow) -> None:
        slopes = at.grads["weight"], at.grads.get("bias"), at.dx
        at.kernels.conv2d_pool_backward(
            at.x, at.params["weight"], at.dy, at.caches["argmax"], *slopes, *self.inner.geometry
        )


@dataclass(frozen=True)
class RectifiedMaxPool(Around, listed=False):
    """ReLU and a maximum pool: the largest value, or 0 where none is above, and then no gradient."""

    backward_reads: ClassVar[frozenset[str]] = frozenset({"dy"})

    @property
    def kind(self) -> str:
        return f"{KINDS[self.activation]} + {self.inner.kind}"
