"""Encoders ranked before anything is trained: what tells more comes first; errors name names."""

import numpy as np
import pytest

from headstart.compare import ranking
from headstart.compare.ranking import rank, rank_encoders
from headstart.data.labelled import Dataset
from headstart.data.pairs import PairDataset
from headstart.errors import DataError, FormatError, NonFiniteError, SettingsError
from headstart.hub.bundle import PretrainedWordVectors
from headstart.progress import SILENT
from headstart.transfer.transferability import Estimate


def worse(vectors, noise):
    """Return the vectors with others mixed in, so that they tell less."""
    matrix = vectors.matrix.numpy()
    random = np.random.default_rng(0).normal(size=matrix.shape).astype(np.float32)
    mixed = (1 - noise) * matrix + noise * random
    return PretrainedWordVectors.from_words("glove", vectors.words, mixed, config={}, lineage={})


def blind(vectors):
    """Return vectors of the same words that are all alike."""
    matrix = np.ones_like(vectors.matrix.numpy())
    return PretrainedWordVectors.from_words("glove", vectors.words, matrix, config={}, lineage={})


def test_what_tells_more_comes_first(vectors, rows):
    found = rank(rows(90), encoders={"blind": blind(vectors), "seeing": vectors})
    assert found.order == ["seeing", "blind"]
    assert [row["encoder"] for row in found.table] == ["seeing", "blind"]
    for name in ("logme", "h_score", "probe"):
        first, last = (row[name] for row in found.table)
        assert first > last, name
        for row in found.table:
            assert row[f"{name}_low"] <= row[name] + 1e-9, name
            assert row[f"{name}_high"] >= row[name] - 1e-9, name
        assert found.results["first"][name] == {
            "encoder": "seeing", "second": "blind", "probability": 1.0
        }  # fmt: skip
    assert found.sentence.startswith("Try seeing first, as seeing:probe: its LogME is highest, -0.")
    assert found.sentence.endswith("and exceeds that of blind with probability 1.00.")
    assert repr(found) == f"Ranking(order={found.order!r}, sentence={found.sentence!r})"


def test_what_tells_more_of_words_comes_first(vectors, bert, make_sentences, monkeypatch):
    monkeypatch.setattr(ranking, "_MOST_WORDS", 150)
    given = make_sentences(60)
    encoders = {"blind": blind(vectors), "seeing": vectors, "bert": bert}
    found = rank(given, task="tagging", labels=40, encoders=encoders)
    assert (found.results["labels"], found.results["task"]) == (40, "tagging")
    assert len(found.table) == 1 + 1 + 3
    for row in found.table:
        for name in ("logme", "h_score", "probe"):
            assert row[f"{name}_low"] <= row[name] + 1e-9, name
            assert row[f"{name}_high"] >= row[name] - 1e-9, name
    seeing, unseeing = (
        next(row for row in found.table if row["encoder"] == name) for name in ("seeing", "blind")
    )
    for name in ("h_score", "probe"):
        assert seeing[name] > unseeing[name] + 0.2, name
    assert seeing["probe_low"] < seeing["probe_high"], "sentences are drawn"


def test_a_sentence_adds_what_its_words_add(make_sentences):
    given = make_sentences(9)
    words = ranking._some_words(given, 0)
    added = np.random.default_rng(0).normal(size=len(words.rows))
    (value, added_S) = words.by_sentence({"logme": Estimate(0.5, added)})["logme"]
    ends = np.cumsum(list(map(len, given.texts)))[:-1]
    expected = [part.sum() for part in np.split(added, ends)]
    assert (value, added_S.mean()) == (0.5, pytest.approx(added.mean()))
    assert added_S / 9 == pytest.approx(np.array(expected) / len(added))


def test_pairs_are_ranked_by_both_texts(vectors):
    words = ["wave", "tide", "hill", "tree"] * 10
    pairs = [(a, b) for a, b in zip(words, [*words[1:], "wave"], strict=True)]
    given = PairDataset(pairs, ["same" if at % 2 else "other" for at in range(40)])
    found = rank(given, task="pair", encoders={"blind": blind(vectors), "seeing": vectors})
    assert found.order[0] == "seeing"
    with pytest.raises(SettingsError, match=r"a PairDataset, but the task is 'classification'"):
        rank(given, encoders={"seeing": vectors})


def test_every_layer_has_a_row_by_falling_logme(vectors, bert, elmo, rows):
    found = rank(rows(60), encoders={"bert": bert, "elmo": elmo, "vectors": vectors})
    layers = {(row["encoder"], row["layer"], row["pooling"]) for row in found.table}
    assert len(layers) == len(found.table) == 3 + 3 + 1
    values = [row["logme"] for row in found.table]
    assert values == sorted(values, reverse=True)
    for row in found.results["encoders"]:
        own = [each for each in found.table if each["encoder"] == row["encoder"]]
        for name in ("logme", "h_score", "probe"):
            assert row[name]["value"] == max(each[name] for each in own)


def test_the_same_encoder_twice_is_a_toss_up(vectors, rows):
    found = rank(rows(60), encoders={"one": vectors, "other": vectors})
    assert {each["probability"] for each in found.results["first"].values()} == {0.5}
    one, other = found.table
    assert {**one, "encoder": "", "seconds": 0} == {**other, "encoder": "", "seconds": 0}


