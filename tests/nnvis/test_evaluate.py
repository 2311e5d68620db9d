"""Evaluation and prediction."""

from __future__ import annotations

import numpy as np
import pytest

import nnvis as nv
from nnvis.errors import ConfigError, DataError, NnvisError, ShapeError
from tests.nnvis.small import conv_net, images, mlp, moons

RANDOM = np.random.default_rng(0)


def test_metrics_do_not_depend_on_the_batch_size():
    net, data = conv_net(), images()
    whole, parts = nv.evaluate(net, data, batch_size=100), nv.evaluate(net, data, batch_size=4)
    assert whole["accuracy"] == parts["accuracy"] and whole["count"] == len(data.test)
    assert whole["loss"] == pytest.approx(parts["loss"])
    np.testing.assert_array_equal(whole["confusion"], parts["confusion"])


def test_arrays_a_split_and_a_data_set_give_the_same_where_they_mean_the_same():
    net, data = conv_net(), images()
    x = nv.data.normalised(data.test.images, data.mean, data.std)
    expected = nv.evaluate(net, data)["loss"]
    assert nv.evaluate(net, (x, data.test.labels))["loss"] == pytest.approx(expected)
    bare = nv.evaluate(net, data, normalise=False)["loss"]
    assert nv.evaluate(net, data.test)["loss"] == pytest.approx(bare)
    assert nv.evaluate(net, (data.test.images, data.test.labels))["loss"] == pytest.approx(bare)
    assert nv.evaluate(net, data, part="train")["count"] == len(data.train)


def test_evaluation_changes_nothing_in_the_network():
    net = conv_net()
    before = net.state_dict()
    nv.evaluate(net, images())
    assert all((net.state_dict()[k] == v).all() for k, v in before.items()) and net.training_passes == 0


def test_progress_ends_at_the_number_of_examples():
    seen = []
    nv.evaluate(conv_net(), images(), batch_size=8, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (21, 21) and seen == sorted(seen)


def test_predictions_are_probabilities_that_fit_the_head():
    x = RANDOM.normal(size=(5, 2))
    soft = nv.predict(mlp(), x)
    np.testing.assert_allclose(soft.sum(axis=1), 1)
    np.testing.assert_allclose(nv.predict(mlp(), x, batch_size=2), soft)
    scores = mlp(outputs=1).forward(x)
    np.testing.assert_allclose(nv.predict(mlp(outputs=1), x), 1 / (1 + np.exp(-scores)), rtol=1e-6)
    np.testing.assert_allclose(nv.predict(mlp(outputs=1), x, loss="mse"), scores, rtol=1e-6)
    ends = nv.Network(nv.Sequential([nv.Linear(2), nv.Softmax()], input_shape=(2,)), device="reference")
    np.testing.assert_allclose(nv.predict(ends, x), ends.forward(x), rtol=1e-6)


def test_prediction_normalises_like_training_when_it_knows_the_data():
    net, data = conv_net(), images()
    x = nv.data.normalised(data.test.images, data.mean, data.std)
    np.testing.assert_allclose(nv.predict(net, data.test.images, data), nv.predict(net, x), rtol=1e-5)


def test_what_does_not_fit_is_one_sentence():
    net, data = conv_net(), images()
    cases = [
        (ShapeError, lambda: nv.evaluate(mlp(), data)),
        (ShapeError, lambda: nv.predict(net, np.zeros((1, 8, 8, 3)))),
        (DataError, lambda: nv.predict(net, np.full((1, 8, 8, 1), "x"))),
        (DataError, lambda: nv.evaluate(net, (np.zeros((3, 8, 8, 1)), np.zeros(2, int)))),
        (DataError, lambda: nv.evaluate(net, (np.zeros((1, 8, 8, 1)), np.array([7])))),
        (ConfigError, lambda: nv.evaluate(net, data, part="validation")),
        (ShapeError, lambda: nv.evaluate(mlp(outputs=1), moons())),
        (NnvisError, lambda: nv.evaluate(net, data, loss="nope")),
    ]
    for error, call in cases:
        with pytest.raises(error) as caught:
            call()
        assert "\n" not in str(caught.value)
