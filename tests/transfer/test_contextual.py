"""CoVe and ELMo in place of the embedding layer: frozen, trained on, mixed by the task."""

import copy
import json
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from headstart.errors import DataError, FormatError, SettingsError, TransferError
from headstart.hub.elmo import PretrainedElmo
from headstart.hub.store import load_encoder
from headstart.tokenize.words import WordTokenizer
from headstart.transfer import neural, text_pipelines
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.fitted import ContextualModel
from headstart.transfer.loading import load
from headstart.transfer.methods import Features, FineTune, Layers, Probe, Scratch, Training
from headstart.transfer.text_pipelines import ContextualStart
from headstart.transfer.token_states import TokenStates, token_states
from headstart.transfer.token_tagger import TokenTagger

BRIEF = Training(hidden=4, batch_size=8, min_steps=5, max_steps=8, evaluate_every=4, patience=1)
TRANSFERS = {
    "probe": Probe(),
    "frozen": Features(training=BRIEF),
    "finetune": FineTune(training=BRIEF),
    "frozen, twice mixed": Features(layers=Layers(layer_norm=True, output=True), training=BRIEF),
    "states alone": FineTune(layers=Layers(word_vectors=False), training=BRIEF),
}
TEXTS = ["good1 plain2 bad3", "", "strange good25", "bad7 " * 50]


@pytest.fixture(scope="module")
def fitted(readers, task):
    """Fit a transfer to an encoder, once."""
    done = {}

    def fit(name, kind):
        if (name, kind) not in done:
            done[name, kind] = TextClassifier(readers[kind], TRANSFERS[name]).fit(*task)
        return done[name, kind]

    return fit


@pytest.mark.parametrize("name", ["probe", "frozen", "finetune"])
def test_pretrained_layers_need_six_labels_where_scratch_learns_nothing(name, reader, make_task):
    training = Training(hidden=8, batch_size=8, min_steps=40, max_steps=10, evaluate_every=5)
    transfers = {
        "probe": Probe(),
        "frozen": Features(training=training),
        "finetune": FineTune(training=training),
    }
    texts, labels = make_task(6, first=0, last=20)
    unseen = make_task(200, first=20, last=40, seed=1)
    scratch = Scratch(width=8, learning_rate=2e-2, training=training)
    without = TextClassifier(None, scratch).fit(texts, labels).score(*unseen)
    assert TextClassifier(reader, transfers[name]).fit(texts, labels).score(*unseen) > 0.85
    assert without < 0.65


@pytest.mark.parametrize("kind", ["elmo", "cove"])
@pytest.mark.parametrize("name", TRANSFERS)
def test_a_saved_model_says_the_same(name, kind, fitted, tmp_path):
    classifier = fitted(name, kind)
    loaded = load(classifier.save(tmp_path / "model"))
    expected = classifier.predict_proba(TEXTS)
    assert np.array_equal(loaded.predict_proba(TEXTS), expected)
    assert expected.shape == (4, 2)
    assert expected.sum(1) == pytest.approx(1.0)
    assert (loaded.method_, loaded.proof_) == (classifier.method_, classifier.proof_)
    plain = json.loads(json.dumps(classifier.model_.config()))
    assert json.loads(json.dumps(loaded.model_.config())) == plain
    again = load(loaded.save(tmp_path / "again"))
    assert np.array_equal(again.predict_proba(TEXTS), expected)
    inside = load_encoder(tmp_path / "model" / "encoder")
    tuned = isinstance(TRANSFERS[name], FineTune)
    assert (inside.name == classifier.proof_.encoder) == (not tuned)


@pytest.mark.parametrize("kind", ["elmo", "cove"])
@pytest.mark.parametrize("name", ["frozen", "finetune"])
def test_many_texts_and_none_are_predicted(name, kind, fitted, monkeypatch):
    classifier = fitted(name, kind)
    together = classifier.predict_proba(TEXTS)
    alone = np.concatenate([classifier.predict_proba([text]) for text in TEXTS])
    assert alone == pytest.approx(together, abs=1e-6)
    monkeypatch.setattr("headstart.transfer.fitted._TEXTS_AT_ONCE", 3)
    assert classifier.predict_proba(TEXTS * 2) == pytest.approx(np.tile(together, (2, 1)), abs=1e-6)
    assert classifier.predict_proba([]).shape == (0, 2)


