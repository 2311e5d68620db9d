"""What is decided where the command line is silent."""

from __future__ import annotations

import argparse

import numpy as np
import pytest

import nnvis as nv
from nnvis.cli import train
from nnvis.cli.arguments import Parser
from nnvis.cli.nets import graph_for_data
from nnvis.cli.settings import data_source, describe, train_options
from nnvis.errors import ConfigError, UnknownNameError


def _options(*words: str, shape: tuple[int, ...] = (28, 28, 1), classes: int = 10):
    args = _args(*words)
    data = nv.data.from_arrays(np.zeros((classes * 2, *shape), np.uint8), np.arange(classes * 2) % classes)
    return train_options(args, data, graph_for_data(args.net, args.net_option, data, args.loss == "bce"))


def _args(*words: str) -> argparse.Namespace:
    parser = Parser()
    train.add_arguments(parser)
    return parser.parse(list(words))


def test_a_network_brings_the_settings_that_suit_it():
    options = _options("lenet5")
    assert (options.epochs, options.batch_size, options.optimizer) == (3, 64, nv.SGD(0.05, 0.9, weight_decay=5e-4))
    assert str(options.schedule) == "cosine" and options.loss == nv.CrossEntropy() and options.clip_norm == 1
    assert describe(options) == (
        "sgd lr 0.05, momentum 0.9, weight decay 0.0005, cosine, gradient norm at most 1",
        "3 epochs, batch 64, seed 0",
    )


def test_what_the_user_says_wins():
    options = _options("mlp", "--lr", "0.2", "--epochs", "1", "--momentum", "0", "--schedule", "step:2", "--l1", "1e-4")
    assert options.optimizer == nv.SGD(0.2, l1=1e-4) and options.epochs == 1
    assert describe(options) == ("sgd lr 0.2, l1 0.0001, step:2", "1 epoch, batch 64, seed 0")


def test_an_adaptive_optimiser_does_not_take_over_a_learning_rate_for_gradient_descent():
    assert _options("lenet5", "--optimizer", "adam").optimizer == nv.Adam(lr=1e-3)
    assert _options("lenet5", "--optimizer", "adamw").optimizer == nv.AdamW(lr=1e-3, weight_decay=0.01)
    assert _options("lenet5", "--optimizer", "rmsprop", "--lr", "0.01").optimizer == nv.RMSprop(lr=0.01)


def test_a_network_may_bring_an_adaptive_optimiser_which_another_kind_does_not_take_its_rate_from():
    suits = nv.zoo.entry("nin").defaults
    assert _options("nin", shape=(32, 32, 3)).optimizer == nv.Adam(lr=suits["lr"])
    assert _options("nin", "--optimizer", "rmsprop", shape=(32, 32, 3)).optimizer == nv.RMSprop(lr=suits["lr"])
    assert _options("nin", "--optimizer", "momentum", shape=(32, 32, 3)).optimizer == nv.SGD(0.05, 0.9)
    assert _options("nin", "--optimizer", "sgd", "--lr", "0.1", shape=(32, 32, 3)).optimizer == nv.SGD(0.1)


def test_momentum_is_refused_where_there_is_none():
    with pytest.raises(ConfigError, match="--momentum"):
        _options("lenet5", "--optimizer", "adam", "--momentum", "0.9")


def test_usual_augmentation_is_for_colour_images_only():
    assert str(_options("resnet20", shape=(32, 32, 3)).augmentation) == "crop4,flip"
    assert str(_options("resnet20", shape=(32, 32, 1)).augmentation) == "none"
    assert str(_options("resnet20", "--augment", "flip", shape=(32, 32, 1)).augmentation) == "flip"


def test_two_classes_and_the_binary_cross_entropy_take_one_output():
    assert _options("mlp", "--loss", "bce", classes=2).loss == nv.BCEWithLogits()


def test_label_smoothing_is_refused_where_it_means_nothing():
    assert _options("mlp", "--label-smoothing", "0.1").loss == nv.CrossEntropy(0.1)
    with pytest.raises(ConfigError, match="--label-smoothing"):
        _options("mlp", "--label-smoothing", "0.1", "--loss", "bce", classes=2)


def test_data_suit_the_network():
    assert data_source(_args("lenet5")).name == "mnist"
    assert data_source(_args("resnet20")).name == nv.zoo.entry("resnet20").defaults["data"]
    assert data_source(_args("lenet5", "--data", "moons")).name == "moons"


def test_an_unknown_network_is_refused_before_its_data_are_loaded():
    with pytest.raises(UnknownNameError, match="lenet5"):
        data_source(_args("lenet6", "--data", "mnist"))
