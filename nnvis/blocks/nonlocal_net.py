"""Non-local blocks. Wang et al., "Non-local Neural Networks", 2018, section 3."""

from __future__ import annotations

from nnvis.blocks.chains import channels_of
from nnvis.blocks.registry import preset, register
from nnvis.errors import ConfigError
from nnvis.graph import Graph, Node
from nnvis.layers import Add, Attention, Conv2d, MaxPool2d


@register("Non-local block", "attention", "self-attention embedded gaussian")
def non_local(
    g: Graph, x: Node, form: str = "embedded", subsample: bool = True, squeezed: int | None = None, *, name: str = ""
) -> Node:
    """Every pixel takes a mean of all others, weighted by likeness; it starts as the identity.

    Parameters
    ----------
    g : Graph
    x : Node
        Image (H, W, C).
    form : {"embedded", "gaussian", "dot"}
        What makes weights: a softmax over products of embedded pixels, or of the pixels as they are, or the products
        themselves, divided by the number of pixels.
    subsample : bool
        Whether only 2x2 pooled pixels are looked at (section 3.3).
    squeezed : int, optional
        Channels of the embeddings; half of C without it.
    name : str

    Notes
    -----
    Section 3.2 and figure 2. As in the authors' code, the products of the embedded form are divided by the root of
    their channels, so that they do not grow with these, and so are those of the Gaussian form; and not batch
    normalisation, but the last 1x1 convolution itself starts at zero (section 3.3).
    """
    if form not in _LAYERS:
        raise ConfigError(f"The form of a non-local block is one of {', '.join(map(repr, _LAYERS))}, not {form!r}.")
    channels = channels_of(g, x)
    squeezed = squeezed or max(1, channels // 2)
    seen = g.add(MaxPool2d(2), x, name=f"{name}.pool") if subsample else x
    parts = [x, seen]
    if form != "gaussian":
        sources = (("theta", x), ("phi", seen))
        parts = [g.add(Conv2d(squeezed, 1), source, name=f"{name}.{part}") for part, source in sources]
    parts.append(g.add(Conv2d(squeezed, 1), seen, name=f"{name}.g"))
    y = g.add(_LAYERS[form], parts, name=f"{name}.attention")
    y = g.add(Conv2d(channels, 1, weight_init="zeros"), y, name=f"{name}.out")
    return g.add(Add(), [x, y], name=f"{name}.add")


_LAYERS = {"embedded": Attention(), "gaussian": Attention(), "dot": Attention(scale=1.0, mode="dot")}

preset("non_local_gaussian", "Non-local block, Gaussian", non_local,
       "Every pixel takes a mean of all others, weighted by a softmax of their products", form="gaussian")  # fmt: skip
preset("non_local_dot", "Non-local block, dot product", non_local,
       "Every pixel takes a sum of all others, weighted by their products", form="dot")  # fmt: skip
