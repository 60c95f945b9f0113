import pytest

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
