"""Tagging under every method: what is learnt, what is owed, what is kept, and what is refused."""

import copy
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headstart.errors import DataError, SettingsError, TransferError
from headstart.hub.proof import hash_tensors
from headstart.tasks.tagging import offences
from headstart.transfer import tag_whole_models
from headstart.transfer.loading import load
from headstart.transfer.methods import (
    Features,
    FineTune,
    GradualUnfreeze,
    Layers,
    LowRank,
    Majority,
    Probe,
    Scratch,
    TfIdf,
    Training,
)
from headstart.transfer.tag_task import TagTask, window_inputs
from headstart.transfer.token_tagger import TokenTagger

BRIEF = Training(hidden=8, batch_size=8, min_steps=30, max_steps=60, evaluate_every=10, patience=2)
METHODS = {
    "majority": (None, Majority()),
    "scratch": (None, Scratch(width=8, learning_rate=2e-2, embedding_rate=5e-2, training=BRIEF)),
    "glove:probe": ("glove", Probe(strengths=(1.0, 10.0))),
    "glove:frozen": ("glove", Features(learning_rate=2e-2, training=BRIEF)),
    "glove:finetune": ("glove", FineTune(learning_rate=2e-2, training=BRIEF)),
    "elmo:probe": ("elmo", Probe(strengths=(1.0, 100.0))),
    "elmo:frozen": ("elmo", Features(learning_rate=2e-2, training=BRIEF)),
    "elmo:finetune": ("elmo", FineTune(learning_rate=2e-2, training=BRIEF)),
    "cove:frozen": ("cove", Features(learning_rate=2e-2, training=BRIEF)),
    "cove:finetune": ("cove", FineTune(learning_rate=2e-2, training=BRIEF)),
    "bert:probe": ("bert", Probe(strengths=(1.0, 10.0))),
    "bert:frozen": ("bert", Features(learning_rate=1e-2, training=BRIEF)),
    "bert:finetune": ("bert", FineTune(learning_rate=1e-2, training=BRIEF)),
    "bert:gradual": ("bert", GradualUnfreeze(learning_rate=1e-2, training=BRIEF)),
    "bert:lora": ("bert", LowRank(rank=2, learning_rate=1e-2, training=BRIEF)),
    "bert:scratch": ("bert", Scratch(learning_rate=1e-2, training=BRIEF)),
    "gpt:finetune": ("gpt", FineTune(learning_rate=1e-2, training=BRIEF)),
    "gpt:frozen": ("gpt", Features(learning_rate=1e-2, training=BRIEF)),
}


def make_sentences(number, *, first, last, seed=0):
    """Make sentences in which good words are spans of one kind, and bad ones of another."""
    random = np.random.default_rng(seed)
    sentences, tags = [], []
    for _ in range(number):
        words, its = [], []
        for kind in random.choice(["good", "bad", "plain"], random.integers(2, 6)):
            if kind == "plain":
                words.append(f"plain{random.integers(0, 10)}")
                its.append("O")
                continue
            length = int(random.integers(1, 3))
            words += [f"{kind}{n}" for n in random.integers(first, last, length)]
            its += [f"B-{kind}", *[f"I-{kind}"] * (length - 1)]
        sentences.append(words)
        tags.append(its)
    return sentences, tags


@pytest.fixture(scope="module")
def tagged():
    return make_sentences(30, first=0, last=10)


@pytest.fixture(scope="module")
def encoders(encoder, readers, whole_models):
    return {"glove": encoder, **readers, **whole_models}


@pytest.fixture(scope="module")
def before(encoders):
    """What the encoders are before anything is fitted."""
    return {kind: hash_tensors(each.tensors().values()) for kind, each in encoders.items()}


@pytest.fixture(scope="module")
def fitted_models(encoders, before, tagged):
    del before
    made = {}

    def fitted(name):
        if name not in made:
            needed, method = METHODS[name]
            given = encoders[needed] if needed else None
            made[name] = TokenTagger(given, method, scheme="BIO").fit(*tagged)
        return made[name]

    return fitted


@pytest.fixture(params=METHODS)
def fitted(request, fitted_models):
    """A tagger of each method, fitted; not to be changed."""
    return fitted_models(request.param)


@pytest.mark.parametrize("seed", range(20))
def test_no_tag_is_only_in_the_part_that_is_validated_on(seed):
    tags = [["A"] * 30 + ["B"], *([["B"]] * 9)]  # A is the more frequent one
    task = TagTask(
        sentences=[["word"] * len(each) for each in tags],
        labels=np.array([tag == "B" for tag in chain(*tags)]).astype(np.int64),
        tags=["A", "B"], scheme="plain", seed=seed, max_tokens=40, crf=True, spelled=False,
    )  # fmt: skip
    fitted, _ = task.parts()
    assert 0 in fitted


