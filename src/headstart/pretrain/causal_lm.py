"""GPT's objective: predict the next token, `L = - sum_t log p(y_t | y_<t)`.

Radford, Narasimhan, Salimans and Sutskever, "Improving Language Understanding by Generative
Pre-Training", 2018, section 3.1. [ours] Documents stand end to end in rows without padding, with an
end-of-text token before each; attention never crosses from one document to another, and positions
count from where a document, or its piece in this row, begins.

Shapes: B rows, T tokens.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.errors import DataError, SettingsError
from headstart.models.cross_entropy import linear_cross_entropy
from headstart.models.gpt import Gpt
from headstart.seeds import generator
from headstart.tokenize.batches import Rows, digest, offsets_of
from headstart.tokenize.documents import EncodedDocuments, first_place, hold_out, named
from headstart.tokenize.subwords import SubwordTokenizer
from headstart.training.optimizers import OPTIMIZERS, OptimizerName

_VALIDATION_ROWS = 32
_FEWEST = 3  # tokens: one more than a row that is full, and a row of one predicts what it has read


@dataclass(frozen=True, kw_only=True)
class CausalLm:
    """Settings of GPT's pretraining.

    Attributes:
        tokens_per_row: Length of a row: what a prediction can look back on.
        rows_per_step: Rows that one update looks at, over all processes; with few, minutes teach
            more, since early on more steps are worth more than exact ones.
        rows_at_once: Rows computed together; the gradients of a step's parts are added up.
        learning_rate: At its highest; of a model pretrained anew it is 1 / width by default, and
            0.256 / width with AdamW.
        optimizer: `muon`, with which a model learns as much in two thirds of the time, or `adamw`.
    """

    tokens_per_row: int = 128
    rows_per_step: int = 16
    rows_at_once: int = 32
    learning_rate: float = 1e-3
    optimizer: OptimizerName = "muon"

    def __post_init__(self) -> None:
        for name, least in (("tokens_per_row", 2), ("rows_per_step", 1), ("rows_at_once", 1)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise SettingsError(f"{name} must be a whole number from {least}, got {value!r}")
        if type(self.learning_rate) not in (int, float) or not 0 < self.learning_rate < math.inf:
            raise SettingsError(f"learning_rate must be above 0, got {self.learning_rate!r}")
        if self.optimizer not in tuple(OPTIMIZERS):  # which may be of any type
            raise SettingsError(
                f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}"
            )


@dataclass(frozen=True)
class Batch:
    """Rows of documents end to end, and the token that follows each token.

    Attributes:
        ids_BT: Tokens.
        targets_BT: The next token of each.
        sequences_BT: The number of the document each belongs to, counted in its row.
        positions_BT: Each one's place in its document, or in the piece of it that is in the row.
        documents: The documents of the rows.
    """

    ids_BT: NDArray[np.int64]
    targets_BT: NDArray[np.int64]
    sequences_BT: NDArray[np.int64]
    positions_BT: NDArray[np.int64]
    documents: Rows

    def describe(self) -> str:
        """Name the documents, for messages."""
        return named("documents", self.documents.tolist())


class Objective:
    """What `training.runs.run` needs to pretrain a GPT.

    The rows and their order are a function of (seed, step) alone, and every position is a token.

    Args:
        model: The GPT to train.
        documents: The corpus, each document one sentence.
        tokenizer: What encoded it; without an end-of-text token, documents are not announced.
        settings: How much at a time.
        seed: Decides everything random.
        share: This process's number, and how many there are.

    Raises:
        DataError: The corpus has fewer than three tokens.
        SettingsError: Rows are longer than the model.
    """

    def __init__(
        self,
        model: Gpt,
        documents: EncodedDocuments,
        tokenizer: SubwordTokenizer,
        settings: CausalLm,
        *,
        seed: int,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        if settings.tokens_per_row > model.config.positions:
            raise SettingsError(
                f"rows of {settings.tokens_per_row} tokens are longer than the model's "
                f"{model.config.positions} positions"
            )
        self.model, self.documents, self.settings, self.seed = model, documents, settings, seed
        self.rank, self.size = share
        self.end = tokenizer.specials.end
        self.training, self.held_out = hold_out(documents, seed=seed)
        self.tokens_per_row, self.rows_per_epoch = self._shape(self.training)
        enough = self._tokens(self.held_out) >= _FEWEST
        self.validation = self._rows_of(self.held_out) if enough else []

    def _tokens(self, chosen: Rows) -> int:
        """Return how many tokens there are to read, those that announce a document included."""
        announced = self.end is not None
        return int(np.diff(self.documents.starts)[chosen].sum()) + announced * len(chosen)

    def _shape(self, chosen: Rows) -> tuple[int, int]:
        """Return the length of rows, and how many full ones the documents make."""
        total = self._tokens(chosen)
        if total < _FEWEST:
            raise DataError("the corpus has fewer than three tokens; there is nothing to predict")
        tokens = min(self.settings.tokens_per_row, total - 1)
        return tokens, (total - 1) // tokens

    @property
    def left_over(self) -> int:
        """Tokens that the full rows of an epoch leave over."""
        return self._tokens(self.training) - 1 - self.rows_per_epoch * self.tokens_per_row

    @property
    def steps_per_epoch(self) -> int:
        """Steps after which rows are drawn anew: as many as are full."""
        return max(1, self.rows_per_epoch // self.settings.rows_per_step)

    def batches(self, first_step: int) -> Iterator[Sequence[Batch]]:
        """Yield the parts of step `first_step`, of the next, and so on without end."""
        epoch, at = divmod(first_step - 1, self.steps_per_epoch)
        while True:
            order = generator(self.seed, "documents", epoch).permutation(self.training)
            stream = _Stream(self.documents, order, self.end)
            rows = generator(self.seed, "rows", epoch).permutation(self.rows_per_epoch)
            first = first_place(self.training, self.left_over, seed=self.seed, epoch=epoch)
            for step in range(at, self.steps_per_epoch):
                of_step = rows[step * self.settings.rows_per_step :][: self.settings.rows_per_step]
                at_once = min(self.settings.rows_at_once, -(-len(of_step) // self.size))
                parts = [
                    of_step[start : start + at_once] for start in range(0, len(of_step), at_once)
                ]
                yield [
                    stream.rows(part, self.tokens_per_row, first)
                    for part in parts[self.rank :: self.size]
                ]
            epoch, at = epoch + 1, 0

    def epochs(self, step: int) -> float:
        """Return how many passes over the corpus the rows of so many steps are."""
        return step * min(self.settings.rows_per_step, self.rows_per_epoch) / self.rows_per_epoch

    def tokens(self, batch: Batch) -> int:
        """Return how many tokens a batch holds."""
        return batch.ids_BT.size

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch as `(sum, count)`."""
        total = next_token_loss(self.model, batch)
        return total, torch.tensor(float(batch.targets_BT.size))

    def validate(self) -> dict[str, float] | None:
        """Return loss and perplexity a token on the held-out documents."""
        if not self.validation:
            return None
        with torch.inference_mode():
            total = sum(float(next_token_loss(self.model, batch)) for batch in self.validation)
        loss = total / sum(batch.targets_BT.size for batch in self.validation)
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}

    def validated_on(self) -> str | None:
        """Return what tells the held-out tokens from others, if there are any."""
        return digest(batch.ids_BT for batch in self.validation)

    def report(self) -> dict[str, Any]:
        """Return what the run shall remember: every position was a token."""
        return {"positions_filled": 1.0}

    def _rows_of(self, chosen: Rows) -> list[Batch]:
        tokens, count = self._shape(chosen)
        stream = _Stream(self.documents, chosen, self.end)
        return [
            stream.rows(np.arange(at, min(count, at + _VALIDATION_ROWS)), tokens)
            for at in range(0, count, _VALIDATION_ROWS)
        ]


