"""A made-up comparison with the shape of a real one: 9 methods, 6 label budgets, 5 seeds.

And the same comparison under attack, with a payload in every text a user could have chosen. And a
made-up task of three topics, with encoders that have random weights.
"""

import copy

import numpy as np
import pytest
import torch

from headstart.compare.cells import Terms
from headstart.compare.contestants import parse_all
from headstart.compare.forecast import hold_against
from headstart.compare.head_start import headline
from headstart.compare.ranking import ESTIMATES
from headstart.compare.recommendation import recommend
from headstart.compare.summary import gains, summarize
from headstart.data.labelled import Dataset
from headstart.data.tagged import TaggedSentences
from headstart.hub.bundle import PretrainedWordVectors
from headstart.hub.cove import PretrainedCove
from headstart.hub.elmo import PretrainedElmo
from headstart.hub.language_models import PretrainedBert, PretrainedGpt
from headstart.models.bert import Bert, BertConfig
from headstart.models.cove import Cove, CoveConfig
from headstart.models.elmo import Elmo, ElmoConfig
from headstart.models.gpt import Gpt, GptConfig
from headstart.tokenize.subwords import SubwordTokenizer
from headstart.tokenize.words import WordTokenizer
from headstart.transfer.methods import Training

BUDGETS = (10, 25, 50, 100, 250, 1000)
CURVES = {  # head start, ceiling, seconds, megabytes, predictions per second
    "majority": (None, 0.23, 0.01, 0.1, 900_000),
    "tfidf": (2.6, 0.955, 0.3, 2.1, 61_000),
    "scratch": (1.0, 0.93, 3.1, 4.4, 5_200),
    "word2vec:probe": (3.2, 0.93, 0.4, 7.9, 48_000),
    "word2vec:frozen": (4.1, 0.945, 2.2, 8.4, 5_300),
    "word2vec:finetune": (4.4, 0.95, 3.4, 8.4, 5_200),
    "glove:probe": (6.5, 0.945, 0.4, 9.1, 47_000),
    "glove:frozen": (8.0, 0.955, 2.4, 9.6, 5_100),
    "glove:finetune": (9.0, 0.96, 3.6, 9.6, 5_100),
}
LARGE = {
    "bert:finetune": (2.0, 0.95, 21.0, 6.2, 900),
    "bert:scratch": (0.8, 0.93, 19.0, 6.2, 900),
    "bert+adapt:finetune": (3.0, 0.95, 22.0, 6.2, 900),
}
TOPICS = {
    "sea": ["wave", "tide", "ship", "sail", "harbor", "storm", "gull", "coast"],
    "sky": ["cloud", "wing", "bird", "star", "moon", "wind", "plane", "dawn"],
    "land": ["hill", "tree", "stone", "field", "path", "river", "farm", "horse"],
}
SIZES = {"width": 16, "layers": 2, "heads": 2, "feed_forward": 32, "positions": 32}


def make_cells(methods=tuple(CURVES), budgets=BUDGETS, num_seeds=5, num_rows=448, seed=0):
    random = np.random.default_rng(seed)
    hardness = random.normal(size=num_rows)
    luck = random.normal(size=num_seeds)
    cells = []
    for method in methods:
        start, ceiling, seconds, megabytes, speed = {**CURVES, **LARGE}[method]
        own = random.normal(size=num_rows)
        for labels in budgets:
            for number in range(num_seeds):
                if start is None:
                    correct = np.arange(num_rows) < ceiling * num_rows
                else:
                    score = 0.21 + (ceiling - 0.21) / (1 + (80 / (labels * start)) ** 0.9)
                    logit = np.log(score / (1 - score)) + 0.25 * luck[number]
                    noise = 0.15 * random.normal() + 1.2 * hardness + 0.6 * own
                    noise = noise + 0.5 * random.logistic(size=num_rows)
                    correct = 1.05 * logit + noise > 0
                value = float(correct.mean())
                cells.append({
                    "method": method,
                    "labels": labels,
                    "seed": number,
                    "metric": "accuracy",
                    "value": value,
                    "macro_f1": value - 0.008,
                    "validation": float(np.clip(value + random.normal(0, 0.02), 0, 1)),
                    "validation_loss": 1.0 - value,
                    "calibration_error": (1.0 - value) / 4,
                    "seconds": seconds * (1 + labels / 400) * float(random.uniform(0.9, 1.1)),
                    "predictions_per_second": speed * float(random.uniform(0.9, 1.1)),
                    "megabytes": megabytes,
                    "correct": correct.astype(int).tolist(),
                    "degenerate": "answers 'sport' for every row" if start is None else None,
                })  # fmt: skip
    return cells


