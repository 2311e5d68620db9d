from __future__ import annotations

import contextlib
import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnvis.data
from nnvis.data.cifar import CLASS_NAMES
from nnvis.data.pickle_reader import read_pickle
from nnvis.errors import DataError

BATCHES = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]


def images_and_labels(number: int):
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (4, 32, 32, 3), np.uint8), rng.integers(0, 10, 4)


def planes(images):
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(len(images), -1)


def write_binary(folder):
    folder.mkdir()
    for number, name in enumerate(BATCHES):
        images, labels = images_and_labels(number)
        records = np.concatenate([labels[:, None].astype(np.uint8), planes(images)], axis=1)
        (folder / f"{name}.bin").write_bytes(records.tobytes())
    return folder


def write_python(folder, protocol):
    folder.mkdir()
    for number, name in enumerate(BATCHES):
        images, labels = images_and_labels(number)
        batch = {b"batch_label": b"x", b"labels": labels.tolist(), b"data": planes(images), b"filenames": [b"a"] * 4}
        (folder / name).write_bytes(pickle.dumps(batch, protocol))
    return folder


def python2_batch(images, labels) -> bytes:
    """What Python 2's cPickle wrote: protocol 2, byte strings as BINSTRING, memo instructions."""

    def short(text):
        return b"U" + bytes([len(text)]) + text

    content = planes(images).tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x04cnumpy\nndarray\nq\x05K\x00\x85" + short(b"b") + b"\x87Rq\x06("
        b"K\x01K" + bytes([len(images)]) + b"M\x00\x0c\x86cnumpy\ndtype\nq\x07" + short(b"u1") + b"K\x00K\x01\x87R"
        b"q\x08(K\x03" + short(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T" + struct.pack("<i", len(content)) + content + b"tb"
    )  # fmt: skip
    numbers = b"]q\x03(" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}q\x01(" + short(b"labels") + b"q\x02" + numbers + short(b"data") + array + b"u."


def assert_is_the_set(data):
    expected = [images_and_labels(number) for number in range(6)]
    np.testing.assert_array_equal(data.train.images, np.concatenate([x for x, _ in expected[:5]]))
    np.testing.assert_array_equal(data.train.labels, np.concatenate([y for _, y in expected[:5]]))
    np.testing.assert_array_equal(data.test.images, expected[5][0])
    assert data.class_names == CLASS_NAMES


def test_the_binary_version_loads_with_channels_last(tmp_path):
    assert_is_the_set(nnvis.data.load(write_binary(tmp_path / "bin")))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_the_python_version_loads_from_every_pickle_protocol(tmp_path, protocol):
    assert_is_the_set(nnvis.data.load(write_python(tmp_path / "py", protocol)))


def test_the_python_version_loads_as_python_2_wrote_it(tmp_path):
    folder = write_python(tmp_path / "py", 2)
    for number, name in enumerate(BATCHES):
        (folder / name).write_bytes(python2_batch(*images_and_labels(number)))
    assert_is_the_set(nnvis.data.load(folder))


def test_the_hand_made_python_2_batch_is_a_true_pickle():
    images, labels = images_and_labels(0)
    batch = pickle.loads(python2_batch(images, labels), encoding="latin-1")
    np.testing.assert_array_equal(batch["data"], planes(images))
    assert batch["labels"] == labels.tolist()


class Exploit:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("function", [os.mkdir, eval, getattr, np.load, pickle.loads])
def test_a_malicious_pickle_is_refused_and_nothing_runs(tmp_path, protocol, function):
    target = str(tmp_path / "made-by-the-pickle")
    content = pickle.dumps({b"data": Exploit(function, target), b"labels": []}, protocol)
    with pytest.raises(DataError, match="runs no code"):
        read_pickle(content, "batch")
    assert not os.path.exists(target)


def test_arrays_of_objects_and_absurd_types_are_refused():
    for array in (np.array([{}], object), np.zeros(2, "datetime64[s]"), np.zeros(2, "i4,f4")):
        with pytest.raises(DataError):
            read_pickle(pickle.dumps(array), "batch")


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@settings(deadline=None, max_examples=60)
@given(plain, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_data_reads_as_pickle_would_load_it(value, protocol):
    assert read_pickle(pickle.dumps(value, protocol), "batch") == value


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 5), st.data())
def test_a_pickle_with_changed_bytes_never_raises_anything_but_a_data_error(protocol, data):
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    content = bytearray(pickle.dumps({"data": array, "labels": [1, 2]}, protocol))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DataError):
        read_pickle(bytes(content), "batch")


def test_torn_batches_are_named(tmp_path):
    binary, python = write_binary(tmp_path / "bin"), write_python(tmp_path / "py", 2)
    for path in (binary / "data_batch_3.bin", python / "data_batch_3"):
        path.write_bytes(path.read_bytes()[:-7])
        with pytest.raises(DataError, match="data_batch_3"):
            nnvis.data.load(path.parent)


def test_missing_batches_are_all_named(tmp_path):
    folder = write_binary(tmp_path / "bin")
    (folder / "data_batch_2.bin").unlink()
    (folder / "test_batch.bin").unlink()
    with pytest.raises(DataError, match=r"data_batch_2\.bin, test_batch\.bin"):
        nnvis.data.load(folder)


def test_a_label_above_nine_is_named_with_file_index_and_value(tmp_path):
    folder = write_binary(tmp_path / "bin")
    content = bytearray((folder / "data_batch_1.bin").read_bytes())
    content[2 * 3073] = 11
    (folder / "data_batch_1.bin").write_bytes(content)
    with pytest.raises(DataError, match=r"data_batch_1\.bin label at index 2 is 11"):
        nnvis.data.load(folder)


def test_a_pickle_without_images_is_named(tmp_path):
    folder = write_python(tmp_path / "py", 2)
    for content in ({"labels": []}, [1], {"data": "text", "labels": []}, {"data": np.zeros((2, 5)), "labels": [0, 1]}):
        (folder / "data_batch_1").write_bytes(pickle.dumps(content, 2))
        with pytest.raises(DataError, match="data_batch_1"):
            nnvis.data.load(folder)
