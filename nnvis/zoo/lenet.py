"""LeNet-5. LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998, figure 2."""

from __future__ import annotations

from nnvis.errors import ConfigError
from nnvis.graph import Graph
from nnvis.layers import AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Tanh
from nnvis.layers.base import Shape
from nnvis.zoo.registry import register


@register(lr=0.05, momentum=0.9, weight_decay=5e-4, clip_norm=1.0, epochs=3, batch_size=64, schedule="cosine",
          data="mnist")  # fmt: skip
def lenet5(num_classes: int = 10, input_shape: Shape = (28, 28, 1), form: str = "modern") -> Graph:
    """LeNet-5, two convolutions and three linear layers; modern (ReLU, max pooling) or as of 1998.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        28 pixels high or less: two pixels of zero padding, which stand for the paper's 32x32 frame. Else none: 32x32
        images fill that frame, and strides stay as they are.
    form : str
        "modern": ReLU and max pooling. "1998": tanh and average pooling, Xavier initialisation.

    Notes
    -----
    61,706 parameters at 28x28x1. LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998, figure
    2. The 1998 form differs from the paper: every map of C3 sees all maps of S2 (the paper
    leaves connections out, table I), pooling has no trainable coefficient, and the output layer is linear with
    softmax cross-entropy where the paper has Euclidean radial basis functions.
    """
    if form not in ("modern", "1998"):
        raise ConfigError(f"lenet5 has the forms 'modern' and '1998', not {form!r}.")
    activation, pool = (ReLU, MaxPool2d) if form == "modern" else (Tanh, AvgPool2d)
    g = Graph(input_shape, init=None if form == "modern" else "xavier", name="lenet5")
    padding = 2 if g.input_shape[0] <= 28 else 0
    last = g.add(Conv2d(6, 5, padding=padding), g.input, name="conv1")
    last = g.add(pool(2), g.add(activation(), last, name="act1"), name="pool1")
    last = g.add(Conv2d(16, 5), last, name="conv2")
    last = g.add(pool(2), g.add(activation(), last, name="act2"), name="pool2")
    last = g.add(Flatten(), last, name="flatten")
    last = g.add(activation(), g.add(Linear(120), last, name="fc1"), name="act3")
    last = g.add(activation(), g.add(Linear(84), last, name="fc2"), name="act4")
    g.output = g.add(Linear(num_classes), last, name="fc3")
    return g
