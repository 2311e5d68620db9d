"""Inception modules. Szegedy et al., "Going Deeper with Convolutions", 2015, section 4 and figure 2."""

from __future__ import annotations

from collections.abc import Sequence

from nnvis.blocks.chains import channels_of
from nnvis.blocks.convolution import conv_bn_relu
from nnvis.blocks.registry import register
from nnvis.graph import Graph, Node
from nnvis.layers import Concat, MaxPool2d


@register("Inception", "convolution", "googlenet branches concat")
def inception(g: Graph, x: Node, widths: Sequence[int] = (), eps: float = 1e-5, *, name: str = "") -> Node:
    """Four branches side by side: 1x1; 1x1 and 3x3, twice; pooling and 1x1 (GoogLeNet).

    Parameters
    ----------
    g : Graph
    x : Node
        Image (H, W, C).
    widths : sequence of int
        Channels as in table 1: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection. Without it such ones that the
        output has about C.
    eps : float
        Of the batch normalisations.
    name : str

    Notes
    -----
    Figure 2 (b). Nodes are named as in torchvision's ``googlenet``; as there, convolutions have batch normalisation,
    and the branch of 5x5 windows has 3x3 ones.
    """
    one, reduce3, three, reduce5, five, projection = widths or _shares(channels_of(g, x))
    branches = [conv_bn_relu(g, x, one, 1, eps=eps, name=f"{name}.branch1")]
    for branch, reduce, channels in (("branch2", reduce3, three), ("branch3", reduce5, five)):
        y = conv_bn_relu(g, x, reduce, 1, eps=eps, name=f"{name}.{branch}.0")
        branches.append(conv_bn_relu(g, y, channels, 3, eps=eps, name=f"{name}.{branch}.1"))
    y = g.add(MaxPool2d(3, 1, padding=1, ceil_mode=True), x, name=f"{name}.branch4.0")
    branches.append(conv_bn_relu(g, y, projection, 1, eps=eps, name=f"{name}.branch4.1"))
    return g.add(Concat(), branches, name=f"{name}.concat")


def _shares(channels: int) -> list[int]:
    """Of the module's channels, about as in table 1."""
    return [max(1, round(share * channels)) for share in (1 / 4, 3 / 8, 1 / 2, 1 / 16, 1 / 8, 1 / 8)]
