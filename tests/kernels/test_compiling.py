"""Kernels are compiled by several processes at once, into one disk cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kernels.cpu import compiling
from kernels.cpu.jit import KERNELS, Kernel

ROOT = Path(__file__).parents[2]
#: Small ones, which compile within a second.
NAMES = ["scale_kernel", "all_finite_kernel", "clip_kernel"]


def python(code: str, cache: Path, root: Path = ROOT) -> str:
    """Output of a process that compiles the kernels of `root` into `cache`."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


LOAD = "import kernels.cpu; from kernels.cpu.jit import KERNELS;"
CACHED = LOAD + f"print(*[KERNELS[name].is_cached() for name in {NAMES}])"


@pytest.fixture
def small() -> list[Kernel]:
    return [KERNELS[name] for name in NAMES]


def test_a_process_of_its_own_compiles_into_the_cache_that_others_load(tmp_path):
    code = (
        LOAD
        + f"""
from kernels.cpu.compiling import _Helper
from collections import deque
missing = deque(KERNELS[name] for name in {NAMES})
helper = _Helper(missing)
helper.thread.join()
helper.stop()
print(len(missing), *[KERNELS[name].compile() for name in {NAMES}])
"""
    )
    assert python(code, tmp_path) == "0 False False False"
    assert python(CACHED, tmp_path) == "True True True"


def test_processes_that_write_the_same_kernel_at_once_do_not_spoil_it(tmp_path):
    code = (
        LOAD
        + f"""
from kernels.cpu.compiling import _Helper
from collections import deque
helpers = [_Helper(deque(KERNELS[name] for name in {NAMES[:2]})) for _ in range(3)]
for helper in helpers:
    helper.thread.join()
    helper.stop()
from kernels.cpu import all_finite
import numpy as np
print(KERNELS["{NAMES[1]}"].is_cached(), all_finite(np.ones(9, np.float32)), all_finite(np.full(9, np.nan, np.float32)))
"""
    )
    assert python(code, tmp_path) == "True True False"
    assert not list(tmp_path.rglob("*.tmp.*"))


def test_a_torn_index_counts_as_none(tmp_path):
    python(LOAD + f"KERNELS['{NAMES[0]}'].compile()", tmp_path)
    assert python(CACHED, tmp_path) == "True False False"
    for index in tmp_path.rglob(f"*{NAMES[0]}*.nbi"):
        index.write_bytes(index.read_bytes()[:-9])
    assert python(CACHED, tmp_path) == "False False False"


def test_the_cache_does_not_ask_when_the_file_was_written(tmp_path):
    code = LOAD + f"print(KERNELS['{NAMES[0]}'].compile())"
    assert python(code, tmp_path) == "True"
    source = Path(KERNELS[NAMES[0]].dispatcher.py_func.__code__.co_filename)
    before = source.stat()
    os.utime(source, (before.st_atime, before.st_mtime + 100))
    try:
        assert python(code, tmp_path) == "False"
    finally:
        os.utime(source, (before.st_atime, before.st_mtime))


def test_progress_counts_to_the_end_whoever_compiles(small):
    steps = list(compiling.compiling(small))
    waiting = [each for each in small if not each.compiled]
    assert not waiting
    assert all(done <= total for done, total, _ in steps)
    assert not steps or steps[-1] == (steps[-1][1], steps[-1][1], "")
    assert list(compiling.compiling(small)) == []


def test_a_helper_that_dies_leaves_the_work_to_the_caller(monkeypatch, small):
    class Waiting:
        compiled = False
        exported, length = False, 1

        def __init__(self, name):
            self.name = name

        def is_cached(self):
            return False

        def compile(self):
            self.compiled = True
            return True

    monkeypatch.setattr(compiling, "__name__", "no.such.module")
    fakes = [Waiting(f"fake {number}") for number in range(5)]
    assert [step[:2] for step in compiling.compiling(fakes, processes=2)] == [(n, 5) for n in range(6)]
    assert all(fake.compiled for fake in fakes)


def test_processes_are_as_many_as_there_is_work_and_cores_for(monkeypatch):
    monkeypatch.setattr(compiling, "cores", lambda: 4)
    assert [compiling._helpers(missing, None) for missing in (0, 2, 3, 6, 100)] == [0, 0, 1, 2, 3]
    assert compiling._helpers(100, 1) == 0
    monkeypatch.setattr(sys, "executable", "/opt/nnvis-app")
    assert compiling._helpers(100, None) == 0


def test_the_longest_comes_first_after_what_others_call():
    kernels = sorted(KERNELS.values(), key=compiling._order)
    assert kernels[0].exported and not kernels[1].exported
    assert [each.length for each in kernels[1:]] == sorted((each.length for each in kernels[1:]), reverse=True)
    sums = KERNELS["gathered_dots"].dispatcher.py_func
    assert KERNELS["gathered_dots"].length > 5 * len(sums.__code__.co_code)


def test_helpers_of_kernels_have_no_machine_code(tmp_path):
    """Neither of their own nor for Python; kernels have them inlined."""
    code = (
        LOAD
        + f"""
from kernels.cpu.elementwise import _scale_body
KERNELS["{NAMES[0]}"].compile()
for made in _scale_body.overloads.values():
    print(type(made.library).__name__, made.library.get_pointer_to_function(made.fndesc.mangled_name))
"""
    )
    assert python(code, tmp_path) == "InlinedLibrary 0"


def test_a_process_that_only_compiles_needs_none_of_the_kernels_that_others_call(tmp_path):
    code = (
        LOAD
        + f"""
from kernels.cpu.jit import compile_only
compile_only()
print(KERNELS['{NAMES[0]}'].compile(), KERNELS["thread_loop"].is_cached())
"""
    )
    assert python(code, tmp_path) == "True False"
    assert (
        python(LOAD + f"print(KERNELS['{NAMES[0]}'].compile(), KERNELS['thread_loop'].compiled)", tmp_path)
        == "False True"
    )


def test_a_copy_of_the_files_elsewhere_finds_what_is_compiled(tmp_path):
    code = LOAD + f"print(KERNELS['{NAMES[0]}'].compile(), kernels.__file__)"
    shutil.copytree(ROOT / "kernels", tmp_path / "kernels")
    assert python(code, tmp_path) == f"True {ROOT / 'kernels' / '__init__.py'}"
    assert python(code, tmp_path, root=tmp_path) == f"False {tmp_path / 'kernels' / '__init__.py'}"
