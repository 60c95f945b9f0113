"""From cells to the table of a comparison."""

import json

import numpy as np
import pytest

from headstart.compare.statistics import holm, interval, paired_difference, paired_test
from headstart.compare.summary import gains, ranking_changes, summarize
from headstart.compare.tallies import as_tallies
from headstart.errors import DataError

METHODS = ("majority", "scratch", "glove:probe")


@pytest.fixture(scope="module")
def cells(made_up_cells):
    return made_up_cells(methods=METHODS, budgets=(10, 50), num_seeds=3, num_rows=60)


def of(cells, method, labels):
    return [
        cell["correct"] for cell in cells if (cell["method"], cell["labels"]) == (method, labels)
    ]


def test_one_row_for_each_method_and_budget(cells):
    rows = summarize(cells, resamples=200)
    keys = [(row["method"], row["labels"]) for row in rows]
    assert keys == [(method, labels) for method in METHODS for labels in (10, 50)]
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    last = rows[-1]
    correct = np.array(of(cells, "glove:probe", 50))
    assert last["mean"] == pytest.approx(correct.mean())
    assert last["low"] < last["mean"] < last["high"]
    assert last["seconds"] == pytest.approx(
        np.mean([c["seconds"] for c in cells if (c["method"], c["labels"]) == ("glove:probe", 50)])
    )
    assert [row["degenerate"] for row in rows] == [3, 3, 0, 0, 0, 0]


def test_differences_are_paired_with_scratch_and_corrected_together(cells):
    rows = summarize(cells, resamples=200)
    compared = [row for row in rows if row["method"] != "scratch"]
    last, scratch = of(cells, "glove:probe", 50), of(cells, "scratch", 50)
    expected = paired_difference(last, scratch, resamples=200)
    found = [rows[-1][name] for name in ("vs_scratch", "vs_low", "vs_high")]
    np.testing.assert_allclose(found, expected)
    assert rows[-1]["p"] == pytest.approx(float(paired_test(last, scratch)))
    assert [row["p_holm"] for row in compared] == holm([row["p"] for row in compared])
    assert all(row["p"] is None for row in rows if row["method"] == "scratch")


def test_what_does_not_learn_has_no_head_start(cells):
    rows = {(row["method"], row["labels"]): row for row in summarize(cells)}
    for (method, _), row in rows.items():
        assert (row["head_start"] is None) is (method != "glove:probe")
        assert (row["vs_scratch"] is None) is (method == "scratch")


def test_the_order_of_the_cells_changes_no_number(cells):
    shuffled = summarize(list(reversed(cells)), resamples=200)
    by_key = {(row["method"], row["labels"]): row for row in shuffled}
    for row in summarize(cells, resamples=200):
        assert by_key[row["method"], row["labels"]] == pytest.approx(row, nan_ok=False)


def test_only_seeds_that_all_have_count(cells):
    unfinished = [c for c in cells if (c["method"], c["seed"]) != ("glove:probe", 2)]
    two_seeds = [c for c in cells if c["seed"] != 2]
    assert summarize(unfinished, resamples=200) == summarize(two_seeds, resamples=200)


def test_without_scratch_nothing_is_compared(cells):
    rows = summarize([c for c in cells if c["method"] != "scratch"], resamples=200)
    assert all(row["vs_scratch"] is row["head_start"] is row["p_holm"] is None for row in rows)


def test_budgets_that_scratch_lacks_are_not_compared(cells):
    rows = summarize(
        [c for c in cells if (c["method"], c["labels"]) != ("scratch", 10)], resamples=200
    )
    assert [row["head_start"] is None for row in rows if row["method"] == "glove:probe"] == [
        True,
        False,
    ]


def test_a_measurement_that_a_cell_lacks_is_not_averaged(cells):
    incomplete = [{**cells[0], "macro_f1": None}, *cells[1:]]
    rows = summarize(incomplete, resamples=200)
    assert rows[0]["macro_f1"] is None
    assert rows[1]["macro_f1"] is not None


