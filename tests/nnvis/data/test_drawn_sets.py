"""The sets that are drawn from a seed: toy points and shapes."""

from __future__ import annotations

import time

import numpy as np
import pytest

import nnvis.data
from nnvis.data.shapes import SHAPES, draw_shapes
from nnvis.errors import ConfigError

TOYS = ["xor", "circles", "moons", "spirals", "gaussians"]


def same(a, b):
    return all(
        np.array_equal(p.images, q.images) and np.array_equal(p.labels, q.labels)
        for p, q in ((a.train, b.train), (a.test, b.test))
    )


@pytest.mark.parametrize("name", TOYS)
def test_toy_sets_are_float32_points_with_balanced_classes(name):
    data = nnvis.data.load(name, samples=300)
    assert data.train.images.dtype == np.float32
    assert data.input_shape == (2,)
    assert (len(data.train), len(data.test)) == (300, 75)
    counts = np.bincount(data.train.labels)
    assert len(counts) == data.num_classes
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("name", [*TOYS, "shapes"])
def test_a_drawn_set_is_a_function_of_its_seed_and_tests_on_other_examples(name):
    options = {"train": 40, "test": 40} if name == "shapes" else {"samples": 40, "test_samples": 40}
    first, again, other = (nnvis.data.load(name, seed=seed, **options) for seed in (3, 3, 4))
    assert same(first, again)
    assert not same(first, other)
    assert not np.array_equal(first.train.images, first.test.images)


def test_xor_without_noise_is_the_truth_table():
    data = nnvis.data.load("xor", samples=4, noise=0)
    assert data.train.images.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert data.train.labels.tolist() == [0, 1, 1, 0]


def test_without_noise_points_lie_on_their_curves():
    circles = nnvis.data.load("circles", noise=0).train
    np.testing.assert_allclose(np.hypot(*circles.images.T), [0.5, 1.0] * 500, rtol=1e-6)
    spirals = nnvis.data.load("spirals", noise=0, classes=3).train
    radius = np.hypot(*spirals.images.T)
    angle = 2 * np.pi * ((radius - 0.1) / 0.9 + spirals.labels / 3)
    expected = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    np.testing.assert_allclose(spirals.images, expected, atol=1e-5)


def test_a_nearest_neighbour_solves_every_toy_set_and_a_line_solves_no_curved_one():
    for name in TOYS:
        data = nnvis.data.load(name)
        distance = np.square(data.test.images[:, None] - data.train.images[None]).sum(2)
        assert (data.train.labels[distance.argmin(1)] == data.test.labels).mean() > 0.9, name
        if name in ("xor", "circles", "spirals"):
            x = np.c_[data.train.images, np.ones(len(data.train))]
            line = x @ np.linalg.lstsq(x, data.train.labels - 0.5, rcond=None)[0]
            assert ((line > 0) == data.train.labels).mean() < 0.75, name


@pytest.mark.parametrize(
    "options", [{"samples": 1}, {"noise": -1}, {"noise": float("nan")}, {"test_samples": 0}, {"classes": 1}]
)
def test_toy_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ConfigError):
        nnvis.data.load("spirals", **options)


def test_shapes_are_colour_bytes_in_ten_balanced_classes():
    data = nnvis.data.load("shapes", train=500, test=100)
    assert data.train.images.shape == (500, 32, 32, 3)
    assert data.train.images.dtype == np.uint8
    assert data.class_names == tuple(SHAPES)
    assert np.bincount(data.train.labels).tolist() == [50] * 10


def test_drawing_many_shapes_takes_seconds():
    start = time.perf_counter()
    draw_shapes(4000, seed=0)
    assert time.perf_counter() - start < 5


def test_every_shape_covers_a_part_of_its_square_and_is_anti_aliased_by_a_true_distance():
    y, x = np.mgrid[-1.5:1.5:151j, -1.5:1.5:151j].astype(np.float32)
    for name, distance in SHAPES.items():
        d = distance(x, y)
        assert 0.05 < (d < 0).mean() < 0.4, name
        assert (d[0] > 0).all() and (d[-1] > 0).all() and (d[:, 0] > 0).all() and (d[:, -1] > 0).all(), name
        steps = np.maximum(np.abs(np.diff(d, axis=0))[:, 1:], np.abs(np.diff(d, axis=1))[1:])
        assert steps.max() < 0.0201, name  # it never changes faster than the distance itself


def test_a_linear_model_does_badly_on_shapes():
    data = nnvis.data.load("shapes", train=6000, test=1000)
    x, t = ((s.images.reshape(len(s), -1) / 255 - 0.5).astype(np.float32) for s in (data.train, data.test))
    gram = x.T @ x + 100 * np.eye(x.shape[1], dtype=np.float32)
    weights = np.linalg.solve(gram, x.T @ np.eye(10, dtype=np.float32)[data.train.labels])
    assert ((t @ weights).argmax(1) == data.test.labels).mean() < 0.25
