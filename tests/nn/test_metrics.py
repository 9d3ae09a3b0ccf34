"""The counts of a classifier against loops that count one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnctl.nn.metrics import Evaluation, confusion_matrix, precision_recall_f1

ANSWERS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=40)


def columns(answers: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    labels, predictions = np.array(answers, np.intp).reshape(-1, 2).T
    return labels, predictions


@given(ANSWERS)
def test_the_confusion_matrix_counts_each_pair(answers):
    expected = np.zeros((4, 4), np.int64)
    for label, prediction in answers:
        expected[label, prediction] += 1
    np.testing.assert_array_equal(confusion_matrix(*columns(answers), 4), expected, strict=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.intp])
def test_labels_of_a_small_type_do_not_overflow(dtype):
    labels = np.full(300, 99, dtype)
    assert confusion_matrix(labels, labels, 100)[99, 99] == 300


@given(ANSWERS)
def test_precision_recall_and_f1_are_what_their_definitions_say(answers):
    precision, recall, f1 = precision_recall_f1(confusion_matrix(*columns(answers), 4))
    for c in range(4):
        right = sum(label == prediction == c for label, prediction in answers)
        called = sum(prediction == c for _, prediction in answers)
        are = sum(label == c for label, _ in answers)
        p = right / called if called else 0.0
        r = right / are if are else 0.0
        assert precision[c] == p
        assert recall[c] == r
        assert f1[c] == pytest.approx(2 * p * r / (p + r) if p + r else 0.0, abs=1e-15)


def test_a_perfect_classifier_has_ones_everywhere():
    for share in precision_recall_f1(np.diag([3, 1, 7])):
        assert share.tolist() == [1, 1, 1]


def evaluation(probs: list[list[float]], labels: list[int]) -> Evaluation:
    return Evaluation(0.5, np.array(probs, np.float32), np.array(labels))


def test_the_brightest_output_is_the_prediction():
    answers = evaluation([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3], [0.0, 0.4, 0.6], [0.2, 0.1, 0.7]], [1, 0, 1, 0])
    assert answers.predictions.tolist() == [1, 0, 2, 2]
    assert answers.errors == 2
    assert answers.accuracy == 0.5


def test_the_worst_mistakes_gave_the_right_answer_the_least():
    probs = [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3], [0.99, 0.01], [0.9, 0.1]]
    answers = evaluation(probs, [1, 1, 1, 1, 0, 1])
    assert answers.worst(10).tolist() == [0, 5, 3, 1]
    assert answers.worst(2).tolist() == [0, 5]
    assert answers.worst(0).tolist() == []


def test_without_mistakes_there_is_no_worst():
    assert evaluation([[1, 0]], [0]).worst(5).tolist() == []