def test_what_cannot_be_summarized(cells):
    with pytest.raises(DataError, match="no cell"):
        summarize([])
    with pytest.raises(DataError, match="no seed"):
        summarize([{**cells[0], "seed": 8}, {**cells[-1], "seed": 9}])
    with pytest.raises(DataError, match="number of seeds or rows"):
        summarize([{**cells[0], "correct": [1, 0]}, cells[-3]])


LARGE = ("scratch", "bert:scratch", "bert:finetune", "bert+adapt:finetune")


def test_what_pretraining_and_adaptation_bought_is_paired(made_up_cells):
    cells = made_up_cells(methods=LARGE, budgets=(10, 50), num_seeds=3, num_rows=60)
    found = gains(cells, resamples=200)
    assert [(row["of"], row["method"], row["without"], row["labels"]) for row in found] == [
        ("pretraining", "bert:finetune", "bert:scratch", 10),
        ("pretraining", "bert:finetune", "bert:scratch", 50),
        ("adaptation", "bert+adapt:finetune", "bert:finetune", 10),
        ("adaptation", "bert+adapt:finetune", "bert:finetune", 50),
    ]
    pair = of(cells, "bert+adapt:finetune", 10), of(cells, "bert:finetune", 10)
    expected = paired_difference(*pair, resamples=200)
    third = [found[2][name] for name in ("difference", "low", "high")]
    np.testing.assert_allclose(third, expected)
    assert found[2]["p"] == pytest.approx(float(paired_test(*pair)))
    assert [row["p_holm"] for row in found] == holm([row["p"] for row in found])


def test_only_what_was_run_both_ways_is_held_against_each_other(made_up_cells):
    cells = made_up_cells(methods=LARGE, budgets=(10, 50), num_seeds=2, num_rows=40)
    some = [c for c in cells if (c["method"], c["labels"]) != ("bert:finetune", 50)]
    assert [row["labels"] for row in gains(some, resamples=200)] == [10, 10]
    assert gains([c for c in cells if c["method"] == "scratch"], resamples=200) == []


def test_a_method_that_stopped_early_is_held_against_all_of_scratch(made_up_cells):
    cells = made_up_cells(methods=METHODS, budgets=(10, 50, 250), num_seeds=3, num_rows=200)
    early = [c for c in cells if (c["method"], c["labels"]) != ("glove:probe", 250)]
    whole, cut = (
        {(row["method"], row["labels"]): row for row in summarize(each, resamples=500)}
        for each in (cells, early)
    )
    assert ("glove:probe", 250) not in cut
    start = cut["glove:probe", 10]
    assert start["head_start"] == pytest.approx(whole["glove:probe", 10]["head_start"])
    assert start["head_start"] > 1
    assert (start["head_start_bound"], start["labels"] * start["head_start"] > 10) == (None, True)


def as_taggers(cells):
    """The same runs on sentences of several spans, some of them found in the wrong places."""
    random = np.random.default_rng(0)
    spans = random.integers(0, 4, len(cells[0]["correct"]))
    tagged = []
    for cell in cells:
        right = random.binomial(spans, 0.3 + 0.6 * np.array(cell["correct"]))
        total = spans + right + random.integers(0, 2, len(spans))
        score = float(2 * right.sum() / total.sum())
        own = {"metric": "span F1", "value": score, "macro_f1": None}
        own |= {"correct": (2 * right).tolist(), "total": total.tolist()}
        tagged.append({**cell, **own})
    return tagged


def test_taggers_are_compared_by_the_ratio_of_their_answers(made_up_cells):
    cells = as_taggers(made_up_cells(methods=LARGE, budgets=(10, 50), num_seeds=3, num_rows=60))
    rows = {(row["method"], row["labels"]): row for row in summarize(cells, resamples=200)}

    def tallies(*key):
        own = [cell for cell in cells if (cell["method"], cell["labels"]) == key]
        return as_tallies([cell["correct"] for cell in own], [cell["total"] for cell in own])

    for key, row in rows.items():
        own = [cell["value"] for cell in cells if (cell["method"], cell["labels"]) == key]
        assert row["mean"] == pytest.approx(np.mean(own))
        assert row["low"] < row["mean"] < row["high"]
        assert row["macro_f1"] is None
    last, pair = rows["bert:finetune", 50], (tallies("bert:finetune", 50), tallies("scratch", 50))
    expected = *paired_difference(*pair, resamples=200), paired_test(*pair)
    np.testing.assert_allclose(
        [last[n] for n in ("vs_scratch", "vs_low", "vs_high", "p")], expected
    )
    assert last["head_start_low"] <= last["head_start"] <= last["head_start_high"]
    bought = gains(cells, resamples=200)[1]
    pair = tallies("bert:finetune", 50), tallies("bert:scratch", 50)
    found = [bought[name] for name in ("difference", "low", "high", "p")]
    np.testing.assert_allclose(
        found, (*paired_difference(*pair, resamples=200), paired_test(*pair))
    )


