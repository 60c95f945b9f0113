"""Tweets with tagged names (Ritter et al. 2011), split into training and test parts."""

from collections import Counter

from headstart.data.overlap import first_occurrences
from headstart.data.splits import split_test
from headstart.data.tagged import TaggedSentences


def part_tweets(
    tweets: TaggedSentences, *, test_share: float, seed: int
) -> tuple[TaggedSentences, TaggedSentences]:
    """Return the training tweets and the test tweets, without duplicates.

    The split is stratified by each tweet's rarest tag, which puts names of every type in both
    parts.

    Args:
        tweets: All tweets.
        test_share: The share of test tweets.
        seed: Determines the split.
    """
    kept = tweets.select(first_occurrences(map(" ".join, tweets.sentences)))
    counts = Counter(tag for tags in kept.tags for tag in tags)
    rarest = [min(tags, key=counts.__getitem__) for tags in kept.tags]
    train, test = split_test(rarest, test_share=test_share, seed=seed)
    return kept.select(train), kept.select(test)
