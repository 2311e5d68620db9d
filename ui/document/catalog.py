"""What the palette offers: every layer kind of the engine, and blocks of several layers."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MappingProxyType

import nnvis as nv
from nnvis.errors import NnvisError
from nnvis.graph import INPUT
from nnvis.layers import LAYERS
from nnvis.layers.base import Layer, Shape
from ui.document import edits, layout
from ui.document.analysis import analyse
from ui.document.state import DocumentState, Point, from_graph, to_graph

#: What a drag from the palette to the canvas is known by.
LAYER_MIME = "application/x-nnvis-layer"
Inserted = tuple[DocumentState, list[str]]


@dataclass(frozen=True)
class Entry:
    """One row of the palette: a layer with sensible settings, or a block."""

    key: str
    title: str
    family: str
    explanation: str
    layer: Layer | None = None
    words: str = ""
    block: nv.blocks.Entry | None = None

    def matches(self, text: str) -> bool:
        """Whether every word of `text` occurs in the title, explanation or synonyms."""
        whole = f"{self.title} {self.words} {self.family} {self.explanation}".lower()
        return all(word in whole for word in text.lower().split())

    def insert(self, state: DocumentState, position: Point, source: str | None = None) -> Inserted:
        """Add it to `state`, reading from `source`; returns the new nodes' names, too, the last one at the end."""
        if self.layer is not None:
            state, name = edits.add_node(state, self.layer, position, source)
            return state, [name]
        assert self.block is not None
        return _insert_block(state, self.block, position, source)


#: Settings, synonyms and a word for students, where the docstring alone does not do.
_SPECIAL: dict[str, tuple[Layer, str, str]] = {
    "Conv2d": (nv.Conv2d(16, 3, padding=1), "convolution filter kernel", "Slides small filters over the image"),
    "DeformConv2d": (nv.DeformConv2d(16, 3, padding=1), "dcn offset", "Filters whose windows bend to the image"),
    "CondConv2d": (nv.CondConv2d(16, 4, 3, padding=1), "dynamic expert mixture", "Mixes its filters for each image"),
    "Linear": (nv.Linear(10), "dense fully connected affine matrix", "Every output is a weighted sum of all inputs"),
    "ReLU": (nv.ReLU(), "rectifier activation", "Keeps positive values and makes the rest zero"),
    "BatchNorm2d": (nv.BatchNorm2d(), "batchnorm normalisation", "Centres and scales each channel over the batch"),
    "BatchNorm1d": (nv.BatchNorm1d(), "batchnorm normalisation", "Centres and scales each feature over the batch"),
    "LayerNorm": (nv.LayerNorm(), "layernorm transformer", "Centres and scales each token over its own features"),
    "GroupNorm": (nv.GroupNorm(4), "groupnorm instance", "Centres and scales groups of channels within each image"),
    "LocalResponseNorm": (nv.LocalResponseNorm(k=2.0), "lrn alexnet", "Channels with strong neighbours are held down"),
    "MaxPool2d": (nv.MaxPool2d(2), "pooling subsampling", "Keeps the largest value of each window"),
    "AvgPool2d": (nv.AvgPool2d(2), "pooling subsampling mean", "Takes the mean of each window"),
    "AdaptiveAvgPool2d": (nv.AdaptiveAvgPool2d(1), "pooling", "Means over windows that give a chosen output size"),
    "AdaptiveMaxPool2d": (nv.AdaptiveMaxPool2d(1), "pooling", "Maxima over windows that give a chosen output size"),
    "Dropout": (nv.Dropout(0.5), "regularisation", "Switches units off at random while training"),
    "StochasticDepth": (nv.StochasticDepth(0.1), "drop path regularisation", "Skips a branch at random while training"),
    "BranchSoftmax": (nv.BranchSoftmax(2), "selective kernel sknet", "Branches share out a weight of one"),
    "Reshape": (nv.Reshape((-1,)), "view", "Gives the values another shape"),
    "PadChannels": (nv.PadChannels(32), "zeros", "Adds channels of zeros"),
    "ZeroPad2d": (nv.ZeroPad2d(1), "border margin", "Puts zeros around the image"),
    "ChannelShuffle": (nv.ChannelShuffle(2), "groups shufflenet", "Mixes the channels of different groups"),
    "Upsample": (nv.Upsample(2), "enlarge interpolate bilinear nearest", "Makes the image larger"),
    "ToTokens": (nv.ToTokens(), "patches sequence transformer vit", "Makes every pixel a token"),
    "ClassToken": (nv.ClassToken(), "cls transformer vit", "Puts a learned token in front of the others"),
    "PositionEmbedding": (nv.PositionEmbedding(), "transformer vit", "Tells each token where it stands"),
    "SelectToken": (nv.SelectToken(), "cls transformer vit", "Takes one token out of a sequence"),
    "MultiHeadAttention": (nv.MultiHeadAttention(4), "self-attention transformer", "Lets tokens look at each other"),
    "Attention": (nv.Attention(), "non-local cross-attention", "Mixes values by how well keys match queries"),
    "Split": (nv.Split(2), "chunk", "Takes one part of the channels"),
    "Flatten": (nv.Flatten(), "vector reshape", "Lays an image out as one long vector"),
}


