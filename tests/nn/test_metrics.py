"""The counts of a classifier against loops that count one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnctl.nn.metrics import Evaluation, confusion_matrix, precision_recall_f1

PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=40)


def columns(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    labels, predictions = np.array(pairs, np.intp).reshape(-1, 2).T
    return labels, predictions


@given(PAIRS)
def test_confusion_matrix_counts_each_pair(pairs):
    expected = np.zeros((4, 4), np.int64)
    for label, prediction in pairs:
        expected[label, prediction] += 1
    np.testing.assert_array_equal(confusion_matrix(*columns(pairs), 4), expected, strict=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.intp])
def test_confusion_matrix_takes_labels_of_a_small_type_without_overflow(dtype):
    labels = np.full(300, 99, dtype)
    assert confusion_matrix(labels, labels, 100)[99, 99] == 300


@given(PAIRS)
def test_precision_recall_f1_are_what_their_definitions_say(pairs):
    precision, recall, f1 = precision_recall_f1(confusion_matrix(*columns(pairs), 4))
    for c in range(4):
        right = sum(label == prediction == c for label, prediction in pairs)
        called = sum(prediction == c for _, prediction in pairs)
        are = sum(label == c for label, _ in pairs)
        p = right / called if called else 0.0
        r = right / are if are else 0.0
        assert precision[c] == p
        assert recall[c] == r
        assert f1[c] == pytest.approx(2 * p * r / (p + r) if p + r else 0.0, abs=1e-15)


def test_precision_recall_f1_of_a_perfect_classifier_are_ones():
    for share in precision_recall_f1(np.diag([3, 1, 7])):
        assert share.tolist() == [1, 1, 1]


def evaluation(probs: list[list[float]], labels: list[int]) -> Evaluation:
    return Evaluation(0.5, np.array(probs, np.float32), np.array(labels))


def test_evaluation_predicts_the_class_of_the_largest_output():
    result = evaluation([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3], [0.0, 0.4, 0.6], [0.2, 0.1, 0.7]], [1, 0, 1, 0])
    assert result.predictions.tolist() == [1, 0, 2, 2]
    assert result.errors == 2
    assert result.accuracy == 0.5


def test_evaluation_worst_are_the_errors_that_gave_the_target_the_least():
    probs = [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3], [0.99, 0.01], [0.9, 0.1]]
    result = evaluation(probs, [1, 1, 1, 1, 0, 1])
    assert result.worst(10).tolist() == [0, 5, 3, 1]
    assert result.worst(2).tolist() == [0, 5]
    assert result.worst(0).tolist() == []


def test_evaluation_without_errors_has_no_worst():
    assert evaluation([[1, 0]], [0]).worst(5).tolist() == []