def test_the_probability_is_that_of_drawn_texts(vectors, rows):
    given = rows(60)
    encoders = {"one": vectors, "other": worse(vectors, 0.3)}
    found = rank(given, encoders=encoders).results["first"]["probe"]
    again = rank(given, encoders=dict(reversed(encoders.items()))).results["first"]["probe"]
    assert found == again
    assert 0.5 <= found["probability"] <= 1


def test_the_seed_decides_everything(vectors, rows):
    given = rows(90)

    def table(**options):
        found = rank(given, encoders={"one": vectors}, **options)
        return [{**row, "seconds": 0} for row in found.table]

    assert table(labels=30) == table(labels=30)
    assert table(labels=30) != table(labels=30, seed=1)
    assert table(labels=90) == table(labels=900)


def test_as_many_texts_as_asked_for_are_read(vectors, rows, monkeypatch):
    given = []

    def spy(encoder, texts, **options):
        given.append(list(texts))
        return layer_features(encoder, texts, **options)

    layer_features = ranking.layer_features
    monkeypatch.setattr(ranking, "layer_features", spy)
    found = rank(rows(90), encoders={"one": vectors, "other": vectors}, labels=12)
    assert found.results["labels"] == len(given[0]) == 12
    assert given[0] == given[1]


def test_encoders_are_files_with_or_without_a_name(files):
    vectors = files / "vectors.txt"
    found = rank(files / "train.csv", encoders=[vectors, f"again={vectors}"])
    assert set(found.order) == {"vectors.txt", "again"}
    assert found.results["sources"] == {"vectors.txt": str(vectors), "again": str(vectors)}
    assert rank(files / "train.csv", encoders=[str(vectors)]).sentence.startswith(
        "vectors.txt: LogME is highest"
    )


@pytest.mark.parametrize(
    ("encoders", "error", "message"),
    [
        (["none.txt"], FormatError, r"^encoder 'none\.txt': none\.txt: no such file or folder"),
        (["mine=none.txt"], FormatError, r"^encoder 'mine': none\.txt: no such file or folder"),
        (["=none.txt"], SettingsError, "'=none.txt': write a name before '=' and a source after"),
        ([], SettingsError, "no encoder to rank"),
        (None, SettingsError, "expected the path or Hub id of a model, got None"),
        ([3], SettingsError, "expected the path or Hub id of a model, got 3"),
        (["a/x.txt", "b/x.txt"], SettingsError, "two encoders are called 'x.txt'"),
    ],
)
def test_an_encoder_that_cannot_be_read_is_named(rows, encoders, error, message):
    with pytest.raises(error, match=message) as caught:
        rank(rows(30), encoders=encoders)
    assert "\n" not in str(caught.value)


def test_damaged_weights_are_named(vectors, rows):
    matrix = vectors.matrix.numpy().copy()
    matrix[0] = np.nan
    broken = PretrainedWordVectors.from_words("glove", vectors.words, matrix, config={}, lineage={})
    with pytest.raises(
        NonFiniteError, match="encoder 'broken': layer 0 outputs infinite values or NaN"
    ):
        rank(rows(60), encoders={"broken": broken})


@pytest.mark.parametrize(
    ("labels", "message"),
    [(["a"] * 6, "has one class, 'a'"), (["a"] * 5 + ["b"], "line 6: the only example of class")],
)
def test_labels_that_tell_nothing_are_refused(vectors, labels, message):
    data = Dataset([f"wave {n}" for n in range(6)], labels, "mine.csv")
    with pytest.raises(DataError, match=f"^mine.csv.*{message}"):
        rank(data, encoders={"one": vectors})


@pytest.mark.parametrize("labels", [50.0, "50"])
def test_labels_are_a_whole_number(vectors, rows, labels):
    with pytest.raises(SettingsError, match="labels must be a whole number, got "):
        rank(rows(30), encoders=vectors, labels=labels)


def test_one_encoder_needs_no_list(files, vectors, rows):
    path = files / "vectors.txt"
    orders = [rank(rows(30), encoders=one, labels=np.int64(20)).order for one in (path, vectors)]
    assert orders == [["vectors.txt"], [vectors.name]]


def test_too_few_labels_are_refused(vectors, rows):
    with pytest.raises(
        SettingsError, match=r"^5 is too few labels to tell 3 classes apart; .* 6 in all"
    ):
        rank(rows(30), encoders={"one": vectors}, labels=5)


def test_a_class_of_one_text_is_possible_among_a_few_labels(vectors):
    texts = ["wave tide", "cloud wing", "wave sail", "cloud star", "hill"]
    found = rank_encoders(
        [("one", vectors)], Dataset(texts, ["sea", "sky", "sea", "sky", "land"]),
        total=1, seed=0, progress=SILENT,
    )  # fmt: skip
    assert all(np.isfinite(found["rows"][0][name]) for name in ("logme", "h_score", "probe"))


@pytest.mark.parametrize("task", ["classification", "pair"])
def test_copies_tell_nothing_more(vectors, rows, task):
    given = rows(30)
    if task == "pair":
        given = PairDataset([(text, text) for text in given.texts], given.labels)
    once, thrice = (
        rank(given.select([*range(30)] * times), task=task, encoders={"one": vectors}).results
        for times in (1, 3)
    )
    for found in (once, thrice):
        assert found["labels"] == 30
        del found["rows"][0]["seconds"]
    assert once["rows"] == thrice["rows"]


def test_a_text_with_two_labels_is_read_with_both(vectors, rows):
    given = rows(30)
    odd = Dataset([*given.texts, *given.texts[:2]], [*given.labels, "odd", "odd"])
    assert rank(odd, encoders={"one": vectors}).results["classes"] == 4
