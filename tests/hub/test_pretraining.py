"""Pretraining and adapting BERT and GPT by one call, stopped and taken up again."""

import json
import os
import signal

import numpy as np
import pytest
import torch

from headstart.errors import DataError, InterruptedRunError, SettingsError
from headstart.hub import pretraining
from headstart.hub.bundle import PretrainedWordVectors
from headstart.hub.language_models import PretrainedBert, PretrainedGpt
from headstart.hub.store import adapt, load_encoder, pretrain
from headstart.progress import SILENT
from headstart.tokenize.subwords import SubwordTokenizer

ROWS = {"tokens_per_row": 24, "rows_per_step": 4, "vocabulary_size": 300, "dropout": 0.0}
SMALL = {"size": "tiny", "steps": 4, "threads": 1, "options": ROWS}
PAIRS = {"cats": "milk", "dogs": "bones", "mice": "cheese", "birds": "seeds"}


def make_texts(pairs, number=60, seed=0, times=(2, 5)):
    """Make documents that each say two to four times who likes what, or as often as told."""
    random = np.random.default_rng(seed)
    return [
        " ".join([f"{who.capitalize()} like {pairs[who]}."] * random.integers(*times))
        for who in random.choice(list(pairs), number)
    ]


class Notes:
    """Progress that keeps what it is told."""

    stage = staticmethod(SILENT.stage)

    def __init__(self):
        self.told = []

    def note(self, message):
        self.told.append(message)


@pytest.fixture(scope="module")
def texts():
    return make_texts(PAIRS)


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """Let the tiny size be tinier."""
    monkeypatch.setitem(pretraining.SIZES, "tiny", (2, 32, 2, 64))


