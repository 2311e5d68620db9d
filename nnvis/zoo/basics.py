"""Networks without convolution."""

from __future__ import annotations

from nnvis.errors import ConfigError
from nnvis.graph import Graph
from nnvis.layers import LAYERS, Dropout, Flatten, Linear
from nnvis.layers.base import Layer, Shape
from nnvis.zoo.registry import register


@register(lr=0.1, momentum=0.9, epochs=5, batch_size=64)
def logistic(num_classes: int = 10, input_shape: Shape = (28, 28, 1)) -> Graph:
    """Logistic (softmax) regression: one linear layer.

    Parameters
    ----------
    num_classes : int
    input_shape : tuple of int
        Of any size; images are flattened.

    Notes
    -----
    The weights start at zero: the loss is convex. Bishop, "Pattern Recognition and Machine Learning",
    2006, section 4.3.
    """
    g = Graph(input_shape, name="logistic")
    last = g.add(Flatten(), g.input, name="flatten") if len(g.input_shape) > 1 else g.input
    g.output = g.add(Linear(num_classes, weight_init="zeros"), last, name="fc")
    return g


@register(lr=0.05, momentum=0.9, epochs=5, batch_size=64, schedule="cosine")
def mlp(
    num_classes: int = 10,
    input_shape: Shape = (28, 28, 1),
    hidden: tuple[int, ...] = (256, 128),
    activation: str = "ReLU",
    dropout: float = 0.0,
) -> Graph:
    """Multi-layer perceptron: a deep L-layer net of linear layers and activations.

    Parameters
    ----------
    num_classes : int
    input_shape : tuple of int
        Of any size; images are flattened.
    hidden : tuple of int
        Width of each hidden layer.
    activation : str
        Kind of the activation layer: "ReLU", "Tanh", "Sigmoid", "GELU"...
    dropout : float
        Rate of dropout after each hidden layer; 0 for none.

    Notes
    -----
    Rumelhart, Hinton and Williams, "Learning Representations by Back-Propagating Errors", 1986; with ReLU and He's
    initial weights unless told otherwise. Goodfellow, Bengio and Courville, "Deep Learning", 2016, chapter 6.
    """
    g = Graph(input_shape, name="mlp")
    last = g.add(Flatten(), g.input, name="flatten") if len(g.input_shape) > 1 else g.input
    for number, width in enumerate(_widths(hidden), 1):
        last = g.add(Linear(width), last, name=f"fc{number}")
        last = g.add(_activation(activation), last, name=f"act{number}")
        if dropout:
            last = g.add(Dropout(dropout), last, name=f"drop{number}")
    g.output = g.add(Linear(num_classes), last, name="out")
    return g


def _widths(hidden: int | tuple[int, ...]) -> tuple[int, ...]:
    return (hidden,) if isinstance(hidden, int) else tuple(hidden)


def _activation(kind: str) -> Layer:
    known = {name.lower(): cls for name, cls in LAYERS.items() if cls.family == "activation" and name != "Dropout"}
    if kind.lower() not in known:
        raise ConfigError(f"There is no activation {kind!r}; known are {', '.join(sorted(known))}.")
    return known[kind.lower()]()
