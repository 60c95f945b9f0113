"""Modules that score the tags of every word: the shared pipeline, a whole model, or a head.

    embedding [and spelling] -> BiLSTM -> linear -> CRF        word vectors, CoVe, ELMo
    encoder -> first subword of each word -> linear -> CRF     BERT, GPT
    frozen states of each word -> head -> CRF                  frozen BERT, GPT; any probe

After Lample et al. 2016 (https://arxiv.org/abs/1603.01360), and Devlin et al. 2019, section 5.3. A
softmax at each word may replace the CRF. Shapes: B sentences, T words, N words of all sentences, C
characters, D width, F filters, K tags.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.models.attention import Dropout
from headstart.models.interface import Encoder, device_of
from headstart.tasks.crf import Crf, Independent, Legal
from headstart.tasks.heads import last_states, lay_out
from headstart.tasks.pipelines import TextPipeline, task_layers
from headstart.tasks.tagging import OUTSIDE, Scheme, follows
from headstart.tokenize.batches import Encoded, Rows, offsets_of, pad, ranges
from headstart.tokenize.characters import (
    CHARACTERS,
    PADDED,
    Characters,
    distinct_words,
    words_to_characters,
)
from headstart.tokenize.windows import Windows
from headstart.tokenize.words import UNKNOWN_ID
from headstart.training.precision import has_fast_bf16

_CHARACTER_WIDTH, _FILTERS, _FILTER_WIDTH = 16, 32, 3
_HIDE_RARE = 0.5
_CPU = torch.device("cpu")


def legal_tags(tags: Sequence[str], scheme: Scheme) -> Legal:
    """Return which of these tags may follow which in a tagging scheme."""
    return Legal(
        torch.tensor([follows(OUTSIDE, tag, scheme) for tag in tags]),
        torch.tensor([[follows(tag, after, scheme) for after in tags] for tag in tags]),
        torch.tensor([follows(tag, OUTSIDE, scheme) for tag in tags]),
    )


def decoder_of(legal: Legal, *, crf: bool) -> Crf | Independent:
    """Return a CRF, or a softmax at each word."""
    return Crf(legal) if crf else Independent(legal)


class Spelling(nn.Module):
    """A vector of each word's characters: a convolution with max pooling.

    Ma and Hovy, "End-to-end Sequence Labeling via Bi-directional LSTM-CNNs-CRF", ACL 2016
    (https://arxiv.org/abs/1603.01354), section 2.1; characters are bytes, as in ELMo.
    """

    width = _FILTERS

    def __init__(self) -> None:
        super().__init__()
        self.characters = nn.Embedding(CHARACTERS, _CHARACTER_WIDTH, padding_idx=PADDED)
        self.convolve = nn.Linear(_FILTER_WIDTH * _CHARACTER_WIDTH, _FILTERS)

    def forward(self, ids_NC: Tensor) -> Tensor:
        """Return the vector of each word `[N, F]`."""
        here_NC = ids_NC != PADDED
        longest = int(here_NC.sum(1).max()) if len(ids_NC) else 1
        ids_NC, here_NC = ids_NC[:, :longest], here_NC[:, :longest]
        x_NCD = F.pad(self.characters(ids_NC), (0, 0, 1, 1))
        windows_NCX = torch.cat([x_NCD[:, :-2], x_NCD[:, 1:-1], x_NCD[:, 2:]], -1)
        found_NCF = torch.relu(self.convolve(windows_NCX))  # at least 0, the value at padding
        return (found_NCF * here_NC[..., None]).amax(1)


@dataclass(frozen=True)
class Spelled:
    """Sentences as indices of distinct words, and the characters of these words.

    Attributes:
        words: The index of each word.
        characters: The characters of each distinct word `[distinct words, C]`.
    """

    words: Encoded
    characters: Characters

    @classmethod
    def of(cls, sentences: Sequence[Sequence[str]]) -> "Spelled":
        """Return the indices and characters of the words of sentences."""
        words, numbers = distinct_words(sentences)
        lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
        encoded = Encoded(numbers.astype(np.int32), offsets_of(lengths))
        return cls(encoded, words_to_characters(words))


@dataclass(frozen=True)
class WordInputs:
    """Sentences as inputs of the pipeline.

    Attributes:
        encoded: The id of each word, or for ELMo the ids of its characters.
        spelling: The characters of the words; None if they are not used.
        states: A frozen encoder's states of the words; None to compute them.
    """

    encoded: Encoded
    spelling: Spelled | None = None
    states: Any = None

    @property
    def lengths(self) -> Rows:
        """Number of words of each sentence."""
        return self.encoded.lengths


class TaggingPipeline(TextPipeline):
    """Map words to scores of their tags: embedding, BiLSTM and a classifier for each word.

    Args:
        encoder: Turns ids into vectors.
        decoder: The CRF or softmax on the scores.
        num_tags: Number of tags.
        spelled: Whether to encode the characters of words too.
        settings: Settings of `TextPipeline`.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: Crf | Independent,
        num_tags: int,
        *,
        spelled: bool,
        **settings: Any,  # noqa: ANN401 - each its own type
    ) -> None:
        super().__init__(encoder, num_tags, more=Spelling.width if spelled else 0, **settings)
        self.classify = nn.Linear(self.width, num_tags)
        self.decoder = decoder
        self.spelling = Spelling() if spelled else None
        self.counts_V: Tensor | None = None  # of each id in the training sentences

    def scores(self, given: WordInputs, rows: Rows) -> tuple[Tensor, Tensor]:
        """Return the scores of the sentences in `rows` `[B, T, K]`, and the mask `[B, T]`."""
        if given.states is None:
            ids_BT, mask_BT = map(torch.from_numpy, pad(given.encoded, rows))
            quick = self.training and has_fast_bf16(_CPU)
            with torch.autocast("cpu", torch.bfloat16, enabled=quick):
                layers = task_layers(self.encoder, self._hide_rare(ids_BT), mask_BT)
        else:
            layers, mask_BT = given.states.pad(rows)
        more_BTM = None
        if self.spelling is not None and given.spelling is not None:
            numbers = given.spelling.words.select(rows).ids
            distinct, of_N = np.unique(numbers, return_inverse=True)
            found_MF = self.spelling(torch.from_numpy(given.spelling.characters[distinct]).long())
            found_NF = found_MF[torch.from_numpy(of_N)]
            more_BTM = found_NF.new_zeros(*mask_BT.shape, found_NF.shape[-1])
            more_BTM[mask_BT] = found_NF
        states_BTP = self.states([x_BTD.float() for x_BTD in layers], mask_BT, more_BTM)
        kept_B1P = self.dropout(states_BTP.new_ones(len(states_BTP), 1, states_BTP.shape[-1]))
        return self.classify(states_BTP * kept_B1P), mask_BT

    def _hide_rare(self, ids_BT: Tensor) -> Tensor:
        """Replace untrained words by the unknown word, and in training half of those seen once.

        This trains the vector of the unknown word (Lample et al. 2016, section 4.3).
        """
        if self.counts_V is None:
            return ids_BT
        counts_BT = self.counts_V[ids_BT]
        hidden_BT = counts_BT == 0
        if self.training:
            hidden_BT |= (counts_BT == 1) & (torch.rand(ids_BT.shape) < _HIDE_RARE)
        return ids_BT.masked_fill(hidden_BT & (ids_BT != 0), UNKNOWN_ID)


