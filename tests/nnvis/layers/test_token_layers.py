"""Layers for tokens: gradients against finite differences, fast kernels against the textbook, shapes, a transformer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nnvis as nv
from nnvis.errors import ConfigError, ShapeError
from tests.nnvis.check_layer import check_layer

few = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)

depths = st.sampled_from([1, 3, 6, 10, 24, 130])
tokens = st.sampled_from([1, 4, 5, 17])
batches = st.sampled_from([1, 2, 3])


@given(d=depths, t=tokens, n=batches)
@few
def test_tokens_come_and_go(d, t, n):
    check_layer(nv.ToTokens(), (t, 3, d), batch=n)
    check_layer(nv.ClassToken(), (t, d), batch=n)
    check_layer(nv.PositionEmbedding(), (t, d), batch=n)
    check_layer(nv.SelectToken(t - 1), (t, d), batch=n)
    check_layer(nv.SelectToken(-1), (t, d), batch=n)


@given(heads=st.integers(1, 4), depth=st.sampled_from([1, 3, 8, 16, 21]), t=st.sampled_from([2, 5, 17, 100]),
       bias=st.booleans(), n=batches)  # fmt: skip
@few
def test_self_attention_is_right_for_any_number_of_heads(heads, depth, t, bias, n):
    check_layer(nv.MultiHeadAttention(heads, bias), (t, heads * depth), batch=n)


@given(
    heads=st.integers(1, 3), depth=st.sampled_from([1, 4, 16]), width=st.sampled_from([1, 5, 16]), t=tokens,
    s=st.sampled_from([2, 5, 40]), mode=st.sampled_from(["softmax", "dot"]), scale=st.sampled_from([None, 1.0]),
    n=batches,
)  # fmt: skip
@few
def test_attention_is_right_for_queries_keys_and_values_of_any_size(heads, depth, width, t, s, mode, scale, n):
    shapes = (t, heads * depth), (s, heads * depth), (s, heads * width)
    check_layer(nv.Attention(heads, scale, mode), *shapes, batch=n)


def non_local(mode: str, embedded: bool) -> nv.Graph:
    """A non-local block; keys and values are pooled, as in section 3.3 of the paper."""
    g = nv.Graph((6, 6, 8))
    x = g.add(nv.Conv2d(8, 1), g.input)
    # A bias of the keys moves all scores of a query alike, which the softmax does not see.
    theta, phi = (g.add(nv.Conv2d(4, 1, bias=False), x) if embedded else x for _ in range(2))
    value = g.add(nv.MaxPool2d(2), g.add(nv.Conv2d(4, 1), x))
    mixed = g.add(nv.Attention(1, 1.0, mode), [theta, g.add(nv.MaxPool2d(2), phi), value])
    g.output = g.add(nv.Add(), [x, g.add(nv.Conv2d(8, 1), mixed)])
    return g


@pytest.mark.parametrize(("mode", "embedded"), [("softmax", True), ("softmax", False), ("dot", True)])
def test_the_gradients_of_a_non_local_block_are_right(mode, embedded):
    assert nv.gradcheck(non_local(mode, embedded)).ok


def test_one_node_may_be_query_key_and_value():
    g = nv.Graph((5, 6))
    x = g.add(nv.Tanh(), g.input)
    g.output = g.add(nv.Attention(2), [x, x, x])
    assert nv.gradcheck(g).ok


def transformer() -> nv.Graph:
    """A vision transformer of one block."""
    g = nv.Graph((8, 8, 3))
    patches = g.add(nv.ToTokens(), g.add(nv.Conv2d(12, 4, 4), g.input))
    x = g.add(nv.PositionEmbedding(), g.add(nv.ClassToken(), patches))
    mixed = g.add(nv.MultiHeadAttention(3), g.add(nv.LayerNorm(), x), name="attention")
    x = g.add(nv.Add(), [x, mixed])
    h = g.add(nv.GELU(), g.add(nv.Linear(24), g.add(nv.LayerNorm(), x)))
    x = g.add(nv.Add(), [x, g.add(nv.StochasticDepth(0.2), g.add(nv.Linear(12), h))])
    g.output = g.add(nv.Linear(4), g.add(nv.SelectToken(), g.add(nv.LayerNorm(), x)), name="head")
    return g


def test_the_gradients_of_a_transformer_are_right():
    graph = transformer()
    assert nv.Graph.from_json(graph.to_json()).to_json() == graph.to_json()
    assert nv.gradcheck(graph).ok


def test_a_transformer_learns_a_batch_by_heart():
    random = np.random.default_rng(0)
    x, labels = random.normal(size=(16, 8, 8, 3)).astype(np.float32), random.integers(0, 4, 16)
    trainer = nv.Trainer(nv.Network(transformer(), seed=0), loss="cross_entropy", optimizer=nv.Adam(lr=0.01))
    losses = [trainer.step(x, labels) for _ in range(60)]
    assert losses[-1] < 0.1 * losses[0]


def test_impossible_options_and_shapes_are_explained():
    with pytest.raises(ConfigError, match="num_heads"):
        nv.MultiHeadAttention(0)
    with pytest.raises(ConfigError, match="index"):
        nv.SelectToken(0.5)
    with pytest.raises(ConfigError, match="mode"):
        nv.Attention(mode="mean")
    with pytest.raises(ConfigError, match="scale"):
        nv.Attention(scale=0)
    with pytest.raises(ShapeError, match=r"queries \(T, D\)"):
        nv.Attention().output_shape((5, 7), (5, 6), (5, 6))
    for layer, shape, words in [
        (nv.MultiHeadAttention(2), (5, 7), "heads do not divide"),
        (nv.MultiHeadAttention(2), (4, 4, 6), "put a ToTokens"),
        (nv.SelectToken(5), (5, 6), "token 5 of 5"),
        (nv.ClassToken(), (6,), "needs tokens"),
        (nv.ToTokens(), (6,), "needs images"),
    ]:
        with pytest.raises(ShapeError, match=words):
            layer.output_shape(shape)