@pytest.fixture(scope="module")
def learnt(texts):
    """A BERT and a GPT that know who likes what."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(pretraining.SIZES, "tiny", (2, 32, 2, 64))
        how = {"size": "tiny", "threads": 1, "seed": 1}
        rows = {**ROWS, "rows_per_step": 8, "learning_rate": 1e-2}
        once = make_texts(PAIRS, times=(1, 2))  # so that the answer does not stand beside the mask
        return {
            "bert": pretrain(
                "bert",
                once,
                steps=400,
                **how,
                options={**rows, "learning_rate": 3e-3, "nsp": False},
            ),
            "gpt": pretrain("gpt", texts, steps=200, **how, options=rows),
        }


# What comes out


def test_bert_knows_what_stands_under_a_mask(learnt):
    for who, what in PAIRS.items():
        assert learnt["bert"].fill_mask(f"{who} like [MASK].")[0][0] == what


def test_gpt_knows_how_to_go_on(learnt):
    for who, what in PAIRS.items():
        added = learnt["gpt"].generate(
            f"{who.capitalize()} like", max_new_tokens=8, temperature=0, stop="."
        )
        assert added == f" {what}"


def test_gpt_finds_the_truth_likelier_than_a_lie(learnt):
    true, false = (learnt["gpt"].perplexity([f"Cats like {what}."]) for what in ("milk", "seeds"))
    assert false > 2 * true


@pytest.mark.parametrize("method", ["bert", "gpt"])
def test_what_is_pretrained_tells_where_it_came_from_and_can_be_made_again(method, texts, tmp_path):
    encoder = pretrain(method, texts, seed=3, **SMALL)
    assert type(encoder) is {"bert": PretrainedBert, "gpt": PretrainedGpt}[method]
    assert encoder.config["size"] == "tiny"
    assert encoder.config["tokens_per_row"] == encoder.config["positions"] == 24
    assert (encoder.lineage["documents"], encoder.lineage["seed"]) == (60, 3)
    assert encoder.lineage["steps"] == 4
    assert not encoder.model.training
    numpy = {name: np.array(value)[()] for name, value in ROWS.items()}
    counts = {"seed": np.int64(3), "steps": np.int64(4), "threads": np.int64(1)}
    again = pretrain(method, texts, **{**SMALL, **counts, "options": numpy})
    assert again.fingerprint == encoder.fingerprint
    assert type(again.lineage["seed"]) is int
    assert again.config == json.loads(json.dumps(again.config)) == encoder.config
    assert pretrain(method, texts, seed=4, **SMALL).fingerprint != encoder.fingerprint
    loaded = load_encoder(encoder.save(tmp_path / "encoder"))
    assert loaded.fingerprint == encoder.fingerprint
    assert loaded.lineage == json.loads(json.dumps(encoder.lineage))


@pytest.mark.parametrize("method", ["bert", "gpt"])
def test_copies_of_held_out_documents_are_told(method):
    texts = [" ".join(f"Word{n}x{m} is here." for m in range(6)) for n in range(40)]
    notes = Notes()
    encoder = pretrain(method, texts * 2, progress=notes, **SMALL)
    copies = encoder.lineage["copies_of_held_out"]
    assert copies > 0
    assert f"{copies} copies of held-out documents are not trained on" in notes.told
    assert "copies_of_held_out" not in pretrain(method, texts, **SMALL).lineage


def test_a_model_has_the_heads_of_its_objectives(texts):
    heads = {}
    for name, options in {"mlm": {"nsp": False}, "nsp": {"mlm": False}, "both": {}}.items():
        model = pretrain("bert", texts, **{**SMALL, "options": {**ROWS, **options}}).model
        heads[name] = (model.mlm is not None, model.nsp is not None)
    assert heads == {"mlm": (True, False), "nsp": (False, True), "both": (True, True)}


def test_a_tokenizer_is_learnt_or_given(texts, tmp_path):
    learnt_one = pretrain("gpt", texts, **SMALL).tokenizer
    assert learnt_one.specials.end is not None
    assert not learnt_one.lowercase
    own = SubwordTokenizer.train(texts, kind="wordpiece", vocabulary_size=400)
    own.save(tmp_path / "tokenizer.json")
    options = {name: value for name, value in ROWS.items() if name != "vocabulary_size"}
    how = {**SMALL, "options": options}
    for given in (own, tmp_path / "tokenizer.json", str(tmp_path / "tokenizer.json")):
        assert pretrain("bert", texts, tokenizer=given, **how).tokenizer.ids == own.ids
    for name, value in {"vocabulary_size": "many", "lowercase": True}.items():
        with pytest.raises(SettingsError, match=f"{name} is for a tokenizer learned here"):
            pretrain("bert", texts, tokenizer=own, **{**how, "options": {**options, name: value}})


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_gradients_that_are_off_outside_are_on_inside(off, texts):
    once = {**SMALL, "steps": 1}
    expected = adapt(pretrain("bert", texts, **once), texts, steps=1, threads=1)
    with off():
        encoder = adapt(pretrain("bert", texts, **once), texts, steps=1, threads=1)
    assert encoder.fingerprint == expected.fingerprint
    assert not any(weight.is_inference() for weight in encoder.model.parameters())


def test_the_number_of_threads_is_the_callers_again(texts):
    try:
        torch.set_num_threads(2)
        pretrain("gpt", texts, **{**SMALL, "threads": 1})
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


# A run that is stopped


@pytest.fixture
def stopped_at(monkeypatch):
    """Let a signal come while a step's loss is computed."""

    def stop(method, step):
        module = {"bert": pretraining.masked_lm, "gpt": pretraining.causal_lm}[method]
        loss, seen = module.Objective.loss, []

        def stopping(self, batch):
            seen.append(batch)
            if len(seen) == step:
                os.kill(os.getpid(), signal.SIGTERM)
            return loss(self, batch)

        monkeypatch.setattr(module.Objective, "loss", stopping)

    return stop


