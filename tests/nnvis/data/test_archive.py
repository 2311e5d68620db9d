from __future__ import annotations

import io
import shutil
import tarfile
import zipfile

import pytest

import nnvis.data
from nnvis.data.archive import unpack
from nnvis.errors import DataError, OutputError
from tests.nnvis.data.files import write_image_folder, write_mnist_like


def tar_with(path, *members):
    with tarfile.open(path, "w") as tape:
        for info, content in members:
            info.size = len(content)
            tape.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("name", ["../evil.png", "/tmp/evil.png", "a/../../evil.png", "..\\evil.png", "C:evil.png"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_an_entry_that_leads_outside_is_refused_and_nothing_stays(tmp_path, own_cache, name, kind):
    archive = tmp_path / f"bad.{kind}"
    if kind == "tar":
        tar_with(archive, (tarfile.TarInfo("good.png"), b"1"), (tarfile.TarInfo(name), b"2"))
    else:
        with zipfile.ZipFile(archive, "w") as bundle:
            bundle.writestr("good.png", b"1")
            bundle.writestr(name, b"2")
    with pytest.raises(DataError, match="outside"):
        unpack(archive)
    assert not list(own_cache.rglob("*.png"))
    assert not list(tmp_path.rglob("evil.png"))


def test_links_and_devices_are_left_out(tmp_path):
    link, device = tarfile.TarInfo("link"), tarfile.TarInfo("device")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    device.type = tarfile.CHRTYPE
    tar_with(tmp_path / "x.tar", (link, b""), (device, b""), (tarfile.TarInfo("d/plain"), b"1"))
    folder = unpack(tmp_path / "x.tar")
    assert [path.name for path in folder.rglob("*")] == ["d", "plain"]


@pytest.mark.parametrize("kind", ["tar", "gztar", "xztar", "bztar", "zip"])
def test_a_cut_archive_is_named_and_leaves_nothing_behind(tmp_path, own_cache, kind):
    root = write_image_folder(tmp_path / "pets", count=10)
    archive = shutil.make_archive(str(tmp_path / "pets"), kind, root)
    with open(archive, "r+b") as file:
        whole = file.read()
        for cut in (len(whole) // 2, 30, 0):
            file.truncate(cut)
            with pytest.raises(DataError, match=r"pets.*damaged"):
                unpack(tmp_path / archive)
    assert not list((own_cache / "archives").iterdir())


def test_an_archive_is_unpacked_once_and_again_after_a_change(tmp_path, own_cache):
    archive = tar_with(tmp_path / "x.tar", (tarfile.TarInfo("a"), b"1"))
    first = unpack(archive)
    marker = first / "marker"
    marker.touch()
    assert unpack(archive) == first
    assert marker.exists()
    tar_with(archive, (tarfile.TarInfo("a"), b"1"), (tarfile.TarInfo("b" * 90), b"2" * 20_000))
    second = unpack(archive)
    assert second != first
    assert list((own_cache / "archives").iterdir()) == [second]


def test_a_cache_that_cannot_be_written_says_what_to_do(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("NNVIS_CACHE", str(blocked))
    archive = tar_with(tmp_path / "x.tar", (tarfile.TarInfo("a"), b"1"))
    with pytest.raises(OutputError, match="NNVIS_CACHE"):
        unpack(archive)


def test_an_archive_of_idx_files_loads_too(tmp_path):
    archive = shutil.make_archive(str(tmp_path / "digits"), "zip", write_mnist_like(tmp_path / "digits"))
    data = nnvis.data.load(archive)
    assert (data.name, data.input_shape) == ("digits", (5, 4, 1))
