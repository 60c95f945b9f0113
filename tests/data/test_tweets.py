from collections import Counter

from headstart.data.tagged import TaggedSentences
from headstart.data.tweets import part_tweets


def test_tweets_are_parted_by_their_rarest_tag_and_equal_ones_kept_once():
    tags = [["B-rare", "B-person"]] * 3 + [["O", "B-person"]] * 6 + [["O", "O"]] * 9
    words = [["w", str(number)] for number in range(len(tags))]
    tweets = TaggedSentences([*words, words[0]], [*tags, tags[0]])
    train, test = part_tweets(tweets, test_share=1 / 3, seed=0)
    assert (len(train), len(test)) == (12, 6)
    assert Counter(map(tuple, test.tags)) == {
        ("B-rare", "B-person"): 1,
        ("O", "B-person"): 2,
        ("O", "O"): 3,
    }
    assert not set(map(tuple, train.sentences)) & set(map(tuple, test.sentences))
    assert part_tweets(tweets, test_share=1 / 3, seed=0)[1] == test
