"""Single layers against PyTorch's: same weights, same output, same gradients."""

from __future__ import annotations

import numpy as np
import pytest

import nnvis as nv
from nnvis.io.torch_layout import from_torch, to_torch
from nnvis.layers.base import Layer
from tests.nnvis.check_layer import graph_of, relative_error

torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch)")
F = torch.nn.functional

TOLERANCE = 1e-4


def channels_first(x):
    """(N, H, W, C) as PyTorch's (N, C, H, W)."""
    return x.permute(0, 3, 1, 2)


def channels_last(x):
    return x.permute(0, 2, 3, 1)


def compare(layer: Layer, theirs, *shapes, seed: int = 0, batch: int = 3, spread: float = 1.0) -> None:
    """Assert that `layer` and ``theirs(parameters, *inputs)`` agree in float32, both ways.

    `theirs` takes the parameters by name, as tensors in this engine's order, and channels-last inputs.
    """
    random = np.random.default_rng(seed)
    net = nv.Network(graph_of(layer, list(shapes)))
    for value in net.parameters.values.values():
        value[...] = random.normal(size=value.shape)
    net.parameters.version += 1
    arrays = [spread * random.normal(size=(batch, *shape)).astype(np.float32) for shape in shapes]
    inputs = [torch.tensor(array, requires_grad=True) for array in arrays]
    state = {n.removeprefix("layer."): torch.tensor(v, requires_grad=True) for n, v in net.state_dict().items()}
    expected = theirs(state, *inputs)
    dy = random.normal(size=expected.shape).astype(np.float32)
    expected.backward(torch.from_numpy(dy))
    y = net.forward(np.concatenate([a.reshape(batch, -1) for a in arrays], axis=1), training=True)
    assert relative_error(y, expected.detach().numpy()) < TOLERANCE
    dx = net.backward(dy)
    gradients = np.concatenate([i.grad.numpy().reshape(batch, -1) for i in inputs], axis=1)
    assert relative_error(dx, gradients) < TOLERANCE
    for name, gradient in net.gradients().items():
        assert relative_error(gradient, state[name.removeprefix("layer.")].grad.numpy()) < TOLERANCE, name


def convolution(state, x, **options):
    weight = state["weight"].permute(3, 2, 0, 1)
    return channels_last(F.conv2d(channels_first(x), weight, state.get("bias"), **options))


@pytest.mark.parametrize(("channels", "groups"), [(8, 2), (12, 3), (16, 16), (5, 5)])
def test_grouped_and_depthwise_convolutions(channels, groups):
    layer = nv.Conv2d(2 * channels, 3, 2, 1, groups=groups)
    compare(layer, lambda s, x: convolution(s, x, stride=2, padding=1, groups=groups), (9, 8, channels))


@pytest.mark.parametrize(("channels", "groups"), [(6, 2), (24, 3), (64, 8)])
def test_channel_shuffle(channels, groups):
    shuffle = torch.nn.ChannelShuffle(groups)
    compare(
        nv.ChannelShuffle(groups), lambda s, x: channels_last(shuffle(channels_first(x).contiguous())), (4, 5, channels)
    )


@pytest.mark.parametrize("shape", [(10,), (7, 48), (3, 4, 33)])
def test_layer_norm(shape):
    compare(nv.LayerNorm(), lambda s, x: F.layer_norm(x, shape[-1:], s["weight"], s["bias"]), shape)


@pytest.mark.parametrize("groups", [1, 3, 24])
def test_group_norm(groups):
    def theirs(s, x):
        return channels_last(F.group_norm(channels_first(x), groups, s["weight"], s["bias"]))

    compare(nv.GroupNorm(groups), theirs, (5, 6, 24))


@pytest.mark.parametrize("options", [{}, {"size": 4, "alpha": 2.0, "beta": 0.5, "k": 2.0}, {"size": 7, "alpha": 1.0}])
def test_local_response_norm(options):
    layer = nv.LocalResponseNorm(**options)

    def theirs(s, x):
        return channels_last(F.local_response_norm(channels_first(x), layer.size, layer.alpha, layer.beta, layer.k))

    compare(layer, theirs, (4, 3, 12))


