"""Encoders are pretrained and adapted once, go on where they were stopped, and fit methods."""

import math
from functools import partial

import pytest

from headstart.compare import encoders
from headstart.compare.contestants import parse_all
from headstart.compare.encoders import make_encoders, notes_of_unread, num_pretrained
from headstart.data.corpora import as_corpus
from headstart.data.parallel import as_parallel
from headstart.errors import DataError, InterruptedRunError, SettingsError
from headstart.hub.store import load_encoder
from headstart.progress import SILENT
from headstart.storage import cache_folder


def make(rows, *methods, corpus=None, pairs=None, minutes=1.0, size="tiny"):
    texts = [text.capitalize() for text in rows(60).texts]
    text = as_corpus(corpus or [f"{text}. {text}." for text in texts])
    parallel = None if pairs is None else as_parallel(pairs)
    return make_encoders(
        parse_all(methods), text, parallel, minutes=minutes, size=size, progress=SILENT
    )


@pytest.mark.parametrize(
    ("methods", "number"),
    [
        (["scratch", "word2vec:probe", "mine=f:finetune"], 0),
        (["bert:probe", "bert:finetune", "bert:scratch"], 1),
        (["bert:probe", "gpt:finetune", "bert+adapt:finetune"], 3),
        (["bert+adapt:finetune"], 2),
        (["mine+adapt=f:finetune", "mine=f:finetune"], 1),
        (["elmo:frozen", "elmo:finetune", "cove:frozen", "glove:frozen"], 2),
        (["mine=f:frozen", "cove=f:frozen"], 0),
    ],
)
def test_how_many_models_share_the_time(methods, number):
    assert num_pretrained(parse_all(methods)) == number


@pytest.mark.parametrize(
    ("methods", "unread"),
    [
        (
            ["scratch", "tfidf", "mine=f:finetune"],
            ["pretrain_minutes", "pretrain_size", "parallel"],
        ),
        (["word2vec:probe", "cove=f:probe"], ["pretrain_size", "parallel"]),
        (["mine+adapt=f:finetune"], ["pretrain_size", "parallel"]),
        (["bert:finetune"], ["parallel"]),
        (["cove:frozen"], []),
    ],
)
def test_settings_of_pretraining_that_change_nothing_are_noted(methods, unread):
    settings = {"pretrain_minutes": 1.0, "pretrain_size": "mini", "parallel": ["a", "b"]}
    notes = notes_of_unread(parse_all(methods), settings)
    assert [note.partition(" has no effect: ")[0] for note in notes] == unread
    assert notes_of_unread(parse_all(methods), dict.fromkeys(settings)) == []


def test_word_vectors_end_with_their_epochs_where_minutes_are_infinite(rows, monkeypatch):
    monkeypatch.setitem(encoders.PRETRAIN_EPOCHS, "word2vec", 1)
    (made,) = make(rows, "word2vec:probe", minutes=math.inf).loaded.values()
    assert made.lineage["epochs"] == pytest.approx(1)


def test_a_corpus_too_small_for_word_vectors_names_them_and_itself(rows):
    with pytest.raises(DataError, match=r"^word2vec cannot be pretrained on .*--methods"):
        make(rows, "word2vec:probe", corpus=["two words"])


def made_again(*_, **how):
    raise AssertionError(how)


def test_encoders_that_differ_in_their_settings_alone_are_kept_apart(rows, bert, monkeypatch):
    def load(source, **_):
        encoder = bert.with_model(bert.model)
        encoder.config["pooling"] = source.partition("/")[2]
        return encoder

    monkeypatch.setattr(encoders, "load_encoder", load)
    made = make(rows, "a=owner/cls:probe", "b=owner/mean:probe")
    assert [load_encoder(made.folders[name]).pooling for name in "ab"] == ["cls", "mean"]


@pytest.fixture
def few_steps(monkeypatch):
    """Let three steps be enough, so that no test depends on a machine's speed."""
    for name in ("pretrain", "adapt"):
        monkeypatch.setattr(encoders, name, partial(getattr(encoders, name), steps=3))


@pytest.mark.slow
def test_models_are_pretrained_and_adapted_once(rows, few_steps, monkeypatch):
    methods = ("bert:finetune", "bert+adapt:finetune", "gpt:probe")
    first = make(rows, *methods)
    assert {name: each.kind for name, each in first.loaded.items()} == {
        "bert": "bert", "bert+adapt": "bert", "gpt": "gpt"
    }  # fmt: skip
    assert first.loaded["bert"].fingerprint != first.loaded["bert+adapt"].fingerprint
    assert first.loaded["bert+adapt"].lineage["adapted_from"] == first.loaded["bert"].name
    assert first.loaded["bert"].config["layers"] == 2
    kept = sorted(path.name for path in (cache_folder() / "encoders").iterdir())
    assert len(kept) == 3
    assert not any("run" in name for name in kept)
    for name in ("pretrain", "adapt"):
        monkeypatch.setattr(encoders, name, made_again)
    again = make(rows, *methods)
    assert {name: each.fingerprint for name, each in again.loaded.items()} == {
        name: each.fingerprint for name, each in first.loaded.items()
    }


@pytest.fixture
def asked(monkeypatch, bert):
    """Stand in for pretraining: remember what it was asked for; `fail` says when it fails."""
    calls, fails = [], []

    def stand_in(method, corpus=None, **options):
        calls.append({"method": method, "corpus": corpus, **options})
        for error in fails:
            if error(options):
                raise error(options)
        return bert

    monkeypatch.setattr(encoders, "pretrain", stand_in)
    monkeypatch.setattr(encoders, "adapt", stand_in)
    return calls, fails