def next_token_loss(model: Gpt, batch: Batch) -> Tensor:
    """Return the summed loss of all predictions of a batch."""
    last_BTD = model(
        torch.from_numpy(batch.ids_BT),
        torch.from_numpy(batch.sequences_BT),
        torch.from_numpy(batch.positions_BT),
    )[-1]
    targets = torch.from_numpy(batch.targets_BT).flatten()
    return linear_cross_entropy(last_BTD.flatten(0, 1), model.tokens.weight, None, targets)


class _Stream:
    """Documents end to end in a given order, an end-of-text token before each."""

    def __init__(self, documents: EncodedDocuments, order: Rows, end: int | None) -> None:
        self.ids, self.order, self.end = documents.ids, order, end
        self.announced = int(end is not None)
        starts = documents.starts
        self.begins_at = starts[order]  # in the corpus
        lengths = starts[order + 1] - self.begins_at + self.announced
        self.offsets = offsets_of(lengths)  # in the stream

    def rows(self, numbers: Rows, tokens: int, first: int = 0) -> Batch:
        """Return rows `first + number * tokens ..` of the stream, with the token after each."""
        places = first + numbers[:, None] * tokens + np.arange(tokens + 1)
        of = np.searchsorted(self.offsets, places, "right") - 1
        within = places - self.offsets[of]
        ids = self.ids[self.begins_at[of] + np.maximum(within - self.announced, 0)].astype(np.int64)
        if self.end is not None:
            ids[within == 0] = self.end
        of, within = of[:, :-1], within[:, :-1]
        column = np.arange(tokens)
        piece = np.maximum.accumulate(np.where(within == 0, column, 0), axis=1)
        return Batch(
            ids[:, :-1], ids[:, 1:], of - of[:, :1], column - piece, self.order[np.unique(of)]
        )
