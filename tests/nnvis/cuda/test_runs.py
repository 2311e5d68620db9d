"""Whole runs on the (simulated) GPU: training, stopping, resuming, evaluation."""

from __future__ import annotations

import nnvis as nv
from nnvis.cli import main
from nnvis.runs import RunFolder, load_checkpoint
from tests.nnvis.runs.test_resume import assert_same_end
from tests.nnvis.small import conv_net, images

OPTIONS = {"epochs": 2, "batch_size": 8, "optimizer": nv.Adam(lr=0.01), "clip_norm": 1.0, "log_every": 1}


def run(folder, **options) -> nv.Network:
    net = conv_net("cuda")
    nv.fit(net, images(24), out=folder, **OPTIONS, **options)
    return net


def test_a_run_that_was_stopped_goes_on_bit_for_bit(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(whole)
    steps = iter([False, False, True])
    run(parts, stop=lambda: next(steps, False))
    assert load_checkpoint(RunFolder(parts).last).state != load_checkpoint(RunFolder(whole).last).state
    assert list(nv.resume(parts, data=images(24), device="cuda").run())
    assert_same_end(whole, parts)


def test_the_command_line_trains_and_evaluates(tmp_path, capsys):
    graph = nv.Sequential([nv.Linear(4), nv.Tanh(), nv.Linear(2)], input_shape=(2,), name="tiny")
    (tmp_path / "tiny.json").write_text(graph.to_json())
    folder = str(tmp_path / "run")
    options = ["--data", "moons", "--limit", "24", "--epochs", "1", "--batch-size", "12", "--device", "cuda"]
    assert main(["train", str(tmp_path / "tiny.json"), *options, "--out", folder, "--quiet"]) == 0
    assert main(["eval", folder, "--device", "cuda"]) == 0
    assert "accuracy" in capsys.readouterr().out
