from __future__ import annotations

import functools
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import nnvis.data
from nnvis.data import download, registry
from nnvis.data.download import Remote, locate
from nnvis.errors import ConfigError, DataError, UnknownNameError
from tests.nnvis.data.files import write_image_folder, write_mnist_like


@pytest.mark.parametrize("info", [i for i in nnvis.data.available() if i.name not in ("fashion-mnist", "cifar10")])
def test_the_list_says_what_loading_gives_and_needs_no_network(info):
    data = nnvis.data.load(info.name)
    assert (data.name, data.input_shape, data.num_classes) == (info.name, info.shape, info.classes)
    assert (len(data.train), len(data.test)) == info.sizes
    assert not info.needs_download


def test_the_list_tells_what_must_be_downloaded_and_notices_when_it_is_there(tmp_path, monkeypatch):
    def needed():
        return {info.name for info in nnvis.data.available() if info.needs_download}

    assert needed() == {"fashion-mnist", "cifar10"}
    write_mnist_like(tmp_path / "fashion-mnist")
    monkeypatch.setenv("NNVIS_DATA", str(tmp_path))
    assert needed() == {"cifar10"}


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("mnits", "'mnist'"),
        ("MNIST", "'mnist'"),
        ("cifar", "'cifar10'"),
        ("zzz", "fashion-mnist, cifar10"),
        ("", "known are"),
    ],
)
def test_an_unknown_name_proposes_close_ones_or_lists_all(name, advice):
    with pytest.raises(UnknownNameError) as error:
        nnvis.data.load(name)
    assert advice in str(error.value)
    assert name in str(error.value)


@pytest.mark.parametrize("path", ["missing/folder", "missing.npz", "missing-ubyte.gz"])
def test_a_missing_path_is_named(path):
    with pytest.raises(DataError, match="no file or folder missing"):
        nnvis.data.load(path)


def test_a_file_of_another_kind_says_what_can_be_read(tmp_path):
    (tmp_path / "x.csv").write_text("1,2")
    with pytest.raises(DataError, match=r"x\.csv.*\.npz"):
        nnvis.data.load(tmp_path / "x.csv")


def test_an_option_that_a_set_does_not_have_is_refused_with_those_it_has():
    with pytest.raises(ConfigError, match="no option 'noise'"):
        nnvis.data.load("mnist", noise=1)
    with pytest.raises(ConfigError, match="noise, samples, seed"):
        nnvis.data.load("xor", size=(3, 3))


def test_every_set_takes_a_validation_split_and_a_seed():
    data = nnvis.data.load("mnist", validation_split=0.1, seed=5)
    assert {name: len(split) for name, split in data.splits().items()} == {
        "train": 54_000,
        "validation": 6_000,
        "test": 10_000,
    }


def test_the_validation_split_of_a_folder_that_has_one_is_kept(tmp_path):
    write_image_folder(tmp_path, parts=("train", "val", "test"))
    assert len(nnvis.data.load(tmp_path, validation_split=0.5).validation) == 8


@pytest.mark.parametrize("ending", [".gz", ""])
@pytest.mark.parametrize("below", [".", "fashion-mnist"])
def test_downloaded_files_are_found_in_a_folder_of_the_users(tmp_path, monkeypatch, below, ending):
    write_mnist_like(tmp_path / below, ending=ending)
    assert nnvis.data.load("fashion-mnist", root=tmp_path).class_names[9] == "ankle boot"
    monkeypatch.setenv("NNVIS_DATA", str(tmp_path))
    assert len(nnvis.data.load("fashion-mnist").train) == 20


def test_a_root_without_the_files_names_them_and_downloads_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_download", lambda *_: pytest.fail("downloads"))
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte\.gz"):
        nnvis.data.load("fashion-mnist", root=tmp_path)
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz or cifar-10-batches-bin"):
        nnvis.data.load("cifar10", root=tmp_path)


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A web server on this machine with Fashion-MNIST-like files, and a Remote that points to it."""
    import hashlib

    folder = write_mnist_like(tmp_path / "served")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    handler = functools.partial(QuietHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    sums = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    yield Remote("fashion-mnist", f"http://127.0.0.1:{server.server_port}/", sums)
    server.shutdown()
    server.server_close()
    thread.join()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_a_download_is_checked_reported_and_kept(served, monkeypatch):
    pytest.importorskip("pooch")
    reports = []
    monkeypatch.setattr(registry, "FASHION_MNIST", served)
    data = nnvis.data.load("fashion-mnist", progress=lambda *report: reports.append(report))
    assert (len(data.train), len(data.test)) == (20, 10)
    finished = {what for what, done, total in reports if done == total > 0}
    assert finished == {f"downloading {name}" for name in served.files}
    monkeypatch.setattr(download, "_download", lambda *_: pytest.fail("downloads again"))
    assert len(nnvis.data.load("fashion-mnist").train) == 20


def test_a_download_with_another_checksum_is_refused_and_not_kept(served):
    pytest.importorskip("pooch")
    wrong = Remote(served.name, served.base_url, dict.fromkeys(served.files, "0" * 32))
    with pytest.raises(DataError, match="another checksum"):
        locate(wrong, None)
    assert download.find_local(wrong) is None


def test_without_a_network_one_sentence_says_what_to_do_instead(monkeypatch):
    pytest.importorskip("pooch")
    nowhere = Remote("cifar10", "http://127.0.0.1:9/", {"cifar-10-binary.tar.gz": "0"}, ("cifar-10-batches-py",))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(DataError, match=r"no connection.*NNVIS_DATA.*'shapes'") as error:
        locate(nowhere, None)
    assert "\n" not in str(error.value)


def test_without_pooch_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataError, match="pip install pooch"):
        nnvis.data.load("cifar10")


def test_importing_the_data_room_loads_no_kernel_no_imaging_and_no_network_library():
    code = (
        "import sys, nnvis.data; "
        "print([m for m in ('numba', 'PIL', 'pooch', 'requests', 'rich', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_mnist_batches_have_mean_zero_and_deviation_one():
    data = nnvis.data.load("mnist")
    loader = nnvis.data.Loader.of(data, "test", 5000)
    x = np.concatenate([x for x, _ in loader.batches()])
    assert abs(x.mean()) < 0.02
    assert abs(x.std() - 1) < 0.02
