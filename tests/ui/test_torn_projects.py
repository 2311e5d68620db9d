"""A file that cannot be read gives one sentence that names it, and leaves what was there."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import time
import zipfile

import numpy as np
import pytest
import shiboken6
from PySide6.QtTest import QTest
from safetensors.numpy import save as save_tensors

import nnvis as nv
from nnvis.errors import NnvisError
from nnvis.runs import PausedRun
from nnvis.training import Training
from tests.ui.nets import moons, same
from ui.app import make_application, make_window
from ui.document import edits, files
from ui.document.analysis import working_graph


def _net() -> nv.Network:
    return nv.Network(working_graph(moons()), "reference", seed=1)


def _project(run: bool = False) -> bytes:
    """A good file: with weights alone, or in the middle of a run."""
    state, net = moons(), _net()
    if not run:
        return files.project_bytes(state, net.state_dict())
    training = Training(net, nv.data.load("moons"), state.settings.options)
    events = training.run()
    while training.state.step < 3:
        next(events)
    events.close()
    return files.project_bytes(state, run=PausedRun(training.checkpoint(), state.settings.options, training.facts))


def _members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zip(members: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def _without(name: str, run: bool = False) -> bytes:
    return _zip({n: content for n, content in _members(_project(run)).items() if n != name})


def _member(name: str, content: bytes, run: bool = False) -> bytes:
    return _zip(_members(_project(run)) | {name: content})


def _document(change) -> bytes:
    """A project whose description has been changed."""
    found = json.loads(_members(_project())["project.json"])
    change(found)
    return _member("project.json", json.dumps(found).encode())


def _weights(name: str, shape: tuple[int, ...]) -> bytes:
    arrays = _net().state_dict() | {name: np.zeros(shape, np.float32)}
    return _member("weights.safetensors", save_tensors(arrays))


def _run_of_a_wrong_shape() -> bytes:
    found = files.read_project(_project(run=True), "x").run
    found.checkpoint.net["fc1.weight"] = np.zeros((3, 3), np.float32)
    return files.project_bytes(moons(), run=found)


def _cut(share: float, run: bool = False) -> bytes:
    content = _project(run)
    return content[: int(share * len(content))]


TORN = {
    "empty": lambda: b"",
    "cut at a tenth": lambda: _cut(0.1),
    "cut at the half": lambda: _cut(0.5),
    "cut near the end": lambda: _cut(0.95),
    "without its last byte": lambda: _project()[:-1],
    "a run, cut at a third": lambda: _cut(0.3, run=True),
    "a run, cut near the end": lambda: _cut(0.95, run=True),
    "zeros in the middle": lambda: _project()[:400] + bytes(200) + _project()[600:],
    "text": lambda: b"Dear diary,",
    "another zip": lambda: _zip({"word/document.xml": b"<xml/>"}),
    "no document": lambda: _without("project.json"),
    "no circumstances": lambda: _without("run.json", run=True),
    "document cut": lambda: _member("project.json", b'{"format": '),
    "document a list": lambda: _member("project.json", b"[]"),
    "document no UTF-8": lambda: _member("project.json", b"\xff\xfe\x00"),
    "document very deep": lambda: _member("project.json", b"[" * 100_000),
    "another format": lambda: _document(lambda d: d.update(format="powerpoint")),
    "a later version": lambda: _document(lambda d: d.update(version=99)),
    "no nodes": lambda: _document(lambda d: d.pop("nodes")),
    "nodes a number": lambda: _document(lambda d: d.update(nodes=3)),
    "unknown layer": lambda: _document(lambda d: d["nodes"][0].update(kind="Frobnicate")),
    "impossible layer": lambda: _document(lambda d: d["nodes"][0]["config"].update(out_features=-4)),
    "a node nowhere": lambda: _document(lambda d: d["nodes"][0].update(position=["left", None])),
    "a node at infinity": lambda: _document(lambda d: d["nodes"][0].update(position=[float("inf"), 0])),
    "a wire from nowhere": lambda: _document(lambda d: d["nodes"][1].update(inputs=["ghost"])),
    "a wire of a wrong kind": lambda: _document(lambda d: d["nodes"][1].update(inputs=[[]])),
    "input shape in words": lambda: _document(lambda d: d.update(input_shape=["two"])),
    "input shape without size": lambda: _document(lambda d: d.update(input_shape=[0])),
    "no settings": lambda: _document(lambda d: d.pop("settings")),
    "settings nonsense": lambda: _document(lambda d: d["settings"]["options"].update(epochs="many")),
    "validation nonsense": lambda: _document(lambda d: d["settings"].update(validation="half")),
    "a block of ghosts": lambda: _document(
        lambda d: d.update(blocks=[{"name": "b", "members": ["x"], "collapsed": True}])
    ),
    "weights no tensors": lambda: _member("weights.safetensors", b"12345678 no tensors"),
    "weights of a wrong shape": lambda: _weights("fc1.weight", (2, 9)),
    "weights of a wrong rank": lambda: _weights("fc1.bias", (8, 1)),
    "run no tensors": lambda: _member("run.safetensors", b"12345678 no tensors", run=True),
    "run without position": lambda: _member("run.safetensors", _members(_project())["weights.safetensors"], run=True),
    "run of a wrong shape": _run_of_a_wrong_shape,
    "circumstances no JSON": lambda: _member("run.json", b"nothing", run=True),
    "circumstances of another kind": lambda: _member("run.json", b'{"options": 3, "data": 4}', run=True),
}
GRAPHS = {
    "graph cut": lambda: nv.zoo.build("lenet5").to_json()[:200].encode(),
    "graph a list": lambda: b"[1, 2]",
    "graph of another kind": lambda: b'{"name": "my-package", "version": "1.0.0"}',
    "graph with a ghost": lambda: nv.zoo.build("lenet5").to_json().replace('"pool1"', '"ghost"', 1).encode(),
    "graph no UTF-8": lambda: b'{"format": "\xff\xfe"}',
}


@pytest.fixture(scope="module")
def window(qapp):
    make_application("dark")
    made = make_window()
    made.show()
    made.project.new(moons())
    made.document.apply("Move", edits.move(made.document.state, {"fc1": (320.0, 0.0)}))
    # Data are loaded and looked at first, so that no view draws while a test ends.
    end = time.monotonic() + 60
    while time.monotonic() < end and any(s.snapshot is None or s._timer.isActive() for s in made.docks.scopes):
        QTest.qWait(20)
    yield made
    made.document.stack.setClean()
    made.close()
    shiboken6.delete(made)
    qapp.setStyleSheet("")


def _refused(window, path) -> str:
    before, undo, name = window.document.state, window.document.stack.count(), window.project.path
    window.banner.hide()
    assert not window.project.open(path)
    assert window.document.state is before and window.document.stack.count() == undo and window.project.path == name
    assert window.project.dirty and path not in window.project.recent()
    assert window.banner.isVisible()
    return window.banner.text


@pytest.mark.parametrize("what", [*TORN, *GRAPHS])
def test_a_file_that_is_no_project_is_named_in_one_sentence_and_the_document_stays(window, tmp_path, what):
    path = tmp_path / ("homework.json" if what in GRAPHS else "homework.nnvis")
    path.write_bytes((TORN | GRAPHS)[what]())
    sentence = _refused(window, path)
    assert path.name in sentence and sentence.endswith(".") and "\n" not in sentence and "Traceback" not in sentence
    assert not re.search(r"[A-Z]\w+(Error|File)\b", sentence)


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "device", "no permission", "dangling link"])
def test_what_is_no_file_is_named_in_one_sentence_and_the_document_stays(window, tmp_path, kind):
    path = tmp_path / "homework.nnvis"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to(os.devnull)
    elif kind == "no permission":
        path.write_bytes(_project())
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("this user may read everything")
    elif kind == "dangling link":
        path.symlink_to(tmp_path / "gone")
    sentence = _refused(window, path)
    assert path.name in sentence and sentence.endswith(".") and "\n" not in sentence


def test_every_cut_of_a_project_is_refused():
    content = _project(run=True)
    for size in range(0, len(content), 97):
        with pytest.raises(NnvisError, match="homework"):
            files.read_project(content[:size], "homework.nnvis")


def test_a_flipped_byte_is_refused_or_changes_nothing_that_matters():
    content, good = _project(), files.read_project(_project(), "x")
    for place in range(0, len(content), 13):
        changed = bytearray(content)
        changed[place] ^= 0x55
        with contextlib.suppress(NnvisError):
            found = files.read_project(bytes(changed), "homework.nnvis")
            assert found.state == good.state and same(found.weights, good.weights), place
