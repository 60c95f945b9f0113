"""CoVe by one call: pretrained, stopped and taken up, saved, asked for states and translations."""

import copy
import json
import os
import signal
import sys
import time

import numpy as np
import pytest
import torch

from headstart.budget import Budget
from headstart.errors import (
    DataError,
    FormatError,
    InterruptedRunError,
    MissingExtraError,
    SettingsError,
)
from headstart.hub import cove_pretraining, store
from headstart.hub.bundle import PretrainedWordVectors
from headstart.hub.cove import PretrainedCove
from headstart.hub.store import load_encoder, pretrain
from headstart.models.attention import Dropout
from headstart.pretrain import glove
from headstart.pretrain.translation import hold_out
from headstart.progress import SILENT
from headstart.tokenize.subwords import SubwordTokenizer

WHO = {"cat": "Katze", "cow": "Kuh", "mouse": "Maus", "goose": "Gans"}
HOW = {"red": "rote", "old": "alte", "small": "kleine"}
PAIRS = [
    (
        f"The {how} {who} and the {other} eat {times}.",
        f"{HOW[how]} {WHO[who]}, {WHO[other]} {times}.",
    )
    for how in HOW
    for who in WHO
    for other in WHO
    for times in ("twice", "once")
]
WORDS = ["the", "a", "cat", "cow", "mouse", "goose", "red", "old", "small", "eat", ".", "and"]
WORDS += ["once", "twice"]
OPTIONS = {"vocabulary_size": 300, "pairs_per_step": 16, "dropout": 0.0}
SMALL = {"size": "tiny", "steps": 4, "threads": 1, "options": OPTIONS}


class Notes:
    """Progress that keeps what it is told."""

    stage = staticmethod(SILENT.stage)

    def __init__(self):
        self.told = []

    def note(self, message):
        self.told.append(message)


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setitem(cove_pretraining.SIZES, "tiny", (8, 6))


@pytest.fixture(scope="session")
def vectors():
    matrix = np.random.default_rng(0).normal(size=(len(WORDS), 6)).astype(np.float32)
    return PretrainedWordVectors.from_words("glove", WORDS, matrix, config={}, lineage={})


@pytest.fixture(scope="module")
def learnt(vectors):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(cove_pretraining.SIZES, "tiny", (24, 6))
        how = {**SMALL, "steps": 150, "options": {**OPTIONS, "learning_rate": 1e-2}}
        return pretrain("cove", parallel=PAIRS, vectors=vectors, **how)


SENTENCES = [["The", "cat"], ["a", "red", "mouse", "eat", "unheard-of", "."], [], ["cow"] * 9]


def test_states_of_words_are_the_same_beside_any_others(learnt):
    states = learnt.word_states(SENTENCES)
    assert [each.shape for each in states] == [(2, len(s), 48) for s in SENTENCES]
    assert all(each.dtype == np.float32 for each in states)
    for sentence, found in zip(SENTENCES, states, strict=True):
        assert np.array_equal(learnt.word_states([sentence])[0], found)
    for found, fast in zip(states, learnt.word_states(SENTENCES, bf16=True), strict=True):
        np.testing.assert_allclose(fast, found, atol=0.05)
    other = learnt.word_states([["small", "cat"]])[0]
    assert not np.array_equal(other[:, 1], states[0][:, 1])  # the same word beside another


def test_bfloat16_is_float32_where_the_processor_lacks_it(learnt, monkeypatch):
    monkeypatch.setattr("headstart.training.precision.has_fast_bf16", lambda device: False)
    for exact, asked in zip(
        learnt.word_states(SENTENCES), learnt.word_states(SENTENCES, bf16=True), strict=True
    ):
        assert np.array_equal(exact, asked)


def test_the_features_of_the_paper(learnt, vectors):
    (found,) = learnt.word_vectors([["The", "cat", "unheard-of"]])
    matrix = vectors.model.embedding.weight.detach().numpy()
    rows = [vectors.tokenizer.ids["the"], vectors.tokenizer.ids["cat"], 1]
    assert np.array_equal(found, matrix[rows])
    (states,) = learnt.word_states([["The", "cat", "unheard-of"]])
    assert np.concatenate([found, states[-1]], 1).shape == (3, 6 + 48)