def neighbors(*words):
    return [{"word": word, "similarity": 0.86 - 0.05 * i} for i, word in enumerate(words)]


def make_knowledge():
    columns = {
        "scratch": neighbors("urban", "keynote", "sixth", "holly", "drought"),
        "pretrained": neighbors("government", "election", "blair", "labour", "cabinet"),
        "finetuned": neighbors("labour", "blair", "tory", "election", "howard"),
    }
    words = ("minister", "striker", "shares", "broadband", "oscar", "inflation")
    return {
        "encoder": "glove:finetune",
        "words": [
            {"word": word, "label": label, "count": 61 - 7 * i, "columns": columns}
            for i, (word, label) in enumerate(
                zip(words, ("politics", "sport", "business", "tech", "entertainment", "business"),
                    strict=True)
            )
        ],
        "moved": [
            {
                "word": word,
                "distance": 0.71 - 0.06 * i,
                "before": neighbors(*before),
                "after": neighbors(*after),
            }
            for i, (word, before, after) in enumerate([
                ("open", ["close", "opened", "doors"], ["wimbledon", "masters", "seed"]),
                ("apple", ["fruit", "cherry", "juice"], ["ipod", "itunes", "microsoft"]),
                ("yukos", ["rosneft", "gazprom", "oil"], ["bankruptcy", "auction", "tax"]),
                ("spam", ["e-mail", "messages", "junk"], ["virus", "phishing", "windows"]),
            ])
        ],
    }  # fmt: skip


def make_forecast(methods, summary):
    """Foretell the encoders of some methods, in the order of their names."""
    contestants = parse_all(
        [method.replace(":", "=FILE:", 1) if ":" in method else method for method in methods]
    )
    names = list(dict.fromkeys(one.encoder for one in contestants if one.encoder))
    told = [
        {"value": -0.2 - at / 10, "low": -0.3 - at / 10, "high": -0.1 - at / 10}
        for at in range(len(names))
    ]
    found = {
        "labels": 100,
        "seconds": 1.9,
        "encoders": [
            {
                "encoder": name,
                **{key: {**told[at], "layer": at, "of": at} for key in ESTIMATES},
            }
            for at, name in enumerate(names)
        ],
    }
    return hold_against(found, contestants, summary)


def make_result(*, left_out=(), **shape):
    absent = {(row["method"], row["labels"]) for row in left_out}
    cells = [cell for cell in make_cells(**shape) if (cell["method"], cell["labels"]) not in absent]
    summary = summarize(cells, resamples=1000)
    methods = list(dict.fromkeys(cell["method"] for cell in cells))
    choice = recommend(summary, labels=1777, left_out=left_out)
    proof = {
        "encoder": "word vectors 3f2a9c11d0e4",
        "tensors_taken": 1,
        "tensors": 1,
        "words_covered": 8412,
        "words": 8677,
        "tokens_covered": 0.9893,
        "unknown": ["ukip", "blog", "ipod", "mytravel"],
        "distance": 0.412,
        "frozen_before": "9f2c1e7ab0d44c6c8d1f0a2b3c4d5e6f",
        "frozen_after": "9f2c1e7ab0d44c6c8d1f0a2b3c4d5e6f",
    }
    return {
        "title": "BBC News",
        "task": "classification",
        "metric": "accuracy",
        "data": {
            "source": "BBC News (headline and lead)",
            "train_rows": 1777,
            "test_rows": len(cells[0]["correct"]),
            "classes": [
                {"label": label, "count": count}
                for label, count in zip(
                    ("sport", "business", "politics", "tech", "entertainment"),
                    (409, 408, 333, 320, 307),
                    strict=True,
                )
            ],
            "corpus": {"source": "BBC News, full text", "documents": 1777, "words": 683_412},
            "notes": ["text column 'text' and label column 'label' were guessed from the header"],
        },
        "cells": cells,
        "summary": summary,
        "headline": headline(summary),
        "best": {
            "method": choice["method"],
            "labels": choice["labels"],
            "why": choice["why"],
            "folder": "runs/compare/best",
        },
        "recommendation": choice,
        "left_out": list(left_out),
        "gains": gains(cells, resamples=1000),
        "differences": [
            "glove was pretrained on 6 billion words, word2vec on 0.7 million",
            "tfidf has no word order; the BiLSTM has",
        ],
        "warnings": ["11 test rows also occur in the corpus word for word (0.4 %)"],
        "proofs": {method: dict(proof) for method in methods if ":" in method},
        "forecast": make_forecast(methods, summary),
        "knowledge": make_knowledge(),
        "settings": {
            "methods": methods,
            "label_budgets": sorted({cell["labels"] for cell in cells}),
            "seeds": len({cell["seed"] for cell in cells}),
            "pretrain": {"dim": 50, "epochs": 5, "window": 5, "negatives": 5},
            "quick": False,
        },
        "command": "headstart compare --labels 10,25,50,100,250,1000 --seeds 5 --out runs/compare",
        "versions": {"headstart": "0.1.0", "python": "3.11.7", "torch": "2.13.0", "numpy": "2.4.6"},
        "seconds": 431.2,
        "cores_used": 1.74,
    }


