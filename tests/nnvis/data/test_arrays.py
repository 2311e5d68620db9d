from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnvis.data
from nnvis.data import Dataset, Split, from_arrays
from nnvis.data.dataset import channel_statistics, split_indices
from nnvis.errors import ConfigError, DataError

VECTORS = np.random.default_rng(0).normal(size=(20, 3))
LABELS = np.arange(20) % 4


def test_vectors_become_float32_and_labels_int64():
    data = from_arrays(VECTORS, LABELS.astype(np.int8), VECTORS[:4], LABELS[:4].tolist())
    assert data.train.images.dtype == np.float32
    assert data.train.labels.dtype == np.int64
    assert (data.input_shape, data.num_classes, data.num_outputs, data.task) == ((3,), 4, 4, "classification")


def test_grey_images_without_a_channel_axis_get_one():
    data = from_arrays(np.zeros((10, 5, 4), np.uint8), np.arange(10) % 2)
    assert data.input_shape == (5, 4, 1)


def test_real_targets_mean_regression():
    data = from_arrays(VECTORS, VECTORS @ np.ones((3, 2)))
    assert (data.task, data.num_outputs, data.class_names) == ("regression", 2, None)
    assert data.train.labels.dtype == np.float32
    assert from_arrays(VECTORS, VECTORS[:, :1]).train.labels.ndim == 1
    with pytest.raises(DataError, match="regression"):
        _ = data.num_classes


def test_whole_floats_are_class_numbers_when_asked():
    assert from_arrays(VECTORS, LABELS.astype(float), task="classification").num_classes == 4
    with pytest.raises(DataError, match=r"index 2 is 0\.5"):
        from_arrays(VECTORS[:4], [0.0, 1.0, 0.5, 1.0], task="classification")


def test_views_and_read_only_arrays_are_made_fit_for_kernels_without_touching_the_original():
    x = np.zeros((20, 4, 6, 3), np.uint8)[:, ::2, ::-1]
    x.flags.writeable = False
    images = from_arrays(x, LABELS, test_split=0).train.images
    assert images.flags.c_contiguous
    assert images.flags.writeable
    assert not x.flags.writeable


def test_arrays_that_fit_are_not_copied():
    x = np.zeros((20, 4, 4, 3), np.uint8)
    assert np.shares_memory(from_arrays(x, LABELS, test_split=0).train.images, x)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named_with_its_place(value):
    x = VECTORS.copy()
    x[7, 2] = value
    with pytest.raises(DataError, match=r"train.*index \(7, 2\)"):
        from_arrays(x, LABELS)
    with pytest.raises(DataError, match=r"test.*index \(7, 2\)"):
        from_arrays(VECTORS, LABELS, x, LABELS)
    targets = VECTORS[:, 0].copy()
    targets[5] = value
    with pytest.raises(DataError, match=r"targets.*index \(5\)"):
        from_arrays(VECTORS, targets)


def test_a_double_that_overflows_float32_is_reported():
    x = VECTORS.copy()
    x[3, 1] = 1e300
    with pytest.raises(DataError, match=r"float32.*\(3, 1\)"):
        from_arrays(x, LABELS)


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        (VECTORS, LABELS[:7], "20 train examples but 7"),
        (VECTORS, -LABELS, "index 1 is -1"),
        (VECTORS, np.eye(4)[LABELS].astype(int), "argmax"),
        (VECTORS[:, 0], LABELS, "vectors are"),
        (np.zeros((20, 3, 32, 32), np.uint8), LABELS, "channels-first"),
        (VECTORS.astype(str), LABELS, "must be numbers"),
        (VECTORS, LABELS.astype(str), "must be numbers"),
        (VECTORS.astype(complex), LABELS, "must be numbers"),
        ([[1.0], [1.0, 2.0]], [0, 1], "one shape"),
        (np.zeros((0, 3)), np.zeros(0, int), "no training examples"),
        (VECTORS[:1], LABELS[:1], "cannot be divided"),
        (VECTORS, np.where(LABELS == 3, 10**12, LABELS), "index 3 is 1000000000000"),
    ],
)
def test_each_slip_gives_one_sentence(x, y, sentence):
    with pytest.raises(DataError, match=sentence):
        from_arrays(x, y)


def test_a_label_out_of_range_is_named_in_every_split():
    for part in ("test", "validation"):
        wrong = {f"x_{part}": VECTORS[:2], f"y_{part}": [0, 9]}
        with pytest.raises(DataError, match=rf"{part} label at index 1 is 9, but 4 classes"):
            from_arrays(VECTORS, LABELS, **wrong)
    for seed in range(5):  # the index is that of the given array, wherever the division puts the example
        wrong = np.where(np.arange(20) == 13, 12, LABELS)
        with pytest.raises(DataError, match="train label at index 13 is 12, but 10 classes"):
            from_arrays(VECTORS, wrong, num_classes=10, seed=seed)


