from __future__ import annotations

import gc
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.reference.augment import gather_images
from nnvis.data import Augmentation, Loader, Split, normalised
from nnvis.data.prefetch import prefetched
from nnvis.errors import ConfigError, ShapeError

few = settings(deadline=None, max_examples=25)
MEAN, STD = np.float32([0.4, 0.5, 0.6]), np.float32([0.2, 0.25, 0.3])
BOTH = Augmentation(crop_padding=2, horizontal_flip=True)


def colour(count: int = 23) -> Split:
    rng = np.random.default_rng(0)
    return Split(rng.integers(0, 256, (count, 6, 5, 3), np.uint8), np.arange(count))


def numbers(count: int) -> Split:
    """Examples that hold their own index."""
    return Split(np.arange(count, dtype=np.float32)[:, None], np.arange(count))


def collect(loader, **options):
    return list(loader.batches(**options))


def assert_same(first, second):
    assert len(first) == len(second)
    for (x, labels), (other_x, other_labels) in zip(first, second, strict=True):
        np.testing.assert_array_equal(x, other_x)
        np.testing.assert_array_equal(labels, other_labels)


@few
@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 2**63), st.integers(0, 5), st.booleans())
def test_an_epoch_holds_every_example_once_with_its_own_label(count, batch_size, seed, epoch, shuffle):
    loader = Loader(numbers(count), batch_size, shuffle, seed, prefetch=0)
    batches = collect(loader, epoch=epoch)
    assert len(batches) == len(loader)
    assert all(len(x) == batch_size for x, _ in batches[:-1])
    x, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    np.testing.assert_array_equal(x[:, 0], labels)
    assert sorted(labels) == list(range(count))
    assert shuffle or (np.diff(labels) > 0).all()


@few
@given(st.integers(1, 40), st.integers(1, 10), st.integers(0, 9), st.integers(0, 3), st.integers(0, 3))
def test_starting_late_continues_exactly_where_the_whole_epoch_would_be(count, batch_size, start, epoch, prefetch):
    options = {"shuffle": True, "seed": 7, "augmentation": BOTH, "mean": MEAN, "std": STD}
    whole = collect(Loader(colour(count), batch_size, **options), epoch=epoch)
    late = collect(Loader(colour(count), batch_size, prefetch=prefetch, **options), epoch=epoch, start=start)
    assert_same(late, whole[start:])


def test_batches_are_a_function_of_seed_and_epoch():
    options = {"shuffle": True, "augmentation": BOTH}
    first, again = (collect(Loader(colour(), 4, seed=1, **options), epoch=2) for _ in range(2))
    assert_same(first, again)
    for seed, epoch in ((1, 3), (2, 2)):
        other = collect(Loader(colour(), 4, seed=seed, **options), epoch=epoch)
        assert not np.array_equal(first[0][0], other[0][0])


def test_an_examples_augmentation_depends_on_seed_epoch_and_index_alone():
    """Not on batch size, order, skipped batches or the other kind of augmentation."""

    def by_label(**options):
        loader = Loader(colour(), seed=5, augmentation=BOTH, **options)
        return {int(k): image for x, labels in loader.batches(epoch=1) for image, k in zip(x, labels, strict=True)}

    small, large = by_label(batch_size=3, shuffle=True), by_label(batch_size=23)
    for label, image in small.items():
        np.testing.assert_array_equal(image, large[label])
    assert np.array_equal(BOTH.draw(23, 5, 1)[0], Augmentation(crop_padding=2).draw(23, 5, 1)[0])


def test_the_order_is_pinned_so_that_a_new_release_can_resume_an_old_run():
    order = Loader(numbers(10), 1, shuffle=True, seed=0).order(epoch=0)
    assert order.tolist() == PINNED_ORDER
    shift, flip = Augmentation(crop_padding=4, horizontal_flip=True).draw(4, seed=0, epoch=0)
    assert shift.tolist() == PINNED_SHIFT
    assert flip.tolist() == PINNED_FLIP


PINNED_ORDER = [0, 8, 6, 9, 5, 2, 3, 1, 7, 4]
PINNED_SHIFT = [[-3, 3], [2, 4], [3, -2], [-4, -4]]
PINNED_FLIP = [False, True, True, True]


@few
@given(st.integers(0, 9), st.integers(0, 2**64), st.integers(0, 100))
def test_shifts_fill_their_whole_range_evenly(padding, seed, epoch):
    shift, flip = Augmentation(padding, True).draw(4000, seed, epoch)
    values, counts = np.unique(shift, return_counts=True)
    assert values.tolist() == list(range(-padding, padding + 1))
    assert counts.min() > 0.75 * 8000 / len(values)
    assert 0.4 < flip.mean() < 0.6
    assert shift.dtype == np.int64


def test_bytes_are_moved_mirrored_and_normalised_as_the_textbook_form_says():
    split = colour()
    ((x, labels),) = collect(Loader(split, 23, seed=3, augmentation=BOTH, mean=MEAN, std=STD))
    expected = np.empty(x.shape)
    shift, flip = BOTH.draw(23, seed=3, epoch=0)
    gather_images(split.images, labels, expected, MEAN, 1 / STD, shift, flip)
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    np.testing.assert_allclose(x, expected, atol=2e-6)