def test_rows_of_one_answer_each_change_no_number(cells):
    single = [{**cell, "total": [1] * 60} for cell in cells]
    assert summarize(single, resamples=200) == summarize(cells, resamples=200)


def test_taggers_must_have_the_same_sentences(cells):
    tagged = as_taggers(cells)
    with pytest.raises(DataError, match="number of seeds or rows"):
        summarize([{**tagged[0], "total": [1, 0]}, tagged[-3]])
    with pytest.raises(DataError, match=r"between 0 and the number of its answers"):
        summarize([{**cell, "total": [1] * 60} for cell in tagged])


ON_CLEAN = ("clean_rows", "clean_mean", "clean_low", "clean_high")


def test_scores_on_clean_rows_are_those_of_these_rows_alone(cells):
    clean = [row % 3 > 0 for row in range(60)]
    last = summarize(cells, clean=clean, resamples=200)[-1]
    kept = np.array(of(cells, "glove:probe", 50))[:, clean]
    assert [last[name] for name in ON_CLEAN] == [40, *map(float, interval(kept, resamples=200))]
    assert last["mean"] != last["clean_mean"]
    for without in (None, [True] * 60):
        for row in summarize(cells, clean=without, resamples=200):
            assert [row[name] for name in ON_CLEAN[1:]] == [row["mean"], row["low"], row["high"]]
    none = summarize(cells, clean=[False] * 60, resamples=200)[0]
    assert [none[name] for name in ON_CLEAN] == [0, None, None, None]


def make_cells(**answers):
    """Two seeds of each method, which answer alike."""
    return [
        {"method": method, "labels": 10, "seed": seed, "correct": correct}
        for method, correct in answers.items()
        for seed in (0, 1)
    ]


def test_an_order_that_is_reversed_on_clean_rows_is_found():
    clean = [True] * 80 + [False] * 40
    right, wrong = [1], [0]
    cells = make_cells(
        knows=right * 50 + wrong * 30 + right * 40,  # the rows it saw before
        learns=right * 60 + wrong * 60,
        slightly=right * 61 + wrong * 59,  # than `learns`, but never surely so
        fails=wrong * 120,
    )
    found = ranking_changes(cells, clean, resamples=500)
    assert [(row["above"], row["below"]) for row in found] == [
        ("knows", "learns"),
        ("knows", "slightly"),
    ]
    first = found[0]
    assert (first["labels"], first["difference"]) == (10, pytest.approx(30 / 120))
    assert first["low"] > 0
    assert first["clean_difference"] == pytest.approx(-10 / 80)
    on_clean = [[c["correct"][:80] for c in cells if c["method"] == m] for m in ("knows", "learns")]
    expected = paired_difference(*on_clean, resamples=500)
    values = [first[name] for name in ("clean_difference", "clean_low", "clean_high")]
    np.testing.assert_allclose(values, expected)


def test_no_ranking_changes_where_none_was_claimed_or_all_rows_are_clean():
    clean = [True] * 80 + [False] * 4
    cells = make_cells(a=[1, 0] * 40 + [1] * 4, b=[0, 1] * 39 + [1, 1] + [0] * 4)
    a, b = summarize(cells, clean=clean, resamples=500)
    assert a["mean"] > b["mean"]
    assert a["clean_mean"] < b["clean_mean"]  # by a row of 80, which is chance
    for mask in (clean, [True] * 84, [False] * 84):
        assert ranking_changes(cells, mask, resamples=500) == []
