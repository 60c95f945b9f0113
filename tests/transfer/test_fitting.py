import math
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from headstart.errors import DataError, NonFiniteError, SettingsError, TransferError
from headstart.hub.bundle import PretrainedWordVectors
from headstart.progress import SILENT
from headstart.tokenize.batches import Encoded
from headstart.tokenize.subwords import SubwordTokenizer
from headstart.tokenize.words import WordTokenizer
from headstart.transfer import fitting, neural
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.methods import Features, FineTune, Probe, Scratch, TfIdf, Training
from headstart.transfer.starting_point import pretrained_start
from headstart.transfer.stopping import Validation, search_steps
from headstart.transfer.text_pipelines import VectorsStart


def in_brief(transfer, brief):
    """Return the method of that name, with training that takes no time."""
    kinds = {"probe": Probe, "frozen": Features, "finetune": FineTune}
    return kinds[transfer](**({} if transfer == "probe" else {"training": brief}))


def embedding(classifier):
    return classifier.model_.tensors()["encoder.embedding.weight"]


# What is transferred


def test_pretrained_vectors_need_six_labels_where_scratch_learns_nothing(encoder, make_task, brief):
    texts, labels = make_task(6, first=0, last=20)
    unseen = make_task(200, first=20, last=40, seed=1)
    scores = {
        name: TextClassifier(start, transfer).fit(texts, labels).score(*unseen)
        for name, start, transfer in (
            ("tfidf", None, TfIdf()),
            ("scratch", None, Scratch(width=8, learning_rate=2e-2, training=brief)),
            ("probe", encoder, Probe()),
            ("frozen", encoder, Features(learning_rate=2e-2, training=brief)),
            ("finetune", encoder, FineTune(learning_rate=2e-2, training=brief)),
        )
    }
    assert min(scores[name] for name in ("probe", "frozen", "finetune")) > 0.9
    assert max(scores[name] for name in ("scratch", "tfidf")) < 0.65


def test_frozen_vectors_are_the_same_bit_for_bit(encoder, task, brief):
    classifier = TextClassifier(encoder, Features(training=brief)).fit(*task)
    assert torch.equal(embedding(classifier), encoder.tensors()["embedding.weight"])
    proof = classifier.proof_
    assert proof.frozen_before == proof.frozen_after != ""
    assert proof.distance == 0.0


def test_fine_tuning_moves_the_words_of_the_labelled_texts_only(encoder, task, brief):
    classifier = TextClassifier(encoder, FineTune(training=brief)).fit(*task)
    before, after = encoder.tensors()["embedding.weight"], embedding(classifier)
    moved = {encoder.tokenizer.vocabulary[row] for row in (before != after).any(1).nonzero()[:, 0]}
    assert moved == {word for text in task[0] for word in text.split()}
    rows = [encoder.tokenizer.ids[word] for word in moved]
    expected = (after[rows] - before[rows]).norm() / before[rows].norm()
    assert classifier.proof_.distance > 0.0
    assert classifier.proof_.distance == pytest.approx(expected.item(), rel=0.05)


def test_the_proof_counts_what_the_encoder_knows(encoder, task, brief):
    texts, labels = list(task[0]), task[1]
    texts[0] += " strange strange odd"
    tokens = sum(len(text.split()) for text in texts)
    words = {word for text in texts for word in text.split()}
    for transfer in (Probe(), Features(training=brief), FineTune(training=brief)):
        proof = TextClassifier(encoder, transfer).fit(texts, labels).proof_
        assert (proof.words, proof.words_covered) == (len(words), len(words) - 2)
        assert proof.tokens_covered == pytest.approx(1 - 3 / tokens)
        assert proof.unknown == ("strange", "odd")
        assert (proof.tensors_taken, proof.tensors) == (1, 1)
        assert encoder.fingerprint in proof.encoder


def test_without_an_encoder_nothing_is_claimed(task, brief):
    assert TextClassifier(transfer=Scratch(width=8, training=brief)).fit(*task).proof_ is None


TRANSFERS = [Probe(), Features(), FineTune()]


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_an_encoder_that_knows_no_word_is_an_error(transfer, encoder):
    texts = ["bonjour tout le monde", "au revoir"] * 5
    with pytest.raises(DataError, match=r"knows none of the 6 words .* another language"):
        TextClassifier(encoder, transfer).fit(texts, ["a", "b"] * 5)


@pytest.mark.parametrize("transfer", ["probe", "frozen", "finetune"])
def test_an_encoder_of_zeros_is_an_error(transfer, task, brief):
    words = sorted({word for text in task[0] for word in text.split()})
    zeros = np.zeros((len(words), 8), np.float32)
    encoder = PretrainedWordVectors.from_words("glove", words, zeros, config={}, lineage={})
    with pytest.raises(TransferError, match="was copied"):
        TextClassifier(encoder, in_brief(transfer, brief)).fit(*task)


