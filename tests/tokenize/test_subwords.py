import copy
import json
import pickle
import time

import numpy as np
import pytest
import tokenizers
from tokenizers import models

from headstart.errors import DataError, FormatError, SettingsError
from headstart.tokenize import subwords
from headstart.tokenize.subwords import SPECIALS, SubwordTokenizer
from headstart.tokenize.words import WordTokenizer

TEXTS = ["the unhappy cat was unhappily sitting", "the happy cat sat happily"] * 5


@pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
def test_pieces_join_to_the_text_again(kind, tmp_path):
    tokenizer = SubwordTokenizer.train(TEXTS, kind=kind, vocabulary_size=330)
    specials = SPECIALS[kind]
    assert tuple(tokenizer.vocabulary[: len(specials)]) == specials
    encoded = tokenizer.encode_batch(["the happy cat", ""])
    assert tokenizer.decode(encoded[0].tolist()) == "the happy cat"
    assert encoded.lengths.tolist()[1] == 0
    tokenizer.save(tmp_path / "tokenizer.json")
    again = SubwordTokenizer.load(tmp_path / "tokenizer.json")
    assert again.encode_batch(TEXTS).ids.tolist() == tokenizer.encode_batch(TEXTS).ids.tolist()
    assert again.lowercase is tokenizer.lowercase is True


def test_letters_keep_their_accents_and_vowel_signs():
    texts = ["Bán bàn bạn bản", "कुल कल", "パパ ハハ", "İYİ iyi"] * 9
    tokenizer = SubwordTokenizer.train(texts, vocabulary_size=300)
    for text in texts[:3]:
        assert len({*map(tuple, map(tokenizer.words, text.split()))}) == len(text.split())
    assert tokenizer.decode(tokenizer.encode_batch(["Bạn"]).ids.tolist()) == "bạn"


def test_byte_pairs_know_every_text():
    tokenizer = SubwordTokenizer.train(TEXTS, kind="bpe", vocabulary_size=300, lowercase=False)
    text = "ΓειÁ 😀\u200d\n"
    assert tokenizer.decode(tokenizer.encode_batch([text]).ids.tolist()) == text


def test_word_pieces_spell_words_of_two_hundred_letters():
    tokenizer = SubwordTokenizer.train(TEXTS, kind="wordpiece", vocabulary_size=330)
    for word in ("ha" * 51, "ha" * 100):
        assert tokenizer.decode(tokenizer.encode_batch([word]).ids.tolist()) == word
    assert tokenizer.encode_batch(["h" * 201]).ids.tolist() == [tokenizer.specials.unknown]


@pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
@pytest.mark.parametrize("run", ["acgt", "-", "ไทย", "字", " ", "\n"])
def test_pieces_are_learnt_in_time_that_is_linear_in_the_longest_run(kind, run):
    long = "the cat" + run * (400_000 // len(run)) + "sat"
    started = time.process_time()
    tokenizer = SubwordTokenizer.train([*TEXTS, long], kind=kind, vocabulary_size=600)
    assert time.process_time() - started < 20  # many minutes, if it were quadratic
    if run == "acgt":  # cut, not dropped
        assert any(
            len(piece.strip("#Ġ")) > 8 and set(piece) <= set("#acgt")
            for piece in tokenizer.vocabulary
        )


def test_only_long_runs_are_cut():
    short = ["a " * 300, "b" * 200, "", " ", "c" + " " * 200 + "d", "字" * 200 + "\n"]
    assert [list(subwords._in_parts(text)) for text in short] == [[text] for text in short]
    long = "a " + "b" * 401 + " c" + "\t" * 201 + "d"
    parts = list(subwords._in_parts(long))
    assert "".join(parts) == long
    assert [len(part) for part in parts] == [202, 200, 203, 2]


def test_learnt_pieces_are_longer_than_letters():
    tokenizer = SubwordTokenizer.train(TEXTS, vocabulary_size=330)
    assert tokenizer.words("unhappy") in (["unhappy"], ["un", "##happy"], ["unhapp", "##y"])


def test_bad_input(tmp_path):
    with pytest.raises(SettingsError, match="vocabulary_size must be above"):
        SubwordTokenizer.train(TEXTS, vocabulary_size=100)
    with pytest.raises(SettingsError, match="'bpe' or 'wordpiece'"):
        SubwordTokenizer.train(TEXTS, kind="unigram")
    with pytest.raises(DataError, match="no text"):
        SubwordTokenizer.train(["", " "])
    WordTokenizer.from_vocabulary(["a"], lowercase=True).save(tmp_path / "words.json")
    with pytest.raises(FormatError, match="word-level vocabulary, expected subwords"):
        SubwordTokenizer.load(tmp_path / "words.json")


def change(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_what_another_program_would_cut_or_pad_is_left_whole(tmp_path):
    tokenizer = SubwordTokenizer.train(TEXTS, vocabulary_size=330)
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    padding = {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None}
    change(
        path,
        truncation={"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
        padding=padding | {"pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
    )
    again = SubwordTokenizer.load(path)
    assert again.encode_batch(TEXTS).ids.tolist() == tokenizer.encode_batch(TEXTS).ids.tolist()


@pytest.mark.parametrize("size", [300, 400])
def test_a_vocabulary_is_no_larger_than_asked_however_many_letters_there_are(size):
    rare = "".join(chr(0xAC00 + number) for number in range(500))  # each once, in one long word
    texts = [*["the cat sat on the mat"] * 9, rare]
    tokenizer = SubwordTokenizer.train(texts, vocabulary_size=size)
    assert len(tokenizer.vocabulary) <= size
    assert tokenizer.words("the cat") == ["the", "cat"], "no room is left for pieces"
    assert tokenizer.words(rare) == ["[UNK]"]
    again = SubwordTokenizer.train(texts, vocabulary_size=size)
    assert again.vocabulary == tokenizer.vocabulary


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"vocabulary_size": 261}, "vocabulary_size must be above 261, got 261"),
        ({"vocabulary_size": 300.5}, "vocabulary_size must be a whole number, got 300.5"),
        ({"lowercase": "no"}, "lowercase must be true or false, got 'no'"),
    ],
)
def test_impossible_settings_are_refused(how, message):
    with pytest.raises(SettingsError, match=message):
        SubwordTokenizer.train(["a text"], **how)


