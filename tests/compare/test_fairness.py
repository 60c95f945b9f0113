"""What is not equal, and what could mislead, is said before any score."""

from types import SimpleNamespace

import torch

from headstart.compare.contestants import parse_all
from headstart.compare.fairness import data_facts, differences, warnings
from headstart.compare.tasks import CLASSIFICATION
from headstart.data.contamination import find_seen
from headstart.data.corpora import read_corpus
from headstart.data.labelled import Dataset
from headstart.hub.language_models import PretrainedBert
from headstart.models.word_vectors import WordVectors
from headstart.transfer.methods import method_of, with_defaults


def encoder(width, **lineage):
    table = WordVectors.from_matrix(torch.zeros(3, width))
    return SimpleNamespace(model=table, lineage=lineage, tensors=dict)


def resolved(*texts, whole=()):
    return {
        one: with_defaults(method_of(one.transfer), whole_model=16 if one.base in whole else None)
        for one in parse_all(texts)
    }


def test_what_differs_is_said_in_sentences():
    found = differences(
        resolved(
            "tfidf", "scratch", "word2vec:frozen", "glove=a/g.txt:probe", "mine=runs/w:finetune"
        ),
        {
            "word2vec": encoder(100, corpus="news", words=622_412, seconds=11.2),
            "glove": encoder(50, source="g.txt"),
            "mine": encoder(100, corpus="letters", words=1_000, seconds=2.0),
        },
    )
    assert found[:4] == [
        "Widths differ (numbers per word): word2vec 100, glove 50, mine 100, scratch 100.",
        "word2vec was pretrained here, on news: 622,412 words, 11 s.",
        "glove was pretrained by others, on their own text and budget, and loaded from g.txt.",
        "mine was pretrained earlier and loaded from runs/w; it saw letters: 1,000 words, 2 s.",
    ]
    assert "regularization strengths for tfidf, glove:probe" in found[4]
    assert "training steps for scratch, word2vec:frozen, mine:finetune" in found[4]
    assert found[5] == (
        "Learning rates differ, each chosen for its transfer: scratch 0.002 (word vectors: 0.2), "
        "word2vec:frozen 0.02, mine:finetune 0.02 (encoder: 0.004)."
    )
    assert differences(resolved("tfidf"), {}) == []


def test_encoders_of_no_method_are_passed_over(bert):
    here = {"corpus": "news", "words": 9, "seconds": 1.0}
    encoders = {"word2vec": encoder(100, **here), "glove": encoder(50, **here), "bert": bert}
    ran = resolved("word2vec:probe")
    assert differences(ran, encoders) == differences(ran, {"word2vec": encoders["word2vec"]})


def test_rates_that_fall_with_many_labels_are_said():
    encoders = {"word2vec": encoder(100, corpus="news", words=9, seconds=1.0)}
    methods = resolved("word2vec:probe", "word2vec:frozen")
    few, many = (differences(methods, encoders, labels=labels) for labels in (500, 501))
    assert many[: len(few)] == few
    assert many[len(few) :] == [
        "With more than 500 labels, the shared pipeline's learning rates fall with the square root "
        "of the number of labels: that of the word vectors for scratch, that of the LSTM and the "
        "classifier for frozen and finetune."
    ]
    probed = resolved("word2vec:probe")
    assert differences(probed, encoders, labels=501) == differences(probed, encoders)


