"""A task whose class is carried by synonyms: few of them are in the labels, all have vectors."""

import numpy as np
import pytest
import tokenizers
import torch
from tokenizers import models, pre_tokenizers

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
from headstart.transfer.methods import Training

SIZES = {
    "width": 16,
    "layers": 2,
    "heads": 2,
    "feed_forward": 32,
    "positions": 24,
    "dropout": 0.0,
}
SPECIALS = {
    "bert": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    "gpt": ["[PAD]", "[UNK]", "<|endoftext|>"],
}


@pytest.fixture(scope="session")
def encoder():
    """100 words: 40 good, 40 bad, and 20 that say nothing."""
    random = np.random.default_rng(0)
    matrix = random.normal(scale=0.3, size=(100, 8))
    matrix[:40, 0] += 1.0
    matrix[40:80, 0] -= 1.0
    words = [f"{kind}{n}" for kind in ("good", "bad") for n in range(40)]
    words += [f"plain{n}" for n in range(20)]
    return PretrainedWordVectors.from_words(
        "glove", words, np.float32(matrix), config={"width": 8}, lineage={"source": "made up"}
    )


@pytest.fixture(scope="session")
def make_task():
    """Make texts, half of them good: three words that say so and two that say nothing."""

    def make(number, *, first, last, seed=0):
        random = np.random.default_rng(seed)
        texts, labels = [], []
        for kind in ("good", "bad") * (number // 2):
            telling = [f"{kind}{n}" for n in random.integers(first, last, 3)]
            plain = [f"plain{n}" for n in random.integers(0, 10, 2)]
            texts.append(" ".join(random.permutation(telling + plain)))
            labels.append(kind)
        return texts, labels

    return make


@pytest.fixture(scope="session")
def task(make_task):
    """Twenty texts, which hold half of the telling words."""
    return make_task(20, first=0, last=20)


@pytest.fixture(scope="session")
def brief():
    return Training(
        hidden=8, batch_size=8, min_steps=10, max_steps=20, evaluate_every=5, patience=2
    )


@pytest.fixture(scope="session")
def whole_models(encoder):
    """A tiny BERT and a tiny GPT whose embeddings tell good words from bad ones."""

    def make(kind):
        vocabulary = [*SPECIALS[kind], *encoder.words]
        numbers = {piece: number for number, piece in enumerate(vocabulary)}
        model = models.WordPiece(numbers, unk_token="[UNK]")  # noqa: S106 - no password
        backend = tokenizers.Tokenizer(model)
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        backend.add_special_tokens(SPECIALS[kind])
        tokenizer = SubwordTokenizer(backend)
        fresh = torch.Generator().manual_seed(0)
        made = (
            Bert(BertConfig(vocabulary_size=len(vocabulary), **SIZES), generator=fresh)
            if kind == "bert"
            else Gpt(GptConfig(vocabulary_size=len(vocabulary), **SIZES), generator=fresh)
        )
        torch.manual_seed(1)
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
            rows = made.embeddings.tokens.weight if kind == "bert" else made.tokens.weight
            rows[len(SPECIALS[kind]) :, :8] += encoder.matrix
        wrap = PretrainedBert if kind == "bert" else PretrainedGpt
        return wrap.of(made, tokenizer, lineage={"source": "made up"})

    return {kind: make(kind) for kind in SPECIALS}


class Own(torch.nn.Module):
    """An encoder that headstart has no class for: each token's vector is mixed with the mean."""

    def __init__(self, rows):
        super().__init__()
        self.rows = torch.nn.Embedding.from_pretrained(rows, freeze=False)
        self.width = self.rows.embedding_dim
        torch.manual_seed(0)
        self.mix = torch.nn.Linear(self.width, self.width)

    def encode(self, ids_BT, mask_BT, segments_BT=None):
        own = self.rows(ids_BT) * mask_BT[..., None]
        mean = own.sum(1, keepdim=True) / mask_BT.sum(1).clamp(min=1)[:, None, None]
        return [own, torch.tanh(self.mix(own + mean))]

    def layer_groups(self):
        return [self.rows, self.mix]


@pytest.fixture(scope="session")
def own(encoder):
    """An encoder of a kind that headstart does not have, on words."""
    model = Own(encoder.model.embedding.weight.detach().clone())
    return Pretrained("mine", model, encoder.tokenizer, config={}, lineage={})


@pytest.fixture(params=["bert", "gpt"])
def whole(request, whole_models):
    """A tiny BERT, and a tiny GPT."""
    return whole_models[request.param]


@pytest.fixture(scope="session")
def readers(encoder):
    """A tiny ELMo, to which words of like letters are alike, and a CoVe that reads the vectors."""
    fresh = torch.Generator().manual_seed(0)
    elmo = Elmo(
        ElmoConfig(filters=((1, 8), (2, 16)), character_width=4, projection=6, cells=12),
        generator=fresh,
    )
    sizes = CoveConfig(source_vocabulary=102, vector_width=8, hidden=6)
    cove = Cove(sizes, generator=fresh)
    with torch.no_grad():
        for letter in b"gb":  # which good and bad words begin with
            elmo.tokens.characters.weight[letter + 1] *= 8.0
        for lstm in elmo.lstms.parameters():
            lstm.mul_(2.0)
        cove.embedding.weight.copy_(encoder.tensors()["embedding.weight"])
        for number, layer in enumerate(cove.layers):  # fresh LSTMs let little through
            for name, weight in layer.named_parameters():
                weight.mul_(2.0 + number if name.startswith("weight_ih") else 1.0)
    words = WordTokenizer.from_vocabulary(encoder.words, lowercase=True)
    return {
        "elmo": PretrainedElmo.of(elmo, words, lineage={"source": "made up"}),
        "cove": PretrainedCove.of(cove, words, None, lineage={"source": "made up"}),
    }


@pytest.fixture(params=["elmo", "cove"])
def reader(request, readers):
    """A tiny ELMo, and a tiny CoVe."""
    return readers[request.param]