def test_a_pipeline_that_forgets_its_encoder_is_an_error(encoder, task, brief, monkeypatch):
    make = VectorsStart.fresh

    def make_anew(*arguments):
        pipeline = make(*arguments)
        pipeline.encoder.embedding.weight.data[1:].normal_()
        return pipeline

    monkeypatch.setattr(VectorsStart, "fresh", make_anew)
    with pytest.raises(TransferError, match=r"no tensor of glove 8d .* was copied"):
        TextClassifier(encoder, FineTune(training=brief)).fit(*task)


@pytest.mark.parametrize("transfer", ["frozen", "finetune"])
def test_the_scale_of_an_encoder_decides_nothing(transfer, encoder, task, brief):
    probabilities = []
    for factor in (1.0, 64.0):  # a power of two, so that every product is exact
        scaled = PretrainedWordVectors.from_words(
            "glove", encoder.words, factor * encoder.matrix.numpy(), config={}, lineage={}
        )
        classifier = TextClassifier(scaled, in_brief(transfer, brief)).fit(*task)
        probabilities.append(classifier.predict_proba(task[0]))
    np.testing.assert_allclose(*probabilities, atol=1e-3)


def test_a_frozen_part_that_changes_in_training_is_an_error(encoder, task, brief, monkeypatch):
    train = neural.train_steps

    def train_and_change(start, pipeline, *arguments, **settings):
        pipeline.encoder.embedding.weight.data[5] += 1e-6
        yield from train(start, pipeline, *arguments, **settings)

    monkeypatch.setattr(neural, "train_steps", train_and_change)
    with pytest.raises(TransferError, match=r"the frozen glove 8d .* changed during training"):
        TextClassifier(encoder, Features(training=brief)).fit(*task)


def test_a_probed_encoder_that_changes_is_an_error(encoder, task, monkeypatch):
    own = PretrainedWordVectors.from_words(
        "glove", encoder.words, encoder.matrix.numpy(), config={}, lineage={}
    )
    pool = fitting.pooled_features

    def pool_and_change(encoder, *arguments, **settings):
        own.model.embedding.weight.data[5] += 1e-6
        return pool(encoder, *arguments, **settings)

    monkeypatch.setattr(fitting, "pooled_features", pool_and_change)
    with pytest.raises(TransferError, match="changed during training"):
        TextClassifier(own, Probe()).fit(*task)


@pytest.mark.parametrize("kind", ["glove", "bert", "gpt", "cove"])
@pytest.mark.parametrize("name", ["probe", "frozen", "finetune"])
def test_texts_are_cut_into_tokens_once(
    name, kind, encoder, whole_models, readers, task, brief, monkeypatch
):
    own, cut = {"glove": encoder, **whole_models, **readers}[kind], []
    for tokenizer in (WordTokenizer, SubwordTokenizer):
        encode = tokenizer.encode_batch

        def counted(self, texts, encode=encode):
            cut.append(texts)
            return encode(self, texts)

        monkeypatch.setattr(tokenizer, "encode_batch", counted)
    classifier = TextClassifier(own, in_brief(name, brief)).fit(*task)
    assert sum(len(texts) for texts in cut) == len(task[0])
    assert classifier.proof_.words_covered == classifier.proof_.words