def test_it_learns(fitted, tagged):
    sentences, tags = tagged
    scores = fitted.evaluate(sentences, tags)
    most_frequent = max(np.mean([tag == "O" for its in tags for tag in its]), 0.4)
    assert scores.accuracy > most_frequent + 0.1
    assert fitted.score(sentences, tags) == scores.f1


def test_what_was_learnt_is_as_legal_as_what_was_shown(fitted, tagged):
    if not isinstance(fitted.method_, Majority):
        assert not any(offences(tags, "IOB2") for tags in fitted.predict(tagged[0]))


@pytest.mark.parametrize("name", ["glove:frozen", "glove:finetune", "glove:probe", "bert:finetune"])
def test_words_that_are_not_in_the_sentences_are_known_from_pretraining(name, fitted_models):
    others = make_sentences(200, first=20, last=40, seed=1)
    unread = fitted_models("bert:scratch").evaluate(*others).accuracy
    assert fitted_models(name).evaluate(*others).accuracy > max(0.6, unread + 0.15)


def test_the_proof(fitted):
    method, proof = fitted.method_, fitted.proof_
    if isinstance(method, Majority | Scratch):
        assert proof is None
        return
    assert proof.tensors_taken > 0
    assert proof.words_covered == proof.words
    if isinstance(method, Features | Probe):
        assert proof.frozen_before == proof.frozen_after != ""
        assert proof.distance == 0.0
    else:
        assert proof.distance > 0.0


@pytest.mark.parametrize("name", [name for name in METHODS if METHODS[name][0]])
def test_the_encoder_is_not_touched(name, encoders, before, fitted_models):
    fitted_models(name)
    kind = METHODS[name][0]
    assert hash_tensors(encoders[kind].tensors().values()) == before[kind]


@pytest.mark.parametrize("name", ["elmo:finetune", "bert:finetune"])
def test_weights_that_their_user_froze_are_trained_all_the_same(
    name, encoders, fitted_models, tagged
):
    needed, method = METHODS[name]
    model = copy.deepcopy(encoders[needed].model).requires_grad_(requires_grad=False)
    tagger = TokenTagger(encoders[needed].with_model(model), method, scheme="BIO").fit(*tagged)
    assert tagger.proof_ == fitted_models(name).proof_


@pytest.mark.parametrize("name", ["scratch", "glove:finetune", "elmo:frozen", "bert:finetune"])
def test_the_same_seed_gives_the_same_tagger(name, encoders, fitted_models, tagged):
    torch.rand(3)  # what the caller draws meanwhile is no matter
    needed, method = METHODS[name]
    again = TokenTagger(encoders[needed] if needed else None, method, scheme="BIO").fit(*tagged)
    first = fitted_models(name)
    assert all(
        torch.equal(again.model_.tensors()[key], tensor)
        for key, tensor in first.model_.tensors().items()
    )


def test_taggers_survive_the_disk(fitted, tagged, tmp_path):
    loaded = load(fitted.save(tmp_path / "tagger"))
    odd = [*tagged[0], ["unheard-of", "good3"], [], ["\u200b", ""]]
    assert loaded.predict(odd) == fitted.predict(odd)
    assert loaded.evaluate(*tagged) == fitted.evaluate(*tagged)
    assert (loaded.method_, loaded.proof_) == (fitted.method_, fitted.proof_)
    assert loaded.fit_report_ == fitted.fit_report_
    from_nothing = fitted.encoder is not None and isinstance(fitted.method_, Scratch)
    assert loaded.get_params() == {
        **fitted.get_params(),
        "encoder": loaded.model_.encoder if from_nothing else None,  # which has the architecture
        "transfer": fitted.method_,
    }
    again = load(loaded.save(tmp_path / "again"))
    assert again.predict(odd) == fitted.predict(odd)


def test_a_loaded_architecture_is_fitted_again_from_nothing(fitted_models, tagged, tmp_path):
    fitted = fitted_models("bert:scratch")
    again = load(fitted.save(tmp_path / "tagger")).fit(*tagged)
    assert again.fit_report_ == fitted.fit_report_ | {"seconds": again.fit_report_["seconds"]}
    expected = fitted.model_.tensors()
    assert all(torch.equal(expected[key], t) for key, t in again.model_.tensors().items())


def test_one_sentence_is_tagged_as_among_many(fitted, tagged):
    together = fitted.predict(tagged[0])
    assert [fitted.predict([words])[0] for words in tagged[0]] == together
    assert fitted.predict(tagged[0][::-1]) == together[::-1]


WORDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), max_size=6)


@pytest.mark.parametrize(
    "name",
    [
        "majority",
        "scratch",
        "glove:probe",
        "elmo:frozen",
        "cove:finetune",
        "bert:frozen",
        "bert:finetune",
        "gpt:finetune",
    ],
)
@given(sentences=st.lists(WORDS, max_size=4))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_words_get_a_tag_each(name, fitted_models, sentences):
    tagger = fitted_models(name)
    found = tagger.predict(sentences)
    assert [len(tags) for tags in found] == [len(words) for words in sentences]
    assert {tag for tags in found for tag in tags} <= set(tagger.classes_)


