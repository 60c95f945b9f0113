"""GPT's objective: predict the next token, `L = - sum_t log p(y_t | y_<t)`.

Radford, Narasimhan, Salimans and Sutskever, "Improving Language Understanding by Generative
Pre-Training", 2018, section 3.1. [ours] Documents are concatenated into rows without padding, with
an end-of-text token before each. Attention never crosses document boundaries, and positions count
from the start of a document, or of its piece in the row.

Shapes: B rows, T tokens, D width.
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
_FEWEST = 3  # tokens: a row of two, the shortest allowed, and the target after it


@dataclass(frozen=True, kw_only=True)
class CausalLm:
    """Settings of GPT's pretraining.

    Attributes:
        tokens_per_row: Length of a row: the most context that a prediction can use.
        rows_per_step: Rows per update, over all processes. Few rows train better in a few minutes:
            early on, more steps are worth more than exact gradients.
        rows_at_once: Rows per micro-batch; the gradients of a step are accumulated.
        learning_rate: The peak; for a model pretrained from scratch it is 1 / width by default, or
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
        if self.optimizer not in tuple(OPTIMIZERS):  # may be of any type
            raise SettingsError(
                f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}"
            )


@dataclass(frozen=True)
class Batch:
    """Rows of concatenated documents, and the token that follows each token.

    Attributes:
        ids_BT: Token ids.
        targets_BT: The next token of each.
        sequences_BT: Index of each token's document, counted within its row.
        positions_BT: Position of each token in its document, or in the document's piece in the row.
        documents: The documents in the rows.
    """

    ids_BT: NDArray[np.int64]
    targets_BT: NDArray[np.int64]
    sequences_BT: NDArray[np.int64]
    positions_BT: NDArray[np.int64]
    documents: Rows

    def describe(self) -> str:
        """Name the documents, for error messages."""
        return named("documents", self.documents.tolist())


class Objective:
    """The objective with which `training.runs.run` pretrains a GPT.

    The rows and their order are a function of (seed, step) alone, and every position is a token.

    Args:
        model: The GPT to train.
        documents: The corpus, each document one sentence.
        tokenizer: The corpus's tokenizer; its end-of-text token, if any, starts each document.
        settings: Row length, batch sizes, learning rate and optimizer.
        seed: Controls everything random.
        share: The rank of this process, and the number of processes.

    Raises:
        DataError: The corpus has fewer than three tokens.
        SettingsError: Rows are longer than the model's positions.
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
                f"{model.config.positions} positions; lower tokens_per_row"
            )
        self.model, self.documents, self.settings, self.seed = model, documents, settings, seed
        self.rank, self.size = share
        self.end = tokenizer.specials.end
        self.training, self.held_out = hold_out(documents, seed=seed)
        self.tokens_per_row, self.rows_per_epoch = self._shape(self.training)
        enough = self._tokens(self.held_out) >= _FEWEST
        self.validation = self._rows_of(self.held_out) if enough else []

    def _tokens(self, chosen: Rows) -> int:
        """Return the number of tokens, including the end-of-text tokens before documents."""
        announced = self.end is not None
        return int(np.diff(self.documents.starts)[chosen].sum()) + announced * len(chosen)

    def _shape(self, chosen: Rows) -> tuple[int, int]:
        """Return the row length, and the number of full rows in the documents."""
        total = self._tokens(chosen)
        if total < _FEWEST:
            raise DataError("the corpus has fewer than three tokens; there is nothing to predict")
        tokens = min(self.settings.tokens_per_row, total - 1)
        return tokens, (total - 1) // tokens

    @property
    def left_over(self) -> int:
        """Tokens that do not fit into the full rows of an epoch."""
        return self._tokens(self.training) - 1 - self.rows_per_epoch * self.tokens_per_row

    @property
    def steps_per_epoch(self) -> int:
        """Number of full steps per epoch, at least one; then rows are drawn again."""
        return max(1, self.rows_per_epoch // self.settings.rows_per_step)

    def batches(self, first_step: int) -> Iterator[Sequence[Batch]]:
        """Yield the micro-batches of step `first_step`, of the next, and so on, endlessly."""
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
        """Return how many epochs the first `step` steps are."""
        return step * min(self.settings.rows_per_step, self.rows_per_epoch) / self.rows_per_epoch

    def tokens(self, batch: Batch) -> int:
        """Return the number of tokens in a batch."""
        return batch.ids_BT.size

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch as `(sum, count)`."""
        total = next_token_loss(self.model, batch)
        return total, torch.tensor(float(batch.targets_BT.size))

    def validate(self) -> dict[str, float] | None:
        """Return loss and perplexity per token on the held-out documents."""
        if not self.validation:
            return None
        with torch.inference_mode():
            total = sum(float(next_token_loss(self.model, batch)) for batch in self.validation)
        loss = total / sum(batch.targets_BT.size for batch in self.validation)
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}

    def validated_on(self) -> str | None:
        """Return a digest of the held-out tokens, or None if there are none."""
        return digest(batch.ids_BT for batch in self.validation)

    def report(self) -> dict[str, Any]:
        """Return what the run records: every position is a token."""
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
    """Concatenated documents in a given order, the end-of-text token (if any) before each."""

    def __init__(self, documents: EncodedDocuments, order: Rows, end: int | None) -> None:
        self.ids, self.order, self.end = documents.ids, order, end
        self.announced = int(end is not None)
        starts = documents.starts
        self.begins_at = starts[order]  # in the corpus
        lengths = starts[order + 1] - self.begins_at + self.announced
        self.offsets = offsets_of(lengths)  # in the stream

    def rows(self, numbers: Rows, tokens: int, first: int = 0) -> Batch:
        """Return rows starting at `first + number * tokens`, with the token after each."""
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
