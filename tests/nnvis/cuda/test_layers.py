"""Every layer on the (simulated) GPU: outputs, gradients and running statistics are those of the textbook."""

from __future__ import annotations

import numpy as np
import pytest

import nnvis as nv
from nnvis.layers import LAYERS
from tests.nnvis.check_layer import check_fast, graph_of, randomise

IMAGE, TOKENS = (3, 4, 6), (3, 6)
CASES = [
    *[(layer, IMAGE) for layer in (
        nv.ReLU(), nv.LeakyReLU(0.1), nv.ReLU6(), nv.Sigmoid(), nv.Tanh(), nv.GELU(), nv.SiLU(), nv.Hardswish(),
        nv.Hardsigmoid(), nv.LocalResponseNorm(4, 2.0, 0.5, 1.5), nv.Softmax(), nv.Dropout(0.4),
        nv.Dropout(0.4, inverted=False), nv.StochasticDepth(0.4), nv.Flatten(), nv.Identity(), nv.Reshape((6, -1)),
        nv.PadChannels((1, 2)), nv.ZeroPad2d((1, 0, 2, 3)), nv.GlobalAvgPool2d(), nv.GlobalMaxPool2d(),
        nv.BatchNorm2d(), nv.GroupNorm(2), nv.ChannelShuffle(2), nv.BranchSoftmax(3), nv.Split((2, 4), 1),
        nv.Conv2d(5, 3, padding=1), nv.Conv2d(6, 3, 2, 1, groups=6), nv.Conv2d(4, 2, groups=2, bias=False),
        nv.MaxPool2d(2, 1), nv.MaxPool2d(2), nv.AvgPool2d(2, padding=1), nv.AdaptiveAvgPool2d((2, 3)),
        nv.AdaptiveMaxPool2d(2), nv.Upsample(2), nv.Upsample(2, "bilinear"), nv.ToTokens(),
    )],
    *[(layer, TOKENS) for layer in (
        nv.BatchNorm1d(), nv.LayerNorm(), nv.Linear(5), nv.ClassToken(), nv.PositionEmbedding(), nv.SelectToken(-1),
        nv.MultiHeadAttention(2),
    )],
    (nv.Attention(2), TOKENS, (2, 6), (2, 4)),
    (nv.Add(), IMAGE, (1, 1, 6), IMAGE),
    (nv.Multiply(), IMAGE, (6,)),
    (nv.Concat(), IMAGE, (3, 4, 2), (3, 4, 1)),
    (nv.CondConv2d(4, 3, 3, padding=1), IMAGE, (3,)),
    (nv.CondConv2d(6, 2, 3, groups=6, bias=False), IMAGE, (2,)),
    (nv.DeformConv2d(4, 3, padding=1), IMAGE, (3, 4, 18), (3, 4, 9)),
]  # fmt: skip


def test_every_kind_of_layer_is_among_them():
    assert {case[0].kind for case in CASES} == set(LAYERS)


@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].kind)
def test_it_computes_what_the_textbook_does(case, training):
    layer, *shapes = case
    random = np.random.default_rng(0)
    reference = nv.Network(graph_of(layer, shapes), device="reference")
    randomise(reference, random)
    x = random.normal(size=(2, *reference.input_shape)).astype(np.float32)
    check_fast(reference, x, random.normal(size=(2, *reference.output_shape)), training, "cuda")
