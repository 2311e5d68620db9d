from __future__ import annotations

import contextlib
import gzip
import hashlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import nnvis.data
from nnvis.data.idx import load_idx, read_idx
from nnvis.errors import DataError
from tests.nnvis.data.files import IDX_CODES, idx_bytes, write_idx, write_mnist_like

few = settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
arrays = st.sampled_from(sorted(IDX_CODES)).flatmap(
    lambda code: hnp.arrays(
        code, hnp.array_shapes(max_dims=4, max_side=4), elements={"allow_nan": False} if "f" in code else {}
    )
)


@few
@given(arrays, st.booleans())
def test_every_idx_type_and_shape_survives_the_round_trip(tmp_path, array, compressed):
    path = write_idx(tmp_path / ("x-ubyte.gz" if compressed else "x-ubyte"), array)
    read = read_idx(path)
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


@few
@given(arrays, st.data())
def test_an_idx_file_cut_anywhere_gives_one_sentence_with_its_name(tmp_path, array, data):
    content = idx_bytes(array)
    path = tmp_path / "torn-ubyte"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(DataError, match="torn-ubyte"):
        read_idx(path)


@few
@given(st.binary(max_size=64))
def test_arbitrary_bytes_never_raise_anything_but_a_data_error(tmp_path, content):
    path = tmp_path / "any-ubyte"
    path.write_bytes(content)
    with contextlib.suppress(DataError):
        read_idx(path)


def test_a_cut_or_corrupt_gzip_file_is_reported_as_damaged(tmp_path):
    whole = gzip.compress(idx_bytes(np.arange(1000, dtype=np.uint8)))
    corrupt = bytearray(whole)
    corrupt[len(whole) // 2] ^= 0xFF
    for number, content in enumerate((whole[:-20], bytes(corrupt))):
        path = tmp_path / f"{number}-ubyte.gz"
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"damaged gzip|torn"):
            read_idx(path)


def test_trailing_bytes_are_reported_with_both_sizes(tmp_path):
    path = tmp_path / "long-ubyte"
    path.write_bytes(idx_bytes(np.zeros(5, np.uint8)) + b"x")
    with pytest.raises(DataError, match=r"has 14 bytes, but its header promises 13"):
        read_idx(path)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_folder_of_idx_files_loads_as_grey_images(tmp_path, ending):
    data = nnvis.data.load(write_mnist_like(tmp_path / "digits", ending=ending))
    assert data.name == "digits"
    assert data.input_shape == (5, 4, 1)
    assert (len(data.train), len(data.test), data.num_classes) == (20, 10, 10)
    assert data.train.images.dtype == np.uint8
    assert data.train.labels.dtype == np.int64


def test_the_path_of_one_images_file_finds_its_labels_and_test_files(tmp_path):
    folder = write_mnist_like(tmp_path)
    data = nnvis.data.load(folder / "train-images-idx3-ubyte.gz")
    assert (len(data.train), len(data.test)) == (20, 10)


def test_without_test_files_a_part_is_held_out(tmp_path):
    folder = write_mnist_like(tmp_path)
    for name in ("images-idx3", "labels-idx1"):
        (folder / f"t10k-{name}-ubyte.gz").unlink()
    data = load_idx(folder, test_split=0.25, num_classes=10)
    assert (len(data.train), len(data.test)) == (15, 5)


def test_missing_labels_are_named(tmp_path):
    folder = write_mnist_like(tmp_path)
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="train-labels-idx1-ubyte"):
        load_idx(folder)


def test_a_label_out_of_range_is_named_with_index_and_value(tmp_path):
    folder = write_mnist_like(tmp_path)
    labels = np.arange(20, dtype=np.uint8) % 10
    labels[7] = 200
    write_idx(folder / "train-labels-idx1-ubyte.gz", labels)
    with pytest.raises(DataError, match=r"index 7 is 200"):
        load_idx(folder, num_classes=10)
    with pytest.raises(DataError, match=r"index 7 is 200"):  # also when nobody says how many there are
        load_idx(folder)


def test_another_number_of_labels_than_images_is_reported(tmp_path):
    folder = write_mnist_like(tmp_path)
    write_idx(folder / "train-labels-idx1-ubyte.gz", np.zeros(3, np.uint8))
    with pytest.raises(DataError, match=r"\(20, 5, 4\).*\(3,\)"):
        load_idx(folder)


def test_the_shipped_mnist_is_the_complete_original():
    data = nnvis.data.load("mnist")
    digests = [hashlib.md5(split.images.tobytes()).hexdigest() for split in (data.train, data.test)]
    header = bytes.fromhex("00000803 0000ea60 0000001c 0000001c")
    whole = hashlib.md5(header + data.train.images.tobytes()).hexdigest()
    assert whole == "6bbc9ace898e44ae57da46a324031adb", digests
    header = bytes.fromhex("00000803 00002710 0000001c 0000001c")
    assert hashlib.md5(header + data.test.images.tobytes()).hexdigest() == "2646ac647ad5339dbf082846283269ea"
    assert data.class_names == tuple("0123456789")
    assert np.bincount(data.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_the_stated_mean_and_deviation_of_mnist_are_those_of_its_pixels():
    data = nnvis.data.load("mnist")
    pixels = data.train.images.astype(np.float64) / 255
    np.testing.assert_allclose(data.mean, pixels.mean(), rtol=1e-6)
    np.testing.assert_allclose(data.std, pixels.std(), rtol=1e-6)
