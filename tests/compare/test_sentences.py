"""What stands in tagged sentences, and what may not, where taggers are compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.compare.sentences import check_known_tags, check_taggable, kinds, strata
from headstart.data.splits import nested_subsets
from headstart.data.tagged import TaggedSentences
from headstart.errors import DataError

TAGS = [["B-P", "I-P", "O"], ["O"], ["B-L", "O", "B-P"], ["O", "O"], ["B-P"]]
DATA = TaggedSentences([["w"] * len(tags) for tags in TAGS], TAGS, "train.conll", line_a_word=True)


def test_kinds_are_types_of_spans_or_plain_tags():
    assert kinds(DATA, plain=False) == ["P", "L", "P", "P"]
    assert kinds(DATA.select([0, 1]), plain=True) == ["B-P", "I-P", "O", "O"]


def test_a_sentence_counts_as_its_rarest_type():
    assert strata(DATA, plain=False) == ["P", "O", "L", "O", "P"]
    words = TaggedSentences([["a", "b"], ["c", "d"]], [["N", "V"], ["N", "N"]])
    assert strata(words, plain=True) == ["V", "N"]


@given(st.lists(st.lists(st.sampled_from("ABCDO"), min_size=1, max_size=6), min_size=1), st.data())
def test_a_budget_of_as_many_sentences_as_strata_holds_every_type_that_is_rarest(rows, data):
    tags = [[tag if tag == "O" else f"B-{tag}" for tag in row] for row in rows]
    dataset = TaggedSentences([["w"] * len(its) for its in tags], tags)
    found = strata(dataset, plain=False)
    budget = len(set(found))
    (chosen,) = nested_subsets(found, [budget], seed=data.draw(st.integers(0, 9))).values()
    assert set(found) - {"O"} <= set(kinds(dataset.select(chosen), plain=False))


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ([["O"], ["O"]], "train: contains only the tag 'O'; a tagger needs at least two tags"),
        ([["B-P"], ["O", "I-P"]], "train line 2, word 2: tag 'I-P' after 'O' is not legal in IOB2"),
    ],
)
def test_sentences_that_teach_no_tags_are_refused(tags, message):
    with pytest.raises(DataError, match=message):
        check_taggable(
            TaggedSentences([["w"] * len(its) for its in tags], tags, "train"), scheme="IOB2"
        )


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (
            [["O"], ["B-P", "B-X"]],
            r"test line 2, word 2: tag 'B-X' is not in the training data, whose types are 'L', 'P' "
            r"\(1 word has such a tag\)",
        ),
        ([["O", "I-P"], ["B-P", "O"]], "test line 1, word 2: tag 'I-P' .* is not legal"),
        ([["O"]], "test: contains no span to score; use test sentences with spans"),
    ],
)
def test_test_sentences_that_cannot_be_scored_are_refused(tags, message):
    test = TaggedSentences([["w"] * len(its) for its in tags], tags, "test")
    with pytest.raises(DataError, match=message):
        check_known_tags(test, DATA, scheme="IOB2")


def test_an_inside_that_training_lacks_is_of_a_known_type():
    test = TaggedSentences([["New", "York"]], [["B-L", "I-L"]])
    check_known_tags(test, DATA, scheme="IOB2")


def test_a_plain_tag_that_training_lacks_is_refused():
    train = TaggedSentences([["a", "b"]], [["N", "V"]])
    check_known_tags(train, train, scheme="plain")
    with pytest.raises(
        DataError, match=r"line 1, word 1: tag 'O' is not in .* whose tags are 'N', 'V'"
    ):
        check_known_tags(TaggedSentences([["a"]], [["O"]]), train, scheme="plain")


def test_types_that_training_lacks_are_noted_where_they_count_as_missed():
    test = TaggedSentences([["w"], ["w", "w"]], [["B-L"], ["B-P", "B-X"]], "test")
    assert check_known_tags(test, DATA, "count-as-error", scheme="IOB2") == (
        "test line 2, word 2: tag 'B-X' is not in the training data and counts as missed; "
        "such tags: 'B-X' (1 word)",
    )
    illegal = TaggedSentences([["w", "w"]] * 2, [["O", "I-X"], ["B-P", "O"]])
    with pytest.raises(DataError, match="is not legal"):
        check_known_tags(illegal, DATA, "count-as-error", scheme="IOB2")
