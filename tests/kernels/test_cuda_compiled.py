"""Kernels of the GPU compile for the processors that are in use, without one: it takes CUDA's compiler alone."""

from __future__ import annotations

import pytest

from benchmarks import cuda_model
from kernels.cuda import assembly, jit

cuda_model.load_kernels()

#: Kernels that sum in float64 on purpose: squares end at 3e38 in float32.
EXACT = {"square_sum_kernel", "sum_kernel"}
#: Registers that leave room for one block of 256 threads at the least, and shared memory for two, whatever the GPU.
MOST_REGISTERS, MOST_SHARED = 168, 24 * 1024
#: Least share of multiply-adds among the instructions of a product's inner loop.
MOSTLY = 0.7

every_capability = pytest.mark.parametrize("capability", assembly.CAPABILITIES, ids=cuda_model.text_of)


@pytest.fixture(scope="module")
def compiler():
    """Skips where there is none, or in the simulator."""
    try:
        assembly.ptx("add_splits_kernel", (8, 0))
    except assembly.MissingToolError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def assembler(compiler):
    """Skips where NVIDIA's assembler is missing; its release."""
    try:
        return assembly.ptxas_release()
    except assembly.MissingToolError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", jit.KERNELS)
@every_capability
def test_compiles_without_float64(compiler, capability, name):
    ptx = assembly.ptx(name, capability)
    assert f".target sm_{capability[0]}{capability[1]}" in ptx
    assert name in EXACT or ".f64" not in ptx, "float64 is many times slower on most GPUs"


@pytest.mark.parametrize("name", jit.KERNELS)
@every_capability
def test_fits_a_multiprocessor_and_spills_nothing(assembler, capability, name):
    used = assembly.resources(name, capability)
    assert used.spilled == 0
    assert used.registers <= MOST_REGISTERS
    assert used.shared <= MOST_SHARED


def test_what_every_kernel_takes_is_kept():
    assert set(cuda_model.kept()["kernels"]) == set(jit.KERNELS), "run python benchmarks/cuda_model.py --update"


@pytest.mark.parametrize("name", jit.KERNELS)
def test_takes_no_more_than_what_is_kept(assembler, name):
    before = cuda_model.kept()
    if assembler != before["ptxas"]:
        pytest.skip(f"what is kept is of ptxas {before['ptxas']}, here is {assembler}")
    if name in before["kernels"]:
        assert not cuda_model.excess(cuda_model.taken(name), before["kernels"][name])


@pytest.mark.parametrize("name", [name for name in jit.KERNELS if name.endswith(("_128", "_64"))])
def test_the_inner_loop_of_products_is_mostly_multiply_adds(compiler, name):
    """In the program that runs where a disassembler is there, else in PTX."""
    mix, tile = cuda_model.mix_of(name, (8, 0)), cuda_model.tile_of(name)
    assert mix.inner_share >= MOSTLY
    steps = mix.inner["fma"] // tile.part**2
    assert mix.inner["fma"] == steps * tile.part**2
    assert mix.inner["shared loads"] == steps * tile.part // 2  # both sides, sixteen bytes at a time
    assert mix.whole["fma"] == tile.depth * tile.part**2
    assert mix.whole["global bytes"] == 2 * 16  # a float of each side for 64 (16) multiply-adds, two loads in all
