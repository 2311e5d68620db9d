"""No kernel reads or writes a single float outside of its arrays: the tests of this folder hold between guard pages."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kernels.cpu import bounds

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="needs mprotect"),
    pytest.mark.skipif(bounds.asked_for(), reason="this is the process that is checked"),
]

ROOT = Path(__file__).parents[2]
#: What does not call kernels of the CPU with arrays: nothing to be found there.
OTHERS = ("bounds", "compiling", "cuda", "interface", "ladder", "placement", "portable", "reference", "vmath")
FILES = [f for f in sorted(Path(__file__).parent.glob("test_*.py")) if not f.stem[5:].startswith(OTHERS)]


def checked(mode: str, *words: str) -> subprocess.CompletedProcess:
    """A Python process in which arrays lie beside guard pages."""
    environment = os.environ | {bounds.VARIABLE: mode, "NUMBA_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-X", "faulthandler", *words]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)


@pytest.mark.parametrize("mode", ["end", "begin"])
def test_every_kernel_stays_within_its_arrays(mode):
    done = checked(mode, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *map(str, FILES))
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert " skipped" not in done.stdout.splitlines()[-1]


OUTSIDE = """
import numpy as np
from numba import njit
import kernels.cpu
from kernels.cpu import bounds
from kernels.cpu.simd import address, load_scalar, store_scalar

@njit
def touch(x, index, write):
    if write:
        store_scalar(address(x) + 4 * index, np.float32(1))
    return load_scalar(address(x) + 4 * index)

def reaching_kernel(x, index, write):
    return touch(x, index, write)

names = {"reaching_kernel": reaching_kernel}
bounds.check(names, list(names))
x = np.arange(1000, dtype=np.float32)
print(names["reaching_kernel"](x, 0, False), names["reaching_kernel"](x, 999, False), flush=True)
print(names["reaching_kernel"](x, INDEX, WRITE), flush=True)
"""


@pytest.mark.parametrize("write", [False, True], ids=["read", "written"])
@pytest.mark.parametrize(("mode", "index"), [("end", 1000), ("begin", -1)])
def test_one_float_outside_ends_the_process_and_names_the_kernel(mode, index, write):
    done = checked(mode, "-c", OUTSIDE.replace("INDEX", str(index)).replace("WRITE", str(write)))
    assert done.stdout == "0.0 999.0\n"
    assert done.returncode == -signal.SIGSEGV and "in reaching_kernel" in done.stderr


@pytest.mark.parametrize("mode", ["end", "begin"])
def test_results_and_arrays_that_are_given_twice_come_back(mode):
    code = """
import numpy as np
from kernels import cpu
x = np.array([-1, 2, -3, 4], np.float32)
cpu.relu_forward(x, x)
print(x.tolist(), cpu.all_finite(x))
"""
    assert checked(mode, "-c", code).stdout == "[0.0, 2.0, 0.0, 4.0] True\n"


def test_scratch_has_no_slack_beside_the_guard_page():
    code = """
from kernels.cpu import bounds, scratch
import numpy as np
for made in (scratch.floats("some", 7), scratch.thread_rows("rows", 7)):
    assert made.size == 7 and np.isnan(made).all()
    print((made.ctypes.data + made.nbytes) % bounds._PAGE, made.ctypes.data % bounds._PAGE == 0)
"""
    assert checked("end", "-c", code).stdout == "0 False\n" * 2
    assert [line.split()[1] for line in checked("begin", "-c", code).stdout.splitlines()] == ["True"] * 2
