"""What the benchmark times on both sides is the same network; tests of the zoo compare its values."""

from __future__ import annotations

import numpy as np
import pytest

import nnvis as nv
from nnvis import bench
from nnvis.bench.net_cases import INFERENCE, TRAINING, Target, our_answer, our_step, torch_answers, torch_steps
from nnvis.errors import UnknownNameError
from nnvis.io.torch_layout import torch_shapes
from tests.nnvis.torch_twin import torch


@pytest.mark.parametrize("target", dict.fromkeys(Target(t.net, 1, t.size) for t in TRAINING + INFERENCE), ids=str)
def test_both_sides_have_the_same_parameters_and_buffers(target):
    with torch.device("meta"):
        state = target.twin().state_dict()
    theirs = {name: tuple(value.shape) for name, value in state.items() if not name.endswith("num_batches_tracked")}
    assert theirs == torch_shapes(target.graph())


@pytest.mark.parametrize("target", dict.fromkeys(Target(t.net, 1, t.size) for t in TRAINING), ids=str)
def test_dropout_has_the_same_rates(target):
    theirs = [m.p for m in target.twin().modules() if isinstance(m, torch.nn.Dropout) and m.p]
    ours = [node.layer.rate for node in target.graph() if isinstance(node.layer, nv.Dropout)]
    assert sorted(theirs) == sorted(ours)


@pytest.mark.parametrize("target", [Target("mlp", 4, 28), Target("googlenet", 2, 32)], ids=str)
def test_both_sides_learn_the_batch(target):
    step = our_step(target)
    losses = [step() for _ in range(12)]
    assert losses[-1] < losses[0]
    for _, rival in torch_steps(target):
        optimizer_sees = {id(p): p.detach().clone() for p in _parameters(rival)}
        rival()
        assert any((p.detach() != optimizer_sees[id(p)]).any() for p in _parameters(rival))


def _parameters(step):
    model = next(cell.cell_contents for cell in step.__closure__ if isinstance(cell.cell_contents, torch.nn.Module))
    return list(model.parameters())


def test_inference_times_the_whole_answer():
    target = Target("lenet5", 1, 28)
    assert our_answer(target)().shape == (1, 10)
    assert [name for name, _ in torch_answers(target)] == ["contiguous", "channels-last"]


def test_one_case_can_be_run_alone():
    (row,) = bench.run(["train"], [1], rounds=1, only="lenet5 28x28, batch 64")
    assert (row.group, row.threads) == ("train", 1)
    assert set(row.rivals) == {"contiguous", "channels-last"} and np.isfinite(row.ratio)


def test_a_name_that_no_case_has_is_refused_with_those_there_are():
    with pytest.raises(UnknownNameError, match="resnet20 32x32, batch 64"):
        bench.run(["train"], only="resnet21")
