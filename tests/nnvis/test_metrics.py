"""Metrics against slow and obvious ones."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nnvis.losses import MSE, BCEWithLogits, CrossEntropy
from nnvis.metrics import Accumulator, accuracy, confusion_matrix, count_correct, format_confusion, top_k


@given(st.integers(1, 30), st.integers(2, 12), st.integers(1, 12), st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_top_k_is_membership_among_the_k_highest_scores(count, classes, k, seed):
    random = np.random.default_rng(seed)
    scores = random.integers(0, 4, size=(count, classes)).astype(float)  # with many ties
    labels = random.integers(classes, size=count)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(top_k(scores, labels, k), (order == labels[:, None]).any(axis=1))
    assert accuracy(scores, labels) == (scores.argmax(axis=1) == labels).mean()


def test_a_score_that_is_not_a_number_is_never_right():
    scores = np.array([[np.nan, 1.0], [np.nan, np.nan]])
    assert not top_k(scores, np.array([0, 1]), 2).any()


def test_the_confusion_matrix_counts_true_rows_and_predicted_columns():
    matrix = confusion_matrix(np.array([0, 1, 1, 2]), np.array([0, 0, 1, 2]), 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_batches_add_up_to_the_whole():
    random = np.random.default_rng(0)
    scores, labels, losses = random.normal(size=(50, 7)), random.integers(7, size=50), random.random(50)
    whole, parts = Accumulator(CrossEntropy(), 7), Accumulator(CrossEntropy(), 7)
    whole.update(scores, labels, losses)
    for start in range(0, 50, 8):
        part = slice(start, start + 8)
        parts.update(scores[part], labels[part], losses[part])
    one, other = whole.result(), parts.result()
    assert one["accuracy"] == other["accuracy"] == accuracy(scores, labels)
    assert one["top5"] == other["top5"] == top_k(scores, labels, 5).mean()
    assert one["count"] == other["count"] == 50
    assert abs(one["loss"] - losses.mean()) < 1e-12 > abs(other["loss"] - losses.mean())
    np.testing.assert_array_equal(one["confusion"], other["confusion"])
    assert one["confusion"].sum() == 50 and np.trace(one["confusion"]) == round(50 * one["accuracy"])


def test_a_binary_head_decides_at_zero():
    total = Accumulator(BCEWithLogits(), 1)
    total.update(np.array([[-1.0], [2.0], [3.0]]), np.array([0, 1, 0]), np.zeros(3))
    assert total.result()["accuracy"] == 2 / 3
    assert total.result()["confusion"].tolist() == [[1, 1], [0, 1]]
    assert accuracy(np.array([[-1.0], [2.0], [3.0]]), np.array([0, 1, 0])) == 2 / 3


def test_several_yes_or_no_answers_must_all_be_right():
    assert count_correct(BCEWithLogits(), np.array([[1.0, -1], [1, 1]]), np.array([[1, 0], [1, 0]])) == 1


def test_regression_has_no_accuracy():
    total = Accumulator(MSE(), 2)
    total.update(np.zeros((3, 2)), np.zeros((3, 2)), np.ones(3))
    assert total.result() == {"loss": 1.0, "count": 3}


def test_the_confusion_text_is_aligned_and_names_every_class():
    text = format_confusion(np.array([[3, 0], [1, 12]]), ["cat", "a very long name"])
    lines = text.splitlines()
    assert len(lines) == 3 and "cat" in lines[1] and "…" in lines[2]
    assert "100.0%" in lines[1] and "92.3%" in lines[2]
