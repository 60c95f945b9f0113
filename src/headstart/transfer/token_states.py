"""States of words in context from CoVe or ELMo: computed once, cached, and looked up.

Shapes: N words of all texts, L layers, D width, B batch, T words of a text.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.hub.bundle import Pretrained
from headstart.models.cove import Cove
from headstart.models.elmo import Elmo
from headstart.models.interface import evaluating
from headstart.progress import SILENT, Progress
from headstart.storage import new_file
from headstart.tasks.pipelines import task_layers, task_shape
from headstart.tokenize.batches import Encoded, Rows, inference_batches, pad, ranges

_TOKENS_AT_ONCE = 4096


@dataclass(frozen=True)
class TokenStates:
    """The states of every word in every layer, for texts concatenated.

    States are rounded to half precision, a relative error of about 1/2000. They are rounded in
    fitting and in prediction alike, whether they come from the cache or not.

    Attributes:
        values: `[N, L, D]`; for models whose last layer alone is used `[N, D]`, in full precision.
        offsets: Start of each text, and the end of the last `[texts + 1]`.
    """

    values: NDArray[Any]
    offsets: Rows

    @property
    def lengths(self) -> Rows:
        """Words of each text `[texts]`."""
        return np.diff(self.offsets)

    def pad(self, rows: Rows) -> tuple[list[Tensor], Tensor]:
        """Return the layers of the texts in `rows`, each `[B, T, D]`, padded with 0, and the mask.

        A text without words has one position of padding.
        """
        lengths = self.lengths[rows]
        columns = np.arange(max(1, int(lengths.max(initial=0))))
        mask_BT = columns < lengths[:, None]
        at = (self.offsets[rows][:, None] + columns)[mask_BT]
        layers, width = self.values.shape[1:]
        padded = torch.zeros(layers, *mask_BT.shape, width)
        mask = torch.from_numpy(mask_BT)
        padded[:, mask] = torch.from_numpy(self.values[at]).float().transpose(0, 1)
        return list(padded), mask

    def save(self, file: Path) -> None:
        """Save the states for `TokenMemory.load`."""
        with new_file(file.with_suffix(".offsets.npy")) as target:
            np.save(target, self.offsets)
        with new_file(file) as target:
            np.save(target, self.values)


@dataclass(frozen=True)
class TokenMemory:
    """Cached states of texts that an encoder has already encoded.

    Attributes:
        rows: The row of each text; a sentence given as words is a tuple.
        states: The states of these texts.
        max_tokens: The maximum number of tokens per text that the states were computed with.
    """

    rows: dict[Hashable, int]
    states: TokenStates
    max_tokens: int

    @classmethod
    def load(cls, file: Path, texts: Sequence[Hashable], max_tokens: int) -> "TokenMemory":
        """Memory-map the states that `TokenStates.save` wrote for the first of these texts."""
        offsets = np.load(file.with_suffix(".offsets.npy"))
        values = np.load(file, mmap_mode="r").view(np.ndarray)
        rows = {text: row for row, text in enumerate(texts[: len(offsets) - 1])}
        return cls(rows, TokenStates(values, offsets), max_tokens)

    def recall(self, texts: Sequence[Hashable], into: NDArray[Any], offsets: Rows) -> Rows:
        """Copy the states of cached texts to `into`; return the rows of all other texts."""
        missing = []
        for row, text in enumerate(texts):
            known = self.rows.get(text)
            if known is None:
                missing.append(row)
            else:
                start, end = self.states.offsets[known : known + 2]
                into[offsets[row] : offsets[row + 1]] = self.states.values[start:end]
        return np.array(missing, np.int64)


def reads_in_context(encoder: Pretrained | None) -> bool:
    """Return whether an encoder replaces the embedding layer by states of words in context."""
    return encoder is not None and isinstance(encoder.model, Cove | Elmo)


def token_states(
    encoder: Pretrained,
    texts: Sequence[str],
    *,
    max_tokens: int,
    encoded: Encoded | None = None,
    progress: Progress = SILENT,
) -> TokenStates:
    """Return the frozen encoder's states of every word of the texts.

    Texts in the encoder's cache (`memory`) are looked up; the others are encoded in batches of
    similar length. The states of a text do not depend on the rest of its batch. Pass the result of
    the encoder's `inputs` as `encoded` to avoid tokenizing the texts again.
    """
    memory: TokenMemory | None = getattr(encoder, "memory", None)
    if memory is not None and memory.max_tokens != max_tokens:
        memory = None
    if encoded is None:
        encoded, _ = encoder.inputs(texts, max_tokens)
    return _states(encoder, texts, encoded, memory, progress)


def states_of_words(
    encoder: Pretrained,
    sentences: Sequence[Sequence[str]],
    encoded: Encoded,
    *,
    progress: Progress = SILENT,
) -> TokenStates:
    """Return the encoder's states of every word of sentences given as words.

    Args:
        encoder: The encoder; sentences in its cache (`word_memory`) are looked up.
        sentences: The sentences.
        encoded: The ids of the sentences, one token per word.
        progress: Receives progress updates.
    """
    memory: TokenMemory | None = getattr(encoder, "word_memory", None)
    return _states(encoder, list(map(tuple, sentences)), encoded, memory, progress)


def _states(
    encoder: Pretrained,
    texts: Sequence[Hashable],
    encoded: Encoded,
    memory: TokenMemory | None,
    progress: Progress,
) -> TokenStates:
    states = TokenStates(
        np.zeros((len(encoded.ids), *task_shape(encoder.model)), np.float16), encoded.offsets
    )
    missing = np.arange(len(texts))
    if memory is not None:
        missing = memory.recall(texts, states.values, states.offsets)
    _read_into(states, encoder, encoded, missing, progress)
    return states


def _read_into(
    states: TokenStates, encoder: Pretrained, encoded: Encoded, rows: Rows, progress: Progress
) -> None:
    with (
        evaluating(encoder.model),
        progress.stage("encoding texts", len(rows), "texts") as advance,
    ):
        for batch, layers in _read(encoder, encoded, rows):
            lengths = encoded.lengths[batch]
            here = np.arange(layers.shape[2]) < lengths[:, None]
            at = ranges(encoded.offsets, batch)
            states.values[at] = layers[:, torch.from_numpy(here)].transpose(0, 1).half().numpy()
            advance(len(batch))


def _read(encoder: Pretrained, encoded: Encoded, rows: Rows) -> Iterator[tuple[Rows, Tensor]]:
    """Yield batches of rows and their layers `[L, B, T, D]`.

    They are always computed in full precision, so cached states equal newly computed ones.
    """
    with torch.inference_mode(), torch.autocast("cpu", enabled=False):
        for batch in inference_batches(encoded.lengths[rows], max_tokens=_TOKENS_AT_ONCE):
            chosen = rows[batch]
            ids_BT, mask_BT = map(torch.from_numpy, pad(encoded, chosen))
            yield chosen, torch.stack(task_layers(encoder.model, ids_BT, mask_BT)).float()
