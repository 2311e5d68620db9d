"""Kernels that are timed beside PyTorch's and BLAS: each case makes functions that do the same work, ours first."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from nnvis.bench.case import Case, Work, cpu, layouts, random_array, torch_module

# --- matrix product -----------------------------------------------------------------------------------------


def _matmul(m: int, k: int, n: int) -> Case:
    def make() -> tuple[Work, dict[str, Work]]:
        a, b, c = random_array(m, k), random_array(k, n), random_array(m, n)
        rivals: dict[str, Work] = {"BLAS": lambda: np.matmul(a, b, out=c)}
        return lambda: cpu().matmul(a, b, c, False, False), rivals

    return Case(f"matmul {m}x{k}x{n}", make, 2.0 * m * k * n)


# --- convolution --------------------------------------------------------------------------------------------


def _conv(which: str, n: int, size: int, c: int, o: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> Case:
    padding, out = kernel // 2, (size + 2 * (kernel // 2) - kernel) // stride + 1
    geometry = (stride, stride), (padding, padding), (1, 1), groups

    def make() -> tuple[Work, dict[str, Work]]:
        x, dy = random_array(n, size, size, c), random_array(n, out, out, o)
        w = random_array(kernel, kernel, c // groups, o)
        y, dx, dw = random_array(*dy.shape), random_array(*x.shape), random_array(*w.shape)
        ours: dict[str, Work] = {
            "forward": lambda: cpu().conv2d_forward(x, w, None, y, *geometry),
            "data": lambda: cpu().conv2d_backward_data(dy, w, dx, *geometry),
            "weights": lambda: cpu().conv2d_backward_weights(x, dy, dw, None, *geometry),
        }
        return ours[which], {name: rival[which] for name, rival in _torch_conv(x, dy, w, geometry)}

    shape = f"{n}x{size}x{size}x{c} -> {o}, {kernel}x{kernel}" + f" /{stride}" * (stride > 1)
    kind = "depthwise" if groups > 1 else "conv"
    return Case(f"{kind} {which} {shape}", make, 2.0 * n * out * out * o * kernel**2 * c / groups)


def _torch_conv(x, dy, w, geometry) -> Iterator[tuple[str, dict[str, Work]]]:
    torch = torch_module()
    stride, padding, dilation, groups = geometry
    options = [list(stride), list(padding), list(dilation)]
    for name, (tx, tdy) in layouts(x, dy):
        tw = torch.from_numpy(np.ascontiguousarray(w.transpose(3, 2, 0, 1)))
        if name == "channels-last":
            tw = tw.contiguous(memory_format=torch.channels_last)

        def back(mask, tx=tx, tdy=tdy, tw=tw):
            torch.ops.aten.convolution_backward(tdy, tx, tw, None, *options, False, [0, 0], groups, mask)

        def ahead(tx=tx, tw=tw):
            with torch.no_grad():
                torch.nn.functional.conv2d(tx, tw, None, *options, groups)

        yield (
            name,
            {
                "forward": ahead,
                "data": partial(back, [True, False, False]),
                "weights": partial(back, [False, True, False]),
            },
        )


# --- batch normalisation and pooling ------------------------------------------------------------------------


def _batch_norm(which: str, n: int, size: int, c: int) -> Case:
    def make() -> tuple[Work, dict[str, Work]]:
        x, dy = random_array(n, size, size, c), random_array(n, size, size, c)
        gamma, beta, mean, inv, rm, rv, dg, db = (np.ones(c, np.float32) for _ in range(8))
        flat = [a.reshape(-1, c) for a in (x, random_array(*x.shape), dy, random_array(*x.shape))]
        k = cpu()
        ahead = lambda: k.batch_norm_forward_train(flat[0], gamma, beta, flat[1], mean, inv, rm, rv, 0.1, 1e-5)  # noqa: E731
        ahead()
        back = lambda: k.batch_norm_backward_train(flat[0], gamma, mean, inv, flat[2], flat[3], dg, db)  # noqa: E731
        return (ahead if which == "forward" else back), dict(_torch_batch_norm(which, x, dy))

    return Case(f"batch norm {which} {n}x{size}x{size}x{c}", make)


def _torch_batch_norm(which: str, x, dy) -> Iterator[tuple[str, Work]]:
    for name, (tx, tdy) in layouts(x, dy):
        yield name, _torch_batch_norm_work(which, tx, tdy)


def _torch_batch_norm_work(which: str, x, dy) -> Work:
    torch = torch_module()
    ones, zeros, mean, var = (make(x.shape[1]) for make in (torch.ones, torch.zeros, torch.zeros, torch.ones))
    ahead = lambda: torch.ops.aten.native_batch_norm(x, ones, zeros, mean, var, True, 0.1, 1e-5)  # noqa: E731
    _, *batch = ahead()
    saved = (mean, var, *batch, True, 1e-5, [True, True, True])
    back = lambda: torch.ops.aten.native_batch_norm_backward(dy, x, ones, *saved)  # noqa: E731
    return ahead if which == "forward" else back


def _max_pool(which: str, n: int, size: int, c: int, kernel: int = 2, stride: int = 2) -> Case:
    out, padding = (
        (size + 2 * (kernel // 2 if kernel > 2 else 0) - kernel) // stride + 1,
        kernel // 2 if kernel > 2 else 0,
    )
    geometry = (kernel, kernel), (stride, stride), (padding, padding)

    def make() -> tuple[Work, dict[str, Work]]:
        x, dy = random_array(n, size, size, c), random_array(n, out, out, c)
        y, dx, argmax = random_array(*dy.shape), random_array(*x.shape), np.empty(dy.shape, np.uint8)
        cpu().max_pool2d_forward(x, y, argmax, *geometry)
        ours: dict[str, Work] = {
            "forward": lambda: cpu().max_pool2d_forward(x, y, argmax, *geometry),
            "backward": lambda: cpu().max_pool2d_backward(dy, argmax, dx, *geometry),
        }
        return ours[which], dict(_torch_max_pool(which, x, dy, [list(g) for g in geometry]))

    return Case(f"max pool {which} {n}x{size}x{size}x{c}, {kernel}x{kernel} /{stride}", make)


def _torch_max_pool(which: str, x, dy, geometry) -> Iterator[tuple[str, Work]]:
    for name, (tx, tdy) in layouts(x, dy):
        yield name, _torch_max_pool_work(which, tx, tdy, geometry)


def _torch_max_pool_work(which: str, x, dy, geometry) -> Work:
    aten = torch_module().ops.aten
    ahead = lambda: aten.max_pool2d_with_indices(x, *geometry)  # noqa: E731
    where = ahead()[1]
    back = lambda: aten.max_pool2d_with_indices_backward(dy, x, *geometry, [1, 1], False, where)  # noqa: E731
    return ahead if which == "forward" else back


def _avg_pool(which: str, n: int, size: int, c: int) -> Case:
    def make() -> tuple[Work, dict[str, Work]]:
        x, dy = random_array(n, size, size, c), random_array(n, 1, 1, c)
        y, dx = random_array(*dy.shape), random_array(*x.shape)
        ours: dict[str, Work] = {
            "forward": lambda: cpu().adaptive_avg_pool2d_forward(x, y),
            "backward": lambda: cpu().adaptive_avg_pool2d_backward(dy, dx),
        }
        return ours[which], dict(_torch_avg_pool(which, x, dy))

    return Case(f"global average pool {which} {n}x{size}x{size}x{c}", make)


def _torch_avg_pool(which: str, x, dy) -> Iterator[tuple[str, Work]]:
    for name, (tx, tdy) in layouts(x, dy):
        if which == "forward":
            yield name, partial(tx.mean, (2, 3))
        else:
            yield name, partial(_torch_spread, tx, tdy)


def _torch_spread(x, dy):
    return (dy / (x.shape[2] * x.shape[3])).expand_as(x).contiguous()


#: Matrix products of the MLP (forward, weights) and LeNet-5, of MobileNet V2's 1x1 convolutions on 32x32 images (wide
#: and narrow, early and late) and of the ViT's linear layers.
_PRODUCTS = [
    (64, 784, 256), (784, 64, 256), (64, 400, 120), (32768, 16, 96), (32768, 96, 24), (512, 960, 160), (512, 160, 960),
    (2080, 192, 576), (2080, 768, 192),
]  # fmt: skip
#: Convolutions of ResNet-20 and VGG-11 on 32x32 images, LeNet-5's first, a strided and a 1x1 one, as
#: (batch, size, channels in, channels out, kernel, stride).
_CONVOLUTIONS = [
    (64, 32, 16, 16, 3, 1), (64, 16, 32, 32, 3, 1), (64, 8, 64, 64, 3, 1), (64, 16, 64, 128, 3, 1),
    (64, 8, 128, 256, 3, 1), (64, 4, 512, 512, 3, 1), (64, 32, 3, 64, 3, 1), (64, 28, 1, 6, 5, 1),
    (64, 16, 16, 32, 3, 2), (64, 16, 64, 128, 1, 1),
]  # fmt: skip


def kernel_cases() -> dict[str, list[Case]]:
    """The cases by group."""
    return {
        "matmul": [_matmul(n, n, n) for n in (256, 512, 1024, 2048)] + [_matmul(*shape) for shape in _PRODUCTS],
        "conv": [_conv(which, *shape) for which in ("forward", "data", "weights") for shape in _CONVOLUTIONS]
        + [_conv(which, 32, 16, 96, 96, groups=96) for which in ("forward", "data", "weights")],
        "norm": [_batch_norm(which, 64, *s) for which in ("forward", "backward") for s in ((32, 16), (8, 64))],
        "pool": [_max_pool(which, 64, *s) for which in ("forward", "backward") for s in ((32, 16), (16, 64))]
        + [_avg_pool(which, 64, 8, 64) for which in ("forward", "backward")],
    }
