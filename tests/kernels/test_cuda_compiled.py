"""Kernels of the GPU compile for the processors that are in use, without one: it takes CUDA's compiler alone."""

from __future__ import annotations

import importlib
import pkgutil
import re
import shutil
import subprocess

import pytest

from kernels import cuda
from kernels.cuda import jit

for _module in pkgutil.iter_modules(cuda.__path__):
    importlib.import_module(f"kernels.cuda.{_module.name}")

CAPABILITIES = [(7, 5), (8, 0), (9, 0)]
#: Kernels that sum in float64 on purpose: squares end at 3e38 in float32.
EXACT = {"square_sum_kernel", "sum_kernel"}
#: Registers that leave room for one block of 256 threads at the least, and shared memory for two, whatever the GPU.
MOST_REGISTERS, MOST_SHARED = 168, 24 * 1024


@pytest.fixture(scope="module")
def compiler():
    """Skips where there is none, or in the simulator."""
    try:
        jit.KERNELS["add_splits_kernel"].ptx((8, 0))
    except Exception as error:  # whatever the package says where a part of it is missing
        pytest.skip(f"no CUDA compiler: {' '.join(str(error).split())[:100]}")


@pytest.mark.parametrize("name", jit.KERNELS)
@pytest.mark.parametrize("capability", CAPABILITIES, ids=lambda capability: "{}.{}".format(*capability))
def test_compiles_without_float64(compiler, capability, name):
    ptx = jit.KERNELS[name].ptx(capability)
    assert f".target sm_{capability[0]}{capability[1]}" in ptx
    assert name in EXACT or ".f64" not in ptx, "float64 is many times slower on most GPUs"


def resources(name: str, folder) -> dict[str, int]:
    """Registers of a thread, bytes that it spills, and bytes of shared memory, by NVIDIA's assembler for 8.0."""
    source = folder / "kernel.ptx"
    source.write_text(jit.KERNELS[name].ptx((8, 0)))
    command = ["ptxas", "-v", "-arch=sm_80", str(source), "-o", str(folder / "kernel.cubin")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    numbers = {
        "registers": r"Used (\d+) registers",
        "spilled": r"(\d+) bytes spill stores",
        "shared": r"(\d+) bytes smem",
    }
    found = {key: re.search(pattern, told) for key, pattern in numbers.items()}
    return {key: int(match[1]) if match else 0 for key, match in found.items()}


@pytest.mark.skipif(shutil.which("ptxas") is None, reason="no ptxas")
@pytest.mark.parametrize("name", jit.KERNELS)
def test_fits_a_multiprocessor_and_spills_nothing(compiler, name, tmp_path):
    used = resources(name, tmp_path)
    assert used["spilled"] == 0
    assert used["registers"] <= MOST_REGISTERS
    assert used["shared"] <= MOST_SHARED


@pytest.mark.parametrize("name", [name for name in jit.KERNELS if name.endswith("_128")])
def test_the_inner_loop_of_products_is_mostly_multiply_adds(compiler, name):
    ptx = jit.KERNELS[name].ptx((8, 0))
    block = next(part for part in re.split(r"\n\$L\w+:", ptx) if part.count("fma.rn.f32") >= 64)
    instructions = re.findall(r"^\t(?:@%p\d+ )?([a-z]\S*)", block, re.MULTILINE)
    loop = instructions[instructions.index("ld.shared.v4.f32") :]
    assert loop.count("fma.rn.f32") == 2 * 64
    assert loop.count("ld.shared.v4.f32") == 2 * 4  # two steps, of sixteen floats in four instructions each
