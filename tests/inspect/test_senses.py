"""Senses: what is told of a word's occurrences is so, and word vectors tell nothing apart."""

import copy
import json

import numpy as np
import pytest
import torch
from sklearn.metrics import silhouette_score

from headstart.data.corpora import read_corpus
from headstart.errors import DataError, SettingsError
from headstart.hub.random_weights import with_random_weights
from headstart.inspect.occurrences import Occurrence
from headstart.inspect.senses import context_likeness, look_at, word_senses
from headstart.inspect.word_choice import choose_word

RIVER = {"boat", "water", "mud", "fish", "reed"}
MONEY = {"loan", "cash", "rate", "debt", "fund"}


def senses_of(found):
    return [bool(MONEY & set(each["sentence"][:-1].split())) for each in found["occurrences"]]


def occurrences(*contexts):
    return [Occurrence(f"bank {context}", 0, 4) for context in contexts]


def test_word_vectors_tell_nothing_apart(encoders, river_and_money):
    found = word_senses({"glove": encoders["glove"]}, river_and_money, "bank")
    (look,) = found["encoders"]
    assert (look["contextual"], look["distinct"], look["similarity"]) == (False, 1, 1.0)
    assert look["nearest"] == [None] * 40
    assert (look["groups"], look["group_of"], look["silhouette"]) == ([], [], None)
    assert look["alike"] == look["alike_any"] > 0
    assert look["times"] == 1.0
    assert np.ptp(look["points"], axis=0).tolist() == [0.0, 0.0]


def test_an_encoder_that_reads_the_sentence_tells_them_apart(encoders, river_and_money):
    chosen = {name: encoders[name] for name in ("glove", "reader")}
    found = word_senses(chosen, river_and_money, "bank")
    _, look = found["encoders"]
    truth = senses_of(found)
    assert (found["total"], found["left_out"], sum(truth)) == (40, 0, 20)
    assert {(group, sense) for group, sense in zip(look["group_of"], truth, strict=True)} in (
        {(0, False), (1, True)},
        {(1, False), (0, True)},
    )
    for group in look["groups"]:
        sense = truth[look["group_of"].index(group["number"])]
        assert group["size"] == 20
        assert len(MONEY & set(group["words"])) == (5 if sense else 0)
        assert len(group["words"]) == 5  # "near" is of both
    nearest = [near for near in look["nearest"] if near]
    assert len(nearest) > 20
    assert all(
        truth[near[0]] == sense for near, sense in zip(look["nearest"], truth, strict=True) if near
    )
    assert look["times"] > 1.5
    assert look["silhouette"] > 0.5
    sides = np.array(look["points"])[:, 0] > 0
    assert set(zip(sides.tolist(), truth, strict=True)) in (
        {(True, True), (False, False)},
        {(True, False), (False, True)},
    )


def test_every_kind_stands_beside_the_others_as_plain_json(encoders, river_and_money):
    found = word_senses(encoders, river_and_money, "bank", most=30)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert [look["name"] for look in found["encoders"]] == list(encoders)
    assert len(found["occurrences"]) == 30
    for look in found["encoders"]:
        assert len(look["nearest"]) == len(look["points"]) == 30
        if look["contextual"]:
            assert look["distinct"] >= 10  # GPT has read ten beginnings
            sizes = {group["number"]: group["size"] for group in look["groups"]}
            numbers, counts = np.unique(look["group_of"], return_counts=True)
            assert dict(zip(numbers.tolist(), counts.tolist(), strict=True)) == sizes
            assert list(sizes) == sorted(sizes)
    assert word_senses(encoders, river_and_money, "bank", most=30) == found


def among_fillers():
    """Return sentences of either sense, with words between that are too short to count."""
    random = np.random.default_rng(0)
    found = []
    for number in range(60):
        fillers = [random.choice(["a", "on", "by"], random.integers(4)) for _ in range(3)]
        words = random.choice(sorted((RIVER, MONEY)[number % 2]), 2, replace=False)
        parts = [*fillers[0], words[0], "bank", *fillers[1], words[1], *fillers[2]]
        found.append(" ".join(parts))
    return found


