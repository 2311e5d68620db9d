"""Run folders: what is in them, what cannot be written, reading back."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

import nnvis as nv
from nnvis.errors import CheckpointError, ConfigError, NnvisError, OutputError
from nnvis.runs import DataSource, RunFolder, default_folder, files, read_metrics
from tests.nnvis.small import conv_net, images, mlp, moons, same_state


def test_a_run_folder_holds_all_that_is_promised(tmp_path):
    out = tmp_path / "deep" / "run"
    run = nv.fit(conv_net(), images(), epochs=2, batch_size=8, log_every=3, out=out, optimizer=nv.Adam())
    assert run.folder == out
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert found == {
        "graph.json", "config.json", "environment.json", "metrics.jsonl",
        "checkpoints/last.safetensors", "checkpoints/best.safetensors",
    }  # fmt: skip
    assert nv.Graph.from_json((out / "graph.json").read_text()).fingerprint() == run.net.graph.fingerprint()
    assert json.loads((out / "environment.json").read_text())["versions"]["numpy"] == np.__version__
    lines = read_metrics(out / "metrics.jsonl")
    assert [line["step"] for line in lines if line["kind"] == "step"] == [1, 3, 6, 9, 12]
    epochs = [line for line in lines if line["kind"] == "epoch"]
    assert [line["val_loss"] for line in epochs] == run.history["val_loss"]
    assert lines[-1]["kind"] == "final"


def test_a_saved_run_predicts_and_evaluates_like_the_trained_one(tmp_path):
    data = images(120)
    run = nv.fit(conv_net(), data, epochs=3, batch_size=16, out=tmp_path / "run", optimizer=nv.Adam(0.01))
    saved = nv.load_run(tmp_path / "run", checkpoint="last")
    assert same_state(saved.net.state_dict(), run.net.state_dict())
    np.testing.assert_array_equal(saved.predict(data.test.images), run.predict(data.test.images))
    assert saved.evaluate(data)["accuracy"] == run.metrics["test_accuracy"]
    assert saved.class_names == data.class_names and saved.state["epoch"] == 3
    best = nv.load_run(tmp_path / "run" / "checkpoints" / "best.safetensors")
    assert best.state["epoch"] == run.best["epoch"] == nv.load_run(tmp_path / "run").state["epoch"]
    with pytest.raises(ConfigError, match="arrays"):
        saved.load_data()


def test_a_source_remembers_how_to_load_the_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    np.savez("points.npz", x=random.normal(size=(40, 2)), y=random.integers(2, size=40))
    source = DataSource("points.npz", {"test_split": 0.25}, validation=0.2, limit=20, seed=3)
    nv.fit(mlp(), source.load(), out="run", source=source)
    monkeypatch.chdir("/")
    data = nv.load_run(tmp_path / "run").load_data()
    assert (len(data.train), len(data.validation), len(data.test)) == (16, 4, 10)
    assert DataSource.from_config(DataSource("moons", {"size": (2, 2)}).config()).options == {"size": (2, 2)}
    with pytest.raises(ConfigError):
        DataSource("moons", limit=0).load()


@pytest.mark.parametrize("name", ["shapes", "moons"])
def test_a_limit_leaves_each_class_its_share_and_takes_the_same_examples_always(name):
    whole, few = DataSource(name).load(), DataSource(name, limit=60, seed=1).load()
    for split, part in ((whole.train, few.train), (whole.test, few.test)):
        shares = [np.bincount(each.labels, minlength=whole.num_classes) / len(each) for each in (split, part)]
        np.testing.assert_allclose(shares[1], shares[0], atol=1.01 / 60)
    np.testing.assert_array_equal(DataSource(name, limit=60, seed=2).load().train.images, few.train.images)


def test_a_limit_on_regression_draws_at_random(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.zeros((400, 2), np.float32), y=np.arange(400, dtype=np.float32) % 4)
    targets = DataSource(str(tmp_path / "d.npz"), limit=50).load().train.labels
    assert len(targets) == 50 and len(np.unique(targets)) == 4


def test_a_second_run_does_not_overwrite_the_first(tmp_path):
    nv.fit(mlp(), moons(), out=tmp_path)
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(OutputError, match="holds a run already"):
        nv.fit(mlp(), moons(), epochs=2, out=tmp_path)
    assert (tmp_path / "config.json").read_bytes() == before


def test_automatic_names_count_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [nv.fit(mlp(), moons(), out="auto").folder.as_posix() for _ in range(2)] == [
        "runs/mlp-moons-1", "runs/mlp-moons-2",
    ]  # fmt: skip
    assert default_folder("my net", "/data/My Images.tar", tmp_path).name == "my-net-My-Images.tar-1"


def test_a_file_where_the_folder_should_be_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(OutputError) as caught:
            nv.fit(mlp(), moons(), out=out)
        assert "\n" not in str(caught.value)


def test_an_unwritable_place_is_noticed_before_training():
    if not os.path.isdir("/proc"):
        pytest.skip("no place that refuses files, even from root")
    with pytest.raises(OutputError, match="/proc"):
        next(nv.train(mlp(), moons(), out="/proc/run"))


def test_a_full_disk_is_noticed_before_training_and_nothing_stays(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        next(nv.train(mlp(), moons(), out=tmp_path / "run"))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_disk_that_fills_during_training_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    events = nv.train(mlp(), moons(60), epochs=3, batch_size=20, checkpoint_every=1, out=tmp_path / "run")
    for event in events:
        if getattr(event, "step", 0) == 2:
            break
    folder = RunFolder(tmp_path / "run")
    step = folder.load_last().state["step"]

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OutputError):
        list(events)
    monkeypatch.undo()
    assert folder.load_last().state["step"] == step
    assert not list((tmp_path / "run").rglob(".*"))


def test_a_folder_without_a_run_and_a_damaged_configuration_are_one_sentence(tmp_path):
    nv.fit(mlp(), moons(), out=tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text('{"options": 1')
    (tmp_path / "empty").mkdir()
    for call in (
        lambda: nv.load_run(tmp_path / "none"), lambda: nv.load_run(tmp_path / "empty"), lambda: nv.resume(tmp_path),
        lambda: nv.load_run(tmp_path / "run"), lambda: nv.load_run(tmp_path / "x.safetensors"),
    ):  # fmt: skip
        with pytest.raises(NnvisError) as caught:
            call()
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, CheckpointError)