def test_whole_models_differ_in_size_and_in_what_they_saw(bert):
    here = {"corpus": "news", "words": 900_000, "seconds": 60.4}
    pretrained = PretrainedBert.of(bert.model, bert.tokenizer, lineage=here)
    adapted = PretrainedBert.of(bert.model, bert.tokenizer, lineage={**here, "seconds": 30.0})
    names = ("bert:finetune", "bert:scratch", "minilm=hub/m:lora", "minilm+adapt=hub/m:frozen")
    found = differences(
        resolved("scratch", *names, whole=("bert", "minilm")),
        {"bert": pretrained, "minilm": bert, "minilm+adapt": adapted},
    )
    size = f"{sum(tensor.numel() for tensor in bert.tensors().values()) / 1e6:.1f} million"
    assert found[0] == (
        f"bert, minilm and minilm+adapt replace the whole model (number of weights: bert {size}, "
        f"minilm {size}, minilm+adapt {size}); word vectors and scratch share one small pipeline."
    )
    assert found[1:4] == [
        "bert was pretrained here, on news: 900,000 words, 60 s.",
        "minilm was pretrained by others, on their own text and budget, and loaded from m.",
        "minilm+adapt is minilm pretrained further here, on news: 900,000 words, 30 s.",
    ]
    assert found[4] == (
        "Learning rates differ, each chosen for its transfer: scratch 0.002 (word vectors: 0.2), "
        "bert:finetune 0.0025 at the top layer, bert:scratch 0.00625, minilm:lora 0.001, "
        "minilm+adapt:frozen 0.002."
    )


def test_a_pipeline_is_spoken_of_where_something_takes_part_in_it(bert):
    encoders = {"bert": bert, "word2vec": encoder(100, corpus="news", words=9, seconds=1.0)}
    size = f"{sum(tensor.numel() for tensor in bert.tensors().values()) / 1e6:.1f} million"
    alone = f"bert replaces the whole model (number of weights: {size})"
    for others in (["scratch"], ["word2vec:frozen"]):
        methods = resolved(*others, "bert:finetune", whole=("bert",))
        shared = f"{alone}; word vectors and scratch share one small pipeline."
        assert shared in differences(methods, encoders)
    methods = resolved("tfidf", "bert:finetune", whole=("bert",))
    assert f"{alone}." in differences(methods, encoders)


def test_rows_that_mislead_are_counted():
    long = "one two three four five six seven eight nine ten eleven twelve thirteen"
    texts = ["a b", "a b", "c d", "c d", "e f", "a long row of a kind"]
    train = Dataset(texts, ["x", "x", "x", "y", "y", "y"])
    test = Dataset(["e f", "g h", "A LONG row of a kind", long], ["y", "x", "y", "x"])
    corpus = read_corpus(texts=[f"{long} fourteen fifteen"])
    duplicates, conflicts, leaks, near, overlap = warnings(train, find_seen(train, test, corpus))
    assert "rows that repeat an earlier text" in duplicates
    assert "label" in conflicts
    assert "test rows that are also training rows: 1, 25.0%" in leaks
    assert "nearly a training row: 1, 25.0%" in near
    assert "overlap with the corpus 1 texts in memory: 1, 25.0%" in overlap
    clean = Dataset(["a", "b"], ["x", "y"])
    assert warnings(clean, find_seen(clean, Dataset(["c"], ["x"]))) == []
    (short,) = warnings(clean, find_seen(clean, Dataset(["c"], ["x"]), corpus))
    assert short.endswith(": 0; 1 has too few words to be searched for inside longer texts")
    chinese = Dataset(["今天的足球比赛非常精彩,球队在决赛中获得冠军。"], ["x"])
    (unspaced,) = warnings(chinese, find_seen(chinese, Dataset(["c"], ["x"])))
    assert unspaced.startswith("The texts have no spaces between words: word-level methods")
    none = warnings(clean, find_seen(clean, Dataset(["a"], ["x"])))
    assert none[-1].startswith("No test row is clean: all scores are on rows that were seen")


def test_the_facts_of_the_data():
    facts = data_facts(
        CLASSIFICATION, Dataset(["a", "b", "c"], ["y", "x", "y"], "t.csv"), Dataset(["d"], ["x"])
    )
    assert facts == {
        "source": "t.csv",
        "train_rows": 3,
        "test_rows": 1,
        "classes": [{"label": "x", "count": 1}, {"label": "y", "count": 2}],
    }
