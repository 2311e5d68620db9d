"""``nnvis bench`` and its kin."""

from __future__ import annotations

import pytest

from nnvis import bench
from nnvis.bench import ladder
from nnvis.bench.ladder import Rung
from nnvis.cli.bench_ladder import bar


def _rows(rivals: dict[str, float]):
    def run(groups=bench.GROUPS, threads=(1, 2), rounds=7, report=None, only=""):
        for group in groups:
            report(bench.Row(group, "512 x 512", 1, 0.002, rivals, 134.2))

    return run


def test_bench_prints_each_ratio(nnvis, monkeypatch):
    monkeypatch.setattr(bench, "run", _rows({"contiguous": 0.005, "channels-last": 0.003}))
    out = nnvis("bench", "matmul").out
    assert out.splitlines()[-1].split() == ["512", "x", "512", "1", "2.00", "ms", "3.00", "ms", "1.50", "134"]
    assert max(map(len, out.splitlines())) <= 82
    assert nnvis("bench", "matmul", "--json").json["ratio"] == pytest.approx(1.5)


def test_bench_says_so_where_pytorch_is_missing(nnvis, monkeypatch):
    monkeypatch.setattr(bench, "run", _rows({}))
    monkeypatch.setattr("nnvis.bench.case.torch_module", lambda: None)
    out = nnvis("bench", "matmul").out
    assert "PyTorch is not installed" in out and "2.00 ms" in out


def test_bench_suggests_the_group_that_was_meant(refused):
    assert "did you mean 'matmul'?" in refused("bench", "matmull")


def test_bench_profile_lists_kinds_and_nodes(nnvis):
    words = ("bench", "profile", "mlp", "--batch", 4, "--steps", 1, "--threads", 1)
    out = nnvis(*words).out
    assert out.startswith("mlp 28x28x1, batch 4: a step takes ")
    assert "Linear + ReLU" in out and "act1" in out and "update" in out
    found = nnvis(*words, "--json").json
    assert {"act1", "loss"} < {node["name"] for node in found["nodes"]} and found["step"] > 0


def test_bars_end_at_the_bound_unless_it_is_exceeded():
    assert bar(0.5) == "#" * 15 + "." * 15 + "|" and bar(0.0001).startswith("#.")
    assert bar(1.0) == "#" * 30 + "|" and bar(1.5) == "#" * 45


def test_the_command_prints_a_bar_or_an_object_for_each_rung(nnvis, monkeypatch):
    rungs = [Rung("loops", "Loops.", 1, 0.01, 10.0, 2.0, 100.0), Rung("simd", "Vectors.", 1, 0.001, 100.0, 2.0, 100.0)]
    monkeypatch.setattr(ladder, "climb", lambda *_: iter(rungs))
    lines = nnvis("bench", "ladder", "matmul").out.splitlines()
    assert "cannot exceed 100 Gflop/s" in lines[1] and lines[-2].endswith("#" * 30 + "|")
    assert nnvis("bench", "ladder", "matmul", "--json").out.count('"share"') == 2


def test_a_misspelt_operation_is_refused_with_a_hint(refused):
    assert "did you mean 'conv2d'?" in refused("bench", "ladder", "conv2")


def test_warmup_compiles_what_is_missing_and_then_says_that_all_is_ready(nnvis, monkeypatch):
    jit = pytest.importorskip("kernels.cpu.jit")
    done = []
    monkeypatch.setattr(jit.Kernel, "is_cached", lambda kernel: kernel.name != "scale_kernel" or bool(done))
    monkeypatch.setattr(jit.Kernel, "compile", lambda kernel: done.append(kernel.name))
    monkeypatch.setattr(jit.KERNELS["scale_kernel"], "compiled", False)
    out = nnvis("warmup", "--processes", 1).out
    assert done == ["scale_kernel"]
    assert out.startswith("Compiled 1 kernel in ") and f"All {len(jit.KERNELS)} kernels are ready." in out
    assert nnvis("warmup").out == f"All {len(jit.KERNELS)} kernels are ready.\n"
