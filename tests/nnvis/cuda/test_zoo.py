"""Every network of the zoo takes a step on the GPU: all of it is kernels of the GPU, on its arrays."""

from __future__ import annotations

import numpy as np
import pytest

import nnvis as nv
from kernels.cuda import jit
from nnvis.zoo.registry import ENTRIES


@pytest.fixture(autouse=True)
def small_blocks():
    """Blocks as they are: none of them is run."""


@pytest.mark.parametrize("name", ENTRIES)
def test_a_step_and_an_answer_are_kernels_of_the_gpu(name):
    shape = (28, 28, 1) if name.startswith("lenet") else (32, 32, 3)
    graph = nv.zoo.build(name, num_classes=10, input_shape=shape)
    with jit.recording() as needed:  # calls are made up to where a kernel would start
        trainer = nv.Trainer(nv.Network(graph, device="cuda"))
        trainer.rehearse([2], [1])
    assert {"momentum_kernel", "sgd_kernel"} & set(needed)
    assert len(needed) > 5
    assert trainer.net.device.dtype == np.float32
