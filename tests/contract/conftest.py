"""A task that is learnt in milliseconds: three topics, thirty short texts, vectors 8 wide."""

import numpy as np
import pytest
import tokenizers
import torch
from tokenizers import models, normalizers, pre_tokenizers

from headstart.hub.bundle import PretrainedWordVectors
from headstart.hub.cove import PretrainedCove
from headstart.hub.elmo import PretrainedElmo
from headstart.hub.language_models import PretrainedBert, PretrainedGpt
from headstart.models.bert import Bert, BertConfig
from headstart.models.cove import Cove, CoveConfig
from headstart.models.elmo import Elmo, ElmoConfig
from headstart.models.gpt import Gpt, GptConfig
from headstart.tokenize.subwords import SubwordTokenizer
from headstart.tokenize.words import WordTokenizer

TOPICS = {
    "sport": ["goal", "match", "team", "coach", "score", "league"],
    "money": ["bank", "stock", "market", "price", "trade", "profit"],
    "music": ["song", "band", "album", "concert", "guitar", "chorus"],
}
PLAIN = ["the", "a", "was", "today", "for"]


def make_encoder(seed=0):
    random = np.random.default_rng(seed)
    centers = np.kron(np.eye(len(TOPICS), 8), np.ones((6, 1)))
    matrix = np.concatenate([centers, np.zeros((len(PLAIN), 8))])
    matrix += random.normal(scale=0.1, size=matrix.shape)
    words = [word for topic in TOPICS.values() for word in topic] + PLAIN
    vectors = np.float32(matrix)
    return PretrainedWordVectors.from_words("glove", words, vectors, config={}, lineage={})


def make_tokenizer(words, *specials):
    vocabulary = {piece: number for number, piece in enumerate([*specials, *words])}
    backend = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.add_special_tokens(list(specials))
    return SubwordTokenizer(backend)


def make_whole_model(kind, encoder, **settings):
    """Make a tiny BERT or GPT whose embeddings are an encoder's word vectors."""
    first = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] if kind == "bert" else ["<|endoftext|>"]
    tokenizer = make_tokenizer(encoder.words, *first, *(() if kind == "bert" else ["[UNK]"]))
    sizes = {"width": 8, "layers": 2, "heads": 2, "feed_forward": 16, "positions": 32, **settings}
    sizes["vocabulary_size"] = len(tokenizer.vocabulary)
    fresh = torch.Generator().manual_seed(0)
    if kind == "bert":
        model = Bert(BertConfig(**sizes), generator=fresh)
        rows = model.embeddings.tokens.weight
    else:
        model = Gpt(GptConfig(**sizes), generator=fresh)
        rows = model.tokens.weight
    with torch.no_grad():
        rows[-len(encoder.words) :] += encoder.matrix
    wrap = PretrainedBert if kind == "bert" else PretrainedGpt
    return wrap.of(model, tokenizer, lineage={})


def make_elmo():
    """Make a tiny ELMo that knows nothing yet."""
    words = [word for topic in TOPICS.values() for word in topic] + PLAIN
    tokenizer = WordTokenizer.from_vocabulary(words, lowercase=True)
    config = ElmoConfig(
        filters=((1, 4), (2, 8)),
        character_width=4,
        projection=6,
        cells=10,
        vocabulary_size=len(tokenizer.vocabulary),
    )
    model = Elmo(config, generator=torch.Generator().manual_seed(0))
    return PretrainedElmo.of(model, tokenizer, lineage={})


def make_cove(encoder):
    """Make a tiny CoVe that reads an encoder's word vectors; it translates nothing."""
    config = CoveConfig(
        source_vocabulary=len(encoder.tokenizer.vocabulary), vector_width=8, hidden=6
    )
    model = Cove(config, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.embedding.weight.copy_(encoder.model.embedding.weight)
    return PretrainedCove.of(model, encoder.tokenizer, None, lineage={})


@pytest.fixture(scope="session")
def encoder():
    return make_encoder()


@pytest.fixture(scope="session")
def encoders(encoder):
    """One of each kind: what replaces the embedding layer, and what replaces the whole model."""
    return {
        "glove": encoder,
        "cove": make_cove(encoder),
        "elmo": make_elmo(),
        "bert": make_whole_model("bert", encoder),
        "bert of one segment": make_whole_model("bert", encoder, segments=1),
        "gpt": make_whole_model("gpt", encoder),
        "gpt, norm last": make_whole_model(
            "gpt", encoder, norm_first=False, tanh_gelu=True, feed_forward=32
        ),
    }


@pytest.fixture(scope="session")
def other_encoder():
    return make_encoder(seed=1)


@pytest.fixture(scope="session")
def texts():
    random = np.random.default_rng(0)
    return [
        " ".join([*random.choice(words, 3), *random.choice(PLAIN, random.integers(1, 4))])
        for words in TOPICS.values()
        for _ in range(10)
    ]


@pytest.fixture(scope="session")
def labels():
    return [topic for topic in TOPICS for _ in range(10)]
