"""One tiny encoder of each kind, and a corpus with a word of two senses."""

import numpy as np
import pytest
import tokenizers
import torch
from tokenizers import models, normalizers, pre_tokenizers

from headstart.hub.bundle import Pretrained, PretrainedWordVectors
from headstart.hub.cove import PretrainedCove
from headstart.hub.elmo import PretrainedElmo
from headstart.hub.language_models import PretrainedBert, PretrainedGpt
from headstart.models.bert import Bert, BertConfig
from headstart.models.cove import Cove, CoveConfig
from headstart.models.elmo import Elmo, ElmoConfig
from headstart.models.gpt import Gpt, GptConfig
from headstart.tokenize.subwords import SubwordTokenizer
from headstart.tokenize.words import WordTokenizer

RIVER = ["boat", "water", "mud", "fish", "reed"]
MONEY = ["loan", "cash", "rate", "debt", "fund"]
WORDS = [*RIVER, *MONEY, "bank", "the", "near", "a", "was", "on", "by", "lake"]
POSITIONS = 16


def sentences(count=20):
    """Return as many sentences of either sense, in turn."""
    found = []
    for number in range(count):
        for words in (RIVER, MONEY):
            first, second = (words[(number + step) % 5] for step in (0, 1 + number // 5 % 4))
            found.append(f"The {first} was near the bank by a {second}.")
    return found


class ReadsAll(torch.nn.Module):
    """An encoder whose vector of a token is its row, and the mean of the rows of its text."""

    def __init__(self, rows):
        super().__init__()
        self.rows = torch.nn.Embedding.from_pretrained(torch.as_tensor(rows, dtype=torch.float32))
        self.width = self.rows.embedding_dim

    def encode(self, ids_BT, mask_BT, segments_BT=None):
        own = self.rows(ids_BT) * mask_BT[..., None]
        return [own, own + own.sum(1, keepdim=True) / mask_BT.sum(1)[:, None, None]]

    def layer_groups(self):
        return [self.rows]


def pieces(*specials):
    vocabulary = [*specials, *(word for word in WORDS if word != "bank"), "ba", "##nk", "."]
    numbered = {piece: number for number, piece in enumerate(vocabulary)}
    backend = tokenizers.Tokenizer(models.WordPiece(numbered, unk_token="[UNK]"))  # noqa: S106
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.add_special_tokens(list(specials))
    return SubwordTokenizer(backend)


def word_tokenizer(words=WORDS, *, lowercase=True):
    return WordTokenizer.from_vocabulary(words, lowercase=lowercase)


@pytest.fixture(scope="session")
def encoders():
    """One of each kind; `reader` is made so that it tells the two senses apart."""
    fresh = torch.Generator().manual_seed(0)
    random = np.random.default_rng(0)
    matrix = random.normal(size=(len(WORDS), 8)).astype(np.float32)
    senses = random.normal(scale=0.05, size=(len(WORDS) + 2, 4))
    senses[2 : 2 + len(RIVER), 0] += 1.0
    senses[2 + len(RIVER) : 2 + len(RIVER + MONEY), 1] += 1.0
    sizes = {"width": 8, "layers": 2, "heads": 2, "feed_forward": 16, "positions": POSITIONS}
    of_bert = pieces("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    of_gpt = pieces("<|endoftext|>", "[UNK]")
    bert = Bert(BertConfig(vocabulary_size=len(of_bert.vocabulary), **sizes), generator=fresh)
    gpt = Gpt(GptConfig(vocabulary_size=len(of_gpt.vocabulary), **sizes), generator=fresh)
    words = word_tokenizer()
    elmo = ElmoConfig(
        filters=((1, 4), (2, 8)),
        character_width=4,
        projection=6,
        cells=10,
        vocabulary_size=len(words.vocabulary),
    )
    cove = CoveConfig(
        source_vocabulary=len(words.vocabulary), vector_width=8, hidden=5, target_vocabulary=0
    )
    return {
        "glove": PretrainedWordVectors.from_words("glove", WORDS, matrix, config={}, lineage={}),
        "cove": PretrainedCove.of(Cove(cove, generator=fresh), words, None, lineage={}),
        "elmo": PretrainedElmo.of(Elmo(elmo, generator=fresh), words, lineage={}),
        "gpt": PretrainedGpt.of(gpt, of_gpt, lineage={}),
        "bert": PretrainedBert.of(bert, of_bert, lineage={}),
        "reader": Pretrained("reader", ReadsAll(senses), words, config={}, lineage={}),
    }


@pytest.fixture
def river_and_money():
    return sentences()