class WholeTagger(nn.Module):
    """An encoder, and a linear layer on the state of each word's first subword.

    Args:
        encoder: The encoder.
        decoder: The CRF or softmax on the scores.
        num_tags: Number of tags.
        dropout: Dropout rate of the states.
    """

    def __init__(
        self, encoder: Encoder, decoder: Crf | Independent, num_tags: int, *, dropout: float
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = Dropout(dropout)
        self.classify = nn.Linear(encoder.width, num_tags).to(device_of(encoder))
        self.decoder = decoder  # stays on the CPU: it takes many small sequential steps

    def scores(self, given: Windows, rows: Rows) -> tuple[Tensor, Tensor]:
        """Return the scores of the sentences in `rows` `[B, T, K]`, and the mask `[B, T]`."""
        packed = lay_out(self.encoder, given.encoded, given.windows_of(rows))
        return self.scores_of(last_states(self.encoder, packed), packed.first_N, given, rows)

    def scores_of(
        self, states: Tensor, first_N: Rows, given: Windows, rows: Rows
    ) -> tuple[Tensor, Tensor]:
        """Return the result of `scores` from the states at all positions and the window starts."""
        places_N = torch.from_numpy(given.places_of(rows, first_N))
        scores_NK = self.classify(self.dropout(states[places_N]))
        return pad_words(scores_NK.float().cpu(), given.lengths[rows])


@dataclass(frozen=True)
class WordStates:
    """States of words, for sentences concatenated.

    Attributes:
        values: `[N, D]`.
        offsets: Start of each sentence, and the end of the last.
    """

    values: NDArray[np.float32]
    offsets: Rows

    @property
    def lengths(self) -> Rows:
        """Number of words of each sentence."""
        return np.diff(self.offsets)

    def select(self, rows: Rows) -> NDArray[np.float32]:
        """Return the states of the words of the sentences in `rows` `[N, D]`."""
        return self.values[ranges(self.offsets, rows)]


class HeadTagger(nn.Module):
    """A head on frozen states of words.

    Args:
        head: Maps states to scores.
        decoder: The CRF or softmax on the scores.
        scale: Factor on each dimension of the states.
    """

    scale: Tensor

    def __init__(self, head: nn.Module, decoder: Crf | Independent, scale: Tensor) -> None:
        super().__init__()
        self.head = head
        self.decoder = decoder
        self.register_buffer("scale", scale)

    def scores(self, given: WordStates, rows: Rows) -> tuple[Tensor, Tensor]:
        """Return the scores of the sentences in `rows` `[B, T, K]`, and the mask `[B, T]`."""
        states_ND = torch.from_numpy(given.select(rows))
        return pad_words(self.head(self.scale * states_ND), given.lengths[rows])


def pad_words(x_NX: Tensor, lengths: Rows) -> tuple[Tensor, Tensor]:
    """Return words by sentence `[B, T, X]`, padded with zeros, and the mask `[B, T]`."""
    mask_BT = torch.from_numpy(np.arange(max(1, int(lengths.max(initial=0)))) < lengths[:, None])
    padded_BTX = x_NX.new_zeros(*mask_BT.shape, x_NX.shape[-1])
    padded_BTX[mask_BT] = x_NX
    return padded_BTX, mask_BT