def test_float_images_are_augmented_like_bytes():
    split = colour()
    floats = Split(split.images.astype(np.float32) / 255, split.labels)
    options = {"seed": 3, "augmentation": Augmentation(9, True), "mean": MEAN, "std": STD}
    ((as_bytes, _),), ((as_floats, _),) = (collect(Loader(s, 23, **options)) for s in (split, floats))
    np.testing.assert_allclose(as_bytes, as_floats, atol=2e-6)


def test_without_normalisation_bytes_become_zero_to_one_and_floats_stay():
    raw = Augmentation(normalise=False)
    ((x, _),) = collect(Loader(colour(), 23, augmentation=raw, mean=MEAN, std=STD))
    np.testing.assert_allclose(x, colour().images / 255.0, atol=1e-7)
    ((x, _),) = collect(Loader(numbers(5), 5, augmentation=raw, mean=[2.0], std=[3.0]))
    np.testing.assert_array_equal(x, numbers(5).images)


def test_a_batch_never_changes_the_split():
    split = numbers(5)
    for x, labels in Loader(split, 5, mean=[2.0], std=[3.0]).batches():
        x[:], labels[:] = -1, -1
    np.testing.assert_array_equal(split.images, numbers(5).images)
    np.testing.assert_array_equal(split.labels, numbers(5).labels)


def test_a_prediction_sees_what_evaluation_sees():
    split = colour()
    ((x, _),) = collect(Loader(split, 23, mean=MEAN, std=STD))
    np.testing.assert_array_equal(normalised(split.images, MEAN, STD), x)


def test_drop_last_leaves_out_the_short_batch():
    loader = Loader(numbers(10), 4, drop_last=True)
    assert [len(x) for x, _ in loader.batches()] == [4, 4]
    assert len(loader) == 2


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="batch_size"):
        Loader(numbers(5), 0)
    with pytest.raises(ConfigError, match="for images"):
        Loader(numbers(5), 2, augmentation=BOTH)
    with pytest.raises(ShapeError, match=r"mean has shape \(2,\)"):
        Loader(colour(), 2, mean=[1.0, 2.0])


@few
@given(st.integers(0, 999), st.booleans(), st.booleans())
def test_an_augmentation_reads_back_from_its_own_text(padding, flip, normalise):
    augmentation = Augmentation(padding, flip, normalise)
    assert Augmentation.parse(str(augmentation)) == augmentation


def test_augmentations_parse_as_on_the_command_line():
    assert Augmentation.parse("crop4,flip") == Augmentation(4, True)
    assert Augmentation.parse(" Flip , crop2 ") == Augmentation(2, True)
    assert Augmentation.parse("none") == Augmentation.parse("") == Augmentation()
    with pytest.raises(ConfigError, match="'crop'"):
        Augmentation.parse("flip,crop")
    with pytest.raises(ConfigError, match="padding"):
        Augmentation(crop_padding=-1)


def loader_threads():
    return [thread for thread in threading.enumerate() if thread.name == "nnvis-loader"]


@pytest.mark.parametrize("depth", [0, 1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_prefetching_keeps_items_and_order_and_ends_its_thread(depth, count):
    assert list(prefetched(iter(range(count)), depth)) == list(range(count))
    assert not loader_threads()


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_an_exception_reaches_the_consumer_after_the_items_before_it(depth):
    def failing():
        yield 1
        yield 2
        raise KeyError("here")

    seen = []
    with pytest.raises(KeyError, match="here"):
        seen.extend(iter_into(prefetched(failing(), depth), seen))
    assert seen == [1, 2]
    assert not loader_threads()


def iter_into(source, target):
    for item in source:
        target.append(item)
    return []


def test_preparation_runs_ahead_but_not_further_than_asked():
    prepared = []

    def source():
        for number in range(100):
            prepared.append(number)
            yield number

    items = prefetched(source(), 2)
    next(items)
    deadline = time.monotonic() + 5
    while len(prepared) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert prepared == [0, 1, 2, 3]  # one taken, two ready, one waiting for room
    items.close()


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_closing_early_ends_the_thread_at_once(taken):
    items = Loader(colour(200), 2, prefetch=2).batches()
    for _ in range(taken):
        next(items)
    assert len(loader_threads()) == (taken > 0)
    items.close()
    assert not loader_threads()


def test_a_loop_left_by_break_or_exception_ends_the_thread():
    for _ in Loader(colour(200), 2).batches():
        break
    gc.collect()
    assert not loader_threads()

    def fail():
        for _ in Loader(colour(200), 2).batches():
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    gc.collect()
    assert not loader_threads()


def test_two_epochs_at_once_do_not_disturb_each_other():
    loader = Loader(colour(50), 4, shuffle=True, seed=1, augmentation=BOTH)
    expected = [collect(loader, epoch=epoch) for epoch in (0, 1)]
    mixed = list(zip(loader.batches(epoch=0), loader.batches(epoch=1), strict=True))
    assert_same([first for first, _ in mixed], expected[0])
    assert_same([second for _, second in mixed], expected[1])
