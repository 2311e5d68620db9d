"""``nnvis eval``, ``predict`` and ``gradcheck``."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import nnvis as nv

REFERENCE = ("--device", "reference")


@pytest.fixture
def digits(nnvis, tmp_path):
    """A run on a few digits, and three of these as images of another size."""
    from PIL import Image

    words = ("logistic", "--limit", 200, "--epochs", 2, "--batch-size", 32)
    assert nnvis("train", *words, *REFERENCE, "--out", "run").code == 0
    test = nv.data.load("mnist").test
    for number in range(3):
        Image.fromarray(test.images[number, :, :, 0]).resize((56, 40)).save(tmp_path / f"{number}.png")
    return tmp_path


# --- eval -------------------------------------------------------------------------------------------------


def test_eval_measures_what_training_measured(nnvis, digits):
    best = max(e["val_accuracy"] for e in nv.load_run(digits / "run").state["history"])
    found = nnvis("eval", "run", "--json").json
    assert found["accuracy"] == pytest.approx(best) and found["count"] == 200
    assert f"{100 * best:.2f} %" in nnvis("eval", "run").out


def test_eval_takes_a_checkpoint_file_and_a_split(nnvis, digits):
    found = nnvis("eval", "run/checkpoints/last.safetensors", "--split", "train", "--json").json
    assert found["split"] == "train" and found["checkpoint"].endswith("last.safetensors")


def test_eval_shows_which_classes_are_confused(nnvis, digits):
    matrix = np.array(nnvis("eval", "run", "--confusion", "--json").json["confusion"])
    assert matrix.shape == (10, 10) and matrix.sum() == 200
    assert "predicted" in nnvis("eval", "run", "--confusion").out


def test_eval_on_other_data_normalises_as_in_training(nnvis, digits):
    own = nv.load_run(digits / "run").load_data()
    np.savez(digits / "dark.npz", x_train=own.train.images // 2, y_train=own.train.labels,
             x_test=own.test.images, y_test=own.test.labels)  # fmt: skip
    other = nnvis("eval", "run", "--data", "dark.npz", "--json").json
    assert other["loss"] == pytest.approx(nnvis("eval", "run", "--json").json["loss"])


def test_eval_refuses_data_of_another_shape_and_a_split_that_is_not_there(refused, digits):
    assert "32x32x3" in refused(
        "eval", "run", "--data", "shapes", "--data-option", "train=10", "--data-option", "test=10"
    )
    assert "validation" in refused("eval", "run", "--split", "validation")


# --- predict ----------------------------------------------------------------------------------------------


def test_predict_ranks_the_classes_of_each_image(nnvis, digits):
    found = nnvis("predict", "run", "0.png", "1.png", "--top", 3, "--json").json
    assert [each["image"] for each in found] == ["0.png", "1.png"]
    for each in found:
        probabilities = [t["probability"] for t in each["top"]]
        assert len(probabilities) == 3 and probabilities == sorted(probabilities, reverse=True)
    assert found[0]["top"][0]["class"] == "7"
    assert nnvis("predict", "run", "0.png").out.splitlines()[2].split()[:2] == ["0.png", "7"]


def test_predict_can_invert(nnvis, digits):
    from PIL import Image, ImageOps

    ImageOps.invert(Image.open(digits / "0.png").convert("L")).save(digits / "paper.png")

    def best(*words):
        return nnvis("predict", "run", *words, "--json").json[0]["top"][0]

    assert best("--invert", "paper.png")["class"] == best("0.png")["class"]
    assert best("--invert", "paper.png")["probability"] == pytest.approx(best("0.png")["probability"], abs=1e-3)


def test_predict_names_the_images_that_fail_and_shows_the_others(nnvis, digits):
    (digits / "torn.png").write_bytes((digits / "0.png").read_bytes()[:99])
    result = nnvis("predict", "run", "torn.png", "0.png", "nowhere.png", "1.png")
    assert result.code == 2 and "0.png" in result.out and "1.png" in result.out
    assert result.err == "nnvis: 2 of 4 images could not be read: torn.png, nowhere.png.\n"


def test_predict_says_why_a_single_image_fails(refused, digits):
    (digits / "torn.png").write_bytes((digits / "0.png").read_bytes()[:99])
    assert "torn" in refused("predict", "run", "torn.png")


def test_predict_refuses_a_network_that_takes_no_images(nnvis, refused):
    nnvis("train", "mlp", "--data", "moons", "--limit", 64, "--epochs", 1, *REFERENCE, "--out", "run")
    assert "no images" in refused("predict", "run", "x.png")


# --- gradcheck --------------------------------------------------------------------------------------------


def test_gradcheck_lists_every_parameter(nnvis):
    words = ("gradcheck", "mlp", "--input-shape", "5", "--classes", 3, "--net-option", "hidden=4", *REFERENCE)
    result = nnvis(*words)
    assert result.code == 0 and all(name in result.out for name in ("fc1.weight", "fc1.bias", "out.weight", "input"))
    assert nnvis(*words, "--json").json["ok"]


def test_gradcheck_names_what_is_wrong(nnvis, monkeypatch):
    monkeypatch.setattr(importlib.import_module("nnvis.gradcheck"), "DIFFERENCE_TOLERANCE", -1.0)
    result = nnvis("gradcheck", "mlp", "--input-shape", "5", "--net-option", "hidden=4", *REFERENCE)
    assert result.code == 1 and "WRONG" in result.out and "fc1.weight" in result.err
