"""Documents of made-up pieces, and tokenizers that name them."""

import numpy as np
import pytest
import tokenizers
from tokenizers import models

from headstart.tokenize.documents import EncodedDocuments
from headstart.tokenize.subwords import SubwordTokenizer

WORDS, ENDINGS = 60, 30


@pytest.fixture(scope="session")
def make_tokenizer():
    """Make a tokenizer: some special tokens, then 60 words, then 30 endings."""

    def make(*specials):
        pieces = [*specials, *(f"w{n}" for n in range(WORDS)), *(f"##e{n}" for n in range(ENDINGS))]
        vocabulary = {piece: number for number, piece in enumerate(pieces)}
        model = models.WordPiece(vocabulary, unk_token="[UNK]")  # noqa: S106 - no password
        return SubwordTokenizer(tokenizers.Tokenizer(model))

    return make


@pytest.fixture(scope="session")
def for_bert(make_tokenizer):
    return make_tokenizer("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@pytest.fixture(scope="session")
def for_gpt(make_tokenizer):
    return make_tokenizer("[PAD]", "[UNK]", "<|endoftext|>")


@pytest.fixture(scope="session")
def make_documents():
    """Make documents of random sentences; by default some tens, of 1 to 12 sentences each."""

    def make(number=40, *, sentences=(1, 13), tokens=(3, 16), first=5, seed=0):
        random = np.random.default_rng(seed)
        per_document = random.integers(*sentences, number)
        lengths = random.integers(*tokens, per_document.sum())
        ids = random.integers(first, first + WORDS + ENDINGS, lengths.sum()).astype(np.int32)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        ids[offsets[:-1]] = random.integers(first, first + WORDS, len(lengths))  # no ending first
        return EncodedDocuments(ids, offsets, np.concatenate([[0], np.cumsum(per_document)]))

    return make
