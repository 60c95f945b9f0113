"""How pairs reach every kind of model: side by side, or both texts read at once."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from headstart.hub.language_models import PretrainedBert
from headstart.hub.store import load_encoder
from headstart.models.bert import Bert
from headstart.models.gpt import Gpt
from headstart.tasks.classification import Classes
from headstart.tasks.heads import WholeModel
from headstart.tasks.pairs import combined
from headstart.tokenize.batches import pad
from headstart.training import precision
from headstart.transfer.features import (
    StatesMemory,
    frozen_states,
    pooled_features,
    text_states,
)
from headstart.transfer.loading import load
from headstart.transfer.methods import Features, FineTune, LowRank, Probe, Training, with_defaults
from headstart.transfer.pairs import PairClassifier
from headstart.transfer.task import Task
from headstart.transfer.token_states import TokenMemory, token_states
from headstart.transfer.whole_models import WholeStart

BRIEF = Training(
    hidden=8, dropout=0.0, batch_size=8, min_steps=6, max_steps=10, evaluate_every=5, patience=1
)
OWN = {"bert": "cls", "gpt": "last"}
PAIRS = [
    ("good1 plain2 bad3", "good7"),
    ("", "good1"),
    ("strange good25", ""),
    ("bad7 " * 30, "good3 " * 7),
    ("bad7 " * 3, "good3 " * 30),
]


@pytest.fixture(scope="module")
def pair_task(make_task):
    """Pairs whose label is what the second text is."""
    texts, labels = make_task(20, first=0, last=20)
    return [(first, second) for first, second in zip(texts[::-1], texts, strict=True)], labels


@pytest.fixture(scope="module")
def roberta(whole_models):
    """A tiny RoBERTa: one kind of segment, and two separators between the texts of a pair."""
    bert = whole_models["bert"]
    sizes = {**vars(bert.model.config), "segments": 1}
    model = Bert(type(bert.model.config)(**sizes), generator=torch.Generator().manual_seed(0))
    return PretrainedBert.of(model, bert.tokenizer, lineage={}, family="roberta")


def started(method, encoder, pair_task, **settings):
    pairs, labels = pair_task
    texts = [a for a, _ in pairs] + [b for _, b in pairs]
    codes = np.array([int(label == "good") for label in labels])
    target = Classes(codes, np.ones(2, np.float32))
    given = {"target": target, "seed": 0, "max_tokens": 512, **settings}
    method = with_defaults(method, whole_model=encoder.model.width)
    return WholeStart(method, encoder, Task(texts=texts, **given))


# What a whole model reads


def test_bert_reads_both_texts_between_its_own_tokens(whole_models, roberta):
    for encoder, separators in ((whole_models["bert"], 1), (roberta, 2)):
        cls, sep = encoder.tokenizer.specials.cls, encoder.tokenizer.specials.sep
        ids = encoder.tokenizer.encode_batch(["good1 bad2", "good3"])
        pairs, cut = encoder.pair_inputs(["good1 bad2", "good3"], 99, both_orders=False)
        between = [sep] * separators
        assert pairs[0].tolist() == [cls, *ids[0], *between, *ids[1], sep]
        assert cut == 0
        if separators == 1:
            assert pairs.seconds.tolist() == [4]
        else:
            assert pairs.seconds is None, "a RoBERTa has one kind of segment"


def test_gpt_reads_a_delimiter_between_them(whole_models, pair_task):
    encoder = whole_models["gpt"]
    start = started(FineTune(training=BRIEF), encoder, pair_task, pairs="ordered")
    size = len(encoder.tokenizer.vocabulary)
    ids = encoder.tokenizer.encode_batch(list(pair_task[0][3]))
    assert start.encoded[3].tolist() == [size, *ids[0], size + 1, *ids[1], size + 2]
    assert start.tokenizer.vocabulary[size:] == ["<start>", "<delimiter>", "<extract>"]
    end = encoder.tokenizer.specials.end
    pairs, _ = encoder.pair_inputs(list(pair_task[0][3]), 99, both_orders=False)
    assert pairs[0].tolist() == [end, *ids[0], end, *ids[1]]


def test_an_encoder_that_says_nothing_of_pairs_has_them_end_to_end(encoder):
    pairs, cut = encoder.pair_inputs(["good1", "bad1 bad2"], 2, both_orders=True)
    ids = encoder.tokenizer.encode_batch(["good1 bad1", "bad1 good1"])
    assert pairs.ids.tolist() == ids.ids.tolist()
    assert cut == 1


@pytest.mark.parametrize("kind", ["bert", "gpt"])
def test_the_longer_text_is_cut_and_counted(kind, whole_models, pair_task):
    pairs, labels = pair_task
    pairs = [("plain1 " * 30, "good1 bad1"), *pairs[1:]]
    for transfer in (FineTune(training=BRIEF), Features(training=BRIEF)):
        classifier = PairClassifier(whole_models[kind], transfer).fit(pairs, labels)
        assert classifier.fit_report_["truncated"] == 1
        found = classifier.predict_proba([("plain1 " * n, "good1 bad1") for n in (25, 30, 400)])
        assert np.ptp(found, 0) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("pairs", ["ordered", "symmetric"])
def test_a_frozen_sentence_encoder_reads_either_text_alone(pairs, whole_models, pair_task):
    bert = whole_models["bert"]
    encoder = PretrainedBert.of(bert.model, bert.tokenizer, lineage={}, pooling="mean")
    texts = [a for a, _ in pair_task[0]] + [b for _, b in pair_task[0]]
    alone = pooled_features(encoder, texts, pooling="mean", max_tokens=99)
    found = frozen_states(encoder, texts, max_tokens=99, pairs=pairs)
    assert np.array_equal(found, combined(alone, pairs))
    asked = [("good1 " * 30, "bad1 " * 30), *pair_task[0][1:]]
    classifier = PairClassifier(encoder, Features(training=BRIEF), symmetric=pairs == "symmetric")
    classifier.fit(asked, pair_task[1])
    assert classifier.fit_report_["truncated"] == 2, "each text is cut by itself"


# What the linear layer starts from


@pytest.mark.parametrize("pairs", ["ordered", "symmetric"])
@pytest.mark.parametrize("kind", ["bert", "gpt"])
@pytest.mark.parametrize("pooling", ["own", "mean"])
def test_the_probe_of_a_whole_model_reads_what_will_be_trained(
    pooling, kind, pairs, whole_models, pair_task
):
    encoder = whole_models[kind]
    method = FineTune(pooling=OWN[kind] if pooling == "own" else "mean", training=BRIEF)
    start = started(method, encoder, pair_task, pairs=pairs)
    orders = 2 if pairs == "symmetric" else 1
    model = WholeModel(start.model, 2, pooling=method.pooling, dropout=0.0, orders=orders).eval()
    with torch.no_grad():
        expected, _ = model.pool(model.batch(start.encoded, np.arange(20)))
    assert start._read([method.pooling])[method.pooling] == pytest.approx(
        expected.numpy(), abs=2e-2
    )


def test_both_orders_of_a_symmetric_pair_are_added(whole_models, pair_task):
    encoder = whole_models["bert"]
    texts = [a for a, _ in pair_task[0]] + [b for _, b in pair_task[0]]
    settings = {"max_tokens": 99}
    one, other = (
        frozen_states(encoder, each, pairs="ordered", **settings)
        for each in (texts, texts[20:] + texts[:20])
    )
    both = frozen_states(encoder, texts, pairs="symmetric", **settings)
    assert both == pytest.approx(one + other, abs=1e-5)
    assert text_states(encoder, texts, pairs="symmetric", **settings).shape == (40, 64)


def test_gpt_learns_its_language_in_both_orders(whole_models, pair_task, monkeypatch):
    monkeypatch.setattr(precision, "has_fast_bf16", lambda _: False)
    encoder = whole_models["gpt"]
    method = FineTune(lm_coef=1.0, task_coef=2.0, pooling="last", training=BRIEF)
    start = started(method, encoder, pair_task, pairs="symmetric")
    model = start.fresh(np.arange(20))
    total, count = start.loss(model.train(), np.array([3, 8]))
    gpt: Gpt = model.encoder
    language, tokens, task = 0.0, 0, 0.0
    for row in (3, 8):
        states = []
        for each in (row, row + 20):
            ids = torch.from_numpy(start.encoded[each]).long()[None]
            last = gpt.encode(ids, torch.ones_like(ids).bool())[-1][0]
            language += F.cross_entropy(gpt.token_scores(last[:-1]), ids[0, 1:], reduction="sum")
            tokens += ids.shape[1] - 1
            states.append(last[-1:])
        label = torch.tensor([start.task.target.labels[row]])
        task += F.cross_entropy(model.classify(sum(states)), label)
    expected = language / tokens + 2.0 * task / 2
    assert (total / count).item() == pytest.approx(expected.item(), abs=1e-5)


# What replaces the embedding layer


@pytest.mark.parametrize("kind", ["elmo", "cove"])
def test_what_was_read_before_is_looked_up(kind, readers, pair_task, monkeypatch):
    reader, transfer = readers[kind], Features(training=BRIEF)
    expected = PairClassifier(reader, transfer).fit(*pair_task).predict_proba(pair_task[0])
    texts = list(dict.fromkeys(text for pair in pair_task[0] for text in pair))
    own = reader.with_model(reader.model)
    rows = {text: row for row, text in enumerate(texts)}
    own.memory = TokenMemory(rows, token_states(reader, texts, max_tokens=512), 512)
    monkeypatch.setattr("headstart.transfer.token_states.task_layers", None)
    found = PairClassifier(own, transfer).fit(*pair_task).predict_proba(pair_task[0])
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_probe_looks_up_texts_that_a_whole_model_has_read(whole_models, pair_task, monkeypatch):
    encoder, transfer = whole_models["bert"], Probe()
    expected = PairClassifier(encoder, transfer).fit(*pair_task).predict_proba(pair_task[0])
    texts = list(dict.fromkeys(text for pair in pair_task[0] for text in pair))
    own = encoder.with_model(encoder.model)
    states = text_states(encoder, texts, max_tokens=512)
    own.memory = StatesMemory({text: row for row, text in enumerate(texts)}, states, 512)
    monkeypatch.setattr("headstart.transfer.features._summaries", None)
    found = PairClassifier(own, transfer).fit(*pair_task).predict_proba(pair_task[0])
    assert found == pytest.approx(expected, abs=1e-2), "fitted to what was read in bfloat16"


def test_what_both_texts_say_is_not_what_each_of_them_says(encoder, make_task):
    """The label is whether the texts are of one kind: neither says it by itself."""
    texts, kinds = make_task(160, first=0, last=40)
    rows = np.random.default_rng(0).permutation(160)
    pairs = [(texts[a], texts[b]) for a, b in enumerate(rows)]
    labels = ["same" if kinds[a] == kinds[b] else "other" for a, b in enumerate(rows)]
    longer = Training(hidden=16, max_steps=200, patience=6)
    for transfer in (Probe(), Features(training=longer), FineTune(training=longer)):
        for symmetric in (False, True):
            classifier = PairClassifier(encoder, transfer, symmetric=symmetric)
            classifier.fit(pairs[:120], labels[:120])
            assert classifier.score(pairs[120:], labels[120:]) > 0.9


# As folders and back


def check_with_transformers(classifier, folder):
    """Check that `transformers` gives the same probabilities, one by one and padded."""
    transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    expected = np.log(classifier.predict_proba(PAIRS))
    for pairs in [[pair] for pair in PAIRS] + [PAIRS]:
        firsts, seconds = map(list, zip(*pairs, strict=True))
        inputs = tokenizer(firsts, seconds, truncation=True, padding=True, return_tensors="pt")
        with torch.no_grad():
            logits = model(**inputs).logits
        rows = [PAIRS.index(pair) for pair in pairs]
        assert logits.log_softmax(-1).numpy() == pytest.approx(expected[rows], abs=1e-4)
    return inputs


@pytest.mark.parametrize("kind", ["bert", "gpt", "roberta"])
def test_transformers_gives_the_same_logits(kind, whole_models, roberta, pair_task, tmp_path):
    encoder = {**whole_models, "roberta": roberta}[kind]
    for name, transfer in (
        ("finetune", FineTune(pooling=OWN.get(kind, "cls"), training=BRIEF)),
        ("lora", LowRank(rank=2, training=BRIEF)),
    ):
        classifier = PairClassifier(encoder, transfer).fit(*pair_task)
        if not classifier.model_.is_portable:
            continue
        folder = classifier.save(tmp_path / name)
        inputs = check_with_transformers(classifier, folder)
        assert ("token_type_ids" in inputs) == (kind == "bert")
        assert load(folder).predict_proba(PAIRS) == pytest.approx(
            classifier.predict_proba(PAIRS), abs=1e-6
        )


def test_what_transformers_cannot_compute_holds_its_encoder(whole_models, pair_task, tmp_path):
    transfer = FineTune(pooling="cls", training=BRIEF)
    classifier = PairClassifier(whole_models["bert"], transfer, symmetric=True).fit(*pair_task)
    folder = classifier.save(tmp_path / "model")
    assert not classifier.model_.is_portable
    assert load_encoder(folder / "encoder").kind == "bert"
    assert load(folder).predict_proba(PAIRS) == pytest.approx(
        classifier.predict_proba(PAIRS), abs=1e-6
    )


def test_any_encoder_of_transformers_reads_pairs_as_its_tokenizer_says(whole_models, tmp_path):
    transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")
    bert = whole_models["bert"]
    bert.save(tmp_path / "bert")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "bert")
    sizes = {"vocab_size": len(tokenizer), "embedding_size": 8, "hidden_size": 16}
    config = transformers.ElectraConfig(
        **sizes, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    transformers.ElectraModel(config).save_pretrained(tmp_path / "electra")
    tokenizer.save_pretrained(tmp_path / "electra")
    encoder = load_encoder(tmp_path / "electra")
    texts = ["good1 bad2", "good3", "plain1", "bad1 good7"]
    pairs, _ = encoder.pair_inputs(texts, 99, both_orders=False)
    theirs = tokenizer(texts[:2], texts[2:])
    assert [pairs[row].tolist() for row in range(2)] == theirs["input_ids"]
    mine = [
        [int(at >= second) for at in range(n)]
        for second, n in zip(pairs.seconds, pairs.lengths, strict=True)
    ]
    assert mine == theirs["token_type_ids"]
    ids, mask = map(torch.from_numpy, pad(pairs, np.arange(2)))
    model = WholeModel(encoder.model, 2, pooling="mean", dropout=0.0).eval()
    with torch.no_grad():
        found, _ = model.pool(model.batch(pairs, np.arange(2)))
        segments = (torch.arange(ids.shape[1]) >= torch.from_numpy(pairs.seconds)[:, None]).long()
        outside = encoder.model.transformer(
            ids, attention_mask=mask.long(), token_type_ids=segments
        )
    expected = (outside.last_hidden_state * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


# How it is trained


def test_pairs_have_a_rate_of_their_own_in_the_pipeline():
    for method in (Features(), FineTune()):
        texts, pairs = (
            with_defaults(method, whole_model=None, pairs=pairs).learning_rate
            for pairs in (False, True)
        )
        assert (texts, pairs) == (2e-2, 8e-3)
        whole = [with_defaults(method, whole_model=16, pairs=pairs) for pairs in (False, True)]
        assert whole[0] == whole[1]


def test_many_pairs_are_looked_at_twice_a_pass(encoder, pair_task, monkeypatch):
    seen = []

    def search(*_, every, **__):
        seen.append(every)
        raise InterruptedError

    monkeypatch.setattr("headstart.transfer.neural.search_steps", search)
    pairs, labels = pair_task
    for number in (1, 100):
        with pytest.raises(InterruptedError):
            PairClassifier(encoder, "frozen").fit(pairs * number, labels * number)
    assert seen == [10, 1600 // 32 // 2]
