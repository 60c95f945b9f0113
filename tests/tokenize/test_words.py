import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import DataError, FormatError, SettingsError
from headstart.tokenize.spans import token_spans
from headstart.tokenize.words import WordTokenizer

TEXTS = ["The cat sat.", "The cat's hat doesn't fit.", "A cat, a hat: 1,000.5!"]


def test_words_are_cut_as_the_penn_treebank_does():
    tokenizer = WordTokenizer.train(TEXTS, min_count=1)
    assert tokenizer.words("It's 1,000.5% — don’t CAN'T!") == [
        "it", "'s", "1,000.5", "%", "—", "do", "n't", "ca", "n't", "!",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "word",
    [
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian, a non-joiner inside
        "\u0dc1\u0dca\u200d\u0dbb\u0dd3",  # Sinhala, a joiner after a virama
        "\u0915\u094d\u200d\u0937",  # Hindi
        "\u0938\u0915\u094d\u200d",  # a joiner at the end
    ],
)
@pytest.mark.parametrize("lowercase", [True, False])
def test_joiners_are_of_their_word(word, lowercase):
    tokenizer = WordTokenizer.from_vocabulary(["a", word], lowercase=lowercase)
    assert tokenizer.encode_batch([f"a {word}, {word}a"]).ids.tolist() == [2, 3, 1, 1]
    assert tokenizer.words(f"{word}n't") == [word, "n't"]
    assert WordTokenizer.train([word], min_count=1).vocabulary[2:] == [word]


def test_a_joiner_without_a_word_before_it_stands_alone():
    tokenizer = WordTokenizer.from_vocabulary(["a"], lowercase=True)
    family = "\N{MAN}\u200d\N{GIRL}"
    assert tokenizer.words(f"\u200ca 1\u200d {family}") == ["\u200c", "a", "1", "\u200d", *family]


def test_marks_of_direction_are_dropped_and_spaces_of_no_width_part_words():
    tokenizer = WordTokenizer.from_vocabulary(["ไทย", "שלום"], lowercase=True)
    text = "ไทย\u200bไทย \u200fשלום\u200e \u202bשלום\u202c \u2067\ufeff\u2069"
    assert tokenizer.encode_batch([text]).ids.tolist() == [2, 2, 3, 3]
    assert token_spans(tokenizer, ["ไทย\u200bไทย"]) == [[(0, 3), (4, 7)]]
    assert tokenizer.encode_words([["\u200fשלום"]]).ids.tolist() == [3]


def test_soft_hyphens_are_no_letters():
    tokenizer = WordTokenizer.from_vocabulary(["coop", "a"], lowercase=False)
    assert tokenizer.encode_batch(["co\u00adop a\u00ad \u00ad a"]).ids.tolist() == [2, 3, 3]
    assert tokenizer.encode_words([["co\u00adop"]]).ids.tolist() == [2]
    assert token_spans(tokenizer, ["a co\u00adop a"]) == [[(0, 1), (2, 7), (8, 9)]]
    whole = WordTokenizer.from_vocabulary(["co\u00adop"], lowercase=False, split="whitespace")
    assert whole.encode_batch(["co\u00adop"]).ids.tolist() == [2], "cut already"


def test_training_sorts_by_falling_count_and_drops_rare_words():
    tokenizer = WordTokenizer.train(TEXTS, min_count=2)
    assert tokenizer.vocabulary[:3] == ["[PAD]", "[UNK]", "cat"]
    assert set(tokenizer.vocabulary[2:]) == {"cat", "the", "hat", "a", "."}
    with pytest.raises(
        DataError, match=r"no word occurs 9 times \(min_count\); provide more text$"
    ):
        WordTokenizer.train(TEXTS, min_count=9)


def test_training_twice_gives_the_same_ids():
    first, second = (WordTokenizer.train(TEXTS, min_count=1).vocabulary for _ in range(2))
    assert first == second


def test_unknown_words_and_case():
    tokenizer = WordTokenizer.from_vocabulary(["cat", "Hat"], lowercase=False)
    assert tokenizer.encode_batch(["cat Cat Hat hat", ""]).ids.tolist() == [2, 1, 3, 1]
    assert WordTokenizer.from_vocabulary(["cat"], lowercase=True).encode_batch(["CAT"]).ids == [2]


def test_tokenized_text_is_cut_at_whitespace_only():
    tokenizer = WordTokenizer.train(["do n't --x-- 1/2"], min_count=1, split="whitespace")
    assert tokenizer.words("--x-- do n't") == ["--x--", "do", "n't"]


def test_a_text_may_hold_what_stands_for_padding_and_unknown_words():
    tokenizer = WordTokenizer.train(
        ["a [UNK] [PAD] b"] * 2, min_count=1, lowercase=False, split="whitespace"
    )
    assert tokenizer.vocabulary[:2] == ["[PAD]", "[UNK]"]
    assert sorted(tokenizer.vocabulary[2:]) == ["a", "b"]


def test_only_true_and_false_say_whether_case_counts():
    with pytest.raises(SettingsError, match="lowercase must be true or false, got 'no'"):
        WordTokenizer.train(TEXTS, min_count=1, lowercase="no")


def test_save_and_load(tmp_path):
    tokenizer = WordTokenizer.train(TEXTS, min_count=1, lowercase=False)
    tokenizer.save(tmp_path / "tokenizer.json")
    again = WordTokenizer.load(tmp_path / "tokenizer.json")
    assert again.vocabulary == tokenizer.vocabulary
    assert (again.lowercase, again.split) == (False, "words")
    assert again.encode_batch(TEXTS).ids.tolist() == tokenizer.encode_batch(TEXTS).ids.tolist()


def test_a_repeated_word_is_refused():
    with pytest.raises(SettingsError, match="'cat' twice"):
        WordTokenizer.from_vocabulary(["cat", "hat", "cat"], lowercase=True)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model": {"type": "WordLevel"}}'])
def test_a_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(FormatError, match=r"tokenizer\.json"):
        WordTokenizer.load(path)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=5))
def test_encoding_agrees_with_words_for_any_text(texts):
    tokenizer = WordTokenizer.from_vocabulary(["a", "b", "'s", "."], lowercase=True)
    encoded = tokenizer.encode_batch(texts)
    assert len(encoded) == len(texts)
    for row, text in enumerate(texts):
        expected = [tokenizer.ids.get(word, 1) for word in tokenizer.words(text)]
        assert encoded[row].tolist() == expected


def test_abbreviations_and_numbers_with_letters_stay_whole():
    tokenizer = WordTokenizer.from_vocabulary(["a"], lowercase=True)
    words = "In the U.S. and the U.K., the 1990s' 3rd £1.5m deal. A plan B. word.A.".lower()
    assert tokenizer.words(words) == [
        "in", "the", "u.s.", "and", "the", "u.k.", ",", "the", "1990s", "'", "3rd", "£", "1.5", "m",
        "deal", ".", "a", "plan", "b", ".", "word", ".", "a", ".",
    ]  # fmt: skip


def test_trained_and_given_vocabularies_encode_alike():
    trained = WordTokenizer.train(["the [PAD] cat"], min_count=1)
    given = WordTokenizer.from_vocabulary(trained.vocabulary[2:], lowercase=True)
    for text in ("the [PAD] cat", "[UNK] the"):
        assert trained.encode_batch([text]).ids.tolist() == given.encode_batch([text]).ids.tolist()
    assert 0 not in trained.encode_batch(["the [PAD] cat"]).ids