def test_what_is_no_list_of_sentences_is_refused(learnt):
    for read in (learnt.word_states, learnt.word_vectors):
        with pytest.raises(
            DataError, match="sentence 0 is of type str, not a list of words: 'the cat'"
        ):
            read(["the cat"])
    with pytest.raises(DataError, match="expected a list of texts, got one string"):
        learnt.align("the cat")
    with pytest.raises(DataError, match="text 1 is of type NoneType, not a string"):
        learnt.translate(["the cat", None])


def test_words_that_were_in_no_pair_keep_their_vectors(learnt, vectors):
    assert "a" not in " ".join(source for source, _ in PAIRS).split()
    assert torch.equal(learnt.model.embedding.weight, vectors.model.embedding.weight)


def test_it_translates_and_says_where_it_looked(learnt):
    source, target = PAIRS[5]
    assert learnt.translate(source) == target
    assert learnt.translate([source, PAIRS[40][0]], beam=np.int64(3)) == [target, PAIRS[40][1]]
    (one,) = learnt.align([source])
    assert one.text == target
    assert one.source == source.lower().replace(".", " .").split()
    assert one.attention.shape == (len(one.target), len(one.source))
    np.testing.assert_allclose(one.attention.sum(1), 1.0, atol=1e-5)
    assert one.score <= 0.0
    assert learnt.translate("") is not None
    with torch.device("meta"), torch.inference_mode():
        assert learnt.translate(source, beam=3) == target
    with pytest.raises(SettingsError, match="beam must be a whole number from 1, got 0"):
        learnt.translate(source, beam=0)


def test_a_translation_is_the_same_beside_any_others(vectors):
    endless = pretrain("cove", parallel=PAIRS, vectors=vectors, **{**SMALL, "steps": 1})
    alone, long = "The red cat", " ".join(WORDS * 3)
    for beam in (1, 3):
        (one,) = endless.align([alone], beam=beam)
        beside = endless.align([alone, long], beam=beam)[0]
        assert (beside.text, len(beside.target)) == (one.text, len(one.target))
        assert one.score == pytest.approx(beside.score, abs=1e-5)


def test_nothing_is_dropped_of_a_model_that_was_left_in_training(learnt):
    expected = learnt.word_states(SENTENCES)
    (translated,) = learnt.align([PAIRS[5][0]])
    own = learnt.with_model(copy.deepcopy(learnt.model).train())
    for part in own.model.modules():
        if isinstance(part, Dropout):
            part.dropped = 128
    assert all(map(np.array_equal, own.word_states(SENTENCES), expected))
    assert own.align([PAIRS[5][0]])[0].score == translated.score


def test_the_lineage_tells_what_was_reached(learnt):
    lineage = learnt.lineage
    assert (lineage["pairs"], lineage["pairs_held_out"]) == (len(PAIRS), 1)
    assert lineage["bleu"]["beam_size"] == 5
    assert set(lineage["validation"]) >= {"loss", "perplexity", "bleu"}
    (shown,) = lineage["translations"]
    assert len(shown["attention"]) == len(shown["target"])
    assert (shown["text"], shown["reference"]) in PAIRS
    assert learnt.config["size"] == "tiny"
    assert learnt.config["hidden"] == 24


def test_what_is_saved_says_the_same(learnt, tmp_path):
    folder = learnt.save(tmp_path / "cove")
    loaded = load_encoder(folder)
    assert type(loaded) is PretrainedCove
    assert loaded.fingerprint == learnt.fingerprint
    for before, after in zip(
        learnt.word_states(SENTENCES), loaded.word_states(SENTENCES), strict=True
    ):
        assert np.array_equal(before, after)
    texts = [source for source, _ in PAIRS[:6]]
    assert loaded.translate(texts, beam=2) == learnt.translate(texts, beam=2)
    assert loaded.lineage == json.loads(json.dumps(learnt.lineage))
    assert "translations" not in (folder / "README.md").read_text()
    assert loaded.with_model(loaded.model).translate(texts[0]) == learnt.translate(texts[0])


