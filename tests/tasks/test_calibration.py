"""Temperatures and calibration errors, against plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from headstart.tasks.calibration import calibration_error, fit_temperature
from headstart.tasks.classification import Classes, probabilities
from headstart.tasks.multilabel import LabelSets

SCORES = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 30), st.integers(2, 4)),
    elements=st.floats(-30, 30),
)


def temperature_of(target, scores):
    rows = np.arange(len(scores))
    return fit_temperature(lambda each: target.mean_loss(scores / each, rows), len(rows))


@settings(deadline=None, max_examples=60)
@given(SCORES, st.randoms(use_true_random=False))
def test_a_temperature_makes_no_text_less_likely_and_changes_no_answer(scores, random):
    rows, outputs = np.arange(len(scores)), scores.shape[1]
    labels = np.array([random.randrange(outputs) for _ in rows])
    matrix = np.array([[random.random() < 0.5 for _ in range(outputs)] for _ in rows])
    ones = np.ones(outputs, np.float32)
    for target in (Classes(labels, ones), LabelSets(matrix, ones)):
        temperature = temperature_of(target, scores)
        assert 0.04 < temperature < 21
        assert target.mean_loss(scores / temperature, rows) <= target.mean_loss(scores, rows)
        chosen = (scores / temperature)[rows, scores.argmax(1)]
        assert (chosen == (scores / temperature).max(1)).all()


def test_a_model_too_sure_of_itself_is_cooled_by_as_much():
    random = np.random.default_rng(0)
    scores = random.normal(size=(4000, 3))
    shares = probabilities(scores)
    labels = np.array([random.choice(3, p=row) for row in shares])
    target = Classes(labels, np.ones(3, np.float32))
    for factor in (0.25, 1.0, 4.0):
        assert temperature_of(target, factor * scores) == pytest.approx(factor, rel=0.1)


def test_a_few_right_answers_ask_for_no_certainty():
    scores = np.array([[1.0, 0.0]] * 3)
    target = Classes(np.zeros(3, np.int64), np.ones(2, np.float32))
    assert 0.3 < temperature_of(target, scores) < 1.0


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1))
def test_the_calibration_error_is_that_of_a_plain_loop(answers):
    total = 0.0
    for number in range(15):
        inside = [
            (confidence, right)
            for confidence, right in answers
            if number < confidence * 15 <= number + 1 or (number == 0 and confidence == 0)
        ]
        if inside:
            confidence = sum(each for each, _ in inside) / len(inside)
            accuracy = sum(right for _, right in inside) / len(inside)
            total += len(inside) / len(answers) * abs(confidence - accuracy)
    found = calibration_error(*map(np.array, zip(*answers, strict=True)))
    assert found == pytest.approx(total, abs=1e-9)


def test_calibration_errors_by_hand():
    nine = np.array([True] * 9 + [False])
    assert calibration_error(np.full(10, 0.9), nine) == pytest.approx(0.0)
    assert calibration_error(np.full(10, 1.0), nine) == pytest.approx(0.1)
    assert calibration_error(np.zeros(0), np.zeros(0, bool)) == 0.0
