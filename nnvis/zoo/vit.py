"""Vision Transformer. Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021, section 3.1 and table 1.

The tiny and small ones are those of Touvron et al., "Training Data-Efficient Image Transformers & Distillation through
Attention", 2021, table 1, without the distillation token.
"""

from __future__ import annotations

from collections.abc import Callable

from nnvis import blocks
from nnvis.blocks.transformer import EPS, dropped
from nnvis.graph import Graph
from nnvis.layers import LayerNorm, Linear, SelectToken
from nnvis.layers.base import Shape
from nnvis.zoo.blocks import SMALL_IMAGES, chain, is_small
from nnvis.zoo.registry import register

_STEM = ("conv_proj", "to_tokens", "class_token", "encoder.pos_embedding")


def _vit(
    g: Graph, num_classes: int, patch_size: int, layers: int, heads: int, hidden: int, mlp_dim: int, dropout: float
) -> Graph:
    y = blocks.patch_embedding(g, g.input, hidden, patch_size, names=_STEM, name="patches")
    y = dropped(g, y, "encoder.dropout", dropout)
    for number in range(layers):
        y = blocks.encoder(g, y, heads, mlp_dim, dropout, name=f"encoder.layers.encoder_layer_{number}")
    y = chain(g, y, {"encoder.ln": LayerNorm(EPS), "select": SelectToken(0)})
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