def save_pieces(vocabulary, unknown, path):
    tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token=unknown)).save(str(path))


def test_pieces_numbered_with_gaps_are_refused(tmp_path):
    path = tmp_path / "tokenizer.json"
    save_pieces({"[PAD]": 0, "[UNK]": 1, "cat": 5}, "[UNK]", path)
    with pytest.raises(FormatError, match="have no gaps, but 3 subwords have ids up to 5"):
        SubwordTokenizer.load(path)
    save_pieces({}, "[UNK]", path)
    with pytest.raises(FormatError, match="but 0 subwords have ids"):
        SubwordTokenizer.load(path)


def test_special_tokens_are_found_by_their_names_wherever_they_are(tmp_path):
    path = tmp_path / "tokenizer.json"
    save_pieces({"cat": 0, "<unk>": 1, "<s>": 2, "</s>": 3, "<mask>": 4}, "<unk>", path)
    loaded = SubwordTokenizer.load(path)
    specials = loaded.specials
    assert (specials.cls, specials.sep, specials.mask) == (2, 3, 4)
    assert (specials.pad, specials.end) == (None, None)
    assert specials.unknown == loaded.unknown_id == 1
    save_pieces({"cat": 0, "dog": 1}, "dog", path)
    assert SubwordTokenizer.load(path).unknown_id == -1


def test_more_tokens_stand_at_the_end_and_change_no_text():
    tokenizer = SubwordTokenizer.train(TEXTS, kind="bpe", vocabulary_size=330)
    larger = tokenizer.with_tokens(["<start>", "<stop>"])
    size = len(tokenizer.vocabulary)
    assert larger.vocabulary == [*tokenizer.vocabulary, "<start>", "<stop>"]
    texts = [*TEXTS, "a <start> is text"]
    assert np.array_equal(larger.encode_batch(texts).ids, tokenizer.encode_batch(texts).ids)
    assert len(tokenizer.vocabulary) == size
    with pytest.raises(SettingsError, match="already contains '<stop>'"):
        larger.with_tokens(["<stop>"])


def test_pieces_that_go_on_with_a_word_are_known():
    tokenizer = SubwordTokenizer.train(TEXTS, vocabulary_size=330)
    goes_on = [
        piece for piece, on in zip(tokenizer.vocabulary, tokenizer.continues, strict=True) if on
    ]
    assert goes_on
    assert all(piece.startswith("##") for piece in goes_on)
    assert sum(piece.startswith("##") for piece in tokenizer.vocabulary) == len(goes_on)


def test_byte_pairs_that_go_on_with_a_word_are_known():
    tokenizer = SubwordTokenizer.train(TEXTS, kind="bpe", vocabulary_size=270)
    text = "the unhappy cat's naïve\nhat 12, sat"
    pieces = tokenizer.words(text)
    goes_on = tokenizer.continues[tokenizer.encode_batch([text]).ids]
    words = []
    for piece, on in zip(pieces, goes_on, strict=True):
        words[len(words) - 1 :] = [words[-1] + piece] if on and words else [*words[-1:], piece]
    assert [word.lstrip("ĠĊ") for word in words if word.strip("ĠĊ")] == [
        "the", "unhappy", "cat", "'s", "naÃ¯ve", "hat", "12", ",", "sat",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
def test_the_same_texts_give_the_same_pieces(kind):
    random = np.random.default_rng(0)
    letters = list("abcdefghijklmnopqrstuvwxyzé")
    words = ["".join(random.choice(letters, random.integers(2, 9))) for _ in range(300)]
    texts = [" ".join(random.choice(words, 20)) for _ in range(50)]
    settings = {"kind": kind, "vocabulary_size": 500}
    first = SubwordTokenizer.train(texts, **settings)
    for again in (texts, iter(texts), lambda: iter(texts)):
        assert SubwordTokenizer.train(again, **settings).vocabulary == first.vocabulary


def test_only_special_tokens_are_special():
    tokenizer = SubwordTokenizer.train([*TEXTS, "a ##b"], vocabulary_size=330, min_count=1)
    assert tokenizer.words("##b") == ["#", "#", "b"]
    assert tokenizer.decode([tokenizer.ids["u"], tokenizer.ids["##n"]]) == "un"
    assert not {"##.", "##é"} & set(tokenizer.vocabulary)


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))],  # noqa: S301 - made right here
    ids=["copy", "pickle"],
)
def test_special_tokens_in_a_text_are_text_to_a_copy_too(copied):
    tokenizer = SubwordTokenizer.train(TEXTS, vocabulary_size=330)
    text = "the [SEP] happy [CLS] cat [MASK]"
    ids = tokenizer.encode_batch([text]).ids
    assert not set(ids.tolist()) & {tokenizer.specials.sep, tokenizer.specials.cls}
    assert np.array_equal(copied(tokenizer).encode_batch([text]).ids, ids)
    assert copied(tokenizer).words(text) == tokenizer.words(text)