class Largest(TorchDispatchMode):
    """Notes how many numbers the largest tensor has that is made meanwhile."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor):
            self.numbers = max(self.numbers, found.numel())
        return found


def test_the_scale_of_word_vectors_is_found_without_a_vector_for_each_token(encoder):
    ids = np.random.default_rng(0).integers(1, 60, 5000).astype(np.int32)
    with Largest() as largest:
        start = pretrained_start(encoder, Encoded(ids, np.array([0, 2000, 5000])))
    vectors = encoder.tensors()["embedding.weight"].double()
    assert start.scale == pytest.approx(1 / vectors[ids].square().mean().sqrt().item(), rel=1e-7)
    assert largest.numbers <= vectors.numel()


@pytest.mark.parametrize("name", ["gradual", "lora"])
def test_what_is_for_whole_models_is_refused_on_word_vectors(name, encoder, task):
    with pytest.raises(SettingsError, match=f"'{name}' is for encoders that replace the whole"):
        TextClassifier(encoder, name).fit(*task)


# How it is trained


@pytest.mark.parametrize(
    "transfer",
    [TfIdf(), Probe(), Features(learning_rate=2e-2), FineTune(), Scratch(width=8)],
    ids=lambda transfer: type(transfer).__name__,
)
def test_a_heavier_class_is_predicted_more(transfer, encoder, make_task, brief):
    if not isinstance(transfer, TfIdf | Probe):
        transfer = type(transfer)(training=brief)
    start = None if isinstance(transfer, TfIdf | Scratch) else encoder
    texts, labels = make_task(24, first=0, last=40)
    labels[:4] = labels[3::-1]  # wrong labels, so that no rate of the classes is certain
    shares = [
        TextClassifier(start, transfer, class_weight=weight)
        .fit(texts, labels)
        .predict_proba(texts)[:, 0]
        .mean()
        for weight in ({"bad": 20.0}, None, {"good": 20.0})
    ]
    assert shares[0] > shares[1] > shares[2]


def test_balanced_weights_are_those_of_the_shares(encoder, make_task, brief):
    texts, labels = make_task(20, first=0, last=40)
    texts, labels = texts + texts[1::2], labels + labels[1::2]  # 10 good, 20 bad
    predicted = [
        TextClassifier(encoder, Features(training=brief), class_weight=weight)
        .fit(texts, labels)
        .predict_proba(texts)
        for weight in ("balanced", {"good": 30 / 20, "bad": 30 / 40}, None)
    ]
    assert np.array_equal(predicted[0], predicted[1])
    assert not np.array_equal(predicted[0], predicted[2])


class Steps:
    """Progress that counts the steps of each stage."""

    def __init__(self):
        self.done = {}

    @contextmanager
    def stage(self, description, total=None, unit=""):
        del total, unit
        self.done[description] = 0

        def advance(amount):
            self.done[description] += amount

        yield advance

    def note(self, message):
        pass


def test_training_stops_early_where_nothing_can_be_learnt(encoder, make_task):
    texts, _ = make_task(40, first=0, last=40)
    labels = np.random.default_rng(0).choice(["a", "b"], 40)
    training = Training(hidden=8, min_steps=3, max_steps=200, evaluate_every=2, patience=3)
    steps = Steps()
    transfer = FineTune(learning_rate=5e-2, training=training)
    report = TextClassifier(encoder, transfer).fit(texts, labels, progress=steps).fit_report_
    searched = steps.done["finding the number of steps"]
    assert searched < 100
    best = searched - training.patience * training.evaluate_every
    least = -(-3 * 40 // training.batch_size)  # three passes
    assert report["steps"] == max(least, round(best * 40 / 32))  # as many, over all the labels
    assert steps.done["fitting on all labels"] == report["steps"]


def test_many_texts_are_looked_at_twice_a_pass(encoder, make_task, monkeypatch):
    seen = []

    def search(*_, every, **__):
        seen.append(every)
        raise InterruptedError

    monkeypatch.setattr("headstart.transfer.neural.search_steps", search)
    texts, labels = make_task(40, first=0, last=40)
    for number in (1, 40):
        with pytest.raises(InterruptedError):
            TextClassifier(encoder, "frozen").fit(texts * number, list(labels) * number)
    assert seen == [10, 1280 // 32 // 2]


def test_a_solved_task_is_not_trained_on_for_ever():
    looks = iter(range(100))
    training = Training(evaluate_every=1, patience=4)

    def validate():  # a loss that always falls, and by less and less
        return Validation(0.5 ** next(looks), None, None)

    steps = iter(range(1, 1001))
    best_step, found = search_steps(steps, validate, training, every=1, progress=SILENT)
    assert (best_step, found.loss) == (16, 0.5**15), "what falls by too little is still the lowest"
    assert next(steps) == 17


def test_a_loss_that_creeps_down_counts_as_falling():
    losses = iter(1.0 - 0.0003 * np.arange(300))
    training = Training(evaluate_every=1, patience=4, max_steps=200)

    def validate():
        return Validation(next(losses), None, None)

    steps = iter(range(1, 201))
    best_step, _ = search_steps(steps, validate, training, every=1, progress=SILENT)
    assert best_step == 200


def test_few_steps_are_evaluated_too(encoder, task):
    training = Training(hidden=8, min_steps=2, max_steps=3, evaluate_every=50)
    report = TextClassifier(encoder, Features(training=training)).fit(*task).fit_report_
    assert math.isfinite(report["validation_loss"])
    assert report["steps"] == round(3 * 20 / 16)


def test_min_steps_is_the_least(encoder, task):
    training = Training(hidden=8, min_steps=17, max_steps=3, evaluate_every=1)
    assert (
        TextClassifier(encoder, Features(training=training)).fit(*task).fit_report_["steps"] == 17
    )


def test_regularization_is_chosen_from_the_strengths_given(encoder, task):
    for start, transfer in ((None, TfIdf(strengths=(3.0,))), (encoder, Probe(strengths=(3.0,)))):
        assert TextClassifier(start, transfer).fit(*task).fit_report_["strength"] == 3.0


def test_a_rate_that_explodes_is_told(encoder, task, brief):
    with pytest.raises(NonFiniteError, match="try a lower learning rate"):
        TextClassifier(encoder, FineTune(encoder_rate=1e38, training=brief)).fit(*task)


# How much of a text is read


@pytest.mark.parametrize("kind", ["probe", "frozen", "scratch"])
def test_long_texts_are_cut_and_counted(kind, encoder, task, brief):
    transfer = {
        "probe": Probe(),
        "frozen": Features(training=brief),
        "scratch": Scratch(width=8, training=brief),
    }[kind]
    start = None if kind == "scratch" else encoder
    texts, labels = list(task[0]), task[1]
    texts[0], texts[1] = texts[0] + " bad1", texts[1] + " good1 good2"
    classifier = TextClassifier(start, transfer, max_tokens=5).fit(texts, labels)
    assert classifier.fit_report_["truncated"] == 2
    assert np.array_equal(
        classifier.predict_proba([texts[0], texts[1]]), classifier.predict_proba(task[0][:2])
    )
    whole = TextClassifier(start, transfer).fit(texts, labels)
    assert whole.fit_report_["truncated"] == 0
