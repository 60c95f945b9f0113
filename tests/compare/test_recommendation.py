"""Validation recommends, at the label count nearest to the user's; test rows only report."""

import pytest

from headstart.compare.recommendation import best_by_validation, recommend
from headstart.compare.wording import SPANS


def row(method, labels, validation, *, mean=0.5, loss=1.0, **own):
    cost = {"seconds": 0.654, "megabytes": 4.72, "predictions_per_second": 8517.0}
    scores = {"mean": mean, "low": mean - 0.1, "high": mean + 0.1}
    chosen_by = {"validation": validation, "validation_loss": loss}
    return {"method": method, "labels": labels, **chosen_by, **scores, **cost, **own}


ROWS = [
    row("tfidf", 50, 0.6, mean=0.9),
    row("glove:probe", 50, 0.8),
    row("tfidf", 1000, 0.95),
    row("glove:probe", 1000, 0.9, mean=0.99),
]


def test_test_scores_have_no_say():
    found = recommend(ROWS, labels=1375)
    assert (found["method"], found["labels"], found["given"]) == ("tfidf", 1000, 1375)
    assert found["why"] == (
        "You have 1,375 labels; the nearest count compared is 1,000. At this count, tfidf "
        "has the best validation score (0.950, mean over seeds; the next best is glove:probe with "
        "0.900). On the test rows, which played no part in the choice, it scores 0.500 [0.400, "
        "0.600]. It takes 0.65 s to fit and 4.7 MB to store, and predicts 8,517 texts per second "
        "on one core."
    )
    assert [each["method"] for each in found["by_labels"]] == ["glove:probe", "tfidf"]


def test_only_what_was_run_is_recommended_and_what_was_not_is_named():
    left_out = [{"method": "bert:finetune", "labels": 1000}, {"method": "bert:lora", "labels": 50}]
    best_at_50 = row("bert:finetune", 50, 0.99)
    found = recommend([*ROWS, best_at_50], labels=1375, left_out=left_out)
    assert found["method"] == "tfidf"
    assert found["why"].endswith(
        "With 1,000 labels, there was no time for bert:finetune, which may be better."
    )
    assert [each["method"] for each in found["by_labels"]] == ["bert:finetune", "tfidf"]
    assert "no time" not in recommend(ROWS, labels=50)["why"]


@pytest.mark.parametrize(
    ("labels", "nearest"), [(1, 50), (50, 50), (223, 50), (224, 1000), (10**6, 1000)]
)
def test_the_nearest_label_count_decides(labels, nearest):
    assert recommend(ROWS, labels=labels)["labels"] == nearest


def test_of_equal_scores_the_lower_loss_counts():
    rows = [row("a", 50, 0.8, loss=0.7), row("b", 50, 0.8, loss=0.6), row("c", 50, 0.7, loss=0.1)]
    assert best_by_validation(rows)["method"] == "b"


def test_means_that_differ_by_their_rounding_are_equal():
    more, fewer = (0.1 + 0.2 + 0.3) / 3, (0.3 + 0.2 + 0.1) / 3
    assert more > fewer
    rows = [row("a", 50, more, loss=0.7), row("b", 50, fewer, loss=0.6)]
    assert best_by_validation(rows)["method"] == "b"
    rows = [row("a", 50, 0.5, loss=fewer), row("b", 50, 0.5, loss=more)]
    assert best_by_validation(rows[::-1])["method"] == "b", "the first of equals"


def test_equals_of_the_choice_are_named():
    rows = [row("a", 50, 0.8, loss=0.6), row("b", 50, 0.8 + 1e-12, loss=0.7)]
    said = "a has the best validation score (0.800, mean over seeds; "
    assert f"{said}b has the same score and no lower loss)" in recommend(rows, labels=50)["why"]
    rows += [row("c", 50, 0.8, loss=None), row("d", 50, 0.8, loss=0.6)]
    more = f"{said}b and 2 others have the same score and no lower loss)"
    assert more in recommend(rows, labels=50)["why"]


def test_what_is_less_by_less_than_is_shown_is_not_shown_as_equal():
    found = recommend([row("a", 50, 0.8001), row("b", 50, 0.8)], labels=50)
    assert "(0.800, mean over seeds; the next best is b with slightly less)" in found["why"]


@pytest.mark.parametrize(
    ("seconds", "megabytes", "told"),
    [
        (312.4, 440.2, "312 s to fit and 440 MB"),
        (9876.0, 1234.5, "9,876 s to fit and 1,234 MB"),
    ],
)
def test_large_costs_are_written_out(seconds, megabytes, told):
    found = recommend([row("a", 50, 0.8, seconds=seconds, megabytes=megabytes)], labels=50)
    assert f"It takes {told} to store, and predicts" in found["why"]


def test_a_choice_without_any_score_is_said_to_be_worth_little():
    rows = [row("a", 25, 0.0, loss=0.7), row("b", 25, 0.0, loss=0.6)]
    found = recommend(rows, labels=25, wording=SPANS)
    assert found["method"] == "b"
    assert found["why"].startswith(
        "You have 25 sentences. At this count, no method has a validation score above 0; b has the "
        "lowest validation loss, which is weak evidence: more sentences are needed. On the test "
        "rows"
    )


def test_what_was_not_measured_is_not_told():
    found = recommend([row("a", 50, 0.8, seconds=None)], labels=50)
    assert found["why"].startswith(
        "You have 50 labels. At this count, a has the best validation score"
    )
    assert "to fit" not in found["why"]
