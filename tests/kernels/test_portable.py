"""The kernels on a processor without AVX: the compiler is told so, in a process and a cache of its own."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names of x86 processors")

ROOT = Path(__file__).parents[2]


def on(processor: str, features: str, cache: Path, *words: str) -> str:
    """Output of a Python process whose kernels are compiled for another processor."""
    target = {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(cache)}
    environment = os.environ | target | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *words], env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.parametrize(
    ("processor", "features", "lanes"),
    [("nehalem", "+sse4.2,-avx", 8), ("haswell", "+avx2,+fma", 8), ("skylake-avx512", "+avx512f,+avx512vl", 16)],
)
def test_registers_are_those_of_the_target_not_of_the_host(processor, features, lanes, tmp_path):
    code = "from kernels.cpu.host import widest_lanes; print(widest_lanes())"
    assert int(on(processor, features, tmp_path, "-c", code)) == lanes


STEP = """
import numpy as np
import nnvis as nv
from kernels.cpu.jit import KERNELS
random = np.random.default_rng(0)
x, labels = random.normal(size=(4, 28, 28, 1)).astype(np.float32), np.arange(4)
losses = {}
for device in ("cpu", "reference"):
    trainer = nv.Trainer(nv.Network(nv.zoo.lenet5(), device, seed=1), optimizer=nv.SGD(lr=0.05, momentum=0.9))
    losses[device] = [trainer.step(x, labels) for _ in range(2)]
np.testing.assert_allclose(losses["cpu"], losses["reference"], rtol=1e-4)
made = [kernel.dispatcher.inspect_asm() for kernel in KERNELS.values() if kernel.compiled]
code = "".join(text for texts in made for text in texts.values())
print("ymm" in code or "zmm" in code, "xmm" in code)
"""


def test_a_training_step_and_odd_shapes_hold_without_avx(tmp_path):
    target = "nehalem", "+sse4.2,-avx", tmp_path
    assert on(*target, "-c", STEP) == "False True\n"
    files = [f"tests/kernels/{name}.py" for name in ("test_matmul", "test_conv")]
    odd = "agrees_with_the_textbook"
    on(*target, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", f"{odd} and not depthwise", *files)
