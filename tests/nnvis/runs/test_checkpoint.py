"""Checkpoint files: round trip, torn files, other graphs."""

from __future__ import annotations

import numpy as np
import pytest

from nnvis.errors import CheckpointError, OutputError
from nnvis.runs import Checkpoint, files, load_checkpoint


def example() -> Checkpoint:
    net = {"fc.weight": np.arange(12.0).reshape(3, 4).T, "fc.bias": np.ones(3, np.float32)[::1]}
    return Checkpoint(net, {"step": np.array(7), "mean/fc.bias": np.zeros(3)}, {"step": 7, "loss": 0.1 + 0.2}, "abc")


def test_arrays_of_any_layout_and_exact_numbers_come_back(tmp_path):
    saved = example()
    assert not saved.net["fc.weight"].flags.c_contiguous
    saved.save(tmp_path / "a.safetensors")
    found = load_checkpoint(tmp_path / "a.safetensors", "abc")
    assert found.state == saved.state and found.fingerprint == "abc"
    for part in ("net", "optimizer"):
        for name, value in getattr(saved, part).items():
            again = getattr(found, part)[name]
            assert again.dtype == value.dtype and again.shape == value.shape
            np.testing.assert_array_equal(again, value)


@pytest.mark.parametrize("keep", [0, 5, 8, 100, 0.5, 0.99])
def test_a_truncated_file_is_one_sentence_that_names_the_alternative(tmp_path, keep):
    path = tmp_path / "last.safetensors"
    content = example().to_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(CheckpointError, match="truncated or damaged") as caught:
        load_checkpoint(path)
    assert "best" not in str(caught.value)
    (tmp_path / "best.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"try .*best\.safetensors"):
        load_checkpoint(path)


def test_a_changed_byte_anywhere_is_noticed(tmp_path):
    content, path = example().to_bytes(), tmp_path / "a.safetensors"
    changed_space = 0
    for where in range(len(content)):
        wrong = bytearray(content)
        wrong[where] ^= 0x15
        path.write_bytes(wrong)
        if content[where] == ord(" "):  # the header is padded with spaces, which mean nothing
            changed_space += 1
            continue
        with pytest.raises(CheckpointError):
            load_checkpoint(path)
    assert changed_space < 30


def test_a_foreign_safetensors_file_and_a_missing_file_are_told_apart(tmp_path):
    from safetensors.numpy import save_file

    save_file({"w": np.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="not a checkpoint of nnvis"):
        load_checkpoint(tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_checkpoint(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(tmp_path)


def test_another_graph_is_refused_and_both_fingerprints_are_named(tmp_path):
    example().save(tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"abc.*xyz"):
        load_checkpoint(tmp_path / "a.safetensors", "xyz")


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_behind(tmp_path, monkeypatch, failing):
    path = tmp_path / "a.safetensors"
    example().save(path)
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, failing, full)
    with pytest.raises(OutputError, match="No space left") as caught:
        Checkpoint({}, {}, {}, "new").save(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