def test_limits_and_size_decide_which_encoder_it_is(rows, asked):
    calls, _ = asked
    make(rows, "bert:probe", minutes=1.0)
    make(rows, "bert:probe", minutes=1.0)
    make(rows, "bert:probe", minutes=2.0)
    make(rows, "bert:probe", minutes=1.0, size="mini")
    make(rows, "bert:probe", minutes=1.0, corpus=["Another text. It is short."])
    assert [(call["minutes"], call["size"]) for call in calls] == [
        (1.0, "tiny"), (2.0, "tiny"), (1.0, "mini"), (1.0, "tiny")
    ]  # fmt: skip


def test_a_run_that_was_stopped_goes_on_in_its_folder(rows, asked):
    calls, fails = asked

    def stop(options):
        return InterruptedRunError("stopped")

    fails.append(stop)
    with pytest.raises(InterruptedRunError):
        make(rows, "bert:probe")
    fails.clear()
    make(rows, "bert:probe")
    before, after = (call["run_folder"] for call in calls)
    assert before == after
    assert before.parent == cache_folder() / "encoders"


def test_a_corpus_without_two_sentences_is_pretrained_on_without_nsp(rows, asked):
    calls, fails = asked
    fails.append(
        lambda options: None if "nsp" in options["options"] else DataError("no two sentences")
    )
    make(rows, "bert:probe", corpus=["one", "two"])
    assert [call["options"].get("nsp") for call in calls] == [None, False]
    assert calls[0]["run_folder"] != calls[1]["run_folder"]

    fails[:] = [lambda options: DataError(f"too little {options['options'].get('nsp')}")]
    with pytest.raises(DataError, match="too little None"):
        make(rows, "bert:probe", corpus=["one", "three"])


@pytest.mark.slow
def test_the_note_on_nsp_is_given_again_when_the_encoder_is_kept(rows, few_steps):
    for _ in range(2):
        made = make(rows, "bert:probe", corpus=rows(60).texts)
        assert ["without next-sentence prediction" in note for note in made.notes] == [True]
    assert make(rows, "bert:probe").notes == []


def test_an_encoder_that_does_not_fit_its_transfer_is_refused(rows, files):
    with pytest.raises(SettingsError, match="mine:scratch: mine provides word vectors"):
        make(rows, f"mine={files / 'vectors.txt'}:scratch")
    with pytest.raises(SettingsError, match="only BERT and GPT can be adapted here; remove"):
        make(rows, f"mine+adapt={files / 'vectors.txt'}:probe")


def test_cove_without_translations_is_told_before_anything_is_pretrained(rows, asked):
    calls, _ = asked
    with pytest.raises(SettingsError, match=r"cove: no translations to learn from; .* --parallel"):
        make(rows, "bert:probe", "cove:frozen", "glove:frozen")
    assert calls == []


@pytest.fixture
def of_translations(monkeypatch, cove):
    """Stand in for pretraining on translations, and remember what it was given."""
    calls, real = [], encoders.pretrain

    def stand_in(method, corpus=None, **options):
        if method != "cove":
            return real(method, corpus, **options)
        calls.append(options)
        return cove

    monkeypatch.setattr(encoders, "pretrain", stand_in)
    return calls


def test_cove_reads_the_vectors_that_take_part_as_glove(rows, files, pairs, of_translations):
    calls = of_translations
    loaded = f"glove={files / 'vectors.txt'}:frozen"
    made = make(rows, "cove:frozen", loaded, pairs=pairs)
    assert calls[0]["vectors"].fingerprint == made.loaded["glove"].fingerprint
    assert calls[0]["parallel"] == as_parallel(pairs)
    assert (calls[0]["minutes"], calls[0]["size"]) == (1.0, "tiny")
    assert calls[0]["run_folder"].parent == cache_folder() / "encoders"
    make(rows, "cove:frozen", f"words={files / 'vectors.txt'}:frozen", pairs=pairs)
    assert calls[1]["vectors"] is None, "these go by another name"


def test_what_a_cove_learnt_from_decides_which_it_is(rows, files, pairs, of_translations):
    calls = of_translations
    glove = f"glove={files / 'vectors.txt'}:frozen"
    for methods, given in (
        (["cove:frozen"], pairs),
        (["cove:finetune", "cove:probe"], pairs),
        (["cove:frozen"], pairs[1:]),
        (["cove:frozen", glove], pairs),
        ([glove, "cove:frozen"], pairs),
    ):
        make(rows, *methods, pairs=given)
    make(rows, "cove:frozen", corpus=["Another text. It is short."], pairs=pairs)
    seen = [(len(call["parallel"]), call["vectors"] is not None) for call in calls]
    assert seen == [(60, False), (59, False), (60, True)]


@pytest.mark.slow
def test_cove_and_elmo_are_pretrained_once(rows, pairs, few_steps, monkeypatch):
    methods = ("elmo:frozen", "cove:frozen", "elmo:finetune")
    first = make(rows, *methods, pairs=pairs)
    assert {name: each.kind for name, each in first.loaded.items()} == {
        "elmo": "elmo", "cove": "cove"
    }  # fmt: skip
    kept = sorted(path.name for path in (cache_folder() / "encoders").iterdir())
    assert [name.partition("-")[0] for name in kept] == ["cove", "elmo"]
    monkeypatch.setattr(encoders, "pretrain", made_again)
    again = make(rows, *methods, pairs=pairs)
    for name, each in first.loaded.items():
        assert again.loaded[name].fingerprint == each.fingerprint