def test_the_report_shows_translations_and_escapes_them(learnt, tmp_path):
    learnt.lineage["translations"][0]["text"] = "<script>alert(1)</script>"
    page = (learnt.save(tmp_path / "cove") / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert f"{learnt.lineage['bleu']['beam']:.1f}" in page
    assert page.count('class="share"') > 5
    assert "http" not in page.replace("http-equiv", "")
    assert len(page) < 200_000


def test_the_same_call_gives_the_same_weights(vectors, tmp_path):
    one, two = (pretrain("cove", parallel=PAIRS, vectors=vectors, seed=3, **SMALL) for _ in "12")
    assert one.fingerprint == two.fingerprint
    other = pretrain("cove", parallel=PAIRS, vectors=vectors, seed=4, **SMALL)
    assert other.fingerprint != one.fingerprint


def test_a_stopped_run_goes_on_exactly_with_the_vectors_it_began_with(tmp_path, monkeypatch):
    whole = pretrain("cove", parallel=PAIRS, run_folder=tmp_path / "whole", **SMALL)
    stopped, calls = tmp_path / "stopped", []
    loss = cove_pretraining.Objective.loss

    def stop(self, batch):
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.5)  # which counts, too
        return loss(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(cove_pretraining.Objective, "loss", stop)
        with pytest.raises(InterruptedRunError, match="stopped by SIGTERM after step 2"):
            pretrain("cove", parallel=PAIRS, run_folder=stopped, **SMALL)
    assert (stopped / "vectors").is_dir()
    again = pretrain("cove", parallel=PAIRS, run_folder=stopped, **SMALL)
    assert again.lineage["resumed_at"] == 2
    assert again.lineage["seconds"] > again.lineage["training_seconds"]
    assert again.fingerprint == whole.fingerprint


@pytest.fixture
def budgets(monkeypatch):
    """Keep the budgets of GloVe and CoVe, and stop where CoVe would begin."""
    seen = []
    train = glove.train

    def begin(*_, budget, **how):
        seen.append(budget)
        return train(*_, budget=budget, **how)

    def stop(*_, settings, **__):
        seen.append(settings.budget)
        raise InterruptedError

    monkeypatch.setattr(glove, "train", begin)
    monkeypatch.setattr(cove_pretraining, "run", stop)
    return seen


def test_minutes_are_those_of_the_word_vectors_too(budgets, vectors, tmp_path):
    how = {"size": "tiny", "minutes": 2.0, "threads": 1, "options": OPTIONS}
    for given in ({"run_folder": tmp_path}, {"run_folder": tmp_path}, {"vectors": vectors}):
        with pytest.raises(InterruptedError):
            pretrain("cove", parallel=PAIRS, **how, **given)
    words, first, again, alone = budgets
    assert words == Budget(epochs=25, minutes=0.5)
    assert 1.0 <= first.minutes < 2.0
    assert again == first  # the run that is taken up is the same
    assert alone == Budget(minutes=2.0)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"min_count": 1}, "min_count: 2 -> 1"),
        ({"size": "mini"}, "width: 6 -> 100"),
        ({"parallel": PAIRS[:-1]}, "corpus: "),
    ],
)
def test_vectors_that_are_kept_are_not_taken_for_others(budgets, tmp_path, changes, named):
    how = {"parallel": PAIRS, "run_folder": tmp_path, **SMALL}
    with pytest.raises(InterruptedError):
        pretrain("cove", **how)
    with pytest.raises(SettingsError, match=f"holds a run with other settings: {named}"):
        pretrain("cove", **{**how, **changes})
    with pytest.raises(InterruptedError):
        pretrain("cove", **how)
    assert len(budgets) == 3  # word vectors once


def test_of_several_processes_the_first_makes_the_word_vectors(monkeypatch):
    matrix = np.ones((len(WORDS), 6), np.float32)
    theirs = PretrainedWordVectors.from_words(
        "glove", WORDS, matrix, config={}, lineage={"seconds": 0.0}
    )
    monkeypatch.setattr(store, "rank_and_size", lambda: (1, 2))
    monkeypatch.setattr(store, "from_first", lambda made: made or [theirs])
    cove = pretrain("cove", parallel=PAIRS, **SMALL)
    assert cove.lineage["vectors"] == theirs.name


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"size": "huge"}, SettingsError),
        ({"tokenizer": SubwordTokenizer.train(["a cat"], vocabulary_size=300)}, SettingsError),
        ({"options": {"pair_per_step": 2}}, SettingsError),
        ({"options": {"pairs_per_step": 0}}, SettingsError),
        ({"options": {"dropout": 1.0}}, SettingsError),
        ({"options": {"vocabulary_size": 99}}, SettingsError),
        ({"skip_bad_batches": -1}, SettingsError),
        ({"sacrebleu": None}, MissingExtraError),
    ],
)
def test_what_cannot_be_is_said_before_word_vectors_are_trained(
    budgets, monkeypatch, changes, error
):
    how = {"parallel": PAIRS, **SMALL, **changes}
    if "sacrebleu" in how:
        monkeypatch.setitem(sys.modules, "sacrebleu", how.pop("sacrebleu"))
    with pytest.raises(error):
        pretrain("cove", **how)
    assert budgets == []


