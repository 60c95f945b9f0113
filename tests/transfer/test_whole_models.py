"""Every way in which a pretrained model reaches a task as a whole."""

import copy
import importlib.util
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from headstart.errors import DataError, NonFiniteError, SettingsError, TransferError
from headstart.hub.foreign.wrapped import TransformersEncoder
from headstart.hub.wrapped_models import PretrainedTransformer
from headstart.models import bert_openvino
from headstart.models.bert import Bert
from headstart.tasks.classification import Classes
from headstart.tasks.heads import WholeModel
from headstart.training import precision
from headstart.transfer import neural
from headstart.transfer import whole_models as module
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.features import StatesMemory, quick_reading, text_states
from headstart.transfer.fitted import whole_model_states
from headstart.transfer.methods import (
    Features,
    FineTune,
    GradualUnfreeze,
    LowRank,
    Probe,
    Scratch,
    Training,
    with_defaults,
)
from headstart.transfer.pairs import PairClassifier
from headstart.transfer.stopping import least_passes, most_steps
from headstart.transfer.task import Task
from headstart.transfer.whole_models import WholeStart, with_random_weights

BRIEF = Training(
    hidden=8, dropout=0.0, batch_size=8, min_steps=6, max_steps=10, evaluate_every=5, patience=1
)
TRANSFERS = {
    "probe": Probe(),
    "frozen": Features(learning_rate=2e-2, training=BRIEF),
    "finetune": FineTune(training=BRIEF),
    "gradual": GradualUnfreeze(steps_per_layer=2, training=BRIEF),
    "lora": LowRank(rank=2, alpha=4.0, training=BRIEF),
    "scratch": Scratch(training=BRIEF),
}
BY_OPENVINO = {
    "probe": Probe(),
    "frozen": TRANSFERS["frozen"],
    **{pooling: FineTune(pooling=pooling, training=BRIEF) for pooling in ("cls", "mean", "last")},
}
PRETRAINED = [name for name in TRANSFERS if name != "scratch"]


@pytest.fixture(scope="module")
def fitted(whole_models, task):
    """Fit a transfer to a model, once."""
    done = {}

    def fit(name, kind):
        if (name, kind) not in done:
            done[name, kind] = TextClassifier(whole_models[kind], TRANSFERS[name]).fit(*task)
        return done[name, kind]

    return fit


@pytest.fixture
def compiled(monkeypatch):
    """Let OpenVINO read texts however few they are, and list what is compiled meanwhile."""
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("the extra openvino is not installed")

    @contextmanager
    def reading():
        made = []

        class Listed(bert_openvino.OpenVinoBert):
            def __init__(self, *arguments, **settings):
                super().__init__(*arguments, **settings)
                made.append(self)

        with monkeypatch.context() as patch:
            patch.setattr(bert_openvino, "_LEAST_TOKENS", 1)
            patch.setattr(bert_openvino, "OpenVinoBert", Listed)
            yield made
        bert_openvino._COMPILED.clear()

    return reading


@pytest.fixture
def exact(monkeypatch):
    """Let training compute with all bits."""
    monkeypatch.setattr(precision, "has_fast_bf16", lambda _: False)


def started(method, encoder, task, *, chooses=False, **settings):
    texts, labels = task
    if isinstance(method, FineTune) and not (chooses or method.pooling):
        method = replace(method, pooling=encoder.pooling)
    method = with_defaults(method, whole_model=encoder.model.width)
    codes = np.array([int(label == "good") for label in labels])
    target = Classes(codes, np.ones(2, np.float32))
    given = {"target": target, "seed": 0, "max_tokens": 512, **settings}
    return WholeStart(method, encoder, Task(texts=texts, **given))


# What comes out


@pytest.mark.parametrize("kind", ["bert", "gpt"])
@pytest.mark.parametrize("name", PRETRAINED)
def test_what_was_pretrained_serves_words_that_no_label_has(name, kind, fitted, make_task):
    unseen = make_task(100, first=20, last=40, seed=1)
    assert fitted(name, kind).score(*unseen) > 0.7


@pytest.mark.parametrize("kind", ["bert", "gpt"])
def test_random_weights_know_nothing_of_them(kind, fitted, make_task):
    unseen = make_task(100, first=20, last=40, seed=1)
    assert fitted("scratch", kind).score(*unseen) < 0.7


