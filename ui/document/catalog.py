"""What the palette offers: every layer kind of the engine, and blocks of several layers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import nnvis as nv
from nnvis.errors import NnvisError
from nnvis.graph import INPUT
from nnvis.layers import LAYERS
from nnvis.layers.base import Layer, Shape
from ui.document import edits, layout
from ui.document.analysis import analyse
from ui.document.state import DocumentState, Point

#: What a drag from the palette to the canvas is known by.
LAYER_MIME = "application/x-nnvis-layer"
Inserted = tuple[DocumentState, list[str]]
#: ``build(state, position, source, channels)``
Build = Callable[[DocumentState, Point, str | None, int], Inserted]


@dataclass(frozen=True)
class Entry:
    """One row of the palette: a layer with sensible settings, or a block."""

    key: str
    title: str
    family: str
    explanation: str
    layer: Layer | None = None
    build: Build | None = None
    words: str = ""

    def matches(self, text: str) -> bool:
        """Whether every word of `text` occurs in the title, explanation or synonyms."""
        whole = f"{self.title} {self.words} {self.family} {self.explanation}".lower()
        return all(word in whole for word in text.lower().split())

    def insert(self, state: DocumentState, position: Point, source: str | None = None) -> Inserted:
        """Add it to `state`, reading from `source`; returns the new nodes' names, too, the last one at the end."""
        if self.layer is not None:
            state, name = edits.add_node(state, self.layer, position, source)
            return state, [name]
        assert self.build is not None
        return self.build(state, position, source, _channels(state, source))


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


def _layer_entry(name: str, kind: type[Layer]) -> Entry:
    layer, words, explanation = _SPECIAL.get(name) or (kind(), "", _first_sentence(kind))
    return Entry(name, name, kind.family, explanation, layer, words=words)


# --- blocks -------------------------------------------------------------------------------------------------


def _channels(state: DocumentState, source: str | None) -> int:
    shape = analyse(state).shapes.get(source) if source else None
    return shape[-1] if shape else 16


class _Chain:
    """Adds layers one behind the other."""

    def __init__(self, state: DocumentState, position: Point, source: str | None):
        self.state, self.at, self.last, self.names = state, position, source, []

    def add(self, layer: Layer, source: str | None = None, down: float = 0.0) -> str:
        place = self.at[0], self.at[1] + down
        self.state, name = edits.add_node(self.state, layer, place, source or self.last)
        self.names.append(name)
        self.last, self.at = name, (self.at[0] + layout.NODE_WIDTH + layout.GAP_X, self.at[1])
        return name

    def join(self, layer: Layer, other: str | None) -> Inserted:
        main = self.last
        name = self.add(layer)
        if other is not None and main is not None:
            self.state = edits.connect(self.state, other, name, 1)
        return self.state, self.names

    def conv(self, channels: int, kernel: int, stride: int = 1, groups: int = 1, relu: Layer | None = None) -> str:
        self.add(nv.Conv2d(channels, kernel, stride, kernel // 2, groups=groups, bias=False))
        name = self.add(nv.BatchNorm2d())
        return self.add(relu) if relu else name


def _conv_block(state: DocumentState, at: Point, source: str | None, channels: int) -> Inserted:
    chain = _Chain(state, at, source)
    chain.conv(max(16, channels), 3, relu=nv.ReLU())
    return chain.state, chain.names


def _residual(state: DocumentState, at: Point, source: str | None, channels: int) -> Inserted:
    chain = _Chain(state, at, source)
    chain.conv(channels, 3, relu=nv.ReLU())
    chain.conv(channels, 3)
    chain.join(nv.Add(), source)
    chain.add(nv.ReLU())
    return chain.state, chain.names


def _downsampling(state: DocumentState, at: Point, source: str | None, channels: int) -> Inserted:
    chain = _Chain(state, at, source)
    chain.conv(2 * channels, 3, stride=2, relu=nv.ReLU())
    main = chain.conv(2 * channels, 3)
    shortcut = chain.add(nv.Conv2d(2 * channels, 1, 2, bias=False), source or chain.names[0], down=112.0)
    shortcut = chain.add(nv.BatchNorm2d(), shortcut, down=112.0)
    chain.last = main
    chain.join(nv.Add(), shortcut)
    chain.add(nv.ReLU())
    return chain.state, chain.names


def _bottleneck(state: DocumentState, at: Point, source: str | None, channels: int) -> Inserted:
    chain = _Chain(state, at, source)
    narrow = max(1, channels // 4)
    chain.conv(narrow, 1, relu=nv.ReLU())
    chain.conv(narrow, 3, relu=nv.ReLU())
    chain.conv(channels, 1)
    chain.join(nv.Add(), source)
    chain.add(nv.ReLU())
    return chain.state, chain.names


def _inverted_residual(state: DocumentState, at: Point, source: str | None, channels: int) -> Inserted:
    chain = _Chain(state, at, source)
    wide = 6 * channels
    chain.conv(wide, 1, relu=nv.ReLU6())
    chain.conv(wide, 3, groups=wide, relu=nv.ReLU6())
    chain.conv(channels, 1)
    return chain.join(nv.Add(), source)


def _squeeze_excite(state: DocumentState, at: Point, source: str | None, channels: int) -> Inserted:
    chain = _Chain(state, at, source)
    for layer in (nv.GlobalAvgPool2d(), nv.Linear(max(1, channels // 4)), nv.ReLU(), nv.Linear(channels),
                  nv.Sigmoid(), nv.Reshape((1, 1, channels))):  # fmt: skip
        chain.add(layer)
    return chain.join(nv.Multiply(), source)


_BLOCKS = (
    Entry("block:conv", "Conv-BN-ReLU", "block", "Convolution, batch normalisation and ReLU in a row", None,
          _conv_block, "convolution batchnorm"),
    Entry("block:residual", "Residual block", "block", "Two convolutions, and a shortcut around them", None,
          _residual, "resnet basic skip shortcut"),
    Entry("block:down", "Residual block, half size", "block", "Halves the image, doubles the channels, with a shortcut",
          None, _downsampling, "resnet stride downsampling skip"),
    Entry("block:bottleneck", "Bottleneck block", "block", "Narrow 1x1, 3x3, wide 1x1 and a shortcut", None,
          _bottleneck, "resnet50 skip shortcut"),
    Entry("block:inverted", "Inverted residual", "block", "Wide depthwise convolution between two 1x1 (MobileNet V2)",
          None, _inverted_residual, "mobilenet depthwise"),
    Entry("block:se", "Squeeze and excite", "block", "Weighs channels by what the whole image holds (SENet)", None,
          _squeeze_excite, "attention gate senet"),
)  # fmt: skip

ENTRIES: tuple[Entry, ...] = (
    *(_layer_entry(name, kind) for name, kind in LAYERS.items() if name != "Layer"), *_BLOCKS,
)  # fmt: skip
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
    if entry.build is None:
        return None, ""
    state, names = entry.insert(DocumentState(input_shape=shape), (0.0, 0.0), INPUT)
    analysis = analyse(state)
    return analysis.shapes[names[-1]], analysis.faults[0].message if analysis.faults else ""
