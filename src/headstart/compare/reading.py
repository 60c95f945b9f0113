"""Encode every text once with each encoder: frozen states are the same in all cells.

The states are stored in a file in the comparison's folder, which every process memory-maps.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.compare.contestants import Contestant
from headstart.compare.schedule import spoken
from headstart.compare.tasks import TAGGING, Examples, sides
from headstart.data.pairs import PairDataset
from headstart.data.parallel import Pair
from headstart.data.tagged import TaggedSentences
from headstart.hub.bundle import Pretrained
from headstart.models.gpt import Gpt
from headstart.progress import Progress
from headstart.storage import fingerprint, new_file
from headstart.tasks.pairs import Pairs
from headstart.tasks.pipelines import task_shape
from headstart.training.precision import has_fast_bf16
from headstart.transfer.features import (
    Floats,
    StatesMemory,
    quick_reading,
    reads_pairs_at_once,
    text_states,
)
from headstart.transfer.fitted_taggers import word_states
from headstart.transfer.fitting import whole_model_width
from headstart.transfer.tag_task import word_ids
from headstart.transfer.token_states import (
    TokenMemory,
    TokenStates,
    reads_in_context,
    states_of_words,
    token_states,
)

MAX_TOKENS = 512  # per text, the default of `TextClassifier`
MOST_BYTES = 4_000_000_000  # of one encoder's states of all texts
_TIMED_TEXTS = 24  # from which the time for all texts is estimated
_CODE = 2  # increase it when the same encoder would give other states for the same text
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Texts:
    """The distinct texts of a comparison, in the order of the states' rows.

    Attributes:
        texts: Each text once.
        pairs: Each pair once, for a pair task: some encoders encode both texts together. Symmetric
            pairs are included in both orders.
        sentences: The words of each text, for a word-level task.
        print: The fingerprint of all.
    """

    texts: tuple[str, ...]
    pairs: tuple[Pair, ...]
    print: str
    sentences: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def of(cls, train: Examples, test: Examples, *, symmetric: bool = False) -> "Texts":
        """Collect the texts of both parts, with `symmetric` pairs in both orders."""
        both: list[Any] = [*train.texts, *test.texts]
        if isinstance(train, TaggedSentences):
            sentences = tuple(dict.fromkeys(map(tuple, both)))
            texts = tuple(TAGGING.texts(sentences))
            return cls(texts, (), fingerprint(sentences), sentences)
        swapped = [(second, first) for first, second in both] if symmetric else []
        examples = tuple(dict.fromkeys([*both, *swapped]))
        if isinstance(train, PairDataset):
            return cls(tuple(dict.fromkeys(sides(examples))), examples, fingerprint(examples))
        return cls(examples, (), fingerprint(examples))


def reads_frozen(one: Contestant, encoder: Pretrained | None, *, by_word: bool = False) -> bool:
    """Whether a method uses the states of its encoder as it was pretrained.

    Fine-tuning starts from a linear layer on these states. For GPT, it does so only in word-level
    tasks (`by_word`), because its start and end tokens of a text are new and differ between seeds.
    Encoders of words in context are scaled by these states before they are fine-tuned.
    """
    if reads_in_context(encoder):
        return True
    if not whole_model_width(encoder) or encoder is None or one.transfer == "scratch":
        return False
    return by_word or not (one.trains_encoder and isinstance(encoder.model, Gpt))


def reads_at_once(one: Contestant, encoder: Pretrained | None) -> bool:
    """Whether a method's encoder encodes both texts of a pair together, not separately."""
    if encoder is None or not whole_model_width(encoder) or one.transfer == "probe":
        return False
    return one.transfer != "frozen" or reads_pairs_at_once(encoder)


@dataclass(frozen=True)
class Read:
    """The result of encoding all texts.

    Attributes:
        files: The file of each encoder's text states, by the encoder's name.
        pair_files: The same for states of pairs that are encoded together.
        unread: Why an encoder has no states, for those that would have taken too long.
    """

    files: dict[str, Path] = field(default_factory=dict)
    pair_files: dict[str, Path] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)


def read_texts(
    texts: Texts,
    contestants: Sequence[Contestant],
    encoders: Mapping[str, Pretrained],
    folder: Path,
    *,
    deadline: float = math.inf,
    most_bytes: int | None = None,
    progress: Progress,
) -> Read:
    """Encode all texts with every encoder that some method uses frozen, small encoders first.

    Args:
        texts: The texts.
        contestants: The methods.
        encoders: The encoders, by name.
        folder: Where the states are stored.
        deadline: In seconds as from `time.time`; no encoder may take more than a third of the time
            that is left, most of which is for the cells.
        most_bytes: The limit for the states of one encoder, in memory and on disk. Word states are
            stored as far as they fit; text states are stored completely or not at all. The rest is
            recomputed when needed.
        progress: Where progress is reported.
    """
    most_bytes = MOST_BYTES if most_bytes is None else most_bytes
    asked = {
        (one.encoder, bool(texts.pairs) and reads_at_once(one, encoders[one.encoder]))
        for one in contestants
        if one.encoder and reads_frozen(one, encoders[one.encoder], by_word=bool(texts.sentences))
    }
    found = Read()
    for name, at_once in sorted(asked, key=lambda each: (num_weights(encoders[each[0]]), each)):
        encoder = encoders[name]
        key = fingerprint(_CODE, encoder.identity, texts.print, MAX_TOKENS, has_fast_bf16(_CPU))
        file = folder / f"{key}{'-pairs' * at_once}.npy"
        if not file.exists():
            needed = _bytes_of_texts(encoder, texts, at_once=at_once)
            if needed > most_bytes:
                progress.note(
                    f"{name}: the states of all texts take {needed / 1e9:.1f} GB, more than "
                    f"{most_bytes / 1e9:.1f} (--max-memory); every cell encodes its texts again"
                )
                continue
            if not math.isinf(deadline):
                read = list(map(" ".join, texts.pairs)) if at_once else texts.texts
                took = seconds_a_text(encoder, read[:_TIMED_TEXTS]) * len(read)
                if took > (deadline - time.time()) / 3:
                    found.unread[name] = (
                        f"encoding all texts once with {name} would have taken about {spoken(took)}"
                    )
                    continue
            with progress.stage(f"{name}: encoding all {'pairs' if at_once else 'texts'}"):
                _read_all(encoder, texts, file, most_bytes, progress, at_once=at_once)
        (found.pair_files if at_once else found.files)[name] = file
    return found