def test_splits_of_other_shape_or_half_given_are_refused():
    with pytest.raises(DataError, match=r"test examples.*\(2,\).*\(3,\)"):
        from_arrays(VECTORS, LABELS, VECTORS[:, :2], LABELS)
    with pytest.raises(DataError, match="both x_test and y_test"):
        from_arrays(VECTORS, LABELS, VECTORS)
    with pytest.raises(ConfigError, match="class_names"):
        from_arrays(VECTORS, LABELS, num_classes=4, class_names=["a"])
    with pytest.raises(ConfigError, match="test_split"):
        from_arrays(VECTORS, LABELS, test_split=1.5)


def test_no_test_split_means_the_training_examples_serve_for_both():
    data = from_arrays([[0.0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], test_split=0)
    assert data.test is data.train


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 300), st.floats(0.01, 0.99), st.integers(0, 2**64))
def test_a_division_is_disjoint_complete_and_a_function_of_the_seed(count, fraction, seed):
    rest, held = split_indices(count, fraction, seed, "x")
    assert sorted([*rest, *held]) == list(range(count))
    assert len(rest)
    assert len(held)
    assert np.array_equal(held, split_indices(count, fraction, seed, "x")[1])


def test_validation_split_takes_its_examples_from_training():
    data = from_arrays(VECTORS, LABELS, VECTORS, LABELS, validation_split=0.25)
    assert {name: len(split) for name, split in data.splits().items()} == {"train": 15, "validation": 5, "test": 20}


def test_subset_copies_and_head_views():
    split = Split(VECTORS, LABELS)
    chosen = split.subset([5, 2])
    np.testing.assert_array_equal(chosen.labels, LABELS[[5, 2]])
    assert len(split.subset(LABELS == 1)) == 5
    assert len(split.subset([])) == 0
    assert np.shares_memory(split.head(3).images, split.images)
    assert len(split.head(3)) == 3


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 2**32))
def test_statistics_of_bytes_and_floats_are_those_of_numpy(count, channels, seed):
    images = np.random.default_rng(seed).integers(0, 256, (count, 3, 2, channels), np.uint8)
    for data, scaled in ((images, images / 255), (images.astype(np.float32), images.astype(float))):
        mean, std = channel_statistics(data)
        np.testing.assert_allclose(mean, scaled.mean((0, 1, 2)), rtol=1e-5, atol=1e-7)
        expected = scaled.std((0, 1, 2))
        np.testing.assert_allclose(std, np.where(expected == 0, 1, expected), rtol=1e-4)


@pytest.mark.parametrize("value", [0, 1, 77, 255])
def test_a_constant_channel_has_deviation_one(value):
    assert channel_statistics(np.full((50, 4, 4, 2), value, np.uint8))[1].tolist() == [1, 1]
    assert channel_statistics(np.full((50, 3), value + 0.1, np.float32))[1].tolist() == [1, 1, 1]


def test_a_dataset_names_a_task_that_does_not_exist():
    split = Split(VECTORS, LABELS)
    with pytest.raises(ConfigError, match="'ranking'"):
        Dataset(name="x", train=split, test=split, task="ranking")


def test_npz_files_load_with_and_without_a_test_part(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=VECTORS, y_train=LABELS, x_test=VECTORS[:4], y_test=LABELS[:4])
    np.savez_compressed(tmp_path / "b.npz", x=VECTORS, y=LABELS, class_names=np.array(list("abcd")))
    a, b = nnvis.data.load(tmp_path / "a.npz"), nnvis.data.load(tmp_path / "b.npz", test_split=0.5)
    assert (a.name, len(a.train), len(a.test)) == ("a", 20, 4)
    assert (b.class_names, len(b.train), len(b.test)) == (tuple("abcd"), 10, 10)


def test_an_npz_with_other_names_lists_them(tmp_path):
    np.savez(tmp_path / "a.npz", images=VECTORS, labels=LABELS)
    with pytest.raises(DataError, match="images, labels"):
        nnvis.data.load(tmp_path / "a.npz")


def test_an_npz_with_python_objects_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{}], object), y=LABELS)
    with pytest.raises(DataError, match=r"a\.npz"):
        nnvis.data.load(tmp_path / "a.npz")


def test_a_cut_or_changed_npz_is_named(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=VECTORS, y=LABELS)
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[100] ^= 0xFF
    for content in (whole[:-30], whole[:200], whole[:3], b"", bytes(changed)):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.npz"):
            nnvis.data.load(path)
