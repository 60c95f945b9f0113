"""Tweets with names in them, after Ritter et al. 2011, parted into those to learn and to test."""

from collections import Counter

from headstart.data.overlap import first_occurrences
from headstart.data.splits import split_test
from headstart.data.tagged import TaggedSentences


def part_tweets(
    tweets: TaggedSentences, *, test_share: float, seed: int
) -> tuple[TaggedSentences, TaggedSentences]:
    """Return the tweets to learn from and those to test on; of equal ones the first is kept.

    They are stratified by the rarest tag of each, so that both parts have names of every type.

    Args:
        tweets: All tweets.
        test_share: The part to test on.
        seed: Another seed parts otherwise.
    """
    kept = tweets.select(first_occurrences(map(" ".join, tweets.sentences)))
    counts = Counter(tag for tags in kept.tags for tag in tags)
    rarest = [min(tags, key=counts.__getitem__) for tags in kept.tags]
    train, test = split_test(rarest, test_share=test_share, seed=seed)
    return kept.select(train), kept.select(test)
