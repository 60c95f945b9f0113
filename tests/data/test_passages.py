"""Two passages of one document, or of two, so that neither topic nor text tells which."""

from collections import Counter

from headstart.data.passages import pair_passages

TOPICS = ["sea", "sky"] * 12
DOCUMENTS = [" ".join(f"d{at}w{word}" for word in range(10 + at)) for at in range(24)]


def _document(passage):
    (only,) = {word.partition("w")[0] for word in passage.split()}
    return int(only.removeprefix("d"))


def test_half_of_the_pairs_are_of_two_documents_on_the_same_topic():
    found = pair_passages(DOCUMENTS, TOPICS, num_words=5, seed=0)
    assert Counter(found.labels) == {"same": 12, "other": 12}
    for (first, second), label in zip(found.texts, found.labels, strict=True):
        a, b = _document(first), _document(second)
        assert (a == b) == (label == "same")
        assert TOPICS[a] == TOPICS[b]
        assert (len(first.split()), len(second.split())) == (5, 5)
        assert not set(first.split()) & set(second.split())


def test_every_document_is_once_on_either_side():
    found = pair_passages(DOCUMENTS, TOPICS, num_words=5, seed=0)
    for side in zip(*found.texts, strict=True):
        assert sorted(map(_document, side)) == list(range(24))


def test_what_is_too_short_is_left_out_and_what_is_left_over_goes_with_itself():
    found = pair_passages(["a b", "c d e f", "g h i j", "k l m"], ["x"] * 4, num_words=2, seed=0)
    assert sorted(found.texts) == [("c d", "e f"), ("g h", "i j")]
    assert found.labels == ["same", "same"]


def test_the_seed_decides():
    pairs = [pair_passages(DOCUMENTS, TOPICS, num_words=5, seed=seed).texts for seed in (0, 0, 1)]
    assert pairs[0] == pairs[1] != pairs[2]
