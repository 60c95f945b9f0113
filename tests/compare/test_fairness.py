"""What is not equal, and what could mislead, is said before any score."""

from types import SimpleNamespace

from headstart.compare.contestants import parse_all
from headstart.compare.fairness import data_facts, differences, warnings
from headstart.data.labelled import Dataset
from headstart.transfer.methods import Features, FineTune, Scratch


def encoder(width, **lineage):
    return SimpleNamespace(model=SimpleNamespace(width=width), lineage=lineage)


def test_what_differs_is_said_in_sentences():
    contestants = parse_all(
        ["tfidf", "scratch", "word2vec:frozen", "glove=a/g.txt:probe", "mine=runs/w:finetune"]
    )
    found = differences(
        contestants,
        {
            "word2vec": encoder(100, corpus="news", words=622_412, seconds=11.2),
            "glove": encoder(50, source="g.txt"),
            "mine": encoder(100, corpus="letters", words=1_000, seconds=2.0),
        },
    )
    assert found[:4] == [
        "Widths differ: word2vec 100, glove 50, mine 100, scratch 100 numbers a word.",
        "word2vec was pretrained here, on news: 622,412 words, 11 s.",
        "glove was pretrained by others, on text and with a budget of theirs; loaded from g.txt.",
        "mine was pretrained before, and loaded from runs/w; it saw letters: 1,000 words, 2 s.",
    ]
    assert "regularization strengths for tfidf, glove:probe" in found[4]
    assert "training steps for scratch, word2vec:frozen, mine:finetune" in found[4]
    scratch, frozen, finetune = Scratch(), Features(), FineTune()
    assert found[5] == (
        "Learning rates differ, each chosen for its transfer: "
        f"scratch {scratch.learning_rate} and {scratch.embedding_rate} for its vectors, "
        f"frozen {frozen.learning_rate}, "
        f"finetune {finetune.learning_rate} and {finetune.encoder_rate} for its vectors."
    )
    assert differences(parse_all(["tfidf"]), {}) == []


def test_rows_that_mislead_are_counted():
    train = Dataset(["a b", "a b", "c d", "c d", "e f"], ["x", "x", "x", "y", "y"])
    test = Dataset(["e f", "g h"], ["y", "x"])
    duplicates, conflicts, leaks = warnings(train, test)
    assert "duplicate" in duplicates.lower() or "repeat" in duplicates.lower()
    assert "label" in conflicts
    assert "test" in leaks
    assert warnings(Dataset(["a", "b"], ["x", "y"]), Dataset(["c"], ["x"])) == []


def test_the_facts_of_the_data():
    facts = data_facts(Dataset(["a", "b", "c"], ["y", "x", "y"], "t.csv"), Dataset(["d"], ["x"]))
    assert facts == {
        "source": "t.csv",
        "train_rows": 3,
        "test_rows": 1,
        "classes": [{"label": "x", "count": 1}, {"label": "y", "count": 2}],
    }
