"""Blocks of a Vision Transformer.

Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021, section 3.1; Vaswani et al., "Attention Is All You Need",
2017, section 3.
"""

from __future__ import annotations

import math

from nnvis.blocks.chains import chain, channels_of
from nnvis.blocks.registry import preset, register
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
    ToTokens,
)
from nnvis.layers.base import Layer
from nnvis.layers.tokens import token_shape

EPS = 1e-6
_XAVIER = "xavier:uniform"


def dropped(g: Graph, x: Node, name: str, dropout: float) -> Node:
    """`x` behind a dropout, if there is to be one."""
    return g.add(Dropout(dropout), x, name=name) if dropout else x


@register("Transformer encoder", "attention", "vit pre-norm self-attention mlp", shape=(6, 16))
def encoder(
    g: Graph,
    x: Node,
    heads: int | None = None,
    mlp_dim: int | None = None,
    dropout: float = 0.0,
    *,
    name: str = "",
) -> Node:
    """Attention, then a perceptron of two layers, each behind a layer norm and beside a shortcut.

    Parameters
    ----------
    g : Graph
    x : Node
        Tokens (T, D).
    heads : int, optional
        Of the attention; without it the most of 8, 4, 3, 2, 1 that divide D.
    mlp_dim : int, optional
        Features of the hidden layer; 4 D without it.
    dropout : float
        Rate behind the attention and each linear layer; 0 for none.
    name : str

    Notes
    -----
    Equations 2 and 3 and figure 1. Nodes are named as in torchvision's ``EncoderBlock``.
    """
    depth = token_shape("A transformer encoder block", g.shape_of(x))[1]
    heads = heads or next(count for count in (8, 4, 3, 2, 1) if depth % count == 0)
    y = chain(g, x, {"ln_1": LayerNorm(EPS), "self_attention": MultiHeadAttention(heads)}, name)
    y = dropped(g, y, f"{name}.dropout", dropout)
    x = g.add(Add(), [x, y], name=f"{name}.add_1")
    hidden: dict[str, Layer] = {
        "ln_2": LayerNorm(EPS), "mlp.0": Linear(mlp_dim or 4 * depth, weight_init=_XAVIER), "mlp.1": GELU(),
    }  # fmt: skip
    y = dropped(g, chain(g, x, hidden, name), f"{name}.mlp.2", dropout)
    y = g.add(Linear(depth, weight_init=_XAVIER), y, name=f"{name}.mlp.3")
    y = dropped(g, y, f"{name}.mlp.4", dropout)
    return g.add(Add(), [x, y], name=f"{name}.add_2")


@register("Patch embedding", "attention", "vit stem tokens class token position patches")
def patch_embedding(
    g: Graph,
    x: Node,
    channels: int = 64,
    patch_size: int | None = None,
    class_token: bool = True,
    names: tuple[str, ...] = (),
    *,
    name: str = "",
) -> Node:
    """Makes tokens of an image: one of each patch, a class token in front, and all know their places (ViT stem).

    Parameters
    ----------
    g : Graph
    x : Node
        Image (H, W, C).
    channels : int
        Features of a token.
    patch_size : int, optional
        Pixels of a patch's side, which divides H and W. Without it 16, or 4 below 64 pixels.
    class_token : bool
        Whether a learned token is put in front, whose output is the image's.
    names : tuple of str
        Whole names of the nodes, if not ``conv_proj``, ``to_tokens``, ``class_token``, ``pos_embedding`` behind `name`.
    name : str

    Notes
    -----
    Equation 1: a convolution whose stride is its kernel size is one linear map for all patches.
    """
    channels_of(g, x)
    height, width, inputs = g.shape_of(x)
    size = patch_size or (16 if min(height, width) >= 64 else 4)
    if height % size or width % size:
        raise ConfigError(f"Patches of {size} pixels do not divide an image of {height}x{width}.")
    init = Normal(math.sqrt(1 / (size**2 * inputs)))
    layers: list[Layer] = [Conv2d(channels, size, size, weight_init=init), ToTokens(), *[ClassToken()] * class_token]
    parts = ("conv_proj", "to_tokens", *("class_token",) * class_token, "pos_embedding")
    names = names or tuple(f"{name}.{part}" for part in parts)
    return chain(g, x, dict(zip(names, [*layers, PositionEmbedding()], strict=True)))


preset("patch_tokens", "Patch embedding, no class token", patch_embedding,
       "Makes tokens of an image, one of each patch, and all know their places", class_token=False)  # fmt: skip
