"""Vision Transformer. Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021, section 3.1 and table 1.

The tiny and small ones are those of Touvron et al., "Training Data-Efficient Image Transformers & Distillation through
Attention", 2021, table 1, without the distillation token.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from nnvis.errors import ConfigError
from nnvis.graph import Graph, Node
from nnvis.init import Normal
from nnvis.layers import (
    GELU,
    Add,
    ClassToken,
    Conv2d,
    Dropout,
    LayerNorm,
    Linear,
    MultiHeadAttention,
    PositionEmbedding,
    SelectToken,
    ToTokens,
)
from nnvis.layers.base import Layer, Shape
from nnvis.zoo.blocks import SMALL_IMAGES, chain, is_small
from nnvis.zoo.registry import register

_EPS = 1e-6
_XAVIER = "xavier:uniform"


def _encoder_layer(g: Graph, x: Node, prefix: str, heads: int, mlp_dim: int, dropout: float) -> Node:
    """Attention, then a perceptron of two layers, each behind a layer norm and beside a shortcut."""
    y = chain(g, x, {"ln_1": LayerNorm(_EPS), "self_attention": MultiHeadAttention(heads)}, prefix)
    y = _dropped(g, y, f"{prefix}.dropout", dropout)
    x = g.add(Add(), [x, y], name=f"{prefix}.add_1")
    hidden: dict[str, Layer] = {
        "ln_2": LayerNorm(_EPS), "mlp.0": Linear(mlp_dim, weight_init=_XAVIER), "mlp.1": GELU(),
    }  # fmt: skip
    y = _dropped(g, chain(g, x, hidden, prefix), f"{prefix}.mlp.2", dropout)
    y = g.add(Linear(g.shape_of(x)[1], weight_init=_XAVIER), y, name=f"{prefix}.mlp.3")
    y = _dropped(g, y, f"{prefix}.mlp.4", dropout)
    return g.add(Add(), [x, y], name=f"{prefix}.add_2")


def _dropped(g: Graph, x: Node, name: str, dropout: float) -> Node:
    return g.add(Dropout(dropout), x, name=name) if dropout else x


def _patches(g: Graph, patch_size: int, hidden_dim: int) -> Node:
    """Every patch of the image as a token, by a convolution whose stride is its kernel size."""
    height, width, channels = g.input_shape
    if height % patch_size or width % patch_size:
        raise ConfigError(f"Patches of {patch_size} pixels do not divide an image of {height}x{width}.")
    init = Normal(math.sqrt(1 / (patch_size**2 * channels)))
    y = g.add(Conv2d(hidden_dim, patch_size, patch_size, weight_init=init), g.input, name="conv_proj")
    return g.add(ToTokens(), y, name="to_tokens")


def _vit(
    g: Graph, num_classes: int, patch_size: int, layers: int, heads: int, hidden: int, mlp_dim: int, dropout: float
) -> Graph:
    y = _patches(g, patch_size, hidden)
    y = chain(g, y, {"class_token": ClassToken(), "encoder.pos_embedding": PositionEmbedding()})
    y = _dropped(g, y, "encoder.dropout", dropout)
    for number in range(layers):
        y = _encoder_layer(g, y, f"encoder.layers.encoder_layer_{number}", heads, mlp_dim, dropout)
    y = chain(g, y, {"encoder.ln": LayerNorm(_EPS), "select": SelectToken(0)})
    g.output = g.add(Linear(num_classes, weight_init="zeros"), y, name="heads.head")
    return g


_NOTES = """{title}: {patch}x{patch} patches as tokens, 12 encoder layers of width {hidden} with {heads} heads.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        Below 64 pixels, as for 32x32 images, patches have 4x4 pixels.
    patch_size : int, optional
        Pixels of a patch's side, if not those above.
    num_layers, num_heads, hidden_dim, mlp_dim : int
        Encoder layers, heads of each attention, features of a token, and of the hidden layer behind each attention.
    dropout : float
        Rate after the position embedding, each attention and each linear layer of the encoder; 0 for none.

    Notes
    -----
    {parameters} parameters. {source}.
    The class token's output goes into one linear layer, as in fine-tuning (section 3.1 of the first paper). Nodes are
    named as in torchvision's ``vit_b_16``. The position embedding is learned anew for every input shape.
    """


_PAPER = 'Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021, section 3.1 and table 1'
_DEIT = """Touvron et al., "Training Data-Efficient Image Transformers & Distillation through
    Attention", 2021, table 1, without the distillation token"""


def _define(
    name: str, title: str, patch: int, heads: int, hidden: int, parameters: str, source: str = _PAPER
) -> Callable[..., Graph]:
    def build(
        num_classes: int = 1000,
        input_shape: Shape = (224, 224, 3),
        patch_size: int | None = None,
        num_layers: int = 12,
        num_heads: int = heads,
        hidden_dim: int = hidden,
        mlp_dim: int = 4 * hidden,
        dropout: float = 0.0,
    ) -> Graph:
        g = Graph(input_shape, name=name)
        size = patch_size or (4 if is_small(g) else patch)
        return _vit(g, num_classes, size, num_layers, num_heads, hidden_dim, mlp_dim, dropout)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = _NOTES.format(
        title=title, patch=patch, heads=heads, hidden=hidden, parameters=parameters, source=source
    )
    return register(**SMALL_IMAGES | {"lr": 0.02, "clip_norm": 1.0})(build)


_define("vit_ti_16", "ViT-Ti/16", 16, 3, 192, "5,717,416", _DEIT)
_define("vit_s_16", "ViT-S/16", 16, 6, 384, "22,050,664", _DEIT)
_define("vit_b_16", "ViT-B/16", 16, 12, 768, "86,567,656")
_define("vit_b_32", "ViT-B/32", 32, 12, 768, "88,224,232")
