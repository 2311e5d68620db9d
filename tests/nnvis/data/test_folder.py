from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

import nnvis.data
from nnvis.data import folder as folder_module
from nnvis.data.images import decode_images, read_image
from nnvis.errors import ConfigError, DataError
from tests.nnvis.data.files import write_image_folder, write_images


@pytest.fixture
def decoded(monkeypatch):
    """Counts how many files were decoded rather than found in the cache."""
    counts = []

    def counting(paths, *rest):
        counts.append(len(paths))
        return decode_images(paths, *rest)

    monkeypatch.setattr(folder_module, "decode_images", counting)
    return counts


def test_train_and_test_folders_load_with_sorted_classes_and_exact_pixels(tmp_path):
    root = write_image_folder(tmp_path / "pets", classes=("dog", "cat"))
    data = nnvis.data.load(root)
    assert (data.name, data.class_names) == ("pets", ("cat", "dog"))
    assert data.train.images.shape == (8, 6, 5, 3)
    assert data.train.labels.tolist() == [0] * 4 + [1] * 4
    first = np.asarray(Image.open(root / "train" / "cat" / "000.png"))
    last = np.asarray(Image.open(root / "test" / "dog" / "003.png"))
    np.testing.assert_array_equal(data.train.images[0], first)
    np.testing.assert_array_equal(data.test.images[-1], last)


def test_one_level_of_class_folders_is_divided_by_the_seed_within_each_class(tmp_path):
    write_image_folder(tmp_path, parts=("",), count=10)
    first, again, other = (nnvis.data.load(tmp_path, test_split=0.3, seed=s) for s in (1, 1, 2))
    assert np.bincount(first.test.labels).tolist() == [3, 3]
    assert np.bincount(first.train.labels).tolist() == [7, 7]
    np.testing.assert_array_equal(first.test.images, again.test.images)
    assert not np.array_equal(first.test.images, other.test.images)
    every = {image.tobytes() for split in (first.train, first.test) for image in split.images}
    assert len(every) == 20


def test_a_validation_folder_is_kept_apart_and_stands_in_for_a_missing_test_folder(tmp_path):
    both = nnvis.data.load(write_image_folder(tmp_path / "a", parts=("Training", "val", "test")))
    assert {name: len(split) for name, split in both.splits().items()} == {"train": 8, "validation": 8, "test": 8}
    without = nnvis.data.load(write_image_folder(tmp_path / "b", parts=("train", "val")))
    assert set(without.splits()) == {"train", "test"}


def test_the_second_load_comes_from_the_cache_and_is_the_same(tmp_path, decoded):
    write_image_folder(tmp_path)
    first, second = nnvis.data.load(tmp_path), nnvis.data.load(tmp_path)
    assert decoded == [16]
    np.testing.assert_array_equal(first.train.images, second.train.images)
    assert second.train.images.flags.writeable
    assert second.train.images.flags.c_contiguous


def test_a_change_of_files_or_options_is_not_answered_from_the_cache(tmp_path, decoded, own_cache):
    write_image_folder(tmp_path)
    nnvis.data.load(tmp_path)
    nnvis.data.load(tmp_path, mode="grey")
    nnvis.data.load(tmp_path, size=(4, 4))
    write_images(tmp_path / "train" / "cat", 5)
    assert len(nnvis.data.load(tmp_path).train) == 9
    assert decoded == [16, 16, 16, 17]
    assert len(list((own_cache / "images").iterdir())) == 3  # the older version of the folder is gone


def test_a_torn_cache_file_is_decoded_anew(tmp_path, decoded, own_cache):
    write_image_folder(tmp_path)
    nnvis.data.load(tmp_path)
    (kept,) = (own_cache / "images").iterdir()
    whole = kept.read_bytes()
    for torn in (whole[:100], whole[:-1], b""):
        kept.write_bytes(torn)
        assert len(nnvis.data.load(tmp_path).train) == 8
    assert decoded == [16] * 4
    assert kept.read_bytes() == whole


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path, decoded, monkeypatch):
    write_image_folder(tmp_path)
    blocked = tmp_path / "not-a-folder"
    blocked.write_text("")
    monkeypatch.setenv("NNVIS_CACHE", str(blocked))
    nnvis.data.load(tmp_path)
    nnvis.data.load(tmp_path)
    assert decoded == [16, 16]


@pytest.mark.parametrize(("mode", "channels"), [("rgb", 3), ("grey", 1), ("gray", 1)])
def test_images_are_resized_and_made_grey_as_asked(tmp_path, mode, channels):
    write_images(tmp_path / "train" / "a", 2, size=(9, 7))
    write_images(tmp_path / "train" / "b", 2, size=(20, 30), ending="jpg")
    write_image_folder(tmp_path, parts=("test",), classes=("a",))
    data = nnvis.data.load(tmp_path, size=(8, 10), mode=mode)
    assert data.input_shape == (8, 10, channels)


def test_mixed_sizes_without_size_name_both_files_and_the_option(tmp_path):
    write_images(tmp_path / "a", 2, size=(9, 7))
    write_images(tmp_path / "b", 2, size=(20, 30))
    with pytest.raises(DataError, match=r"000\.png is 20x30 .*000\.png is 9x7.*size="):
        nnvis.data.load(tmp_path)


