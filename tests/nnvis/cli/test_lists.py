"""``summary``, ``zoo``, ``datasets`` and ``devices``."""

from __future__ import annotations

import json

import pytest

import nnvis as nv


def test_summary_shows_each_node_and_the_totals(nnvis):
    out = nnvis("summary", "lenet5").out
    assert "61,706" in out and "10x10x16" in out
    assert all(node.name in out for node in nv.zoo.build("lenet5"))


def test_summary_by_block_has_one_row_for_each_and_the_same_totals(nnvis):
    loose, rows = (nnvis("summary", "googlenet", "--json", *more).json for more in ((), ("--blocks",)))
    assert rows["total"] == loose["total"] and len(rows["nodes"]) < 40 < len(loose["nodes"])
    block = next(row for row in rows["nodes"] if row["name"] == "inception3a")
    assert (block["kind"], block["inputs"], block["shape"]) == ("inception", ["maxpool2"], [28, 28, 256])


def test_summary_as_json_holds_the_costs_of_the_batch(nnvis):
    one, eight = nnvis("summary", "lenet5", "--json").json, nnvis("summary", "lenet5", "--batch", 8, "--json").json
    assert one["total"]["parameters"] == eight["total"]["parameters"] == 61_706
    assert eight["total"]["multiply_adds"] == 8 * one["total"]["multiply_adds"]
    assert sum(n["activation_bytes"] for n in eight["nodes"]) == eight["total"]["activation_bytes"]


def test_summary_takes_input_shape_classes_and_options(nnvis):
    data = nnvis("summary", "mlp", "--input-shape", "5", "--classes", 3, "--net-option", "hidden=7,6", "--json").json
    assert [n["shape"] for n in data["nodes"] if n["kind"] == "Linear"] == [[7], [6], [3]]


def test_summary_of_a_graph_file_and_of_a_run_folder(nnvis, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "graph.json").write_text(nv.zoo.build("lenet5").to_json())
    assert nnvis("summary", tmp_path / "run" / "graph.json").out == nnvis("summary", "lenet5").out
    assert nnvis("summary", "run").out == nnvis("summary", "lenet5").out


@pytest.mark.parametrize(("width", "whole"), [(80, False), (140, True)])
def test_summary_elides_long_names_only_where_a_terminal_is_narrow(nnvis, tmp_path, monkeypatch, width, whole):
    from nnvis.cli import console

    name = "features.denseblock4.denselayer16.conv2.very.long"
    graph = nv.Graph((3,), name="g")
    graph.add(nv.Linear(2), graph.input, name=name)
    (tmp_path / "g.json").write_text(graph.to_json())
    monkeypatch.setattr(console, "PIPE_WIDTH", width)
    out = nnvis("summary", "g.json").out
    assert (name in out) == whole
    assert ("…" in out) != whole and "very.long" in out
    assert max(map(len, out.splitlines())) <= width


def test_zoo_lists_every_network_with_its_size(nnvis):
    listed = {entry["name"]: entry for entry in nnvis("zoo", "--json").json}
    assert list(listed) == nv.zoo.names()
    lenet, pixels = listed["lenet5"], 2 * 28 * 28 * 6 + 14 * 14 * 6 + 2 * 10 * 10 * 16
    assert (lenet["family"], lenet["parameters"], lenet["depth"]) == ("lenet", 61_706, 5)
    assert lenet["multiply_adds"] == 416_520
    # The second pooling, whose flattening is a view; two hidden layers with activations; and ten logits.
    assert lenet["activation_bytes"] == 4 * (pixels + 400 + 2 * 120 + 2 * 84 + 10)
    out = nnvis("zoo").out
    assert all(name in out for name in listed)


def test_zoo_fits_a_narrow_terminal_family_by_family(nnvis, monkeypatch):
    from nnvis.cli import console
    from nnvis.zoo.families import FAMILIES

    monkeypatch.setattr(console, "PIPE_WIDTH", 80)
    lines = nnvis("zoo").out.splitlines()
    assert max(map(len, lines)) <= 80
    first = [line.split()[0] for line in lines if line]
    assert [name for name in first if name in nv.zoo.names()] == nv.zoo.names()
    assert [line for line in lines if line in FAMILIES.values()] == list(FAMILIES.values())
    assert "longest path" in lines[-3]


def test_zoo_allocates_no_weights(nnvis, monkeypatch):
    from nnvis.parameters import Parameters

    monkeypatch.setattr(Parameters, "__init__", lambda *args: pytest.fail("weights were allocated"))
    assert nnvis("zoo").code == 0 and nnvis("summary", "vgg16").code == 0


def test_summary_says_what_inference_leaves_out(nnvis):
    out = nnvis("summary", "googlenet").out
    assert "13,004,888" in out and "inference has\n6,624,904 parameters" in out
    data = nnvis("summary", "googlenet", "--json").json
    assert data["total"]["parameters"] == 13_004_888 and data["inference"]["parameters"] == 6_624_904
    assert "inference" not in nnvis("summary", "lenet5").out


def test_datasets_lists_every_data_set(nnvis):
    listed = {entry["name"]: entry for entry in nnvis("datasets", "--json").json}
    assert listed["mnist"]["sizes"] == [60_000, 10_000]
    assert all(name in nnvis("datasets").out for name in listed)


def test_devices_says_what_is_usable_and_why_not(nnvis):
    listed = {entry["name"]: entry for entry in nnvis("devices", "--json").json}
    assert listed["cpu"]["usable"] and listed["reference"]["usable"]
    assert "thread" in listed["cpu"]["description"]
    if not listed["cuda"]["usable"]:
        assert listed["cuda"]["description"].startswith("Device 'cuda' cannot be used: ")
    assert "thread" in nnvis("devices").out


def test_summary_refuses_an_unknown_network_and_suggests_a_close_one(refused):
    assert "did you mean 'lenet5'?" in refused("summary", "lenet6")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "not an nnvis graph"),
        ('{"format": "nnvis-graph", "version": 1}', "damaged"),
    ],
)
def test_summary_refuses_a_damaged_graph_file_and_names_it(refused, tmp_path, text, words):
    (tmp_path / "g.json").write_text(text)
    sentence = refused("summary", "g.json")
    assert "g.json" in sentence and words in sentence


def _graph_file(tmp_path, *edges: tuple[str, str]):
    nodes = [{"name": name, "kind": "ReLU", "config": {}, "inputs": [reads]} for name, reads in edges]
    data = {"format": "nnvis-graph", "version": 1, "name": "g", "input_shape": [2], "init": None}
    (tmp_path / "g.json").write_text(json.dumps(data | {"nodes": nodes, "output": edges[-1][0]}))


def test_summary_refuses_a_graph_with_a_cycle_and_names_a_node_on_it(refused, tmp_path):
    _graph_file(tmp_path, ("a", "b"), ("b", "a"))
    assert "cycle" in refused("summary", "g.json")


def test_summary_refuses_a_graph_with_a_missing_node_and_names_it(refused, tmp_path):
    _graph_file(tmp_path, ("a", "input"), ("b", "ghost"))
    sentence = refused("summary", "g.json")
    assert "'ghost'" in sentence and "'b'" in sentence


def test_summary_refuses_a_missing_file_and_a_shape_that_does_not_fit(refused):
    assert "g.json" in refused("summary", "g.json")
    assert "Node" in refused("summary", "lenet5", "--input-shape", "4x4x1")