def learned(encoder):
    """Return a BERT to which only words of either sense say anything, wherever they stand."""
    model, ids = copy.deepcopy(encoder.model), encoder.tokenizer.ids
    rows = np.random.default_rng(1).normal(size=(10, encoder.model.width))
    with torch.no_grad():
        model.embeddings.positions.weight.zero_()
        model.embeddings.tokens.weight.zero_()
        for word, row in zip(sorted(RIVER | MONEY), rows, strict=True):
            model.embeddings.tokens.weight[ids[word]] = torch.from_numpy(row)
    return encoder.with_model(model)


def test_the_control_is_what_the_encoder_reaches_untrained(encoders):
    chosen = {**encoders, "learned": learned(encoders["bert"])}
    stream = torch.get_rng_state()
    found = word_senses(chosen, among_fillers(), "bank")
    assert torch.equal(torch.get_rng_state(), stream)
    looks = {look["name"]: look for look in found["encoders"]}
    for name in ("cove", "elmo", "gpt", "bert"):  # which nobody trained
        assert looks[name]["untrained"] == pytest.approx(looks[name]["times"], rel=0.4)
    assert looks["learned"]["untrained"] == looks["bert"]["untrained"]
    assert looks["learned"]["times"] > 2 * looks["learned"]["untrained"] > 2
    assert looks["glove"]["untrained"] is None
    assert looks["reader"]["untrained"] is None  # a kind that nobody knows to make


@pytest.mark.parametrize("name", ["cove", "elmo", "gpt", "bert"])
def test_the_control_of_the_control_is_itself(encoders, river_and_money, name):
    random = encoders[name].with_model(with_random_weights(encoders[name].model, 0))
    (look,) = word_senses({name: random}, river_and_money, "bank")["encoders"]
    assert look["untrained"] == look["times"]


@pytest.mark.parametrize("fails", [RuntimeError("no such sizes"), ValueError("NaN")])
def test_without_a_control_all_else_is_told(encoders, river_and_money, monkeypatch, fails):
    def fail(model, seed):
        if isinstance(fails, RuntimeError):
            raise fails
        broken = copy.deepcopy(model)
        broken.embeddings.tokens.weight.data.fill_(np.nan)
        return broken

    bert = {"bert": encoders["bert"]}
    (usual,) = word_senses(bert, river_and_money, "bank")["encoders"]
    monkeypatch.setattr("headstart.inspect.senses.with_random_weights", fail)
    (look,) = word_senses(bert, river_and_money, "bank")["encoders"]
    assert usual["untrained"] > 0
    assert look == {**usual, "untrained": None}


def test_groups_of_several_encoders_have_the_same_numbers(encoders, river_and_money):
    reader = encoders["reader"]
    turned = type(reader)(
        "reader",
        type(reader.model)(-reader.model.rows.weight.flip(1)),
        reader.tokenizer,
        config={},
        lineage={},
    )
    text = [
        *river_and_money,
        *(f"The {a} was on a bank near {b}" for a in ("boat", "mud") for b in ("fish", "reed")),
    ]
    first, second = word_senses({"a": reader, "b": turned}, text, "bank")["encoders"]
    assert first["group_of"] == second["group_of"]
    assert first["groups"] == second["groups"]


def test_the_numbers_are_what_they_say():
    random = np.random.default_rng(1)
    vectors = random.normal(size=(9, 5)).astype(np.float32)
    met = occurrences("one two", "two six", "six", "one two", "red", "red blue", "cat", "cat", "")
    look = look_at(vectors, met, contextual=True)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    pairs = [(i, j) for i in range(9) for j in range(9) if i != j]
    assert look["similarity"] == pytest.approx(np.mean([cosines[pair] for pair in pairs]), abs=1e-4)
    nearest = [max((j for j in range(9) if j != i), key=lambda j: cosines[i, j]) for i in range(9)]
    assert [near[0] for near in look["nearest"]] == nearest
    assert [near[1] for near in look["nearest"]] == pytest.approx(
        [cosines[i, j] for i, j in enumerate(nearest)], abs=1e-4
    )
    likeness = context_likeness(met)
    alike = np.mean([likeness[i, j] for i, j in enumerate(nearest)])
    alike_any = np.mean([likeness[pair] for pair in pairs])
    assert look["alike"] == pytest.approx(alike, abs=1e-4)
    assert look["alike_any"] == pytest.approx(alike_any, abs=1e-4)
    assert look["times"] == pytest.approx(alike / alike_any, abs=1e-2)
    expected = silhouette_score(unit, look["group_of"], metric="cosine")
    assert look["silhouette"] == pytest.approx(expected, abs=1e-4)
    centered = unit - unit.mean(0)
    values, axes = np.linalg.eigh(centered.T @ centered)
    places = np.abs(centered @ axes[:, [-1, -2]])
    np.testing.assert_allclose(np.abs(look["points"]), places, atol=1e-3)
    assert look["explained"] == pytest.approx(values[-2:].sum() / values.sum(), abs=1e-3)


