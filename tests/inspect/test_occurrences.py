"""The occurrences of a word: which are found, which are drawn, and what is said where none is."""

import numpy as np
import pytest

from headstart.data.corpora import read_corpus
from headstart.errors import DataError, SettingsError
from headstart.inspect.occurrences import EvenDraw, Occurrence, find_occurrences


def found(texts, word, **settings):
    return find_occurrences(read_corpus(texts=texts), word, **settings)


def words(occurrences):
    return [each.word for each in occurrences.drawn]


def test_a_word_in_small_letters_is_found_in_any_and_another_as_it_is_written():
    texts = ["A bank.", "The Bank of it.", "BANK! It banks.", "embank it; bank_note, bank2"]
    assert words(found(texts, "bank")) == ["bank", "Bank", "BANK"]
    assert found(texts, "bank").total == 3
    assert words(found([*texts, "To Bank."], "Bank")) == ["Bank", "Bank"]


def test_a_joiner_beside_a_word_is_of_another_word():
    word = "\u062e\u0648"
    assert found([word, f"a {word}.", f"\u0645\u06cc\u200c{word}"], word).total == 2


def test_marks_beside_a_word_are_not_of_it():
    texts = ['"bank"', "the bank's", "a bank-note", "(bank)", "Bänke, bänk"]
    assert [(each.start, each.end) for each in found(texts, "bank").drawn] == [
        (1, 5),
        (4, 8),
        (2, 6),
        (1, 5),
    ]


@pytest.mark.parametrize(
    ("texts", "word"),
    [
        (["我昨天去了银行存钱。", "他坐在河边的银行旁边。"], "银行"),
        (["昨日は東京に行った。", "東京は広い。"], "東京"),
        (["ฉันไปธนาคารเมื่อวาน", "ธนาคารปิดแล้ว"], "ธนาคาร"),
        (["他用iPhone手机。", "iPhone手机很贵。"], "手机"),
        (["他用iPhone手机。", "iPhone手机很贵。"], "iPhone"),
    ],
)
def test_a_word_stands_among_others_where_a_script_has_no_spaces(texts, word):
    occurrences = found([*texts, "iPhones"], word)
    assert (occurrences.total, words(occurrences)) == (2, [word, word])


def test_a_sentence_gives_one_occurrence_however_often_it_comes():
    occurrences = found(["A bank is a bank. My bank!", "My bank!", "No."], "bank")
    assert occurrences.total == 4
    assert [(each.sentence, each.start) for each in occurrences.drawn] == [
        ("A bank is a bank.", 2),
        ("My bank!", 3),
    ]
    assert occurrences.drawn[0].context == "A   is a  ."


def test_they_are_drawn_evenly_over_the_corpus():
    texts = [f"bank number {number}." for number in range(1000)]
    occurrences = found(texts, "bank", most=10)
    assert occurrences.total == 1000
    places = [int(each.sentence.split()[-1][:-1]) for each in occurrences.drawn]
    assert len(places) == 10
    assert places == sorted(places)
    assert np.ptp(np.diff(places)) <= 0.4 * np.mean(np.diff(places))
    assert places[0] < 100
    assert places[-1] >= 850
    assert found(texts, "bank", most=10) == occurrences
    assert len(found(texts[:10], "bank", most=10).drawn) == 10


@pytest.mark.parametrize("count", [0, 1, 5, 6, 10, 11, 12, 100, 4097])
def test_a_draw_keeps_no_more_than_it_should_and_no_fewer_than_it_can(count):
    draw = EvenDraw(5)
    for number in range(count):
        draw.add(number)
    kept = draw.items()
    assert len(kept) == min(count, 5)
    assert kept == sorted(set(kept))
    assert draw.seen == count


def test_of_a_long_sentence_what_is_near_is_kept_and_words_are_whole():
    before, after = "left " * 500, " right" * 500
    (each,) = found([f"{before}bank{after}", "a bank"], "bank").drawn[:1]
    assert each.word == "bank"
    assert 200 < each.start <= 240
    assert set(each.sentence.split()) == {"left", "right", "bank"}
    assert each.narrowed(12) == Occurrence("left left bank right", 10, 14)
    assert each.narrowed(0) == Occurrence("bank", 0, 4)
    assert Occurrence("x" * 50 + "bank", 50, 54).narrowed(9) == Occurrence("bank", 0, 4)


@pytest.mark.parametrize(
    ("texts", "word", "message"),
    [
        (["The banks are here."], "bank", "'bank' does not occur; similar words: 'banks'"),
        (["BANK, Bank, Bank, bent."], "bnak", "similar words: 'bank'"),
        (["Bank on it."], "BANK", "'BANK' does not occur; similar words: 'Bank'"),
        (["Nothing of the kind."], "bank", "1 texts in memory: 'bank' does not occur$"),
        (["One bank only."], "bank", "'bank' occurs once; two different sentences are needed"),
        (
            ["\u06a9\u062a\u0627\u0628\u200c\u0647\u0627"],
            "\u06a9\u062a\u0627\u0628",
            "similar words: '\u06a9\u062a\u0627\u0628\\\\u200c\u0647\u0627'",
        ),
        (["A bank."] * 3, "bank", "'bank' occurs 3 times, always in one sentence"),
    ],
)
def test_what_the_corpus_does_not_hold(texts, word, message):
    with pytest.raises(DataError, match=message) as caught:
        found(texts, word)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("word", ["", " ", "river bank", "bank ", "a\tb", "!", "--"])
def test_what_is_not_one_word(word):
    with pytest.raises(SettingsError, match="is not one word; give one without a space"):
        found(["A river bank.", "A bank!"], word)


@pytest.mark.parametrize("most", [1, 0, 2.5, True])
def test_two_occurrences_at_least_are_drawn(most):
    with pytest.raises(SettingsError, match="most must be a whole number above 1"):
        found(["A bank.", "My bank."], "bank", most=most)