PAYLOADS = (
    "<script>canary()</script>",
    "</script><script>canary()</script>",
    "</style><img src=x onerror=canary()>",
    "\"'><svg onload=canary()>",
    "javascript:canary()",
    "<!--<script>",
    "]]>{{ 7 * 7 }}{% raw %}",
    "\u2028\u2029\u202e\x1b[31m\x00\ud800",
    "<a href='javascript:canary()'>a</a>",
    "${canary()}%{y}",
    "w" * 300,
)


def hostile(value, salt=""):
    """Return the value with a payload put into each text and each key that is the user's."""
    if isinstance(value, str):
        return f"{value}{salt}"
    if isinstance(value, list):
        return [hostile(each, salt) for each in value]
    if isinstance(value, dict):
        return {name: hostile(each, salt) for name, each in value.items()}
    return value


def attacked(result, payload):
    """Return the result with the payload in every text a user could have chosen."""

    def renamed(method):
        encoder, colon, transfer = method.partition(":")
        return f"{encoder}={payload}{colon}{transfer}" if colon else method

    attacked = copy.deepcopy(result)
    for row in attacked["left_out"]:
        row["why"] += payload
    for row in attacked["gains"]:
        row["without"] = renamed(row["without"])
    for row in (*attacked["forecast"]["encoders"], *attacked["forecast"]["reached"]):
        row["encoder"] += payload
    for row in attacked["forecast"]["reached"]:
        row["method"] = renamed(row["method"])
    for row in attacked["forecast"]["judged"]:
        row["foretold"], row["found"] = (
            hostile(row[name], payload) for name in ("foretold", "found")
        )
    for name in (
        "title", "metric", "differences", "warnings", "knowledge", "settings", "command", "versions"
    ):  # fmt: skip
        attacked[name] = hostile(attacked[name], payload)
    for name in ("settings", "versions"):
        attacked[name] = {f"{key}{payload}": each for key, each in attacked[name].items()}
    for name in ("source", "notes", "corpus", "classes"):
        attacked["data"][name] = hostile(attacked["data"][name], payload)
    attacked["headline"]["sentence"] += payload
    for pick in (attacked["best"], attacked["recommendation"]):
        pick.update({key: hostile(pick[key], payload) for key in ("why", "folder") if key in pick})
    for each in (*attacked["summary"], *attacked["cells"], attacked["best"], attacked["headline"],
                 attacked["recommendation"], *attacked["left_out"],
                 *attacked["gains"]):  # fmt: skip
        each["method"] = renamed(each["method"])
    attacked["proofs"] = {
        renamed(method): {f"{key}{payload}": hostile(each, payload) for key, each in proof.items()}
        for method, proof in attacked["proofs"].items()
    }
    return attacked


@pytest.fixture(scope="session")
def made_up():
    """The maker of results dictionaries: `made_up(methods=.., budgets=.., num_seeds=..)`."""
    return make_result


@pytest.fixture(scope="session")
def made_up_cells():
    return make_cells


@pytest.fixture(scope="session")
def attack():
    """The maker of hostile results: `attack(result, payload)`."""
    return attacked


@pytest.fixture(scope="session")
def payloads():
    return PAYLOADS


def make_rows(count, seed=0):
    random = np.random.default_rng(seed)
    labels = [list(TOPICS)[row % 3] for row in range(count)]
    everywhere = ["the", "a", "of", "on", "and", "one"]
    texts = [
        " ".join([*random.choice(TOPICS[label], 3), *random.choice(everywhere, 4)])
        for label in labels
    ]
    return Dataset(texts, labels)


