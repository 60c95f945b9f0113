"""Pairs of passages: two of the same document, or of two documents on the same topic."""

from collections.abc import Sequence

from headstart.data.pairs import PairDataset
from headstart.seeds import generator

SAME, OTHER = "same", "other"


def pair_passages(
    documents: Sequence[str], topics: Sequence[str], *, num_words: int, seed: int
) -> PairDataset:
    """Pair the beginning of each document with the middle passage of the same or another document.

    Each document's beginning and middle are used once each. In each topic, a random half of the
    documents is paired with one another, and the rest with themselves. The label therefore cannot
    be told from either text alone or from the topic. If only one document of a topic is left to
    pair with another, it is paired with itself. Documents shorter than two passages are left out.

    Args:
        documents: The texts, without headlines.
        topics: The topic of each.
        num_words: Words per passage.
        seed: Determines the pairs.
    """
    random = generator(seed, "passages")
    words = [document.split() for document in documents]
    by_topic: dict[str, list[int]] = {}
    for at in random.permutation(len(documents)).tolist():
        if len(words[at]) >= 2 * num_words:
            by_topic.setdefault(topics[at], []).append(at)
    others: dict[int, int] = {}
    for topic in sorted(by_topic):
        apart = by_topic[topic][: len(by_topic[topic]) // 2]
        if len(apart) > 1:
            others |= zip(apart, apart[1:] + apart[:1], strict=True)
    kept = sorted(at for group in by_topic.values() for at in group)

    def passage(at: int, start: int) -> str:
        return " ".join(words[at][start : start + num_words])

    pairs = []
    for at in kept:
        other = others.get(at, at)
        pairs.append((passage(at, 0), passage(other, len(words[other]) // 2)))
    return PairDataset(pairs, [OTHER if at in others else SAME for at in kept])