def _bytes_of_texts(encoder: Pretrained, texts: Texts, *, at_once: bool) -> int:
    """Return the size of all text states; 0 for word states, which may be stored in part."""
    if reads_in_context(encoder) or texts.sentences:
        return 0
    rows = len(texts.pairs if at_once else texts.texts)
    return rows * 4 * encoder.model.width * np.dtype(np.float32).itemsize


def _read_all(
    encoder: Pretrained,
    texts: Texts,
    file: Path,
    most_bytes: int,
    progress: Progress,
    *,
    at_once: bool,
) -> None:
    if texts.sentences:
        _read_words(encoder, texts.sentences, file, most_bytes, progress)
        return
    if not reads_in_context(encoder):
        read = sides(texts.pairs) if at_once else texts.texts
        pairs: Pairs = "ordered" if at_once else None
        with quick_reading():
            states = text_states(
                encoder, read, max_tokens=MAX_TOKENS, pairs=pairs, progress=progress
            )
        with new_file(file) as target:
            np.save(target, states)
        return
    layers, width = task_shape(encoder.model)
    encoded, _ = encoder.inputs(texts.texts, MAX_TOKENS)
    known = _known(encoded.offsets, 2 * layers * width, most_bytes)
    token_states(encoder, texts.texts[:known], max_tokens=MAX_TOKENS, progress=progress).save(file)


def _read_words(
    encoder: Pretrained,
    sentences: Sequence[Sequence[str]],
    file: Path,
    most_bytes: int,
    progress: Progress,
) -> None:
    """Store the states that a tagger needs: all layers of words in context, or the last layer."""
    offsets = np.cumsum([0, *map(len, sentences)])
    layers, width = task_shape(encoder.model)
    if reads_in_context(encoder):
        some = sentences[: _known(offsets, 2 * layers * width, most_bytes)]
        states = states_of_words(encoder, some, word_ids(encoder, some), progress=progress)
    else:
        some = sentences[: _known(offsets, 4 * width, most_bytes)]
        with quick_reading():
            read = word_states(encoder, some, max_tokens=MAX_TOKENS, progress=progress)
        states = TokenStates(read.values, read.offsets)
    states.save(file)


def _known(offsets: NDArray[np.int64], word_bytes: int, most_bytes: int) -> int:
    """Return for how many texts the word states are stored; the others are recomputed."""
    return int(np.searchsorted(offsets, most_bytes // word_bytes, "right")) - 1


def num_weights(encoder: Pretrained) -> int:
    """Return the number of an encoder's weights."""
    return sum(tensor.numel() for tensor in encoder.tensors().values())


def remember(encoder: Pretrained, texts: Texts, file: Path) -> None:
    """Make the encoder look up its states of these texts instead of computing them."""
    if texts.sentences:
        vars(encoder)["word_memory"] = TokenMemory.load(file, texts.sentences, MAX_TOKENS)
        return
    if reads_in_context(encoder):
        vars(encoder)["memory"] = TokenMemory.load(file, texts.texts, MAX_TOKENS)
    else:
        vars(encoder)["memory"] = _states_memory(texts.texts, file)


def remember_pairs(encoder: Pretrained, texts: Texts, file: Path) -> None:
    """Make `text_states` look up the states of pairs that are encoded together."""
    vars(encoder)["pair_memory"] = _states_memory(texts.pairs, file)


def _states_memory(read: Sequence[str] | Sequence[Pair], file: Path) -> StatesMemory:
    states: Floats = np.load(file, mmap_mode="r").view(np.ndarray)
    return StatesMemory({each: row for row, each in enumerate(read)}, states, MAX_TOKENS)


def seconds_a_text(encoder: Pretrained, texts: Sequence[str]) -> float:
    """Measure the seconds per text that the encoder takes, with the threads of this process.

    The texts are encoded twice and only the second time counts, because the first includes
    one-time preparations of libraries for each shape.
    """
    known = vars(encoder).pop("memory", None)
    try:
        for _ in range(2):
            started = time.perf_counter()
            with quick_reading():
                text_states(encoder, texts, max_tokens=MAX_TOKENS)
            seconds = time.perf_counter() - started
        return seconds / max(1, len(texts))
    finally:
        if known is not None:
            vars(encoder)["memory"] = known
