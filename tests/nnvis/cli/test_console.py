"""Numbers as people read them, tables, JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nnvis.cli import console


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (console.number(61706), "61,706"),
        (console.scaled(999), "999"),
        (console.scaled(416_520), "416.5 k"),
        (console.scaled(999_960), "1.0 M"),
        (console.scaled(40.6e6), "40.6 M"),
        (console.bytes_text(480), "480 B"),
        (console.bytes_text(46_080), "45.0 KiB"),
        (console.percent(0.98765), "98.77 %"),
        (console.percent(None), ""),
        (console.loss_text(0.12345), "0.1235"),
        (console.loss_text(0.0), "0.0000"),
        (console.loss_text(1.2e-5), "1.20e-05"),
        (console.clock(0.2), "0:01"),
        (console.clock(83.2), "1:24"),
        (console.clock(3723), "1:02:03"),
        (console.duration(5.14), "5.1 s"),
        (console.duration(150), "2:30"),
        (console.shape_text((28, 28, 1)), "28x28x1"),
    ],
)
def test_numbers_read_well(made, expected):
    assert made == expected


def test_eliding_keeps_both_ends_and_more_of_the_last():
    assert console.elide("layer1.0.conv1", 14) == "layer1.0.conv1"
    assert console.elide("features.denseblock4.denselayer16.conv2", 16) == "feature…16.conv2"
    assert [len(console.elide("abcdefghij", width)) for width in range(1, 12)] == [*range(1, 11), 10]


def test_json_has_no_values_that_json_lacks(capsys):
    console.print_json({"a": np.float32(1.5), "b": (np.arange(2), Path("x")), "c": float("nan")})
    assert json.loads(capsys.readouterr().out) == {"a": 1.5, "b": [[0, 1], "x"], "c": None}


def test_a_table_in_a_pipe_is_whole_and_has_no_trailing_spaces(capsys):
    name = "x" * 300
    console.print_table(["…name", ">size", "~text"], [[name, "1", "[bold]"], ["y", "20", ""]], ["sum", "21", ""])
    lines = capsys.readouterr().out.splitlines()
    assert all(line == line.rstrip() for line in lines)
    assert any(name in line and "[bold]" in line for line in lines)
    assert "\x1b" not in "".join(lines)
