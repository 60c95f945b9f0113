import json

import pytest
import tokenizers
from tokenizers import models

from headstart.errors import DataError, FormatError, SettingsError
from headstart.tokenize.subwords import SPECIALS, SubwordTokenizer
from headstart.tokenize.words import WordTokenizer

TEXTS = ["the unhappy cat was unhappily sitting", "the happy cat sat happily"] * 5


@pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
def test_pieces_join_to_the_text_again(kind, tmp_path):
    tokenizer = SubwordTokenizer.train(TEXTS, kind=kind, vocabulary_size=330)
    assert tuple(tokenizer.vocabulary[:5]) == SPECIALS
    encoded = tokenizer.encode_batch(["the happy cat", ""])
    assert tokenizer.decode(encoded[0].tolist()) == "the happy cat"
    assert encoded.lengths.tolist()[1] == 0
    tokenizer.save(tmp_path / "tokenizer.json")
    again = SubwordTokenizer.load(tmp_path / "tokenizer.json")
    assert again.encode_batch(TEXTS).ids.tolist() == tokenizer.encode_batch(TEXTS).ids.tolist()
    assert again.lowercase is tokenizer.lowercase is True


def test_byte_pairs_know_every_text():
    tokenizer = SubwordTokenizer.train(TEXTS, kind="bpe", vocabulary_size=300, lowercase=False)
    text = "ΓειÁ 😀\u200d\n"
    assert tokenizer.decode(tokenizer.encode_batch([text]).ids.tolist()) == text


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
    with pytest.raises(FormatError, match="word vocabulary"):
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


@pytest.mark.parametrize(
    "vocabulary", [{"cat": 0, "[UNK]": 1}, {"[PAD]": 0, "[UNK]": 1, "cat": 5}, {"[UNK]": 0}]
)
def test_pieces_that_are_numbered_otherwise_are_refused(vocabulary, tmp_path):
    model = models.WordPiece(vocabulary, unk_token="[UNK]")  # noqa: S106 - no password
    tokenizers.Tokenizer(model).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(FormatError, match=r"numbered without gaps, \[PAD\] 0 and \[UNK\] 1"):
        SubwordTokenizer.load(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
def test_a_special_token_in_a_text_is_text(kind):
    tokenizer = SubwordTokenizer.train(TEXTS, kind=kind, vocabulary_size=330)
    assert not set(tokenizer.encode_batch(["a [PAD] and a [MASK]"]).ids.tolist()) & {0, 2, 3, 4}