@pytest.mark.parametrize("method", ["bert", "gpt"])
def test_a_run_that_was_stopped_is_one_that_was_not(method, texts, tmp_path, stopped_at):
    settings = {**SMALL, "steps": 12, "options": {**ROWS, "dropout": 0.1}}
    whole = pretrain(method, texts, **settings)
    stopped_at(method, 7)
    folder = tmp_path / "run"
    with pytest.raises(
        InterruptedRunError, match=r"stopped by SIGTERM after step 7, 58% .* to resume"
    ):
        pretrain(method, texts, run_folder=folder, **settings)
    again = pretrain(method, texts, run_folder=folder, **settings)
    assert again.lineage["resumed_at"] == 7
    assert again.lineage["epochs"] == whole.lineage["epochs"]
    assert again.fingerprint == whole.fingerprint
    done = pretrain(method, texts, run_folder=folder, **settings)
    assert done.fingerprint == whole.fingerprint
    assert done.lineage["resumed_at"] == 12
    assert done.lineage["training_seconds"] == again.lineage["training_seconds"]
    assert done.lineage["seconds"] > done.lineage["training_seconds"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"options": {**ROWS, "rows_per_step": 5}}, "objective.rows_per_step: 4 -> 5"),
        ({"options": {**ROWS, "vocabulary_size": 280}}, "sizes.vocabulary_size"),
        ({"options": {**ROWS, "lowercase": True}}, "tokenizer"),
        ({"seed": 9}, "seed: 0 -> 9"),
        ({"steps": 5}, "budget.steps: 4 -> 5"),
        ({"corpus": make_texts(PAIRS, seed=1)}, "corpus"),
        ({"size": "mini"}, "sizes.width: 32 -> 256"),
    ],
)
def test_a_run_of_another_configuration_is_refused_by_its_field(change, named, texts, tmp_path):
    given = {"corpus": texts, "run_folder": tmp_path / "run", **SMALL}
    pretrain("gpt", **given)
    with pytest.raises(SettingsError, match=r"holds a run with other settings") as told:
        pretrain("gpt", **{**given, **change})
    assert named in str(told.value)


# Adapting


@pytest.mark.parametrize("method", ["bert", "gpt"])
def test_adapting_lowers_the_loss_on_the_new_text_and_leaves_the_encoder(method, learnt, tmp_path):
    encoder = learnt[method]
    before = {name: tensor.clone() for name, tensor in encoder.tensors().items()}
    other = {"cats": "bones", "dogs": "milk", "mice": "seeds", "birds": "cheese"}
    new = make_texts(other, seed=2, times=(1, 2) if method == "bert" else (2, 5))
    options = {"tokens_per_row": 24, "rows_per_step": 8, "learning_rate": 1e-2}
    if method == "bert":
        options |= {"nsp": False, "learning_rate": 3e-3}
    adapted = adapt(encoder, new, steps=80, threads=1, options=options)
    assert type(adapted) is type(encoder)
    assert all(torch.equal(encoder.tensors()[name], before[name]) for name in before)
    if method == "bert":
        before, after = (
            dict(each.fill_mask("cats like [MASK].", top=99))["bones"]
            for each in (encoder, adapted)
        )
        assert after > 3 * before
    else:
        assert adapted.perplexity(new) < 0.8 * encoder.perplexity(new)
    assert adapted.lineage["adapted_from"] == encoder.name
    assert adapted.lineage["before"]["corpus"] == encoder.lineage["corpus"]
    loaded = load_encoder(adapted.save(tmp_path / "adapted"))
    assert loaded.fingerprint == adapted.fingerprint != encoder.fingerprint
    folder = encoder.save(tmp_path / "encoder")
    assert adapt(folder, new, steps=2, threads=1, options=options).lineage["steps"] == 2


@pytest.mark.parametrize("method", ["bert", "gpt"])
def test_an_adapted_model_tells_the_settings_of_either_training(method, learnt, texts, tmp_path):
    encoder = learnt[method]
    options = {"tokens_per_row": 16, "rows_per_step": 3, "learning_rate": 1e-5}
    adapted = adapt(encoder, texts, steps=1, threads=1, options=options)
    adapted = load_encoder(adapted.save(tmp_path / "adapted"))
    told, before = adapted.lineage["adapting"], adapted.lineage["before"]
    assert options.items() <= told.items()
    assert before["pretraining"] == {name: encoder.config[name] for name in told}
    assert adapted.config == {
        name: value for name, value in encoder.config.items() if name not in told
    }
    card = (tmp_path / "adapted" / "README.md").read_text()
    assert "tokens_per_row 16, rows_per_step 3, " in card
    assert "| learning rate |" not in card
    again = adapt(adapted, texts, steps=1, threads=1)
    assert again.config == adapted.config
    assert again.lineage["before"]["adapting"] == told
    assert again.lineage["before"]["before"] == before
    assert "pretraining" not in again.lineage["before"]


