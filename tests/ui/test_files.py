"""Project and graph files: whole round trips, clear sentences for torn ones."""

from __future__ import annotations

import runpy

import numpy as np
import pytest

import nnvis as nv
from nnvis.errors import GraphError, NnvisError
from ui.document import edits, files
from ui.document.script import python_script
from ui.document.state import from_graph
from ui.document.templates import TEMPLATES


@pytest.fixture
def state():
    made = from_graph(nv.zoo.build("lenet5"))
    return edits.move(made, {"conv1": (40.0, 8.0), "input": (-100.0, 0.0)})


def test_a_project_comes_back_as_it_was(tmp_path, state):
    state, block = edits.group(state, ["conv1", "conv2"])
    broken = edits.disconnect(edits.collapse(state, block), [state.wires()[2]])
    weights = {"conv1.weight": np.arange(12.0).reshape(3, 4).T.astype(np.float32)}
    files.save(tmp_path / "a.nnvis", broken, weights)
    found, arrays = files.load(tmp_path / "a.nnvis")
    assert found == broken
    np.testing.assert_array_equal(arrays["conv1.weight"], weights["conv1.weight"])


def test_a_graph_file_keeps_places_and_is_read_by_the_engine(tmp_path, state):
    files.save(tmp_path / "a.json", state)
    assert files.load(tmp_path / "a.json")[0].nodes == state.nodes
    assert nv.Graph.from_json((tmp_path / "a.json").read_text()).to_json() == nv.zoo.build("lenet5").to_json()


def test_a_graph_of_the_engine_is_laid_out(tmp_path):
    (tmp_path / "g.json").write_text(nv.zoo.build("resnet20").to_json())
    places = [node.position for node in files.load(tmp_path / "g.json")[0].nodes.values()]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("cut", [0, 1, 50, 0.5, 0.99])
def test_a_torn_project_gives_one_sentence(tmp_path, state, cut):
    content = files.project_bytes(state, {"w": np.ones(1000, np.float32)})
    size = int(cut * len(content)) if cut < 1 else int(cut)
    (tmp_path / "torn.nnvis").write_bytes(content[:size])
    with pytest.raises(NnvisError, match=r"torn\.nnvis.*damaged"):
        files.load(tmp_path / "torn.nnvis")


def test_a_flipped_byte_gives_one_sentence(tmp_path, state):
    content = bytearray(files.project_bytes(state, {"w": np.ones(1000, np.float32)}))
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "bad.nnvis").write_bytes(content)
    with pytest.raises(NnvisError, match="damaged"):
        files.load(tmp_path / "bad.nnvis")


def test_a_missing_file_gives_one_sentence(tmp_path):
    with pytest.raises(GraphError, match="Cannot read"):
        files.load(tmp_path / "none.nnvis")


def test_saving_over_a_file_fails_whole(tmp_path, state):
    (tmp_path / "folder.nnvis").mkdir()
    with pytest.raises(NnvisError, match="Cannot write"):
        files.save(tmp_path / "folder.nnvis", state)
    assert [p.name for p in tmp_path.iterdir()] == ["folder.nnvis"]


def test_the_exported_script_builds_the_same_network(tmp_path, state, monkeypatch):
    path = tmp_path / "net.py"
    path.write_text(python_script(state))
    made = {}
    monkeypatch.setattr(nv, "fit", lambda g, data, **options: made.update(graph=g, **options) or _Run())
    runpy.run_path(str(path))
    assert made["graph"].to_json() == nv.zoo.build("lenet5").to_json()
    assert made["epochs"] == state.settings.options.epochs
    assert made["optimizer"] == state.settings.options.optimizer


def test_the_exported_script_runs_whatever_nodes_and_network_are_called(monkeypatch):
    g = nv.Graph((3,), name='"""\\ of \'mine\'\n')
    last = g.input
    for name in ("print", "x²", "data", "run", "g", "7", "größe", "class", 'a "b" \\', "fc.1", "fc_1"):
        last = g.add(nv.Linear(2), last, name=name)
    made = {}
    monkeypatch.setattr(nv, "fit", lambda g, data, **options: made.update(graph=g) or _Run())
    exec(compile(python_script(from_graph(g)), "script", "exec"), {})
    assert made["graph"].to_json() == g.to_json()


class _Run:
    history = {"val_loss": [0.0]}  # noqa: RUF012


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda t: t.key)
def test_templates_work_with_their_data_and_survive_a_file(tmp_path, template):
    made = template.make()
    files.save(tmp_path / "t.nnvis", made)
    assert files.load(tmp_path / "t.nnvis")[0] == made
