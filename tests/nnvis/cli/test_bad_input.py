"""Bad input gives one clear sentence and exit code 2, and nothing is half-written."""

from __future__ import annotations

import errno
import gzip
import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

import nnvis as nv
from nnvis.device import get_device
from nnvis.errors import DeviceError
from nnvis.runs import files

TOY = ("mlp", "--data", "moons", "--net-option", "hidden=8", "--device", "reference", "--limit", 64, "--epochs", 1)


def _pictures(folder: Path, **classes: int) -> None:
    from PIL import Image

    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.random.default_rng(number).integers(0, 256, (12, 12, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


def _idx(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    folder.mkdir()
    for part in ("train", "t10k"):
        header = struct.pack(">4B3I", 0, 0, 8, 3, *images.shape)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + images.astype(np.uint8).tobytes())
        header = struct.pack(">4BI", 0, 0, 8, 1, len(labels))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(header + labels.astype(np.uint8).tobytes())


def _graph_file(path: Path, *edges: tuple[str, str]) -> None:
    nodes = [{"name": name, "kind": "ReLU", "config": {}, "inputs": [reads]} for name, reads in edges]
    data = {"format": "nnvis-graph", "version": 1, "name": "g", "input_shape": [2], "init": None}
    path.write_text(json.dumps(data | {"nodes": nodes, "output": edges[-1][0]}))


# --- networks ---------------------------------------------------------------------------------------------


def test_unknown_network(refused):
    assert "did you mean 'lenet5'?" in refused("train", "lenet6")


def test_unknown_option_of_a_network(refused):
    assert "'depth'" in refused("train", "lenet5", "--net-option", "depth=3")


def test_missing_graph_file(refused):
    assert "nothing.json" in refused("train", "nothing.json")


def test_graph_file_with_a_cycle(refused, tmp_path):
    _graph_file(tmp_path / "g.json", ("a", "b"), ("b", "a"))
    assert "cycle" in refused("train", "g.json", "--data", "moons")


def test_graph_file_with_a_missing_node(refused, tmp_path):
    _graph_file(tmp_path / "g.json", ("a", "input"), ("b", "ghost"))
    sentence = refused("train", "g.json", "--data", "moons")
    assert "'b'" in sentence and "'ghost'" in sentence


def test_graph_file_of_another_input_shape_than_the_data(refused, tmp_path):
    graph = nv.Sequential([nv.Flatten(), nv.Linear(10)], input_shape=(8, 8, 3), name="mine")
    (tmp_path / "g.json").write_text(graph.to_json())
    sentence = refused("train", "g.json", "--data", "mnist")
    assert "8x8x3" in sentence and "28x28x1" in sentence


def test_graph_file_with_another_number_of_outputs_than_classes(refused, tmp_path):
    graph = nv.Sequential([nv.Flatten(), nv.Linear(7)], input_shape=(28, 28, 1), name="mine")
    (tmp_path / "g.json").write_text(graph.to_json())
    sentence = refused("train", "g.json", "--data", "mnist")
    assert "7" in sentence and "10" in sentence


def test_network_that_cannot_take_the_data(refused):
    sentence = refused("train", "lenet5", "--data", "moons")
    assert "lenet5" in sentence and "moons" in sentence


# --- data -------------------------------------------------------------------------------------------------


def test_unknown_data_set(refused):
    assert "did you mean 'mnist'" in refused("train", "lenet5", "--data", "mnits")


def test_missing_path(refused):
    assert "no/such/folder" in refused("train", "lenet5", "--data", "no/such/folder")


def test_unknown_option_of_a_data_set(refused):
    assert "'nois'" in refused("train", "mlp", "--data", "moons", "--data-option", "nois=0.1")


@pytest.mark.parametrize("form", ["plain", "gzip"])
def test_torn_idx(refused, tmp_path, form):
    _idx(tmp_path / "d", np.zeros((20, 28, 28)), np.arange(20) % 10)
    name = "train-images-idx3-ubyte"
    content = (tmp_path / "d" / name).read_bytes()
    if form == "gzip":
        (tmp_path / "d" / name).unlink()
        name, content = f"{name}.gz", gzip.compress(np.random.default_rng(0).bytes(9999))
    (tmp_path / "d" / name).write_bytes(content[: len(content) // 2])
    assert name in refused("train", "lenet5", "--data", "d")


def test_torn_png(refused, tmp_path):
    _pictures(tmp_path / "d", cat=3, dog=3)
    torn = tmp_path / "d" / "cat" / "1.png"
    torn.write_bytes(torn.read_bytes()[:150])
    assert "1.png" in refused("train", "logistic", "--data", "d")


def test_empty_class_folder(refused, tmp_path):
    _pictures(tmp_path / "d", cat=3, dog=0)
    assert "dog" in refused("train", "logistic", "--data", "d")


def test_label_out_of_range(refused, tmp_path):
    x, y = np.zeros((9, 2), np.float32), np.arange(9) % 3
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x, y_test=y + 1)
    sentence = refused("train", "mlp", "--data", "d.npz")
    assert "index 2" in sentence and "3" in sentence


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_input_that_is_not_finite(refused, tmp_path, value):
    x = np.zeros((9, 2), np.float32)
    x[4, 1] = value
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(9) % 3)
    assert "(4, 1)" in refused("train", "mlp", "--data", "d.npz")


# --- options ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("--lr", "fast"), ("--lr", "-1"), ("--epochs", "0"), ("--batch-size", "1.5"), ("--optimizer", "sdg"),
        ("--schedule", "cosinus"), ("--augment", "flop"), ("--init", "hee"), ("--loss", "mes"), ("--seed", "-1"),
        ("--validation", "1"), ("--momentum", "0.9", "--optimizer", "adam"), ("--checkpoint-every", "never"),
        ("--threads", "999"), ("--augment", "flip"), ("--device", "tpu"), ("--loss", "mse"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_option_that_makes_no_sense(refused, words):
    refused("train", "mlp", "--data", "moons", *words)


def test_a_gpu_where_there_is_none(refused):
    try:
        get_device("cuda")
    except DeviceError:
        assert "cuda" in refused("train", "lenet5", "--device", "cuda")
    else:
        pytest.skip("there is a GPU")


def test_training_without_a_network(refused):
    assert "nnvis zoo" in refused("train")


# --- folders and checkpoints ------------------------------------------------------------------------------


@pytest.fixture
def run(nnvis, tmp_path) -> Path:
    """The folder of a small run."""
    assert nnvis("train", *TOY, "--out", "run").code == 0
    return tmp_path / "run"


@pytest.mark.parametrize("command", [("eval", "run"), ("predict", "run", "x.png"), ("train", "--resume", "run")])
def test_truncated_checkpoint(refused, run, command):
    for path in (run / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    assert "truncated" in refused(*command)


@pytest.mark.parametrize("command", [("eval", "run"), ("predict", "run", "x.png"), ("train", "--resume", "run")])
def test_checkpoint_of_another_graph(nnvis, refused, run, tmp_path, command):
    assert nnvis("train", *TOY, "--net-option", "hidden=9", "--out", "other").code == 0
    shutil.rmtree(run / "checkpoints")
    shutil.copytree(tmp_path / "other" / "checkpoints", run / "checkpoints")
    assert "another graph" in refused(*command)


@pytest.mark.parametrize("command", [("eval", "."), ("predict", ".", "x.png"), ("train", "--resume", ".")])
def test_folder_without_a_run(refused, command):
    refused(*command)


def test_resume_takes_no_other_settings(refused, run):
    assert "--lr" in refused("train", "--resume", "run", "--lr", "0.1")
    assert "NET" in refused("train", "mlp", "--resume", "run")


def test_output_folder_that_holds_a_run(refused, run):
    assert "run" in refused("train", *TOY, "--out", "run")


def test_output_folder_that_is_a_file(refused, tmp_path):
    (tmp_path / "taken").write_text("")
    assert "taken" in refused("train", *TOY, "--out", "taken")
    assert "taken" in refused("train", *TOY, "--out", "taken/below")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC], ids=["forbidden", "read-only", "full"])
def test_output_folder_that_cannot_be_written(refused, monkeypatch, tmp_path, code):
    def fail(path: Path, content: bytes) -> None:
        raise OSError(code, "The disk says no")

    (tmp_path / "out").mkdir()
    monkeypatch.setattr(files, "_write_through", fail)
    sentence = refused("train", *TOY, "--out", "out")
    assert "out" in sentence and "The disk says no" in sentence


def test_a_disk_that_fills_up_later_is_no_bug(nnvis, monkeypatch):
    write, calls = files._write_through, []

    def fail(path: Path, content: bytes) -> None:
        calls.append(path)
        if len(calls) > 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(files, "_write_through", fail)
    result = nnvis("train", *TOY, "--epochs", 9, "--out", "out")
    assert result.code == 2 and len(calls) > 8
    assert len(result.err.splitlines()) == 1 and "No space left on device" in result.err
    assert not list(Path("out").rglob("*.tmp"))
