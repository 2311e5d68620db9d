"""The oracle's optimizers take the same steps as PyTorch's in float64."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import reference

torch = pytest.importorskip("torch", reason="compares the oracle with PyTorch")


def compare_optimizer(make, update, slots, l1=0.0, scale=1.0, steps=5):
    """Run PyTorch's optimizer and ours on the same gradients, then compare the weights.

    `make` gets the list of parameters; `update` gets (w, g, slots, step).
    """
    rng = np.random.default_rng(3)
    w = rng.normal(size=50)
    weight = torch.tensor(w, requires_grad=True)
    optimizer = make([weight])
    state = [np.zeros_like(w) for _ in range(slots)]
    for step in range(1, steps + 1):
        g = rng.normal(size=50)
        penalty = l1 * np.sign(weight.detach().numpy())
        weight.grad = torch.tensor(scale * g + penalty)
        optimizer.step()
        update(w, g, state, step)
        np.testing.assert_allclose(w, weight.detach().numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize("l1", [0.0, 0.05])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_gradient_descent_agrees_over_five_steps(momentum, nesterov, l1, l2):
    def make(parameters):
        return torch.optim.SGD(parameters, lr=0.1, momentum=momentum, nesterov=nesterov, weight_decay=l2)

    def update(w, g, state, step):
        if momentum:
            reference.momentum_update(w, g, *state, 0.1, momentum, nesterov, l1, l2, 0.5)
        else:
            reference.sgd_update(w, g, 0.1, l1, l2, 0.5)

    compare_optimizer(make, update, slots=1 if momentum else 0, l1=l1, scale=0.5)


@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_rmsprop_agrees_over_five_steps(l2):
    compare_optimizer(
        lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.95, eps=1e-6, weight_decay=l2),
        lambda w, g, state, step: reference.rmsprop_update(w, g, *state, 0.01, 0.95, 1e-6, 0.02, l2, 2.0),
        slots=1,
        l1=0.02,
        scale=2.0,
    )


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam_and_adamw_agree_over_five_steps(decoupled, decay):
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    l2, decoupled_decay = (0.0, decay) if decoupled else (decay, 0.0)
    compare_optimizer(
        lambda p: kind(p, lr=0.02, betas=(0.8, 0.95), eps=1e-7, weight_decay=decay),
        lambda w, g, state, step: reference.adam_update(
            w, g, *state, 0.02, 0.8, 0.95, 1e-7, step, decoupled_decay, 0.03, l2, 1.5
        ),
        slots=2,
        l1=0.03,
        scale=1.5,
    )
