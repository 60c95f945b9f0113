"""Schemes there and back, what is legal, and span scores beside those that conlleval printed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import DataError, SettingsError
from headstart.tasks.tagging import (
    check_legal,
    convert,
    detect_scheme,
    follows,
    in_scheme,
    note_of_plain,
    offences,
    scheme_of,
    score_tags,
    spans,
    write_spans,
)

SPAN_SCHEMES = ("IOB1", "IOB2", "BIOES")
SENTENCE = {  # Mary Ann met Bob in Rome Italy
    "IOB1": "I-P I-P O I-P O I-L B-L",
    "IOB2": "B-P I-P O B-P O B-L B-L",
    "BIOES": "B-P E-P O S-P O S-L S-L",
}
BILOU = [["O", "U-P", "O"], ["B-P", "L-P", "O"]]
TYPES = st.sampled_from(["P", "L", "x-y", ""])


@st.composite
def written_spans(draw):
    """Draw spans in order, and how many words there are."""
    found, at = [], 0
    for _ in range(draw(st.integers(0, 5))):
        start = at + draw(st.integers(0, 2))
        at = start + draw(st.integers(1, 3))
        found.append((start, at, draw(TYPES)))
    return found, at + draw(st.integers(0, 2))


# What conlleval (version of 2004-01-26) printed for these pairs of gold and predicted tags, legal
# and illegal: processed 26 tokens with 15 phrases; found: 15 phrases; correct: 11.
CONLLEVAL_FILE = """
B-PER O I-LOC I-PER | B-PER O I-LOC I-PER
O O O O I-PER B-LOC | I-NP-x B-PER O O I-PER B-LOC
I-NP-x I-NP-x O O B-LOC | I-NP-x I-NP-x O I-NP-x I-NP-x
B-PER B-PER I-NP-x O I-NP-x O B-PER | B-PER B-LOC I-NP-x O O O B-PER
O I-NP-x I-LOC I-NP-x | O I-NP-x I-LOC O
"""
CONLLEVAL_TYPES = {"LOC": (75.00, 4), "NP-x": (60.00, 5), "PER": (83.33, 6)}
# And of tags that mark ends: 21 tokens with 14 phrases; found: 11 phrases; correct: 8.
CONLLEVAL_ENDS = """
O E-PER E-LOC | O E-PER O
I-LOC I-LOC E-LOC E-PER E-LOC | E-LOC I-LOC I-LOC O E-LOC
O E-LOC O O E-PER | O E-LOC O O I-PER
E-LOC E-LOC E-PER I-PER | E-LOC O E-PER I-PER
I-PER E-PER E-LOC I-LOC | I-PER E-PER I-LOC I-LOC
"""


def pairs_of(file):
    return zip(
        *([side.split() for side in line.split("|")] for line in file.split("\n") if line),
        strict=True,
    )


def test_the_scores_are_those_that_conlleval_printed():
    scores = score_tags(*pairs_of(CONLLEVAL_FILE), "IOB2")
    figures = (scores.accuracy, scores.precision, scores.recall, scores.f1)
    assert [round(100 * each, 2) for each in figures] == [73.08, 73.33, 73.33, 73.33]
    assert scores.words == 26
    assert {each.type: round(100 * each.f1, 2) for each in scores.types} == {
        name: f1 for name, (f1, _) in CONLLEVAL_TYPES.items()
    }
    assert sum(each.support for each in scores.types) == 15


def test_ends_are_read_as_conlleval_reads_them():
    scores = score_tags(*pairs_of(CONLLEVAL_ENDS), "BIOES")
    figures = (scores.accuracy, scores.precision, scores.recall, scores.f1)
    assert [round(100 * each, 2) for each in figures] == [66.67, 72.73, 57.14, 64.00]
    place, person = scores.types
    assert (place.type, round(100 * place.precision, 2), place.support) == ("LOC", 50.0, 8)
    assert (person.type, round(100 * person.recall, 2), person.support) == ("PER", 83.33, 6)


def test_plain_tags_are_scored_word_by_word():
    scores = score_tags([["D", "N", "V"]], [["D", "N", "N"]], "plain")
    assert scores.accuracy == pytest.approx(2 / 3)
    assert [(each.type, each.precision, each.recall) for each in scores.types] == [
        ("D", 1.0, 1.0),
        ("N", 0.5, 1.0),
        ("V", 0.0, 0.0),
    ]


def test_no_words_have_scores_of_zero():
    scores = score_tags([[]], [[]], "IOB2")
    assert (scores.f1, scores.accuracy, scores.words) == (0.0, 0.0, 0)


def test_predictions_of_another_length_are_refused():
    with pytest.raises(DataError, match="sentence 1: 2 tags, but 1 predicted tags"):
        score_tags([["O"], ["O", "O"]], [["O"], ["O"]], "IOB2")


@pytest.mark.parametrize("scheme", SPAN_SCHEMES)
def test_a_scheme_is_detected_and_converted(scheme):
    tags = SENTENCE[scheme].split()
    assert detect_scheme([tags, ["O"]]) == scheme
    assert offences(tags, scheme) == []
    assert spans(tags) == [(0, 2, "P"), (3, 4, "P"), (5, 6, "L"), (6, 7, "L")]
    for other in SPAN_SCHEMES:
        assert convert(tags, other) == SENTENCE[other].split()


@pytest.mark.parametrize(
    "tags", [["DET", "NOUN"], ["B-P", "-LRB-"], ["O", "O"], ["I", "PRP$"], ["Besides"]]
)
def test_tags_of_another_form_are_plain(tags):
    assert detect_scheme([tags]) == "plain"
    assert offences(tags, "plain") == []
    assert convert(tags, "plain") == tags


def test_tags_without_a_type_are_spans():
    assert detect_scheme([["B", "I", "O"]]) == "IOB2"
    assert spans(["B", "I", "O", "B"]) == [(0, 2, ""), (3, 4, "")]


def test_of_tags_that_are_legal_nowhere_the_nearest_scheme_is_taken():
    assert detect_scheme([["B-P", "I-P", "O"], ["B-P", "O", "I-P"]]) == "IOB2"
    assert detect_scheme([["I-P", "I-P", "B-P"], ["B-P", "O", "I-P"], ["O", "I-P"]]) == "IOB1"


@settings(deadline=None)
@given(written_spans(), st.sampled_from(SPAN_SCHEMES), st.sampled_from(SPAN_SCHEMES))
def test_spans_survive_every_scheme(drawn, first, second):
    found, words = drawn
    tags = write_spans(found, words, first)
    assert len(tags) == words
    assert spans(tags) == found
    assert offences(tags, first) == []
    assert convert(convert(tags, second), first) == tags


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([f"{p}-{t}" for p in "BIES" for t in "PL"] + ["O"]), max_size=8),
    st.sampled_from(SPAN_SCHEMES),
)
def test_a_repair_is_legal_and_changes_nothing_legal(tags, scheme):
    repaired = convert(tags, scheme)
    assert offences(repaired, scheme) == []
    assert spans(repaired) == spans(tags)
    if not offences(tags, scheme):
        assert repaired == tags


@pytest.mark.parametrize(
    ("tags", "scheme", "wrong", "message"),
    [
        (["O", "I-P"], "IOB2", [1], r"line 1: tag 'I-P' after 'O' is not legal in IOB2 \(1"),
        (["I-P"], "IOB2", [0], "line 0: tag 'I-P' at the beginning of a sentence"),
        (["O", "B-P"], "IOB1", [1], "tag 'B-P' after 'O' is not legal in IOB1"),
        (["B-P", "S-P"], "BIOES", [1], "tag 'S-P' after 'B-P'"),
        (["O", "B-P"], "BIOES", [1], "tag 'B-P' at the end of a sentence"),
        (["B-P", "E-P"], "IOB2", [1], "tag 'E-P' after 'B-P' is not legal in IOB2"),
    ],
)
def test_illegal_tags_are_reported(tags, scheme, wrong, message):
    assert offences(tags, scheme) == wrong
    with pytest.raises(DataError, match=message):
        check_legal([["O"], tags], scheme, lambda row, at: f"line {at if row else 'none'}")


@pytest.mark.parametrize("repair", [False, True])
@pytest.mark.parametrize("tag", ["NOUN", "U-P", "_", "Besides", "O-P"])
def test_a_tag_of_no_span_is_refused_and_no_repair_is_offered(tag, repair):
    message = f"^1:2: tag '{tag}' is not a tag of BIOES .2 such tags.; correct the file or name it"
    with pytest.raises(DataError, match=message):
        check_legal([["I-P"], ["O", "S-P", tag, tag]], "BIOES", "{}:{}".format, repair=repair)
    check_legal([[tag]], "plain", "{}:{}".format, repair=repair)


def test_tags_of_spans_are_repaired_wherever_they_stand():
    check_legal([["O", "I-P"], ["E-P"], ["S"]], "IOB2", "{}:{}".format, repair=True)


def test_a_tag_of_no_span_is_no_span_and_hides_no_scheme():
    assert spans(["_", "B-P", "NOUN", "I-P", "O-P", "-P", "IE-P"]) == [(1, 2, "P"), (3, 4, "P")]
    assert in_scheme([["B-P", "I-P", "_"], ["O"]], "BIOES") == [["B-P", "E-P", "_"], ["O"]]
    for scheme, tags in (("plain", ["B-P"]), ("BIOES", ["N", "O"]), ("IOB2", ["O", "I-P", "_"])):
        kept = [["B-P", "I-P"], tags] if scheme == "IOB2" else [tags]
        assert in_scheme(kept, scheme) is kept


def test_legal_tags_are_accepted():
    check_legal([SENTENCE["BIOES"].split(), []], "BIOES", lambda row, at: f"{row} {at}")


def test_what_may_follow_is_what_spans_can_be_written_with():
    assert follows("B-P", "I-P", "IOB2")
    assert not follows("B-P", "I-L", "IOB2")
    assert not follows("E-P", "E-P", "BIOES")
    assert not follows("S-P", "I-P", "BIOES")
    assert follows("O", "I-P", "IOB1")


def test_schemes_have_names():
    assert scheme_of("BIO") == "IOB2"
    with pytest.raises(SettingsError, match="got 'BILOU'"):
        scheme_of("BILOU")


def test_the_scheme_of_public_data(shared_data):
    from headstart.data.tagged import read_tagged

    chunks = read_tagged(shared_data / "conll2000" / "test.txt.gz")
    assert (len(chunks), chunks.words, detect_scheme(chunks.tags)) == (2012, 47377, "IOB2")
    assert not any(offences(tags, "IOB2") for tags in chunks.tags)
    spoken = read_tagged(shared_data / "ud_ewt" / "test.conllu.gz")
    assert (len(spoken), spoken.words, detect_scheme(spoken.tags)) == (2077, 25094, "plain")


@pytest.mark.parametrize(
    ("sentences", "place", "tag"),
    [
        (BILOU, "0:1", "U-P"),
        ([["B-P", "I-P", "O"], ["B-P", "X"]], "1:1", "X"),
        ([["B-P", "M-P", "E-P"]], "0:1", "M-P"),
    ],
)
def test_a_tag_that_makes_plain_what_looks_like_spans_is_named(sentences, place, tag):
    assert note_of_plain(sentences, lambda row, at: f"{row}:{at}") == (
        f"{place}: tag {tag!r} is not legal in BIO, IOB1 or BIOES, so all tags are treated as "
        "plain and scored word by word, including 'O'; write it in one of these schemes to score "
        "spans"
    )


@pytest.mark.parametrize(
    "tags", [["DET", "NOUN", "O"], ["O", "O"], ["B-P", "I-P", "O"], ["X", "B-P"], ["B", "I", "X"]]
)
def test_spans_and_tags_unlike_spans_need_no_note(tags):
    assert note_of_plain([tags], lambda row, at: f"{row}:{at}") is None
