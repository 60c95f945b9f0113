"""What vectors know: telling words, their neighbors side by side, and the words that moved."""

import json

import numpy as np
import pytest

from headstart.inspect.neighbors import inspect_words, moved_words, telling_words
from headstart.models.word_vectors import WordSpace
from headstart.tokenize.words import WordTokenizer

TEXTS = [
    "The match ended with a late goal 3 1",
    "A goal decided the match",
    "The coach praised the goal",
    "The bank raised its rates",
    "A bank and its shares",
    "Rates rose as the bank said",
]
LABELS = ["sport"] * 3 + ["business"] * 3
VOCABULARY = sorted({word for text in TEXTS for word in text.lower().split()})


@pytest.fixture
def tokenizer():
    return WordTokenizer.from_vocabulary(VOCABULARY, lowercase=True)


def space(seed, words=VOCABULARY):
    matrix = np.random.default_rng(seed).normal(size=(len(words), 8)).astype(np.float32)
    return WordSpace(list(words), matrix)


def test_telling_words_speak_for_their_class(tokenizer):
    found = telling_words(TEXTS, LABELS, tokenizer, per_class=2)
    assert [(word.word, word.label, word.count) for word in found] == [
        ("bank", "business", 3),
        ("its", "business", 2),
        ("goal", "sport", 3),
        ("match", "sport", 2),
    ]


def test_a_word_counts_once_a_text_and_rare_or_odd_words_never(tokenizer):
    texts = [*TEXTS, "coach " * 50]
    found = telling_words(texts, [*LABELS, "sport"], tokenizer, per_class=99)
    counts = {word.word: word.count for word in found}
    assert counts["coach"] == 2
    assert "late" not in counts  # in one text only
    assert not {"3", "1", "a", "[UNK]"} & set(counts)


@pytest.mark.parametrize(
    ("texts", "labels"),
    [(["", ""], ["a", "b"]), (["goal goal"], ["a"]), (["goal", "goal"], ["a", "b"])],
)
def test_texts_with_nothing_to_tell_give_no_words(texts, labels, tokenizer):
    assert telling_words(texts, labels, tokenizer) == []


def test_the_words_that_turned_most_come_first_with_both_neighborhoods():
    before = space(0)
    matrix = before.unit_VD.numpy().copy()
    matrix[VOCABULARY.index("goal")] = matrix[VOCABULARY.index("bank")] + 0.01
    matrix[VOCABULARY.index("match")] += 0.2 * matrix[VOCABULARY.index("rates")]
    matrix *= 3.0  # length is not meaning
    after = WordSpace([*VOCABULARY, "new"], np.vstack([matrix, np.ones((1, 8), np.float32)]))
    moved = moved_words(before, after, [*VOCABULARY, "absent", "new"], top=3)
    assert [row["word"] for row in moved] == ["goal", "match"]
    a, b = before.unit_VD[before.ids["goal"]], after.unit_VD[after.ids["goal"]]
    assert moved[0]["distance"] == pytest.approx(1.0 - float(a @ b), abs=1e-4)
    assert moved[0]["after"][0]["word"] == "bank"
    assert moved[0]["before"] == [
        {"word": word, "similarity": round(similarity, 4)}
        for word, similarity in before.most_similar("goal", top=3)
    ]
    assert moved_words(before, before, VOCABULARY) == []


def test_the_picture_is_plain_json_with_a_column_for_every_space(tokenizer):
    spaces = {
        "scratch": space(1, ["goal", "bank", "match"]),
        "pretrained": space(2),
        "finetuned": space(3),
    }
    picture = inspect_words(TEXTS, LABELS, tokenizer, spaces, per_class=2, top=4)
    assert json.loads(json.dumps(picture, allow_nan=False)) == picture
    first = picture["words"][0]
    assert (first["word"], first["label"], first["count"]) == ("bank", "business", 3)
    assert {name: len(column) for name, column in first["columns"].items()} == {
        "scratch": 2,
        "pretrained": 4,
        "finetuned": 4,
    }
    assert picture["words"][1]["columns"]["scratch"] == []  # "its" has no vector there
    assert len(picture["moved"]) == 4
    assert {row["word"] for row in picture["moved"]} <= {
        "goal",
        "match",
        "bank",
        "the",
        "its",
        "rates",
    }
    shown = {each["word"] for word in picture["words"] for each in word["columns"]["pretrained"]}
    assert shown <= {"goal", "match", "bank", "the", "its", "rates"}  # in two texts or more
    del spaces["finetuned"]
    assert inspect_words(TEXTS, LABELS, tokenizer, spaces)["moved"] == []