@pytest.mark.parametrize("name", ["bert:finetune", "bert:frozen", "bert:probe", "gpt:finetune"])
def test_of_sentences_longer_than_the_model_no_tag_is_dropped(name, fitted_models):
    (words,), (tags,) = make_sentences(1, first=0, last=10, seed=5)
    long, gold = words * 40, tags * 40  # the models have 24 positions
    scores = fitted_models(name).evaluate([long, words], [gold, tags])
    assert scores.words == len(long) + len(words)
    wanted = sum(each.support for each in scores.types)
    assert wanted == 41 * sum(tag.startswith("B-") for tag in tags)


def test_long_sentences_are_learnt_in_windows(encoders, tagged):
    sentences, tags = tagged
    joined = [list(chain(*sentences[at : at + 10])) for at in range(0, 30, 5)]
    its = [list(chain(*tags[at : at + 10])) for at in range(0, 30, 5)]
    tagger = TokenTagger(encoders["bert"], METHODS["bert:finetune"][1]).fit(joined, its)
    assert tagger.score(sentences, tags) > 0.6


def test_of_overlapping_windows_a_decoder_is_given_those_with_most_before_a_word(encoders):
    encoder = encoders["bert"]
    decoder = encoder.with_model(copy.deepcopy(encoder.model))
    decoder.model.is_causal = True  # as one of transformers that has been tried
    words = [list(chain(*make_sentences(6, first=0, last=10, seed=5)[0]))]
    both, left = (window_inputs(each, words, 24) for each in (encoder, decoder))
    assert (left.place_N >= both.place_N).all()
    assert (left.place_N > both.place_N).any()


@pytest.mark.parametrize("name", ["scratch", "glove:frozen", "bert:finetune"])
def test_a_softmax_in_the_place_of_the_crf(name, encoders, tagged, tmp_path):
    needed, method = METHODS[name]
    tagger = TokenTagger(encoders[needed] if needed else None, method, crf=False).fit(*tagged)
    assert not any("transitions" in key for key in tagger.model_.tensors())
    found = tagger.predict(tagged[0])
    assert not any(offences(tags, "IOB2") for tags in found)
    assert load(tagger.save(tmp_path / "linear")).predict(tagged[0]) == found


def test_layers_of_elmo_are_weighed(encoders, tagged):
    method = Features(learning_rate=2e-2, layers=Layers(output=True), training=BRIEF)
    tagger = TokenTagger(encoders["elmo"], method).fit(*tagged)
    assert {"mix.w", "output_mix.w"} <= tagger.model_.tensors().keys()


def test_without_characters_there_are_none(tagged):
    tagger = TokenTagger(transfer=METHODS["scratch"][1], characters=False).fit(*tagged)
    assert not any("spelling" in key for key in tagger.model_.tensors())


def test_a_model_that_starts_with_nothing_pretrained_is_an_error(encoders, tagged, monkeypatch):
    class Forgetful(tag_whole_models.WholeStart):
        def fresh(self, rows):
            tagger = super().fresh(rows)
            with torch.no_grad():
                for parameter in tagger.encoder.parameters():
                    parameter.add_(1.0)
            return tagger

    monkeypatch.setattr("headstart.transfer.tagging.WholeStart", Forgetful)
    with pytest.raises(TransferError, match="no tensor"):
        TokenTagger(encoders["bert"], METHODS["bert:finetune"][1]).fit(*tagged)


@pytest.mark.parametrize(
    ("name", "method", "message"),
    [
        (None, TfIdf(), "'tfidf' counts the words of a text; it cannot tag single words"),
        (None, Probe(), "'probe' needs an encoder"),
        (None, "magic", "unknown transfer 'magic'"),
        ("glove", LowRank(), "'lora' is for encoders that replace the whole model"),
        ("elmo", GradualUnfreeze(), "'gradual' is for encoders that replace the whole model"),
    ],
)
def test_methods_that_are_not_for_this(name, method, message, encoders, tagged):
    with pytest.raises(SettingsError, match=message):
        TokenTagger(encoders[name] if name else None, method).fit(*tagged)


def test_an_encoder_that_knows_no_word_is_refused(encoders):
    with pytest.raises(DataError, match="knows none of the 1 words"):
        TokenTagger(encoders["glove"], "probe").fit([["é"], ["é"]], [["A"], ["B"]])


@pytest.mark.parametrize("transfer", ["probe", "frozen", "finetune"])
def test_an_encoder_of_ones_own_needs_a_tokenizer_of_subwords(transfer, own):
    message = r"a Own needs a SubwordTokenizer \(.*train or \.load\), got a WordTokenizer"
    with pytest.raises(SettingsError, match=message):
        TokenTagger(own, transfer).fit([["good1", "bad1"]] * 4, [["A", "B"]] * 4)
