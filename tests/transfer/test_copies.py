"""Texts that stand several times: what chooses and judges has not seen them."""

from itertools import chain

import numpy as np
import pytest

from headstart.tasks.classification import Classes
from headstart.tasks.regression import Numbers
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.methods import FineTune, Training
from headstart.transfer.pairs import PairClassifier
from headstart.transfer.regressor import TextRegressor
from headstart.transfer.tag_task import TagTask
from headstart.transfer.task import Task
from headstart.transfer.token_tagger import TokenTagger


@pytest.fixture(scope="module")
def noise(make_task):
    """A hundred texts with labels of chance: nobody can do better than half."""
    texts, _ = make_task(100, first=0, last=40)
    return texts, np.random.default_rng(0).choice(["a", "b"], 100).tolist()


def test_copies_make_nobody_sure_of_labels_of_chance(noise):
    texts, labels = noise
    once, thrice = (
        TextClassifier(transfer="tfidf", calibrate=True).fit(texts * times, labels * times)
        for times in (1, 3)
    )
    assert thrice.fit_report_["validation_accuracy"] < 0.8
    assert thrice.fit_report_["strength"] <= 10 * once.fit_report_["strength"]
    assert thrice.temperature_ > 0.9 * once.temperature_


def test_copies_do_not_prolong_training(encoder, noise):
    texts, labels = noise
    long = Training(hidden=8, batch_size=20, min_steps=5, max_steps=400, evaluate_every=5)
    tuned = TextClassifier(encoder, FineTune(training=long)).fit(texts * 3, labels * 3)
    assert tuned.fit_report_["validation_accuracy"] < 0.8
    assert tuned.fit_report_["steps"] < 100


def test_copies_make_no_number_of_chance_known(noise):
    numbers = np.random.default_rng(1).normal(size=100).tolist()
    fitted = TextRegressor(transfer="tfidf").fit(noise[0] * 3, numbers * 3)
    assert fitted.fit_report_["validation_r2"] < 0.2


def test_numbers_of_few_texts_and_many_copies_are_fitted_and_validated_apart():
    values = np.random.default_rng(0).normal(size=300).astype(np.float32)
    texts = [f"text {n}" for n in range(10)] * 30
    fitted, validated = Task(texts=texts, target=Numbers(values), seed=0, max_tokens=8).parts()
    assert len(fitted) == 240
    assert not {row % 10 for row in fitted} & {row % 10 for row in validated}


def test_copies_tell_no_label_sets_of_chance(noise):
    texts, labels = noise
    sets = [[first, f"{second}2"] for first, second in zip(labels, labels[::-1], strict=True)]
    fitted = TextClassifier(transfer="tfidf").fit(texts * 3, sets * 3)
    assert fitted.fit_report_["validation_subset_accuracy"] < 0.8


def parts_of(texts, labels, **settings):
    target = Classes(np.array(labels), np.ones(2, np.float32))
    return Task(texts=texts, target=target, seed=0, max_tokens=8, **settings).parts()


def test_texts_are_the_same_as_where_duplicates_are_counted():
    texts = [
        *(f"caf\u00e9  {row}" for row in range(50)),
        *(f" cafe\u0301 {row}" for row in range(50)),
    ]
    fit, held_out = parts_of(texts, [0, 1] * 50)
    assert not set(fit % 50) & set(held_out % 50)


def test_a_copy_with_another_label_is_on_the_same_side():
    fit, held_out = parts_of([f"text {row}" for row in range(50)] * 2, [0] * 50 + [1] * 50)
    assert not set(fit % 50) & set(held_out % 50)
    assert min(fit) < 50 <= max(fit)


def test_pairs_are_the_same_in_either_order_only_if_neither_text_comes_first():
    """Each of fifty pairs stands twice: as it is, and again or the other way round."""
    one, other = ([f"{side} {row}" for row in range(50)] for side in ("left", "right"))
    again, swapped = [*one, *one, *other, *other], [*one, *other, *other, *one]
    labels = [0, 1] * 50
    for texts, pairs in ((again, "ordered"), (again, "symmetric"), (swapped, "symmetric")):
        fit, held_out = parts_of(texts, labels, pairs=pairs)
        assert not set(fit % 50) & set(held_out % 50)
        assert len(held_out) == 20
    fit, held_out = parts_of(swapped, labels, pairs="ordered")
    assert [*fit] == [*parts_of(list(map(str, range(200))), labels, pairs="ordered")[0]]
    shared = ["premise"] * 50 + one  # which is one text of fifty pairs, not fifty copies
    assert [*parts_of(shared, [0, 1] * 25, pairs="ordered")[1]] == [
        *parts_of([*other, *one], [0, 1] * 25, pairs="ordered")[1]
    ]


def test_pairs_with_labels_of_chance_stay_unknown(noise):
    texts, labels = noise
    pairs = list(zip(texts, texts[1:] + texts[:1], strict=True))
    swapped = [pair[::-1] for pair in pairs]
    judge = PairClassifier(transfer="tfidf", symmetric=True)
    judge.fit(pairs + swapped + pairs, labels * 3)
    assert judge.fit_report_["validation_accuracy"] < 0.8


def test_a_tagger_is_not_judged_by_copies():
    sentences = [[f"word{row}", f"other{row}"] for row in range(60)]
    tags = np.random.default_rng(0).choice(["A", "B"], (60, 2)).tolist()
    tagger = TokenTagger(transfer="majority", scheme="plain").fit(sentences * 3, tags * 3)
    assert tagger.fit_report_["validation_accuracy"] < 0.8


@pytest.mark.parametrize("seed", range(10))
def test_no_tag_of_one_sentence_and_its_copies_is_only_validated_on(seed):
    tags = [*([["A", "A", "B"]] * 3), *([["B", "B", "B"]] * 9)]  # B is rarer in the first
    words = [*([["one", "two", "three"]] * 3), *([f"word{row}"] * 3 for row in range(9))]
    task = TagTask(
        sentences=words, labels=np.array([tag == "B" for tag in chain(*tags)], np.int64),
        tags=["A", "B"], scheme="plain", seed=seed, max_tokens=8, crf=True, spelled=False,
    )  # fmt: skip
    fit, held_out = task.parts()
    assert {0, 1, 2} <= set(fit)
    assert len(held_out) == 2