@pytest.mark.parametrize("kind", ["elmo", "cove"])
def test_a_frozen_encoder_is_the_same_bit_for_bit_and_a_tuned_one_has_moved(
    kind, fitted, readers, task
):
    before = readers[kind].tensors()
    for name in ("frozen", "frozen, twice mixed"):
        classifier = fitted(name, kind)
        proof = classifier.proof_
        assert proof.frozen_before == proof.frozen_after != ""
        nonzero = sum(bool(tensor.any()) for tensor in before.values())
        taken = (proof.distance, proof.tensors_taken, proof.tensors)
        assert taken == (0.0, nonzero, len(before))
        after = classifier.model_.encoder.tensors()
        assert all(torch.equal(after[each], tensor) for each, tensor in before.items())
    proof = fitted("finetune", kind).proof_
    after = fitted("finetune", kind).model_.encoder.tensors()
    moved = {each for each in before if not torch.equal(before[each], after[each])}
    assert moved == set(before) - {"embedding.weight"}, "CoVe's word vectors stay as they are"
    assert 0.0 < proof.distance < 1.0
    assert proof.frozen_before == proof.frozen_after == ""
    words = len({word for text in task[0] for word in text.split()})
    assert (proof.words, proof.words_covered, proof.unknown) == (words, words, ())


