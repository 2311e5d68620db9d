"""A network here and its twin in PyTorch: same weights by name, same logits, same gradients."""

from __future__ import annotations

import numpy as np
import pytest

import nnvis as nv
from nnvis.io.torch_layout import from_torch, to_torch

torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch)")
torch_nets = pytest.importorskip("nnvis.bench.torch_nets")
F = torch.nn.functional

TOLERANCE = 1e-3


def relative_error(actual, expected, scale: float = 1e-6) -> float:
    """Largest difference as a share of the largest expected value, or of `scale` where that is larger."""
    return float(np.abs(actual - expected).max() / max(np.abs(expected).max(), scale))


def assert_gradients_agree(ours: dict, theirs: dict, tolerance: float = TOLERANCE) -> None:
    # A bias in front of batch normalisation has a gradient of zero, which both sides miss by a rounding error.
    rounding = 1e-3 * max(np.abs(g).max() for g in theirs.values())
    for name, gradient in theirs.items():
        assert relative_error(ours[name], gradient, rounding) < tolerance, name


def numpy_state(module) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy().copy() for name, value in module.state_dict().items()}


def images(graph: nv.Graph, count: int, seed: int = 0, classes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(size=(count, *graph.input_shape)).astype(np.float32), random.integers(0, classes, count)


def as_torch(x: np.ndarray):
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


def assert_twins_agree(model, graph: nv.Graph, training: bool, batch: int = 4) -> None:
    """Assert that `graph` with the weights of `model`, taken over by name, does as `model` does in float64.

    The textbook kernels, in float64 too, must agree in every value. A fast kernel's rounding may move a value near zero
    to the other side of a ReLU, after which gradients differ, as PyTorch's float32 ones then do: they must agree on one
    of some batches, since a mistake would show on all. (Of a deep network in training, one batch in five agrees.)
    """
    model.double().train(training)
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    state = from_torch(graph, numpy_state(model))
    assert max(_errors(model, graph, state, "reference", batch).values()) < 1e-6
    for seed in range(24):
        model.load_state_dict(buffers, strict=False)
        errors = _errors(model, graph, state, "cpu", batch, seed)
        assert errors["logits"] < TOLERANCE
        if max(errors.values()) < TOLERANCE:
            return
    worst = max(errors, key=errors.__getitem__)
    raise AssertionError(f"no batch agrees; on the last one the error of {worst} is {errors[worst]}")


def _errors(model, graph: nv.Graph, state: dict, device: str, batch: int, seed: int = 0) -> dict[str, float]:
    """Relative errors of the logits, of the input's gradient, and of each parameter's.

    With auxiliary outputs the model gives a tuple in training mode: logits, and those of each auxiliary output.
    """
    x, labels = images(graph, batch, seed)
    tx = as_torch(x).double().requires_grad_()
    model.zero_grad()
    found = model(tx)
    logits, *aux = found if isinstance(found, tuple) else (found,)
    weights = {"logits": 1.0} | (graph.aux_outputs if aux else {})
    scores = dict(zip(weights, [logits, *aux], strict=True))
    losses = [w * F.cross_entropy(scores[name], torch.from_numpy(labels)) for name, w in weights.items()]
    sum(losses).backward()
    dys = {name: w * _slope(scores[name].detach(), labels) for name, w in weights.items()}
    net = nv.Network(graph, device)
    net.load_state_dict(state)
    errors = {"logits": relative_error(net.forward(x, model.training), logits.detach().numpy())}
    errors |= {name: relative_error(net.activation(name), scores[name].detach().numpy()) for name in list(weights)[1:]}
    dx = net.backward(dys.pop("logits"), dys)
    errors["input"] = relative_error(dx.transpose(0, 3, 1, 2), tx.grad.numpy())
    theirs = {name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None}
    ours, rounding = to_torch(graph, net.gradients()), 1e-3 * max(np.abs(g).max() for g in theirs.values())
    return errors | {name: relative_error(ours[name], gradient, rounding) for name, gradient in theirs.items()}


def _slope(scores, labels: np.ndarray) -> np.ndarray:
    """Gradient of the mean cross-entropy."""
    gradient = torch.softmax(scores, 1).numpy()
    gradient[np.arange(len(labels)), labels] -= 1
    return gradient / len(labels)


def shake_batch_norms(model, seed: int = 0) -> None:
    """Random factors, offsets and running statistics, so that evaluation mode is put to the test."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0, 0.1, generator=generator)
