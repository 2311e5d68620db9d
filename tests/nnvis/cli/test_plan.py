"""``nnvis plan``: what it prints, and that it makes no weights."""

from __future__ import annotations

import json

from nnvis.cli.app import main
from nnvis.parameters import Parameters


def test_the_plan_names_algorithms_and_what_runs_as_one(capsys):
    assert main(["plan", "resnet20"]) == 0
    printed = capsys.readouterr().out
    assert "BatchNorm2d + Add + ReLU" in printed
    assert "winograd4" in printed


def test_the_plan_of_a_large_network_makes_no_weights(capsys, monkeypatch):
    monkeypatch.setattr(Parameters, "__init__", lambda *_: 1 / 0)
    assert main(["plan", "vgg16", "--inference", "--batch", "1", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["steps"][0]["algorithms"].keys() == {"forward"}
    assert plan["peak_bytes"] > 224 * 224 * 64 * 4


def test_exact_precision_is_direct(capsys):
    assert main(["plan", "resnet20", "--precision", "exact"]) == 0
    assert "winograd" not in capsys.readouterr().out