@pytest.mark.parametrize("name", ["frozen", "finetune"])
def test_a_fit_changes_nothing_of_the_encoder_that_it_is_given(name, reader, task):
    model = reader.model
    before = {key: tensor.clone() for key, tensor in reader.tensors().items()}
    model.requires_grad_(requires_grad=False)
    try:
        TextClassifier(reader, Features(training=BRIEF)).fit(*task)
        assert not any(parameter.requires_grad for parameter in model.parameters())
    finally:
        model.requires_grad_(requires_grad=True)
    TextClassifier(reader, TRANSFERS[name]).fit(*task)
    assert not any(part.training for part in model.modules())
    assert all(torch.equal(before[key], tensor) for key, tensor in reader.tensors().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_weights_that_their_user_froze_are_trained_all_the_same(reader, fitted, task):
    own = reader.with_model(copy.deepcopy(reader.model).requires_grad_(requires_grad=False))
    classifier = TextClassifier(own, TRANSFERS["finetune"]).fit(*task)
    assert classifier.proof_ == fitted("finetune", reader.kind).proof_
    assert not any(parameter.requires_grad for parameter in own.model.parameters())


@pytest.mark.parametrize("name", ["frozen", "finetune"])
def test_states_are_kept_through_a_fit_only_where_they_are_read(name, reader, task, monkeypatch):
    kept = []
    fitted = ContextualStart.fitted

    def seen(start, pipeline):
        kept.append(start.states)
        return fitted(start, pipeline)

    monkeypatch.setattr(ContextualStart, "fitted", seen)
    TextClassifier(reader, TRANSFERS[name]).fit(*task)
    assert (kept == [None]) == (name == "finetune")


class Impatient:
    """Progress that ends the work at its second step."""

    def __init__(self):
        self.steps = 0

    @contextmanager
    def stage(self, description, total=None, unit=""):
        def advance(amount):
            self.steps += unit == "steps"
            if self.steps > 1:
                raise KeyboardInterrupt

        yield advance

    def note(self, message):
        pass


def test_a_fit_that_is_stopped_leaves_the_encoder_as_it_was(reader, task):
    expected = token_states(reader, TEXTS, max_tokens=99)
    training = Training(hidden=8, batch_size=8, max_steps=20, evaluate_every=50)
    with pytest.raises(KeyboardInterrupt):
        TextClassifier(reader, Features(training=training)).fit(*task, progress=Impatient())
    assert not any(part.training for part in reader.model.modules())
    assert np.array_equal(token_states(reader, TEXTS, max_tokens=99).values, expected.values)


@pytest.mark.parametrize("name", ["frozen", "finetune"])
def test_a_seed_decides_everything(name, reader, task):
    torch.manual_seed(5)
    fits = []
    for seed in (0, 0, 1):
        torch.rand(7)  # what was drawn before decides nothing
        classifier = TextClassifier(reader, TRANSFERS[name], random_state=seed).fit(*task)
        fits.append(classifier.predict_proba(TEXTS))
    assert np.array_equal(fits[0], fits[1])
    assert not np.array_equal(fits[0], fits[2])


def test_the_global_stream_is_left_alone(reader, task):
    before = torch.get_rng_state()
    for name in ("frozen", "finetune"):
        TextClassifier(reader, TRANSFERS[name]).fit(*task)
    assert torch.equal(torch.get_rng_state(), before)


# What of an encoder is read


def test_the_layers_of_elmo_are_weighed_and_told(fitted):
    assert "layer_weights" not in fitted("frozen", "cove").fit_report_, "there is one layer"
    assert "output_layer_weights" not in fitted("frozen", "elmo").fit_report_
    report = fitted("frozen, twice mixed", "elmo").fit_report_
    for name in ("layer_weights", "output_layer_weights"):
        shares = report[name]
        assert len(shares) == 3
        assert sum(shares) == pytest.approx(1.0, abs=1e-3)
        assert shares != [0.3333] * 3, "the weights are learnt"
    assert report["layer_weights"] != report["output_layer_weights"]


@pytest.fixture
def planted(monkeypatch):
    """Let one layer alone know the answer; the others are noise."""

    def plant(layer):
        def states(encoder, texts, *, max_tokens, encoded, progress=None):
            random = np.random.default_rng(0)
            values = random.normal(size=(len(encoded.ids), 3, 12))
            says = [word.startswith("good") for text in texts for word in text.split()]
            bad = [word.startswith("bad") for text in texts for word in text.split()]
            values[:, layer, 0] += 3.0 * (np.array(says) - np.float64(bad))
            return TokenStates(values.astype(np.float16), encoded.offsets)

        monkeypatch.setattr(text_pipelines, "token_states", states)

    return plant


def weights(readers, task, l2):
    training = Training(hidden=8, batch_size=8, min_steps=100, max_steps=10)
    transfer = Features(layers=Layers(l2=l2), training=training)
    return TextClassifier(readers["elmo"], transfer).fit(*task).fit_report_["layer_weights"]


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_layer_that_knows_the_answer_gets_the_largest_weight(layer, planted, readers, task):
    planted(layer)
    shares = weights(readers, task, 0.0)
    assert shares[layer] > 0.4
    assert shares[layer] > 1.3 * max(shares[:layer] + shares[layer + 1 :])


def test_what_weights_cost_pulls_them_to_the_mean_of_all_layers(planted, readers, task):
    planted(1)
    shares = [max(weights(readers, task, l2)) for l2 in (0.0, 0.1, 100.0)]
    assert shares[0] > shares[1] > shares[2] + 0.02
    assert shares[2] == pytest.approx(1 / 3, abs=0.02)


def test_layers_are_brought_to_one_size(reader, task):
    classifier = TextClassifier(reader, Features(training=BRIEF)).fit(*task)
    scale = classifier.model_.pipeline.scale.numpy()
    values = token_states(reader, task[0], max_tokens=512).values.astype(np.float32)
    parts = [slice(0, 12)] if reader.kind == "elmo" else [slice(0, 8), slice(8, 20)]
    for layer in range(values.shape[1]):
        for part in parts:
            size = np.sqrt(np.square(values[:, layer, part] * scale[layer, part]).mean())
            assert size == pytest.approx(1.0, rel=1e-4)
            assert len(set(scale[layer, part].tolist())) == 1


def without_word_vectors(cove, monkeypatch):
    """Return a CoVe whose word vectors are other ones where they stand beside its states."""
    own = cove.with_model(cove.model)
    read = text_pipelines.token_states

    def changed(*arguments, **settings):
        states = read(*arguments, **settings)
        states.values[..., :8] = 7.0
        return states

    monkeypatch.setattr(text_pipelines, "token_states", changed)
    monkeypatch.setattr("headstart.transfer.fitted.token_states", changed)
    return own


@pytest.mark.parametrize("word_vectors", [True, False])
def test_cove_alone_reads_no_word_vector(word_vectors, readers, task, monkeypatch):
    transfer = Features(layers=Layers(word_vectors=word_vectors), training=BRIEF)
    before = TextClassifier(readers["cove"], transfer).fit(*task)
    own = without_word_vectors(readers["cove"], monkeypatch)
    after = TextClassifier(own, transfer).fit(*task)
    same = np.array_equal(after.predict_proba(TEXTS), before.predict_proba(TEXTS))
    assert same == (not word_vectors)
    width = after.model_.pipeline.lstm.forwards.input_size
    assert width == (8 + 12 if word_vectors else 12)


def test_settings_of_layers_are_no_others_business(encoder, whole, task):
    odd = Features(layers=Layers(word_vectors=False, layer_norm=True, output=True), training=BRIEF)
    words, tags = [["good1"], ["bad1"]] * 2, [["A"], ["B"]] * 2
    for start in (encoder, whole):
        for estimator, given in ((TextClassifier, task), (TokenTagger, (words, tags))):
            with pytest.raises(SettingsError, match="'layers' of 'frozen' is for CoVe and ELMo"):
                estimator(start, odd).fit(*given)


# What is refused


def test_only_what_replaces_an_embedding_layer_is_offered(reader, task):
    for name in ("gradual", "lora"):
        with pytest.raises(SettingsError, match=f"'{name}' is for encoders that replace the whole"):
            TextClassifier(reader, name).fit(*task)
    scratch = TextClassifier(reader, Scratch(width=8, training=BRIEF)).fit(*task)
    assert scratch.proof_ is None, "the pipeline with an embedding layer of its own"
    tuned = TextClassifier(reader, "auto")
    with pytest.raises(DataError, match="no text contains a word"):
        tuned.fit(["", " "] * 4, ["a", "b"] * 4)


def test_cove_must_know_some_word_and_elmo_knows_all(readers, task):
    texts, labels = ["bonjour tout le monde", "au revoir"] * 5, ["a", "b"] * 5
    cove = TextClassifier(readers["cove"], TRANSFERS["frozen"])
    with pytest.raises(DataError, match=r"knows none of the 6 words .* another language"):
        cove.fit(texts, labels)


@pytest.mark.parametrize("name", ["probe", "frozen", "finetune"])
def test_an_elmo_that_predicts_no_words_knows_them_all(name, readers, task):
    published = PretrainedElmo.of(
        readers["elmo"].model, WordTokenizer.from_vocabulary([], lowercase=False), lineage={}
    )
    classifier = TextClassifier(published, TRANSFERS[name]).fit(*task)
    proof = classifier.proof_
    words = len({word for text in task[0] for word in text.split()})
    assert (proof.words_covered, proof.words, proof.tokens_covered) == (words, words, 1.0)
    assert proof.unknown == ()


@pytest.mark.parametrize("name", ["frozen", "finetune"])
def test_an_encoder_of_zeros_is_an_error(name, reader, task):
    zeros = type(reader.model)(reader.model.config)
    for tensor in zeros.state_dict().values():
        tensor.zero_()
    with pytest.raises(TransferError, match="was copied"):
        TextClassifier(reader.with_model(zeros.eval()), TRANSFERS[name]).fit(*task)


def test_a_frozen_part_that_changes_in_training_is_an_error(reader, task, monkeypatch):
    own = reader.with_model(type(reader.model)(reader.model.config).eval())
    own.model.load_state_dict(reader.model.state_dict())
    train = neural.train_steps

    def train_and_change(start, pipeline, *arguments, **settings):
        next(pipeline.encoder.parameters()).data[-1] += 1e-6
        yield from train(start, pipeline, *arguments, **settings)

    monkeypatch.setattr(neural, "train_steps", train_and_change)
    with pytest.raises(TransferError, match=f"the frozen {reader.kind} 12d .* changed during"):
        TextClassifier(own, TRANSFERS["frozen"]).fit(*task)


def test_long_texts_are_cut_and_counted(reader, task):
    texts, labels = list(task[0]), task[1]
    texts[0], texts[1] = texts[0] + " bad1", texts[1] + " good1 good2"
    for name in ("probe", "frozen", "finetune"):
        classifier = TextClassifier(reader, TRANSFERS[name], max_tokens=5).fit(texts, labels)
        assert classifier.fit_report_["truncated"] == 2
        assert classifier.predict_proba(texts[:2]) == pytest.approx(
            classifier.predict_proba(task[0][:2]), abs=1e-9
        )


def test_a_folder_whose_parts_do_not_belong_together_is_refused(fitted, tmp_path):
    one = fitted("frozen", "elmo")
    other = fitted("frozen, twice mixed", "elmo").model_
    wrong = ContextualModel(
        one.model_.encoder, other.pipeline, Layers(), one.model_.max_tokens, frozen=True
    )
    damaged = TextClassifier(one.encoder, one.transfer)
    vars(damaged).update({**vars(one), "model_": wrong})
    with pytest.raises(FormatError, match="output_mix"):
        load(damaged.save(tmp_path / "model"))


def test_a_fitted_model_has_no_word_vectors_of_its_own(fitted):
    for kind in ("elmo", "cove"):
        for name in ("frozen", "finetune"):
            assert fitted(name, kind).fitted_vectors() is None
            assert fitted(name, kind).megabytes > 0
