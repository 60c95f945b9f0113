"""What is said of a dataset before anything is trained."""

import pytest

from headstart.data.checks import check_data, class_balance, text_lengths
from headstart.data.corpora import read_corpus
from headstart.data.labelled import Dataset
from headstart.data.pairs import PairDataset
from headstart.errors import DataError

DATA = Dataset(["a b c", "d", "", "e f", "g h i j", "k l"], ["x", "y", "x", "z", "x", "y"], "t.csv")


def test_balance():
    found = class_balance(DATA.labels)
    assert (found.num_classes, found.most_frequent, found.most_share) == (3, "x", 0.5)
    assert str(found) == (
        "3 classes: 'x' is the most frequent with 50.0% of the rows, 'z' the rarest with 1 row"
    )
    even = class_balance(["q", "p", "q", "p"])
    assert (even.most_frequent, even.rarest, even.rarest_rows) == ("p", "p", 2)


def test_lengths():
    assert str(text_lengths(DATA.texts)) == "texts have 0 to 4 words, the median is 2; empty: 1"


def test_what_is_checked_depends_on_what_is_given():
    data = DATA.select([0, 1, 2, 4, 5])
    corpus = read_corpus(texts=["some text"])
    alone = ["balance", "lengths", "duplicates", "conflicts"]
    assert list(check_data(data)) == alone
    assert list(check_data(data, corpus=corpus)) == [*alone, "corpus_overlap"]
    assert list(check_data(data, data)) == [*alone, "leaks", "near_leaks", "clean"]
    everything = check_data(data, data, corpus)
    assert list(everything) == [*alone, "leaks", "near_leaks", "corpus_overlap", "clean"]
    assert str(everything["clean"]) == "clean test rows, none of these: 0 of 5"


def test_pairs_are_checked_as_texts_are():
    pairs = [("a dog", "an animal"), ("an animal", "a dog"), ("a  dog", "an animal"), ("", "a")]
    data = PairDataset(pairs, ["x", "x", "y", "y"], "pairs.csv", [2, 3, 4, 5])
    found = check_data(data, data.select([1, 3]))
    assert str(found["lengths"]) == "texts have 0 to 2 words, the median is 2; empty: 1"
    assert str(found["duplicates"]) == (
        "pairs.csv: rows that repeat an earlier text: 1 "
        "(for instance 'a dog | an animal' on lines 2, 4)"
    )
    assert found["conflicts"].num_rows == 2
    assert (found["leaks"].num_test_rows, found["clean"].num_rows) == (2, 0)
    alone = check_data(data, PairDataset([("a cat", "an animal")], ["x"]))
    assert alone["leaks"].num_test_rows == 0, "one of its texts is no pair"
    with pytest.raises(
        DataError, match=r"pairs\.csv line 3: label 'z' is not in the training data"
    ):
        check_data(data, PairDataset([("a", "b")], ["z"], "pairs.csv", [3]))


def test_what_cannot_be_trained_on_is_refused():
    with pytest.raises(DataError, match="only example of class 'z'"):
        check_data(DATA)
    with pytest.raises(DataError, match="label 'z' is not in the training data"):
        check_data(DATA.select([0, 1, 2, 4, 5]), DATA)