def test_hard_sigmoid_and_hard_swish():
    compare(nv.Hardsigmoid(), lambda s, x: F.hardsigmoid(x), (40,), spread=3.0)
    compare(nv.Hardswish(), lambda s, x: F.hardswish(x), (40,), spread=3.0)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("scale", [(1, 2), (2, 2), (3, 4), (8, 8)])
@pytest.mark.parametrize("size", [(1, 1), (5, 4)])
def test_upsampling(mode, scale, size):
    theirs = torch.nn.Upsample(scale_factor=scale, mode=mode)
    compare(nv.Upsample(scale, mode), lambda s, x: channels_last(theirs(channels_first(x))), (*size, 9))


@pytest.mark.parametrize(("mode", "align"), [("nearest", None), ("bilinear", False), ("bilinear", True)])
@pytest.mark.parametrize(
    "where", [{"scale_factor": 1.5}, {"scale_factor": (2.5, 1.3)}, {"size": (7, 9)}, {"size": (3, 11)}, {"size": 1}]
)
@pytest.mark.parametrize("size", [(1, 1), (5, 4), (6, 7)])
def test_upsampling_by_broken_factors_and_to_a_size(mode, align, where, size):
    theirs = torch.nn.Upsample(**where, mode=mode, align_corners=align)
    layer = nv.Upsample(**where, mode=mode, align_corners=bool(align))
    compare(layer, lambda s, x: channels_last(theirs(channels_first(x))), (*size, 9))


@pytest.mark.parametrize(("heads", "depth", "tokens"), [(1, 5, 3), (3, 12, 17), (4, 64, 50)])
@pytest.mark.parametrize("bias", [True, False])
def test_self_attention(heads, depth, tokens, bias):
    def theirs(s, x):
        x = x.transpose(0, 1)
        y, _ = F.multi_head_attention_forward(
            x, x, x, depth, heads, s["in_proj_weight"].T, s.get("in_proj_bias"), None, None, False, 0.0,
            s["out_proj_weight"].T, s.get("out_proj_bias"),
        )  # fmt: skip
        return y.transpose(0, 1)

    compare(nv.MultiHeadAttention(heads, bias), theirs, (tokens, depth))


def test_weights_of_pytorchs_attention_load_by_name():
    module = torch.nn.MultiheadAttention(12, 3, batch_first=True)
    torch.nn.init.normal_(module.in_proj_bias)
    net = nv.Network(graph_of(nv.MultiHeadAttention(3), [(5, 12)]))
    state = {f"layer.{name}": value.detach().numpy() for name, value in module.state_dict().items()}
    net.load_state_dict(from_torch(net.graph, state))
    x = np.random.default_rng(0).normal(size=(2, 5, 12)).astype(np.float32)
    expected, _ = module(*[torch.from_numpy(x)] * 3)
    assert relative_error(net.forward(x.reshape(2, -1)), expected.detach().numpy()) < TOLERANCE
    again = to_torch(net.graph, net.state_dict())
    assert set(again) == set(state)
    for name, value in state.items():
        np.testing.assert_array_equal(again[name], value)


def test_linear_layer_on_tokens():
    compare(nv.Linear(7), lambda s, x: x @ s["weight"] + s["bias"], (11, 5))


def test_class_token_and_position_embedding():
    compare(nv.ClassToken(), lambda s, x: torch.cat([s["weight"].expand(len(x), 1, -1), x], 1), (6, 10))
    compare(nv.PositionEmbedding(), lambda s, x: x + s["weight"], (6, 10))