def test_contexts_are_alike_in_their_words_and_not_in_the_word_itself():
    alike = context_likeness(
        occurrences("blue sea", "Sea: blue!", "red sky", "of no 1", "blue sky")
    )
    assert alike[0, 1] == pytest.approx(1.0)
    assert alike[0, 2] == alike[0, 3] == alike[3, 3] == 0.0
    assert 0.0 < alike[0, 4] < 1.0
    assert not context_likeness(occurrences("", "")).any()


def test_two_occurrences_are_enough(encoders):
    for encoder in encoders.values():
        (look,) = word_senses({"it": encoder}, ["bank", "the bank"], "bank")["encoders"]
        assert look["groups"] == []
        assert (look["times"], look["alike_any"]) == (None, 0.0)


def test_a_spelling_without_a_vector_is_left_out_and_counted(encoders):
    cased = encoders["glove"].from_words(
        "glove", ["bank", "Loan", "NATO"], np.eye(3, dtype=np.float32), config={}, lineage={}
    )
    assert not cased.tokenizer.lowercase
    texts = ["A bank.", "The bank.", "BANK!", "THE BANK!"]
    found = word_senses({"glove": cased, "elmo": encoders["elmo"]}, texts, "bank")
    assert (found["total"], found["left_out"], len(found["occurrences"])) == (4, 2, 2)
    with pytest.raises(SettingsError, match="only 1 of 2 occurrences has a spelling that"):
        word_senses({"glove": cased}, ["A bank.", "BANK!"], "bank")


@pytest.mark.parametrize("name", ["glove", "cove", "bert", "gpt"])
def test_an_encoder_without_a_vector_for_it(encoders, name):
    with pytest.raises(SettingsError, match=r"^mine: has no vector for 'zebra'$"):
        word_senses({"mine": encoders[name]}, ["A zebra.", "The zebra."], "zebra")


def test_no_encoder_and_no_text(encoders):
    with pytest.raises(SettingsError, match="no encoder is given"):
        word_senses({}, ["A bank."], "bank")
    for empty in ([], ["", " "]):
        with pytest.raises(DataError, match="contains no text"):
            word_senses(encoders, empty, "bank")


def telling_corpus(texts):
    """Return texts with two more frequent words: `lake` always among the same, `the` too often."""
    return [*texts, *(f"On the lake number {n}" for n in range(45)), *(["Nothing."] * 5)]


def test_without_a_word_the_one_that_differs_most_is_taken(encoders, river_and_money, monkeypatch):
    monkeypatch.setattr("headstart.inspect.word_choice._MOST_SENTENCES", 0.6)
    chosen = {name: encoders[name] for name in ("glove", "reader")}
    text = telling_corpus(river_and_money)
    found = word_senses(chosen, text)
    assert found["word"] == "bank"
    assert word_senses(chosen, text) == found
    assert choose_word({"glove": chosen["glove"]}, read_corpus(texts=text)) == "lake"  # frequent


def test_a_word_that_stands_in_one_place_only_is_none_to_take(
    encoders, river_and_money, monkeypatch
):
    monkeypatch.setattr("headstart.inspect.word_choice._MOST_SENTENCES", 0.6)
    below = f"and {'so it goes ' * 12}to the lake {'so it goes ' * 12}"
    footers = [f"Mail {number} {below}" for number in range(45)]
    reader = {"reader": encoders["reader"]}
    with np.errstate(all="raise"):
        assert choose_word(reader, read_corpus(texts=[*river_and_money, *footers])) == "bank"
    with pytest.raises(DataError, match="no suitable word"):
        choose_word(reader, read_corpus(texts=footers))


def test_a_corpus_without_a_word_worth_showing(encoders):
    with pytest.raises(DataError, match="no suitable word occurs in 8 sentences"):
        word_senses(encoders, ["The bank was here.", "The bank was there."])
    zebras = [f"The zebra number {number}" for number in range(20)]
    with pytest.raises(DataError, match="no suitable word"):
        word_senses({"glove": encoders["glove"]}, zebras)