def _first_sentence(kind: type[Layer]) -> str:
    return re.split(r"(?<=[.;:])\s", " ".join((kind.__doc__ or "").split()), maxsplit=1)[0].rstrip(".;:")


def _plain(kind: type[Layer]) -> Layer:
    """A layer with its defaults, and 16 where it has none."""
    needed = [f.name for f in dataclasses.fields(kind) if f.default is f.default_factory is dataclasses.MISSING]
    return kind(**dict.fromkeys(needed, 16))


def _layer_entry(name: str, kind: type[Layer]) -> Entry:
    layer, words, explanation = _SPECIAL.get(name) or (_plain(kind), "", _first_sentence(kind))
    return Entry(name, name, kind.family, explanation, layer, words)


# --- blocks -------------------------------------------------------------------------------------------------


def _block_entry(block: nv.blocks.Entry) -> Entry:
    return Entry(f"block:{block.name}", block.title, "block", block.summary, words=block.words, block=block)


def kind_title(kind: str) -> str:
    """What people call a kind of block; "" if it is not one of the engine's."""
    return BY_KEY[f"block:{kind}"].title if f"block:{kind}" in BY_KEY else ""


def _built(block: nv.blocks.Entry, shape: Shape | None, name: str) -> nv.Graph:
    """The block behind an input of `shape`; of its own example's where it does not fit, so that the fault is seen."""
    graph = nv.Graph(shape or block.shape)
    try:
        block.build(graph, graph.input, name=name)
    except NnvisError:
        graph = nv.Graph(block.shape)
        block.build(graph, graph.input, name=name)
    return graph


def _insert_block(state: DocumentState, block: nv.blocks.Entry, position: Point, source: str | None) -> Inserted:
    name = _free_block_name(state, block.build)
    graph = _built(block, analyse(state).shapes.get(source) if source else None, name)
    made = from_graph(graph)
    nodes = {
        n: replace(node, inputs=tuple(source if i == INPUT else i for i in node.inputs))
        for n, node in made.nodes.items()
    }
    blocks = {n: replace(b, collapsed=True) for n, b in made.blocks.items()}
    grown = state.with_nodes({**state.nodes, **nodes}, blocks=MappingProxyType({**state.blocks, **blocks}))
    return layout.tidy_block(grown, name, position), list(nodes)


def _free_block_name(state: DocumentState, build: Callable) -> str:
    """After the block's kind, with a number if it is taken or begins other names."""
    return to_graph(state).free_name(getattr(build, "func", build).__name__, prefix=True)


ENTRIES: tuple[Entry, ...] = (
    *(_layer_entry(name, kind) for name, kind in LAYERS.items() if name != "Layer"),
    *map(_block_entry, map(nv.blocks.entry, nv.blocks.names())),
)
BY_KEY = {entry.key: entry for entry in ENTRIES}
#: Families in the order of the palette.
FAMILIES = ("convolution", "activation", "pooling", "normalisation", "linear", "regularisation", "merge", "shape",
            "attention", "block", "other")  # fmt: skip


def fitting(entry: Entry, shape: Shape | None) -> tuple[Shape | None, str]:
    """The shape that an entry would make of an output of `shape`, or why it does not fit."""
    if shape is None:
        return None, ""
    if entry.layer is not None and entry.layer.arity == 1:
        try:
            return entry.layer.output_shape(shape), ""
        except NnvisError as error:
            return None, str(error)
    if entry.block is None:
        return None, ""
    try:
        graph = nv.Graph(shape)
        return graph.shape_of(entry.block.build(graph, graph.input)), ""
    except NnvisError as error:
        return None, str(error)
