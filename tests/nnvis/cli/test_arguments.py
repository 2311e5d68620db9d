"""Types of options and the reading of KEY=VALUE."""

from __future__ import annotations

import argparse

import pytest

from nnvis.cli import arguments as a


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (a.count, "0"), (a.count, "1.5"), (a.count, "x"), (a.whole, "-1"), (a.positive, "0"), (a.positive, "nan"),
        (a.positive, "inf"), (a.not_negative, "-0.1"), (a.fraction, "1"), (a.shape, "28x"), (a.shape, "0x2"),
        (a.shape, "1x2x3x4"), (a.key_value, "noise"), (a.key_value, "=3"), (a.one_of(["sgd"], "optimizer"), "sdg"),
    ],
)  # fmt: skip
def test_bad_values_are_refused_by_name(kind, text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"'{text}'"):
        kind(text)


def test_good_values_are_read():
    assert (a.count("3"), a.whole("0"), a.positive("1e-3"), a.fraction("0")) == (3, 0, 1e-3, 0)
    assert a.shape("32x32x3") == a.shape("32,32,3") == a.shape("32X32X3") == (32, 32, 3)
    assert a.shape("2") == (2,)


def test_values_of_options_become_what_they_look_like():
    pairs = [a.key_value(text) for text in ("n=3", "noise=0.2", "size=28,28", "mode=grey", "skip=false", "root=a=b")]
    read = a.options_dict(pairs)
    assert read == {"n": 3, "noise": 0.2, "size": (28, 28), "mode": "grey", "skip": False, "root": "a=b"}


def test_an_option_whose_default_is_text_stays_text():
    assert a.options_dict([("form", "1998")], {"form": "modern"}) == {"form": "1998"}
