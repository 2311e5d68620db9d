"""Every layer, over random shapes: gradients against finite differences, fast kernels against the textbook."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nnvis as nv
from nnvis.errors import ConfigError, ShapeError
from nnvis.layers import LAYERS
from tests.nnvis.check_layer import check_layer

few = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)

channels = st.sampled_from([1, 3, 6, 10, 24, 130])
sizes = st.sampled_from([1, 4, 5, 7, 9])
batches = st.sampled_from([1, 2, 3])
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))

ELEMENTWISE = [
    nv.ReLU(), nv.LeakyReLU(0.1), nv.ReLU6(), nv.Sigmoid(), nv.Tanh(), nv.GELU(), nv.SiLU(), nv.Hardswish(),
    nv.Hardsigmoid(), nv.LocalResponseNorm(), nv.LocalResponseNorm(4, 2.0, 0.5, 1.5),
    nv.Softmax(), nv.Dropout(0.4), nv.Dropout(0.4, inverted=False), nv.StochasticDepth(0.4),
    nv.Flatten(), nv.Identity(),
    nv.PadChannels((1, 2)), nv.ZeroPad2d((1, 0, 2, 3)), nv.GlobalAvgPool2d(), nv.GlobalMaxPool2d(), nv.BatchNorm2d(),
]  # fmt: skip


@pytest.mark.parametrize("layer", ELEMENTWISE, ids=lambda layer: f"{layer.kind}{getattr(layer, 'inverted', '')}")
@given(c=channels, h=sizes, w=sizes, n=st.sampled_from([2, 3]), training=st.booleans())
@settings(few, max_examples=6)
def test_layer_without_geometry_is_right_on_random_shapes(layer, c, h, w, n, training):
    if isinstance(layer, nv.BatchNorm2d) and n * h * w < 4:
        n = 4  # a variance over two values is so steep that finite differences say nothing
    check_layer(layer, (h, w, c), batch=n, training=training)


@given(
    groups=st.sampled_from([1, 1, 2, 3]), per_group=st.sampled_from([1, 3, 5, 8]), out=st.sampled_from([1, 2, 8, 11]),
    h=sizes, w=sizes, kernel=pairs, stride=pairs, padding=pairs, dilation=st.tuples(*[st.integers(1, 2)] * 2),
    bias=st.booleans(), n=batches,
)  # fmt: skip
@settings(few, max_examples=40)
def test_convolution_is_right_on_random_geometry(
    groups, per_group, out, h, w, kernel, stride, padding, dilation, bias, n
):
    layer = nv.Conv2d(out * groups, kernel, stride, padding, dilation, groups, bias)
    check_layer(layer, (h + 4, w + 4, per_group * groups), batch=n)


@pytest.mark.parametrize("c", [1, 3, 6, 10, 24, 130])
def test_convolution_is_right_for_every_number_of_channels(c):
    check_layer(nv.Conv2d(c, 3, padding=1), (5, 7, c), batch=1)
    check_layer(nv.Conv2d(c, 3, stride=3, dilation=2, groups=c), (9, 7, c))


@given(c=channels, out=channels, tokens=st.sampled_from([0, 1, 5]), bias=st.booleans(), n=batches)
@few
def test_linear_is_right_on_vectors_and_tokens(c, out, tokens, bias, n):
    check_layer(nv.Linear(out, bias=bias), (tokens, c) if tokens else (c,), batch=n)


@pytest.mark.parametrize("kind", [nv.MaxPool2d, nv.AvgPool2d])
@given(c=channels, h=sizes, w=sizes, kernel=pairs, stride=pairs, padded=st.booleans(), ceil=st.booleans(), n=batches)
@few
def test_pooling_is_right_on_random_windows(kind, c, h, w, kernel, stride, padded, ceil, n):
    padding = tuple(k // 2 for k in kernel) if padded else 0
    check_layer(kind(kernel, stride, padding, ceil), (h + 3, w + 3, c), batch=n)


def test_average_pooling_without_padding_in_the_mean():
    check_layer(nv.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), (6, 7, 10))


@pytest.mark.parametrize("kind", [nv.AdaptiveAvgPool2d, nv.AdaptiveMaxPool2d])
@given(c=channels, h=sizes, w=sizes, out=pairs, n=batches)
@settings(few, max_examples=6)
def test_adaptive_pooling_is_right_on_random_sizes(kind, c, h, w, out, n):
    check_layer(kind(out), (h, w, c), batch=n)


@given(c=channels, n=st.sampled_from([4, 5]), tokens=st.sampled_from([0, 3]), training=st.booleans())
@few
def test_batch_norm_of_vectors_and_tokens(c, n, tokens, training):
    check_layer(nv.BatchNorm1d(), (tokens, c) if tokens else (c,), batch=n, training=training)


# A single value is normalised to zero: its gradient is nothing but rounding.
@given(
    c=st.sampled_from([3, 6, 10, 24, 130]), tokens=st.sampled_from([0, 1, 3]), affine=st.booleans(),
    training=st.booleans(), n=batches,
)  # fmt: skip
@few
def test_layer_norm_of_vectors_and_tokens(c, tokens, affine, training, n):
    check_layer(nv.LayerNorm(0.1, affine), (tokens, c) if tokens else (c,), batch=n, training=training)


@given(
    groups=st.sampled_from([1, 2, 3, 8]), per_group=st.sampled_from([1, 2, 5, 16]), h=sizes, w=sizes,
    affine=st.booleans(), n=batches,
)  # fmt: skip
@few
def test_group_norm_is_right_for_any_groups(groups, per_group, h, w, affine, n):
    check_layer(nv.GroupNorm(groups, 0.1, affine), (h + 1, w + 1, groups * per_group), batch=n)


@pytest.mark.parametrize("kind", [nv.Add, nv.Multiply])
@given(c=channels, h=sizes, w=sizes, kept=st.tuples(*[st.booleans()] * 3), n=batches)
@few
def test_merge_repeats_axes_of_size_one(kind, c, h, w, kept, n):
    shape = (h, w, c)
    gate = tuple(size if keep else 1 for size, keep in zip(shape, kept, strict=True))
    check_layer(kind(), shape, gate, batch=n)
    check_layer(kind(), gate, shape, batch=n)


@given(c=channels, h=sizes, w=sizes, n=batches)
@few
def test_a_vector_gates_all_pixels_of_an_image_and_all_tokens(c, h, w, n):
    check_layer(nv.Multiply(), (h, w, c), (c,), batch=n)
    check_layer(nv.Multiply(), (c,), (h, w, c), batch=n)
    check_layer(nv.Multiply(), (h, c), (c,), batch=n)


@given(
    branches=st.integers(1, 4), c=st.sampled_from([1, 3, 8, 21]), image=st.sampled_from([(), (3, 2)]), n=batches,
)  # fmt: skip
@few
def test_branches_share_out_each_channel(branches, c, image, n):
    check_layer(nv.BranchSoftmax(branches), (*image, branches * c), batch=n)


def test_the_gradients_of_a_selective_kernel_unit_are_right():
    g = nv.Graph((6, 6, 8))
    branches = [g.add(nv.Conv2d(8, 3, padding=d, dilation=d, groups=4), g.input) for d in (1, 2, 3)]
    squeezed = g.add(nv.GlobalAvgPool2d(), g.add(nv.Add(), branches))
    shares = g.add(nv.BranchSoftmax(3), g.add(nv.Linear(24), g.add(nv.Tanh(), g.add(nv.Linear(4), squeezed))))
    parts = [g.add(nv.Multiply(), [x, g.add(nv.Split(3, i), shares)]) for i, x in enumerate(branches)]
    g.output = g.add(nv.Add(), parts)
    assert nv.gradcheck(g).ok


def test_add_of_four_inputs_of_which_some_are_repeated():
    check_layer(nv.Add(), (4, 5, 6), (1, 1, 6), (4, 5, 6), (4, 1, 1))


@given(cs=st.lists(channels, min_size=2, max_size=4), n=batches)
@few
def test_concat_and_split_cut_the_channels_in_the_same_places(cs, n):
    check_layer(nv.Concat(), *[(3, 2, c) for c in cs], batch=n)
    check_layer(nv.Split(tuple(cs), len(cs) - 1), (3, 2, sum(cs)), batch=n)


@pytest.mark.parametrize(("c", "groups"), [(1, 1), (6, 2), (6, 3), (10, 10), (24, 4), (130, 10), (192, 8)])
def test_channel_shuffle_moves_channels_and_gradients_alike(c, groups):
    check_layer(nv.ChannelShuffle(groups), (3, 2, c))


@given(
    c=channels, h=sizes, w=sizes, scale=st.one_of(st.integers(1, 3), pairs), n=batches,
    mode=st.sampled_from(["nearest", "bilinear"]),
)  # fmt: skip
@few
def test_upsampling_is_right_for_any_scale(c, h, w, scale, mode, n):
    check_layer(nv.Upsample(scale, mode), (h, w, c), batch=n)


@given(
    c=channels, h=sizes, w=sizes, scale=st.sampled_from([1.5, (2.5, 1.1), (1.0, 3.2)]), size=pairs, n=batches,
    how=st.sampled_from([("nearest", False), ("bilinear", False), ("bilinear", True)]),
)  # fmt: skip
@few
def test_upsampling_by_broken_factors_and_to_a_size(c, h, w, scale, size, how, n):
    mode, align = how
    check_layer(nv.Upsample(scale, mode, align_corners=align), (h, w, c), batch=n)
    check_layer(nv.Upsample(mode=mode, size=(3 * size[0], 4 * size[1]), align_corners=align), (h, w, c), batch=n)


def test_reshape_keeps_the_values_in_order():
    check_layer(nv.Reshape((6, -1)), (3, 4, 5))


def test_every_layer_kind_is_covered_here():
    tested = {layer.kind for layer in ELEMENTWISE} | {
        "Conv2d", "Linear", "MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "BatchNorm1d",
        "Add", "Multiply", "Concat", "Split", "Reshape", "ChannelShuffle", "LayerNorm",
        "GroupNorm", "ToTokens", "ClassToken", "PositionEmbedding", "SelectToken", "MultiHeadAttention", "Attention",
        "DeformConv2d", "BranchSoftmax", "CondConv2d", "Upsample",
    }  # fmt: skip
    assert set(LAYERS) == tested


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nv.Conv2d(0), "out_channels"),
        (lambda: nv.Conv2d(8, kernel_size=0), "kernel_size"),
        (lambda: nv.Conv2d(8, groups=3), "groups"),
        (lambda: nv.Conv2d(8, 4, padding="same"), "odd kernel"),
        (lambda: nv.ChannelShuffle(0), "groups"),
        (lambda: nv.MaxPool2d(2, padding=2), "padding"),
        (lambda: nv.Dropout(1.0), "rate"),
        (lambda: nv.BatchNorm2d(eps=0), "eps"),
        (lambda: nv.LayerNorm(eps=0), "eps"),
        (lambda: nv.GroupNorm(0), "num_groups"),
        (lambda: nv.LocalResponseNorm(0), "size"),
        (lambda: nv.Upsample(0), "scale_factor"),
        (lambda: nv.Upsample(2, "cubic"), "mode"),
        (lambda: nv.Upsample(-1.5), "scale_factor"),
        (lambda: nv.Upsample((1, 2, 3)), "scale_factor"),
        (lambda: nv.Upsample(size=0), "size"),
        (lambda: nv.Upsample(2, align_corners=True), "align_corners"),
        (lambda: nv.StochasticDepth(1.0), "rate"),
        (lambda: nv.BranchSoftmax(0), "branches"),
        (lambda: nv.Split(2, part=2), "part"),
        (lambda: nv.Linear(2.5), "out_features"),
    ],
)
def test_an_impossible_option_is_refused_by_name(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


@pytest.mark.parametrize(
    ("layer", "shapes", "words"),
    [
        (nv.Conv2d(4, 5), [(3, 3, 1)], "larger than its input 3x3x1"),
        (nv.Conv2d(4), [(10,)], "needs images"),
        (nv.Conv2d(4, groups=2), [(5, 5, 3)], "groups do not divide"),
        (nv.ChannelShuffle(2), [(5, 5, 3)], "groups do not divide"),
        (nv.GroupNorm(2), [(5, 5, 3)], "groups do not divide"),
        (nv.Linear(4), [(5, 5, 3)], "put a Flatten"),
        (nv.Add(), [(5, 5, 3), (5, 5, 4)], "5x5x3 and 5x5x4"),
        (nv.Multiply(), [(5, 5, 3), (4,)], "5x5x3 and 1x1x4"),
        (nv.Multiply(), [(5, 5, 3), (5, 3)], "5x5x3 and 5x3"),
        (nv.BranchSoftmax(2), [(5, 5, 3)], "branches do not divide"),
        (nv.Concat(), [(5, 5, 3), (4, 5, 3)], "equal heights"),
        (nv.Split(2), [(5, 5, 3)], "cannot cut 3 channels"),
        (nv.Reshape((7,)), [(2, 3)], "6 values"),
        (nv.BatchNorm1d(), [(5, 5, 3)], "BatchNorm2d"),
        (nv.Upsample(0.2), [(4, 9, 3)], "leaves nothing of its input 4x9x3"),
    ],
)
def test_a_shape_that_does_not_fit_is_explained(layer, shapes, words):
    with pytest.raises(ShapeError, match=words):
        layer.output_shape(*shapes)
