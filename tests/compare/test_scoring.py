"""What answers are worth: accuracy of classes, strict F1 of spans, accuracy of words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from headstart.compare.scoring import score_classes, score_spans, score_words
from headstart.tasks.tagging import convert, score_tags

LEGAL = st.lists(st.sampled_from(["O", "B-P", "I-P", "B-L", "I-L"]), min_size=1, max_size=5)


def test_a_row_of_classes_has_one_answer():
    cell = score_classes(["a", "b", "b"], ["a", "b", "a"]).as_cell()
    assert (cell["correct"], cell["value"]) == ([1, 1, 0], pytest.approx(2 / 3))
    assert not {"total", "types"} & cell.keys()


def test_a_class_that_no_method_can_answer_has_an_f1_of_zero():
    truth, answers = ["a", "b", "new", "new"], ["a", "b", "a", "b"]
    found = score_classes(truth, answers)
    assert found.correct == [1, 1, 0, 0]
    assert found.macro_f1 == f1_score(truth, answers, average="macro", zero_division=0) < 0.5


def test_a_sentence_has_as_many_answers_as_true_and_found_spans():
    truth = [["B-P", "I-P", "O"], ["O", "B-L"], ["O"]]
    found = score_spans(truth, [["B-P", "I-P", "B-L"], ["B-L", "O"], ["O"]])
    assert (found.correct, found.total) == ([2, 0, 0], [3, 2, 0])
    cell = found.as_cell()
    assert cell["value"] == pytest.approx(2 / 5)
    assert cell["macro_f1"] == pytest.approx(0.5)
    assert [(each["type"], each["f1"]) for each in cell["types"]] == [("L", 0.0), ("P", 1.0)]
    assert found.degenerate is None


@given(st.lists(st.tuples(LEGAL, st.randoms(use_true_random=False)), min_size=1, max_size=5))
def test_the_score_of_spans_is_that_of_conlleval(rows):
    truth = [convert(tags, "IOB2") for tags, _ in rows]
    answers = [convert(random.sample(tags, len(tags)), "IOB2") for tags, random in rows]
    value = score_spans(truth, answers).as_cell()["value"]
    assert value == pytest.approx(score_tags(truth, answers, "IOB2").f1)


def test_a_tagger_that_finds_nothing_has_learned_nothing():
    truth = [["B-P", "O"], ["O", "B-L"]]
    assert score_spans(truth, [["O", "O"]] * 2).degenerate == "predicts 'O' for every word"
    why = score_spans(truth, [["O", "B-P"]] * 2).degenerate
    assert why == "no predicted span is correct (of 2)"
    assert score_spans([["O", "O"]] * 2, [["O", "O"]] * 2).degenerate is None, "none to find"


def test_a_sentence_of_plain_tags_has_an_answer_a_word():
    found = score_words([["N", "V"], ["N"]], [["N", "N"], ["N"]])
    assert (found.correct, found.total) == ([1, 1], [2, 1])
    assert found.as_cell()["value"] == pytest.approx(2 / 3)
    assert found.degenerate == "predicts 'N' for every row"
    assert score_words([["N", "V"], ["N"]], [["V", "N"], ["N"]]).degenerate is not None
    assert score_words([["N", "V"], ["N"]], [["N", "V"], ["V"]]).degenerate is None
    assert score_words([["N", "V"], ["N"]], [["N", "V"], ["N"]]).degenerate is None