def test_adapting_goes_on_where_it_was_stopped(learnt, texts, tmp_path, stopped_at):
    settings = {"steps": 6, "threads": 1, "options": {"tokens_per_row": 24, "rows_per_step": 4}}
    whole = adapt(learnt["bert"], texts, **settings)
    stopped_at("bert", 3)
    with pytest.raises(InterruptedRunError):
        adapt(learnt["bert"], texts, run_folder=tmp_path / "run", **settings)
    again = adapt(learnt["bert"], texts, run_folder=tmp_path / "run", **settings)
    assert again.fingerprint == whole.fingerprint
    with pytest.raises(SettingsError, match="adapted"):
        adapt(whole, texts, run_folder=tmp_path / "run", **settings)


def test_a_missing_head_is_made_and_pairs_are_left_out_without_theirs(learnt, texts):
    model = pretraining.Bert(learnt["bert"].model.config, mlm=False, nsp=False)
    headless = PretrainedBert.of(model, learnt["bert"].tokenizer, lineage={})
    adapted = adapt(headless, texts, steps=2, threads=1, options={"tokens_per_row": 24})
    assert adapted.model.mlm is not None
    assert adapted.model.nsp is None
    assert model.mlm is None


@pytest.fixture
def of_bytes(texts):
    """A BERT over pieces of bytes, as RoBERTa is, with a head for next sentences."""
    tokenizer = SubwordTokenizer.train(texts, kind="bpe", vocabulary_size=300, lowercase=False)
    tokenizer = tokenizer.with_tokens(["<s>", "</s>", "<mask>"])
    sizes = {"width": 32, "layers": 1, "heads": 2, "feed_forward": 32, "positions": 24}
    model = pretraining.Bert(
        pretraining.BertConfig(vocabulary_size=len(tokenizer.vocabulary), **sizes)
    )
    return PretrainedBert.of(model, tokenizer, lineage={}, family="roberta")


@pytest.mark.parametrize("nsp", [True, False])
def test_a_model_of_bytes_is_adapted_to_the_spaces_that_it_reads(nsp, of_bytes, monkeypatch):
    read = []
    make = pretraining.masked_lm.Objective.__init__

    def reading(self, model, documents, *given, **named):
        read.append(documents.ids.tolist())
        make(self, model, documents, *given, **named)

    monkeypatch.setattr(pretraining.masked_lm.Objective, "__init__", reading)
    texts = ["The cat sat. It slept!\nThen it ran.", "他来了。她说：“好。”「走。」"] * 20
    options = {"nsp": nsp, "whole_words": True}
    adapt(of_bytes, texts, steps=1, threads=1, options=options)
    (ids,) = read
    assert of_bytes.tokenizer.decode(ids) == "".join(texts)
    if not nsp:
        assert ids == of_bytes.ids(texts).ids.tolist()


def test_a_run_that_read_no_spaces_is_another(of_bytes, texts, tmp_path):
    how = {"steps": 1, "threads": 1, "run_folder": tmp_path / "run"}
    adapt(of_bytes, texts, **how)
    file = tmp_path / "run" / "run.json"
    about = json.loads(file.read_text())
    del about["identity"]["spaces"]
    file.write_text(json.dumps(about))
    with pytest.raises(SettingsError, match="other settings: spaces: absent -> true"):
        adapt(of_bytes, texts, **how)


def test_word_vectors_cannot_be_adapted(texts):
    vectors = PretrainedWordVectors.from_words(
        "glove", ["cats"], np.float32([[1, 2]]), config={}, lineage={}
    )
    with pytest.raises(
        SettingsError, match=r"only BERT and GPT can be adapted; pretrain anew instead"
    ):
        adapt(vectors, texts, steps=1)


# What is refused


