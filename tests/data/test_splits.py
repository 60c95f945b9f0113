from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.overlap import numbered
from headstart.data.splits import nested_subsets, split_test, validation_part
from headstart.errors import DataError, SettingsError

LABELS = st.lists(st.sampled_from("abcde"), min_size=2, max_size=120)
SEEDS = st.integers(0, 1000)
QUICK = settings(max_examples=150, deadline=None)


def counts(labels, indices):
    return Counter(labels[index] for index in indices)


@given(labels=LABELS, seed=SEEDS, data=st.data())
@QUICK
def test_subsets_are_exact_nested_and_hold_every_class(labels, seed, data):
    budgets = data.draw(st.lists(st.integers(1, len(labels)), min_size=1, max_size=4))
    subsets = nested_subsets(labels, budgets, seed=seed)
    for budget in budgets:
        assert len(set(subsets[budget].tolist())) == budget
        assert len(counts(labels, subsets[budget])) >= min(budget, len(set(labels)))
        for larger in (other for other in budgets if other > budget):
            assert subsets[larger][:budget].tolist() == subsets[budget].tolist()


@given(sizes=st.lists(st.integers(20, 60), min_size=2, max_size=5), seed=SEEDS, data=st.data())
@QUICK
def test_every_part_has_each_class_in_its_share(sizes, seed, data):
    labels = [str(code) for code, size in enumerate(sizes) for _ in range(size)]
    budget = data.draw(st.integers(len(sizes), len(labels)))
    held = counts(labels, nested_subsets(labels, [budget], seed=seed)[budget])
    for code, size in enumerate(sizes):
        assert abs(held[str(code)] - size * budget / len(labels)) < 2.5


@given(labels=LABELS, seed=SEEDS, share=st.floats(0.05, 0.6))
@QUICK
def test_validation_is_never_empty_and_no_class_leaves_the_fit_part(labels, seed, share):
    fit, validation = validation_part(labels, share=share, seed=seed)
    assert len(validation) >= 1
    assert set(counts(labels, fit)) == set(labels)
    if len(labels) > len(set(labels)):
        assert sorted([*fit, *validation]) == list(range(len(labels)))
    else:
        assert fit.tolist() == validation.tolist() == list(range(len(labels)))


@given(
    rows=st.lists(st.tuples(st.integers(0, 40), st.sampled_from("abcde")), min_size=2), seed=SEEDS
)
@QUICK
def test_no_text_is_fitted_and_validated_on_and_no_class_leaves_the_fit_part(rows, seed):
    """Texts stand any number of times, with one label or several."""
    texts = numbered(text for text, _ in rows)
    labels = [label for _, label in rows]
    fit, validation = validation_part(labels, texts, seed=seed)
    assert set(counts(labels, fit)) == set(labels)
    if fit.tolist() == validation.tolist():
        assert fit.tolist() == list(range(len(rows)))
        assert texts.max() < len(set(labels))  # as many texts as classes do not suffice for both
    else:
        assert sorted([*fit, *validation]) == list(range(len(rows)))
        assert not set(texts[fit]) & set(texts[validation])


@pytest.mark.parametrize("texts", [None, np.arange(30)])
def test_without_copies_the_validation_part_is_what_it_always_was(texts):
    """Saved results were chosen by it."""
    _, validation = validation_part(list("aabbbccccc" * 3), texts, seed=7)
    assert validation.tolist() == [1, 8, 12, 22, 27, 28]


def test_copies_leave_the_validation_part_stratified_and_as_large():
    random = np.random.default_rng(0)
    texts = numbered(random.permutation(np.repeat(np.arange(200), random.integers(1, 6, 200))))
    labels = ["a" if text % 4 else "b" for text in texts]
    for seed in range(20):
        _, validation = validation_part(labels, texts, seed=seed)
        assert len(validation) == pytest.approx(0.2 * len(labels), abs=3)
        assert counts(labels, validation)["b"] == pytest.approx(labels.count("b") / 5, abs=12)


def test_a_text_that_is_most_of_the_rows_is_fitted():
    labels = [*("ab" * 40), *("ab" * 10)]
    for seed in range(20):
        fit, validation = validation_part(labels, numbered([0] * 80 + [*range(1, 21)]), seed=seed)
        assert set(range(80)) <= set(fit)
        assert len(validation) == 20


def test_a_text_above_the_share_is_fitted_where_smaller_ones_fall_short_of_it():
    rows = [0] * 17 + [1] * 18 + [2] * 11 + [3] * 4
    labels = [*"x" * 17, *"y" * 18, *"x" * 15]
    for seed in range(20):
        _, validation = validation_part(labels, np.array(rows), seed=seed)
        assert validation.tolist() == [46, 47, 48, 49]


def test_two_rows_a_class_leave_one_to_validate():
    fit, validation = validation_part(["a", "b", "a", "b"], seed=0)
    assert (len(fit), len(validation)) == (3, 1)


@given(labels=LABELS, seed=SEEDS, share=st.floats(0.1, 0.5))
@QUICK
def test_the_test_part_is_apart_and_of_the_size_asked_for(labels, seed, share):
    num_test = round(share * len(labels))
    if not 0 < num_test <= len(labels) - len(set(labels)):
        with pytest.raises(DataError, match=f"cannot take {num_test} of {len(labels)} rows"):
            split_test(labels, test_share=share, seed=seed)
        return
    train, test = split_test(labels, test_share=share, seed=seed)
    assert len(test) == num_test
    assert sorted([*train, *test]) == list(range(len(labels)))
    assert set(counts(labels, train)) == set(labels)


def test_splits_are_a_function_of_labels_and_seed():
    labels = list("aabbbccccc" * 10)
    first, again, other = (split_test(labels, test_share=0.3, seed=seed)[1] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert counts(labels, first) == counts(labels, other) == {"a": 6, "b": 9, "c": 15}


def test_the_three_splits_share_no_random_numbers():
    labels = ["a", "b"] * 50
    tails = [
        split_test(labels, test_share=0.2, seed=0)[1],
        validation_part(labels, share=0.2, seed=0)[1],
        np.sort(nested_subsets(labels, [100], seed=0)[100][-20:]),
    ]
    assert len({tuple(tail.tolist()) for tail in tails}) == 3


def test_every_row_is_as_likely_to_be_tested_on():
    labels = ["a"] * 7 + ["b"] * 3 + ["c"] * 20
    seen = Counter(
        int(index)
        for seed in range(2000)
        for index in split_test(labels, test_share=1 / 3, seed=seed)[1]
    )
    large = [seen[index] / 2000 for index in range(30) if labels[index] == "c"]
    assert max(abs(share - 1 / 3) for share in large) < 0.06


def test_a_budget_above_the_data_is_refused_with_both_numbers():
    with pytest.raises(DataError, match="a budget of 1,000 labels is above the 4 labels available"):
        nested_subsets(list("aabb"), [2, 1000], seed=0)


def test_impossible_arguments_are_refused():
    with pytest.raises(SettingsError, match="1 or more, got 0"):
        nested_subsets(list("aabb"), [0], seed=0)
    for share in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(SettingsError, match="between 0 and 1"):
            validation_part(list("aabb"), share=share, seed=0)


def test_a_million_rows_split_quickly():
    labels = ["a", "b", "c", "d"] * 250_000
    subsets = nested_subsets(labels, [50, 200], seed=0)
    assert counts(labels, subsets[200]) == dict.fromkeys("abcd", 50)