@pytest.mark.parametrize("scale", [None, 1.0])
def test_attention(scale):
    def theirs(s, q, k, v):
        parts = [x.reshape(*x.shape[:2], 2, -1).transpose(1, 2) for x in (q, k, v)]
        return F.scaled_dot_product_attention(*parts, scale=scale).transpose(1, 2).reshape(len(q), -1, 10)

    compare(nv.Attention(2, scale), theirs, (9, 12), (21, 12), (21, 10))


def test_the_dot_product_form_of_a_non_local_block_on_images():
    def theirs(s, theta, phi, g):
        flat = [x.flatten(1, 2) for x in (theta, phi, g)]
        return (flat[0] @ flat[1].transpose(1, 2) / 12 @ flat[2]).reshape(-1, 5, 4, 7)

    compare(nv.Attention(1, 1.0, "dot"), theirs, (5, 4, 6), (3, 4, 6), (3, 4, 7))


def deformed(state, x, offset, mask, stride, padding, dilation, groups):
    """Deformable convolution by PyTorch's bilinear sampling of an image in a frame of zeros."""
    weight, margin = state["weight"], 4
    (kh, kw, _, outputs), (count, height, width, _) = weight.shape, x.shape
    oh, ow, taps = *offset.shape[1:3], kh * kw
    moved = offset.reshape(count, oh, ow, -1, taps, 2).permute(0, 3, 4, 1, 2, 5)  # N, G, K, OH, OW, 2
    i, j = torch.meshgrid(torch.arange(kh), torch.arange(kw), indexing="ij")
    rows = torch.arange(oh)[:, None] * stride - padding + (i.flatten() * dilation)[:, None, None]
    columns = torch.arange(ow) * stride - padding + (j.flatten() * dilation)[:, None, None]
    row, column = (rows + moved[..., 0]).clamp(-3, height + 2), (columns + moved[..., 1]).clamp(-3, width + 2)
    sides = width + 2 * margin - 1, height + 2 * margin - 1
    grid = torch.stack([(column + margin) / sides[0] * 2 - 1, (row + margin) / sides[1] * 2 - 1], -1)
    frames = F.pad(channels_first(x), (margin,) * 4).chunk(grid.shape[1], 1)
    read = [
        F.grid_sample(frame, grid[:, g].flatten(1, 2), padding_mode="zeros", align_corners=True)
        for g, frame in enumerate(frames)
    ]
    factors = 1 if mask is None else mask.reshape(count, oh, ow, -1, taps).permute(0, 3, 4, 1, 2)
    samples = torch.stack([each.reshape(count, -1, taps, oh, ow) for each in read], 1)  # N, G, C / G, K, OH, OW
    samples = samples * (1 if mask is None else factors[:, :, None])
    samples = samples.reshape(count, groups, -1, taps, oh, ow)
    split = weight.reshape(taps, -1, groups, outputs // groups)
    return torch.einsum("ngckhw,kcgo->nhwgo", samples, split).flatten(3) + state["bias"]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("stride", "padding", "dilation", "groups", "moving"), [(1, 1, 1, 1, 1), (2, 2, 2, 2, 3)])
def test_deformable_convolution(masked, stride, padding, dilation, groups, moving):
    layer = nv.DeformConv2d(10, 3, stride, padding, dilation, groups)
    image = (9, 8, 12)
    size = layer.output_shape(image)[:2]
    shapes = [image, (*size, 18 * moving), (*size, 9 * moving)][: 2 + masked]

    def theirs(s, x, offset, mask=None):
        return deformed(s, x, offset, mask, stride, padding, dilation, groups)

    compare(layer, theirs, *shapes, spread=2.0)


def test_a_vector_gates_an_image():
    compare(nv.Multiply(), lambda s, x, gate: x * gate[:, None, None], (5, 4, 7), (7,))
    compare(nv.Multiply(), lambda s, gate, x: x * gate, (1, 1, 7), (5, 4, 7))


def test_softmax_across_branches():
    compare(nv.BranchSoftmax(3), lambda s, x: x.reshape(-1, 3, 7).softmax(1).flatten(1), (21,))