@pytest.mark.parametrize(
    ("method", "change", "message"),
    [
        ("bert", {"size": "huge"}, "unknown size 'huge'; choose from tiny, mini"),
        ("bert", {"options": {"mask_shar": 0.1}}, "bert has no setting 'mask_shar'; did you mean"),
        ("gpt", {"options": {"mlm": True}}, "gpt has no setting 'mlm'"),
        ("gpt", {"options": {"vocabulary_sise": 300}}, "did you mean 'vocabulary_size'"),
        ("gpt", {"options": {"vocabulary_size": 99}}, "vocabulary_size must be above 261, got 99"),
        ("gpt", {"options": {**ROWS, "dropout": 1.0}}, r"dropout must be in \[0, 1\), got 1.0"),
        ("bert", {"options": {"mlm": False, "nsp": False}}, "needs an objective: mlm, nsp"),
        ("bert", {"tokenizer": "words"}, "tokenizer of a model must be bpe, wordpiece or"),
        ("bert", {"tokenizer": "bpe"}, r"needs a tokenizer with \[CLS\], \[SEP\] and \[MASK\]"),
        ("gpt", {"min_count": 2}, "min_count is for word2vec, glove, cove, not for gpt"),
        ("bert", {"min_count": 2}, "min_count is for word2vec, glove, cove, not for bert"),
        ("gpt", {"steps": 0}, "steps must be above 0"),
        ("gpt", {"threads": 0}, "threads must be 1 or more, got 0"),
        ("gpt", {"threads": 2.5}, r"threads must be a whole number, got 2\.5"),
        ("bert", {"seed": None}, "seed must be a whole number, got None"),
        ("word2vec", {"seed": "a"}, "seed must be a whole number, got 'a'"),
        ("word2vec", {"threads": True}, "threads must be a whole number, got True"),
        ("word2vec", {"threads": np.True_}, "threads must be a whole number, got True"),
        ("word2vec", {"seed": True}, "seed must be a whole number, got True"),
        ("gpt", {"options": {"rows_per_step": np.True_}}, "rows_per_step must be a whole number"),
    ],
)
def test_impossible_settings_are_refused(method, change, message, texts):
    with pytest.raises(SettingsError, match=message):
        pretrain(method, texts, **{**SMALL, **change})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens_per_row": 25}, "rows of 25 tokens are longer than the model's 24 positions"),
        ({"dropout": 0.1}, "bert has no setting 'dropout'; choose from learning_rate"),
        ({"masc_share": 0.1}, "did you mean 'mask_share'"),
    ],
)
def test_impossible_settings_of_adapting_are_refused(options, message, learnt, texts):
    with pytest.raises(SettingsError, match=message):
        adapt(learnt["bert"], texts, steps=1, options=options)


def test_adapting_needs_a_number_of_threads(learnt, texts):
    with pytest.raises(SettingsError, match=r"threads must be a whole number, got 1\.5"):
        adapt(learnt["bert"], texts, steps=1, threads=1.5)


@pytest.mark.parametrize(
    ("method", "corpus", "message"),
    [
        (
            "bert",
            ["One sentence only"] * 30,
            r"no document of the corpus has two sentences; .*options={.nsp.: False}",
        ),
        ("bert", ["One here. Another there."], "nsp needs at least two documents"),
        ("gpt", ["a"], "fewer than three tokens"),
        ("gpt", ["", " "], "contains no text"),
    ],
)
def test_a_corpus_that_holds_too_little_is_refused(method, corpus, message):
    with pytest.raises(DataError, match=message):
        pretrain(method, corpus, **SMALL)


def test_single_sentences_are_enough_without_pairs():
    corpus = ["One sentence only", "Another one here"] * 20
    options = {**ROWS, "nsp": False}
    assert pretrain("bert", corpus, **{**SMALL, "options": options}).lineage["steps"] == 4


def test_the_default_is_twenty_minutes(texts, monkeypatch):
    plans = []

    def stop(_, __, plan, **___):
        plans.append(plan)
        raise InterruptedError

    monkeypatch.setattr("headstart.hub.store.pretrain_model", stop)
    for given in ({}, {"steps": 9}, {"tokens": 5, "minutes": 2}):
        with pytest.raises(InterruptedError):
            pretrain("gpt", texts, **given)
    budgets = [{k: v for k, v in vars(plan.budget).items() if v is not None} for plan in plans]
    assert budgets == [{"minutes": 20.0}, {"steps": 9}, {"tokens": 5, "minutes": 2}]