@pytest.mark.parametrize("kind", ["bert", "gpt"])
@pytest.mark.parametrize("name", TRANSFERS)
def test_a_text_is_predicted_alone_as_among_many(name, kind, fitted, task):
    texts = [*task[0], "", "good1 " * 50, "unheard-of"]
    together = fitted(name, kind).predict_proba(texts)
    alone = np.concatenate([fitted(name, kind).predict_proba([text]) for text in texts])
    assert alone == pytest.approx(together, abs=1e-5)
    assert fitted(name, kind).predict_proba([]).shape == (0, 2)


@pytest.mark.parametrize("transfer", BY_OPENVINO.values(), ids=BY_OPENVINO)
def test_openvino_predicts_what_torch_does(transfer, whole_models, task, make_task, compiled):
    classifier = TextClassifier(whole_models["bert"], transfer).fit(*task)
    texts, _ = make_task(100, first=0, last=40)
    expected = classifier.predict_proba(texts)
    with compiled() as readers:
        assert classifier.predict_proba(texts) == pytest.approx(expected, abs=1e-5)
        assert classifier.predict_proba(texts) == pytest.approx(expected, abs=1e-5)
    assert len(readers) == 1


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_openvino_predicts_pairs_as_torch_does(pooling, symmetric, whole_models, task, compiled):
    pairs, labels = list(zip(task[0], reversed(task[0]), strict=True)), task[1]
    method = FineTune(pooling=pooling, training=BRIEF)
    classifier = PairClassifier(whole_models["bert"], method, symmetric=symmetric)
    expected = classifier.fit(pairs, labels).predict_proba(pairs)
    with compiled() as readers:
        assert classifier.predict_proba(pairs) == pytest.approx(expected, abs=1e-5)
    assert len(readers) == 1


def test_nothing_is_compiled_for_a_model_that_is_trained(whole_models, task, compiled):
    with compiled() as readers:
        TextClassifier(whole_models["bert"], TRANSFERS["finetune"]).fit(*task)
    assert len(readers) == 1, "the encoder as it came, which finds the first head"


@pytest.mark.parametrize("name", TRANSFERS)
def test_the_encoder_stays_as_it_was(name, whole, task):
    before = {name: tensor.clone() for name, tensor in whole.tensors().items()}
    vocabulary = list(whole.tokenizer.vocabulary)
    TextClassifier(whole, TRANSFERS[name]).fit(*task)
    assert all(torch.equal(whole.tensors()[name], before[name]) for name in before)
    assert all(parameter.requires_grad for parameter in whole.model.parameters())
    assert whole.tokenizer.vocabulary == vocabulary


@pytest.mark.parametrize("name", ["finetune", "gradual", "lora"])
def test_weights_that_their_user_froze_are_trained_all_the_same(name, whole, fitted, task):
    own = whole.with_model(copy.deepcopy(whole.model).requires_grad_(requires_grad=False))
    classifier = TextClassifier(own, TRANSFERS[name]).fit(*task)
    assert classifier.proof_ == fitted(name, whole.kind).proof_
    assert classifier.proof_.distance > 0
    expected = fitted(name, whole.kind).predict_proba(task[0])
    assert np.array_equal(classifier.predict_proba(task[0]), expected)
    assert not any(parameter.requires_grad for parameter in own.model.parameters())


# What is proved


@pytest.mark.parametrize("kind", ["bert", "gpt"])
@pytest.mark.parametrize("name", PRETRAINED)
def test_the_proof_says_what_was_taken_and_what_moved(name, kind, fitted, whole_models):
    proof = fitted(name, kind).proof_
    encoder = whole_models[kind]
    assert proof.encoder == encoder.name
    assert proof.tensors == len(encoder.tensors())
    assert proof.tensors_taken == sum(bool(t.any()) for t in encoder.tensors().values())
    assert proof.words_covered == proof.words
    frozen = name in ("probe", "frozen")
    assert (proof.distance > 0) == (not frozen)
    assert bool(proof.frozen_before) == frozen
    assert proof.frozen_before == proof.frozen_after