def test_an_empty_class_folder_is_named(tmp_path):
    write_image_folder(tmp_path)
    (tmp_path / "train" / "owl").mkdir()
    (tmp_path / "train" / "owl" / "readme.txt").write_text("no image")
    with pytest.raises(DataError, match="owl has no images"):
        nnvis.data.load(tmp_path)


def test_a_lone_empty_class_folder_is_named(tmp_path):
    (tmp_path / "set" / "owl").mkdir(parents=True)
    with pytest.raises(DataError, match="owl has no images"):
        nnvis.data.load(tmp_path / "set")


def test_a_folder_without_class_folders_says_what_is_expected(tmp_path):
    write_images(tmp_path, 2)
    with pytest.raises(DataError, match="one folder of images per class"):
        nnvis.data.load(tmp_path)


def test_a_test_class_that_training_lacks_is_named(tmp_path):
    write_image_folder(tmp_path)
    write_images(tmp_path / "test" / "owl", 1)
    with pytest.raises(DataError, match="'owl'"):
        nnvis.data.load(tmp_path)


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_a_torn_image_is_named_at_any_cut(tmp_path, ending):
    (path,) = write_images(tmp_path / "a", 1, size=(32, 32), ending=ending).iterdir()
    whole = path.read_bytes()
    for cut in (0, 1, 10, 40, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match=rf"000\.{ending}"):
            read_image(path)


def test_one_torn_file_among_many_stops_the_load_and_nothing_is_kept(tmp_path, own_cache):
    write_image_folder(tmp_path, count=200)
    torn = tmp_path / "train" / "dog" / "150.png"
    torn.write_bytes(torn.read_bytes()[:60])
    with pytest.raises(DataError, match=r"dog.150\.png"):
        nnvis.data.load(tmp_path)
    assert not list(own_cache.rglob("*.npy"))


def test_hidden_files_other_files_and_deeper_folders_are_handled(tmp_path):
    write_image_folder(tmp_path, parts=("train", "test"))
    (tmp_path / ".DS_Store").write_bytes(b"")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "train" / "cat" / ".hidden.png").write_bytes(b"")
    (tmp_path / "train" / "notes.txt").write_text("x")
    write_images(tmp_path / "train" / "cat" / "more", 3)
    assert np.bincount(nnvis.data.load(tmp_path).train.labels).tolist() == [7, 4]


@pytest.mark.parametrize("image_mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_common_pixel_format_becomes_rgb_and_grey(tmp_path, image_mode):
    grey = np.linspace(0, 255, 64).astype(np.uint8).reshape(8, 8)
    if image_mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(grey).convert(image_mode)
    image.save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png").shape == (8, 8, 3)
    pixels = read_image(tmp_path / "x.png", mode="grey")
    assert pixels.shape == (8, 8, 1)
    if image_mode != "1":
        np.testing.assert_allclose(pixels[..., 0], grey, atol=1)


def test_the_cameras_orientation_is_applied(tmp_path):
    image = Image.fromarray(np.zeros((4, 9, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "x.jpg", exif=exif)
    assert read_image(tmp_path / "x.jpg").shape == (9, 4, 3)


def test_a_renamed_text_file_and_a_missing_image_are_named(tmp_path):
    (tmp_path / "x.png").write_text("not an image")
    for name in ("x.png", "missing.png"):
        with pytest.raises(DataError, match=name):
            read_image(tmp_path / name)


@pytest.mark.parametrize("options", [{"size": (0, 3)}, {"size": (3,)}, {"size": "big"}, {"mode": "cmyk"}])
def test_options_that_make_no_sense_are_refused(tmp_path, options):
    write_image_folder(tmp_path)
    with pytest.raises(ConfigError):
        nnvis.data.load(tmp_path, **options)


def test_any_number_of_threads_gives_the_same_array(tmp_path):
    write_images(tmp_path / "a", 150)
    paths = sorted(str(path) for path in (tmp_path / "a").iterdir())
    one, many = (decode_images(paths, None, "rgb", workers=n) for n in (1, 5))
    np.testing.assert_array_equal(one, many)


def test_progress_is_reported_up_to_the_total(tmp_path):
    write_image_folder(tmp_path, count=50)
    reports = []
    nnvis.data.load(tmp_path, progress=lambda *report: reports.append(report))
    assert reports[-1] == ("decoding images", 200, 200)
    assert [done for _, done, _ in reports] == sorted(done for _, done, _ in reports)


@pytest.mark.parametrize("kind", ["tar", "gztar", "xztar", "zip"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_an_archive_loads_as_its_folder_does(tmp_path, kind, wrapped):
    root = write_image_folder(tmp_path / "in" / "pets")
    packed = tmp_path / "in" if wrapped else root
    archive = shutil.make_archive(str(tmp_path / "pets"), kind, packed)
    expected = nnvis.data.load(root)
    for _ in range(2):
        data = nnvis.data.load(archive)
        assert (data.name, data.class_names) == ("pets", ("cat", "dog"))
        np.testing.assert_array_equal(data.train.images, expected.train.images)