@pytest.fixture(scope="session")
def rows():
    """The maker of labeled rows: `rows(60, seed=1)`."""
    return make_rows


@pytest.fixture
def files(tmp_path):
    """A folder with `train.csv`, `test.csv`, and `vectors.txt`, which knows the topics."""
    for name, part in (("train", make_rows(60)), ("test", make_rows(45, seed=1))):
        lines = [f"{text},{label}" for text, label in zip(part.texts, part.labels, strict=True)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    random = np.random.default_rng(2)
    centers = random.normal(size=(3, 8))
    vectors = [
        f"{word} {' '.join(f'{number:.4f}' for number in center + random.normal(size=8) / 3)}"
        for center, words in zip(centers, TOPICS.values(), strict=True)
        for word in words
    ]
    (tmp_path / "vectors.txt").write_text("\n".join(vectors) + "\n")
    return tmp_path


@pytest.fixture
def brief(monkeypatch):
    """Let ten steps be enough for what is trained in this process."""
    steps = {"hidden": 8, "min_steps": 6, "max_steps": 10, "evaluate_every": 5}
    usual = Training.__init__.__kwdefaults__
    monkeypatch.setattr(Training.__init__, "__kwdefaults__", {**usual, **steps})


@pytest.fixture
def terms(tmp_path, rows):
    return Terms(
        train=rows(60),
        test=rows(30, seed=1),
        data_print="one",
        encoders={},
        prints={},
        folder=tmp_path,
    )


@pytest.fixture(scope="session")
def vectors():
    words = [word for topic in TOPICS.values() for word in topic]
    matrix = np.random.default_rng(2).normal(size=(len(words), 8)).astype(np.float32)
    return PretrainedWordVectors.from_words("vectors", words, matrix, config={}, lineage={})


@pytest.fixture(scope="session")
def bert():
    """A BERT of random weights that knows the words of the topics."""
    tokenizer = SubwordTokenizer.train(make_rows(60).texts, vocabulary_size=300, min_count=1)
    config = BertConfig(vocabulary_size=len(tokenizer.vocabulary), **SIZES)
    model = Bert(config, generator=torch.Generator().manual_seed(0))
    return PretrainedBert.of(model, tokenizer, lineage={"source": "made up"}, pooling="mean")


@pytest.fixture(scope="session")
def make_sentences(rows):
    """The maker of sentences whose topics' words are spans: `make_sentences(60, seed=1)`."""

    def make(count, seed=0):
        given = rows(count, seed=seed)
        sentences, tags = [], []
        for text, label in zip(given.texts, given.labels, strict=True):
            words = text.split()
            order = np.random.default_rng(len(sentences)).permutation(len(words))
            sentences.append([words[at] for at in order])
            tags.append(["O" if at >= 3 else f"B-{label}" for at in order])
        return TaggedSentences(sentences, tags)

    return make


@pytest.fixture(scope="session")
def gpt():
    """The like of it as a GPT."""
    tokenizer = SubwordTokenizer.train(
        make_rows(60).texts, kind="bpe", vocabulary_size=300, min_count=1
    )
    config = GptConfig(vocabulary_size=len(tokenizer.vocabulary), **SIZES)
    model = Gpt(config, generator=torch.Generator().manual_seed(0))
    return PretrainedGpt.of(model, tokenizer, lineage={"source": "made up"})


@pytest.fixture(scope="session")
def elmo():
    """An ELMo of random weights."""
    sizes = ElmoConfig(filters=((1, 4), (2, 8)), character_width=4, projection=4, cells=6)
    words = WordTokenizer.train(make_rows(60).texts, min_count=1)
    model = Elmo(sizes, generator=torch.Generator().manual_seed(0))
    return PretrainedElmo.of(model, words, lineage={"source": "made up"})


@pytest.fixture(scope="session")
def cove(vectors):
    """A CoVe of random weights that reads the word vectors."""
    sizes = CoveConfig(
        source_vocabulary=len(vectors.tokenizer.vocabulary), vector_width=8, hidden=4
    )
    model = Cove(sizes, generator=torch.Generator().manual_seed(0))
    model.embedding.load_state_dict(vectors.model.embedding.state_dict())
    return PretrainedCove.of(model, vectors.tokenizer, None, lineage={"source": "made up"})


@pytest.fixture(scope="session")
def pairs():
    """Sixty sentences of the topics and the like of translations: each word backwards."""
    return [(text, " ".join(word[::-1] for word in text.split())) for text in make_rows(60).texts]