@pytest.mark.parametrize("kind", ["bert", "gpt"])
def test_the_control_without_transfer_starts_from_other_weights(kind, fitted, whole_models, task):
    assert fitted("scratch", kind).proof_ is None
    encoder = whole_models[kind]
    rows = np.arange(20)
    own, other = (
        dict(started(method, encoder, task).fresh(rows).encoder.named_parameters())
        for method in (FineTune(), Scratch())
    )
    pretrained = dict(encoder.model.named_parameters())
    for name, parameter in other.items():
        known = pretrained[name]
        assert torch.equal(own[name][: len(known)], known)
        assert (parameter[: len(known)] != known).float().mean() > 0.9


@pytest.fixture(scope="module")
def wrapped(whole_models):
    """A tiny encoder of `transformers` whose relative positions are a bare parameter."""
    transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")
    tokenizer = whole_models["bert"].tokenizer
    config = transformers.XLNetConfig(
        vocab_size=len(tokenizer.vocabulary), d_model=16, n_layer=1, n_head=2, d_inner=16
    )
    torch.manual_seed(0)
    model = TransformersEncoder(transformers.XLNetModel(config).eval())
    frame = {"before": [2], "between": [3], "after": [3]}
    about = {"positions": None, "pooling": "cls", "model_type": "xlnet", **frame}
    return PretrainedTransformer("hf", model, tokenizer, config=about, lineage={})


def test_every_parameter_of_any_encoder_is_in_one_group(wrapped):
    groups = [set(layer.parameters()) for layer in wrapped.model.layer_groups()]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert set().union(*groups) == set(wrapped.model.parameters())


def test_random_weights_of_any_encoder_are_the_seeds_and_none_is_pretrained(wrapped):
    ours = torch.get_rng_state()
    first, again, other = (
        with_random_weights(wrapped.model, seed).state_dict() for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), ours)
    for name, known in wrapped.model.state_dict().items():
        assert torch.equal(first[name], again[name])
        if known.std() > 0:
            assert not torch.equal(first[name], known)
            assert not torch.equal(first[name], other[name])
            assert first[name].std() < 0.1  # as its paper draws them


def test_low_rank_changes_need_projections(wrapped, task):
    with pytest.raises(SettingsError, match="no attention projection in a XLNetModel"):
        TextClassifier(wrapped, TRANSFERS["lora"]).fit(*task)


def test_a_frozen_encoder_that_changes_is_an_error(whole, task, monkeypatch):
    own = whole.with_model(copy.deepcopy(whole.model))
    search = neural.search_steps

    def search_and_change(*arguments, **settings):
        next(own.model.parameters()).data[0] += 1e-6
        return search(*arguments, **settings)

    monkeypatch.setattr(neural, "search_steps", search_and_change)
    with pytest.raises(TransferError, match="changed during"):
        TextClassifier(own, TRANSFERS["frozen"]).fit(*task)


# How it is trained