def test_vectors_can_be_trained_too(vectors):
    options = {**OPTIONS, "train_vectors": True}
    encoder = pretrain("cove", parallel=PAIRS, vectors=vectors, **{**SMALL, "options": options})
    moved = (encoder.model.embedding.weight != vectors.model.embedding.weight).any(1).tolist()
    assert moved[vectors.tokenizer.ids["cat"]]
    assert not moved[0]
    assert not moved[vectors.tokenizer.ids["a"]]


def test_few_pairs_have_no_bleu_and_say_so(vectors, tmp_path):
    encoder = pretrain("cove", parallel=PAIRS[:20], vectors=vectors, **SMALL)
    assert "bleu" not in encoder.lineage
    encoder.save(tmp_path / "cove")
    notes = Notes()
    repeated = [PAIRS[number % 8] for number in range(60)]
    pretrain("cove", parallel=repeated, vectors=vectors, progress=notes, **SMALL)
    assert (
        "every source sentence occurs in over a tenth of the pairs: no pairs are held out"
        in notes.told[-1]
    )
    long = [(source, f"{target} " * 60) for source, target in PAIRS]
    held_out = hold_out([source for source, _ in PAIRS], seed=0)[1]
    mixed = [long[row] if row in held_out else PAIRS[row] for row in range(len(PAIRS))]
    encoder = pretrain("cove", parallel=mixed, vectors=vectors, progress=notes, **SMALL)
    assert encoder.lineage["pairs_too_long"] == len(held_out)
    assert (
        "the pairs to hold out are too long (max_tokens): no pairs are held out" in notes.told[-1]
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parallel": None}, "cove learns from translations; pass parallel instead of a corpus"),
        ({"corpus": ["a b"]}, "cove learns from translations"),
        ({"size": "huge"}, "unknown size 'huge'; choose from tiny"),
        ({"options": {"pair_per_step": 2}}, "cove has no setting 'pair_per_step'.*pairs_per_step"),
        ({"min_count": 2}, "min_count is for vectors trained here; remove it or vectors"),
        ({"tokenizer": "wordpiece"}, "tokenizer of CoVe's target must be bpe"),
        ({"method": "gpt"}, "parallel is for cove, not for gpt"),
    ],
)
def test_what_was_asked_wrong(vectors, changes, message):
    given = {"method": "cove", "parallel": PAIRS, **SMALL, **changes}
    if "size" not in changes:
        given["vectors"] = vectors
    with pytest.raises(SettingsError, match=message):
        pretrain(given.pop("method"), given.pop("corpus", None), **given)


def test_vectors_of_pieces_are_refused(vectors):
    pieces = SubwordTokenizer.train(["a cat"], vocabulary_size=300)
    model = vectors.model
    other = PretrainedWordVectors("glove", model, pieces, config={}, lineage={})
    with pytest.raises(SettingsError, match=r"CoVe needs vectors of words, but .* are of subwords"):
        pretrain("cove", parallel=PAIRS, vectors=other, **SMALL)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("config.json", lambda text: text.replace('"hidden": 24', '"hidden": 25'), "has shape"),
        (
            "config.json",
            lambda text: text.replace('"hidden"', '"width"'),
            "invalid sizes of a CoVe",
        ),
        ("target.json", lambda text: text.replace('"vocab"', '"no"'), "target.json"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(learnt, tmp_path, name, change, message):
    folder = learnt.save(tmp_path / "cove")
    (folder / name).write_text(change((folder / name).read_text()))
    with pytest.raises(FormatError, match="corrupted"):
        load_encoder(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["sha256"][name]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(FormatError, match=message):
        load_encoder(folder)
