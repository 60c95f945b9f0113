"""Words that are cut once: the ids are those of whole texts, whatever the texts hold."""

import pickle
from collections.abc import Callable
from typing import get_args

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.tokenize import piece_memory
from headstart.tokenize.batches import encode_batch
from headstart.tokenize.piece_memory import PieceMemory, knows_words_apart
from headstart.tokenize.subwords import Kind, SubwordTokenizer

CORPUS = [
    "The quick brown fox, it's said (by some), jumps over the lazy dog.",
    "Don't  stop\tnow:\nthe fox-hound is 1,000 years old; ΑΣ ΟΔΟΣ naïve café 東京タワー",
] * 3
SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\0", "\x1c", "\x85", "\xa0", "\u2009", "\u3000"]
MARKS = ["'s", "'", ",", ".", "),", "-", "…", "¡", ";", "\u037e", "\u0301", "\u0345", "\u200d"]
LETTERS = ["Σ", "ΑΣ", "İ", "ß", "é", "東京", "한", "\u1100\u1161", "🙂", "\ufffd", "x" * 120]
WORDS = [
    "fox",
    "the",
    "Quick",
    "don't",
    "9",
    "1,000",
    "[CLS]",
    "[PAD]",
    "<|endoftext|>",
    "##a",
    "Ġ",
]
ODD = st.sampled_from([*SPACES, *MARKS, *LETTERS, *WORDS])
TEXTS = st.lists(st.lists(ODD | st.text(max_size=4), max_size=12).map("".join), max_size=6)
KINDS = get_args(Kind)


def trained(kind: Kind, *, lowercase: bool = True) -> SubwordTokenizer:
    return SubwordTokenizer.train(CORPUS, kind=kind, vocabulary_size=400, lowercase=lowercase)


TRAINED = {
    (kind, lower): trained(kind, lowercase=lower) for kind in KINDS for lower in (True, False)
}


@settings(max_examples=200, deadline=None)
@given(texts=TEXTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lowercase", [True, False])
def test_the_ids_are_those_of_whole_texts(kind: Kind, lowercase: bool, texts: list[str]) -> None:
    tokenizer = TRAINED[kind, lowercase]._tokenizer
    memory, expected = PieceMemory(tokenizer), encode_batch(tokenizer, texts)
    for _ in range(2):  # at first nothing is remembered, and then all
        found = memory.encode_batch(texts)
        assert found.ids.tolist() == expected.ids.tolist()
        assert found.offsets.tolist() == expected.offsets.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_the_word_that_parts_others_may_be_in_a_text(kind: Kind) -> None:
    tokenizer = TRAINED[kind, True]._tokenizer
    memory = PieceMemory(tokenizer)
    assert memory._separator is not None
    texts = [f"the {memory._separator[0]} fox {memory._separator[0]}", memory._separator[0]]
    assert memory.encode_batch(texts).ids.tolist() == encode_batch(tokenizer, texts).ids.tolist()


def test_only_so_many_words_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piece_memory, "_MOST_WORDS", 3)
    tokenizer = TRAINED["wordpiece", True]._tokenizer
    memory = PieceMemory(tokenizer)
    for text in ("the fox", "a dog stops now", "the old fox"):
        expected = encode_batch(tokenizer, [text]).ids.tolist()
        assert memory.encode_batch([text]).ids.tolist() == expected
        assert len(memory._pieces) <= 3


def test_long_words_are_not_remembered() -> None:
    memory = PieceMemory(TRAINED["bpe", True]._tokenizer)
    memory.encode_batch(["a xqzxqzxqzxqzxqzxqz"])
    assert len(memory._pieces) == 1


def test_a_copy_begins_anew_and_says_the_same() -> None:
    tokenizer = TRAINED["bpe", True]
    expected = tokenizer.encode_batch(CORPUS).ids.tolist()
    copy = pickle.loads(pickle.dumps(tokenizer))  # noqa: S301 - our own
    assert not copy._memory._pieces
    assert copy.encode_batch(CORPUS).ids.tolist() == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.add_tokens(["fox, it"]),
        lambda t: setattr(t, "normalizer", tokenizers.normalizers.NFKC()),
        lambda t: setattr(t, "pre_tokenizer", tokenizers.pre_tokenizers.Metaspace()),
        lambda t: setattr(t, "pre_tokenizer", tokenizers.pre_tokenizers.ByteLevel()),
        lambda t: setattr(t.model, "dropout", 0.5),
    ],
)
def test_what_reaches_over_spaces_is_cut_as_a_whole(
    change: Callable[[tokenizers.Tokenizer], object],
) -> None:
    tokenizer = tokenizers.Tokenizer.from_str(TRAINED["bpe", True].as_json())
    assert knows_words_apart(tokenizer)
    change(tokenizer)
    assert not knows_words_apart(tokenizer)
    assert SubwordTokenizer(tokenizer)._memory is None