def test_few_labels_are_passed_over_fifty_times_at_most(whole, make_task, monkeypatch):
    texts, labels = make_task(40, first=0, last=20)
    training = Training(batch_size=8, min_steps=10, max_steps=2000, evaluate_every=10, patience=999)
    seen = []

    def search(steps, validate, training, **settings):
        seen.append(len(list(steps)))
        assert training.max_steps == seen[-1]
        return 10, validate()

    monkeypatch.setattr(neural, "search_steps", search)
    fitted = TextClassifier(whole, FineTune(training=training)).fit(texts, labels)
    assert seen == [50 * 32 // 8], "of the four fifths that are searched on"
    assert fitted.fit_report_["steps"] == 15, "three passes over all"
    for number, most in ((1, 10), (2, 13), (16, 100), (320, 2000), (10**6, 2000)):
        assert most_steps(training, number) == most


@pytest.mark.parametrize("kind", [FineTune, Features])
def test_every_label_is_seen_however_few_steps_there_may_be(kind, whole, make_task, monkeypatch):
    texts, labels = make_task(40, first=0, last=20)
    training = Training(batch_size=4, min_steps=1, max_steps=2, evaluate_every=1, patience=1)
    searched = []

    def search(steps, validate, training, **settings):
        searched.append(len(list(steps)))
        return 1, validate()

    monkeypatch.setattr(neural, "search_steps", search)
    fitted = TextClassifier(whole, kind(training=training)).fit(texts, labels)
    assert searched == [2]
    assert fitted.fit_report_["steps"] == 10, "one pass over all"


def test_three_passes_are_made_as_far_as_the_most_steps_allow():
    training = Training(batch_size=4, min_steps=1, max_steps=20)
    found = {number: least_passes(training, number) for number in (4, 8, 24, 40, 80, 200)}
    assert found == {4: 3, 8: 6, 24: 18, 40: 20, 80: 20, 200: 50}
    assert least_passes(training, 40, passes=1) == 10


def computed(start, model, batch):
    """Return the loss of a batch, as training computes it, and the optimizer."""
    optimizer = start.optimizer(model)
    total, count = start.loss(model.train(), batch)
    return total / count, optimizer


def by_hand(start, model, batch, encoder):
    """Return GPT's mean loss of next tokens and of labels, from one text after another."""
    gpt, size = model.encoder, len(encoder.tokenizer.vocabulary)
    language, count, task = torch.zeros(()), 0, torch.zeros(())
    for row in batch:
        bare = encoder.tokenizer.encode_batch([start.task.texts[row]]).ids.tolist()
        ids = torch.tensor([[size, *bare, size + 2]])  # start and extract
        states = gpt.encode(ids, torch.ones_like(ids).bool())[-1][0]
        scores = gpt.token_scores(states[:-1])
        language = language + F.cross_entropy(scores, ids[0, 1:], reduction="sum")
        count += len(ids[0]) - 1
        label = torch.tensor([start.task.target.labels[row]])
        task = task + F.cross_entropy(model.classify(states[-1:]), label)
    return language / count, task / len(batch)


@pytest.mark.parametrize(("lm_coef", "task_coef"), [(1.0, 2.0), (0.5, 1.0), (0.0, 1.0), (3.0, 0.1)])
def test_gpt_learns_the_task_and_its_language(lm_coef, task_coef, whole_models, task, exact):
    encoder, batch = whole_models["gpt"], np.array([0, 3, 7, 12])
    method = FineTune(lm_coef=lm_coef, task_coef=task_coef, pooling="last", training=BRIEF)
    start = started(method, encoder, task)
    model = start.fresh(np.arange(20))
    found, _ = computed(start, model, batch)
    language, labels = by_hand(start, model, batch, encoder)
    expected = lm_coef * language + task_coef * labels
    assert found.item() == pytest.approx(expected.item(), abs=1e-5)
    parameters = list(model.parameters())
    for mine, theirs in zip(
        torch.autograd.grad(found, parameters),
        torch.autograd.grad(expected, parameters, materialize_grads=True),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-3)


def test_lambda_two_is_the_papers_direction_at_twice_the_length(whole_models, task, exact):
    flat = []
    for lm_coef, task_coef in ((1.0, 2.0), (0.5, 1.0)):
        method = FineTune(lm_coef=lm_coef, task_coef=task_coef, training=BRIEF)
        start = started(method, whole_models["gpt"], task)
        model = start.fresh(np.arange(20))
        loss, _ = computed(start, model, np.arange(8))
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        flat.append(torch.cat([gradient.flatten() for gradient in gradients]))
    torch.testing.assert_close(flat[0], 2 * flat[1], atol=1e-6, rtol=1e-4)


def test_the_rates_fall_from_the_head_to_the_embeddings(whole, task):
    method = FineTune(learning_rate=0.1, layer_decay=0.5, pooling="mean", training=BRIEF)
    start = started(method, whole, task)
    _, optimizer = computed(start, start.fresh(np.arange(20)), np.arange(4))
    rates = dict.fromkeys(group["lr"] for group in optimizer.param_groups)
    assert list(rates) == pytest.approx([0.1, 0.05, 0.025])


@pytest.mark.parametrize(("pooling", "moves"), [("cls", True), ("mean", False)])
def test_berts_pooler_is_part_of_the_head(pooling, moves, whole_models, task):
    start = started(FineTune(pooling=pooling, training=BRIEF), whole_models["bert"], task)
    model = start.fresh(np.arange(20))
    _, optimizer = computed(start, model, np.arange(4))
    first = {id(p) for g in optimizer.param_groups for p in g["params"]}
    assert (id(model.encoder.pooler.weight) in first) == moves


def moved_after(steps, method, encoder, task):
    """Return which layers have moved after so many steps, bottom up."""
    start = started(method, encoder, task)
    model = start.fresh(np.arange(20))
    before = [[p.clone() for p in layer.parameters()] for layer in model.encoder.layer_groups()]
    rows = np.arange(20)
    for _ in neural.train_steps(start, model, rows, steps, schedule=lambda _: 1.0):
        pass
    start.finish(model)
    after = [list(layer.parameters()) for layer in model.encoder.layer_groups()]
    return [
        any((old != new).any() for old, new in zip(*layer, strict=True))
        for layer in zip(before, after, strict=True)
    ]


def test_layers_thaw_from_the_top_as_steps_go_by(whole, task):
    method = GradualUnfreeze(steps_per_layer=2, learning_rate=1e-2, training=BRIEF)
    moved = {steps: moved_after(steps, method, whole, task) for steps in (1, 2, 3, 4, 5)}
    assert moved[1] == moved[2] == [False, False, True]
    assert moved[3] == moved[4] == [False, True, True]
    assert moved[5] == [True, True, True]
    assert moved_after(1, FineTune(training=BRIEF), whole, task) == [True] * 3


def test_low_rank_changes_leave_the_embeddings_and_start_as_the_probe(whole, task):
    method = TRANSFERS["lora"]
    assert moved_after(3, method, whole, task) == [False, True, True]
    start = started(method, whole, task)
    lora, plain = (start.fresh(np.arange(20)).eval() for _ in range(2))
    groups = start.optimizer(lora).param_groups
    packed = lora.batch(start.encoded, np.arange(4))
    with torch.no_grad():
        assert torch.equal(lora(packed)[0], plain(packed)[0])
    trained = sum(p.numel() for group in groups for p in group["params"])
    head = sum(p.numel() for p in lora.classify.parameters())
    matrices = 2 * (4 * [16 + 16] if isinstance(whole.model, Bert) else [16 + 48, 16 + 16])
    assert trained == head + 2 * sum(matrices)  # of rank 2


def test_training_starts_from_the_best_layer_on_the_frozen_states(whole, task):
    start = started(FineTune(training=BRIEF), whole, task)
    model = start.fresh(np.arange(20)).eval()
    packed = model.batch(start.encoded, np.arange(20))
    with torch.no_grad():
        right = model(packed)[0].argmax(1).numpy() == start.task.target.labels
    assert right.mean() > 0.9


@pytest.mark.parametrize("pooling", [None, "mean"])
def test_texts_are_read_once_for_whatever_could_stand_for_them(pooling, whole, task, monkeypatch):
    read = []

    def counted(model, encoded, poolings):
        read.append(poolings)
        return whole_model_states(model, encoded, poolings)

    def counted_texts(*arguments, **settings):
        read.append("texts")
        return text_states(*arguments, **settings)

    monkeypatch.setattr(module, "whole_model_states", counted)
    monkeypatch.setattr(module, "text_states", counted_texts)
    start = started(FineTune(pooling=pooling, training=BRIEF), whole, task, chooses=True)
    start.fresh(np.arange(20))
    assert len(read) == 1


def test_states_of_several_poolings_are_those_of_each(whole_models, task):
    start = started(FineTune(training=BRIEF), whole_models["gpt"], task)
    model = WholeModel(start.model, 2, pooling="mean", dropout=0.0)
    both = whole_model_states(model, start.encoded, ["last", "mean"])
    for pooling in ("last", "mean"):
        alone = whole_model_states(model, start.encoded, [pooling])[pooling]
        assert np.array_equal(both[pooling], alone)
        model.pooling = pooling
        with torch.inference_mode():
            expected = model.pool(model.batch(start.encoded, np.arange(20)))[0]
        assert alone == pytest.approx(expected.numpy(), abs=1e-5)


def test_a_memory_of_states_changes_no_result(whole, task):
    for name in ("probe", "frozen", "finetune"):
        own = whole.with_model(whole.model)
        expected = TextClassifier(own, TRANSFERS[name]).fit(*task).predict_proba(task[0])
        texts = sorted(set(task[0]))
        with quick_reading():
            states = text_states(own, texts, max_tokens=512)
        rows = {text: row for row, text in enumerate(texts)}
        vars(own)["memory"] = StatesMemory(rows, states, 512)
        found = TextClassifier(own, TRANSFERS[name]).fit(*task).predict_proba(task[0])
        assert found == pytest.approx(expected, abs=5e-3)  # remembered in bfloat16
        vars(own)["memory"] = StatesMemory(rows, np.zeros_like(states), 512)
        if name != "finetune":  # it was really asked
            fooled = TextClassifier(own, TRANSFERS[name]).fit(*task).predict_proba(task[0])
            assert np.ptp(fooled[:, 0]) == pytest.approx(0.0, abs=1e-6)


# How a text is read


def test_gpt_reads_a_text_between_start_and_extract(whole_models, task):
    encoder = whole_models["gpt"]
    start = started(FineTune(pooling="last"), encoder, task)
    size = len(encoder.tokenizer.vocabulary)
    assert start.tokenizer.vocabulary[size:] == ["<start>", "<delimiter>", "<extract>"]
    bare = encoder.tokenizer.encode_batch(task[0])
    for row in range(20):
        assert start.encoded[row].tolist() == [size, *bare[row].tolist(), size + 2]
    model = WholeModel(start.model, 2, pooling=start.reading.pooling, dropout=0.0)
    packed = model.batch(start.encoded, np.arange(20))
    assert (packed.ids_BT.ravel()[packed.last_N] == size + 2).all()


def test_a_gpt_that_was_fine_tuned_is_fine_tuned_again_with_the_tokens_it_has(fitted, task):
    encoder = fitted("finetune", "gpt").model_.encoder
    again = TextClassifier(encoder, FineTune(training=BRIEF)).fit(*task)
    assert again.model_.encoder.tokenizer.vocabulary == encoder.tokenizer.vocabulary
    assert again.model_.reading.before == fitted("finetune", "gpt").model_.reading.before
    assert again.proof_.tensors_taken == again.proof_.tensors
    assert again.score(*task) > 0.9


def test_long_texts_are_cut_and_counted(whole, task):
    texts = [f"{text} {'plain1 ' * 40}" if row < 3 else text for row, text in enumerate(task[0])]
    for name in TRANSFERS:
        classifier = TextClassifier(whole, TRANSFERS[name]).fit(texts, task[1])
        assert classifier.fit_report_["truncated"] == 3
        short = TextClassifier(whole, TRANSFERS[name], max_tokens=5).fit(*task)
        assert short.fit_report_["truncated"] == 20
        assert np.isfinite(short.predict_proba([*texts, ""])).all()


# What is refused


@pytest.mark.parametrize("name", TRANSFERS)
def test_what_leaves_no_room_for_a_text_is_refused(name, whole, task):
    least = 1 if name in ("probe", "frozen") and not isinstance(whole.model, Bert) else 2
    with pytest.raises(SettingsError, match=f"max_tokens must be above {least}, got {least}"):
        TextClassifier(whole, TRANSFERS[name], max_tokens=least).fit(*task)


def test_gpts_first_token_cannot_stand_for_a_text(whole_models, task):
    with pytest.raises(SettingsError, match="first token of a decoder sees no other"):
        TextClassifier(whole_models["gpt"], FineTune(pooling="cls")).fit(*task)


def test_the_first_token_of_no_decoder_can_stand_for_a_text(whole_models, task):
    model = copy.deepcopy(whole_models["bert"].model)
    model.is_causal = True  # as one of transformers that has been tried
    with pytest.raises(SettingsError, match="first token of a decoder sees no other"):
        TextClassifier(whole_models["bert"].with_model(model), FineTune(pooling="cls")).fit(*task)


@pytest.mark.parametrize("name", TRANSFERS)
def test_texts_without_a_word_are_refused(name, whole):
    with pytest.raises(DataError, match="no text contains a word"):
        TextClassifier(whole, TRANSFERS[name]).fit(["", " "] * 5, ["a", "b"] * 5)


@pytest.mark.parametrize("name", PRETRAINED)
def test_an_encoder_that_knows_no_word_is_an_error(name, whole):
    texts = ["bonjour tout le monde", "au revoir"] * 5
    with pytest.raises(DataError, match="knows none of the"):
        TextClassifier(whole, TRANSFERS[name]).fit(texts, ["a", "b"] * 5)


@pytest.mark.parametrize("kind", [FineTune, Features, LowRank, Scratch])
def test_a_rate_that_explodes_is_told(kind, whole, task):
    with pytest.raises(NonFiniteError, match="try a lower learning rate"):
        TextClassifier(whole, kind(learning_rate=1e38, training=BRIEF)).fit(*task)
