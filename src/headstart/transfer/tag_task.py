"""The task that a tagger is fitted to, and how an encoder encodes sentences given as words."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.overlap import numbered, text_key
from headstart.data.splits import validation_part
from headstart.errors import SettingsError
from headstart.hub.bundle import Pretrained
from headstart.models.elmo import Elmo
from headstart.models.interface import is_causal
from headstart.models.word_vectors import WordVectors
from headstart.tasks.crf import Legal
from headstart.tasks.taggers import Spelled, WordInputs, legal_tags
from headstart.tasks.tagging import Scheme
from headstart.tokenize.batches import Encoded, Rows, offsets_of
from headstart.tokenize.subwords import SubwordTokenizer
from headstart.tokenize.windows import Windows, read_windows
from headstart.tokenize.words import WordTokenizer
from headstart.transfer.token_states import reads_in_context

Sentences = Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class TagTask:
    """What a tagger is fitted to.

    Attributes:
        sentences: Lists of words, none empty.
        labels: The index of each word's tag, for all sentences concatenated.
        tags: The tags, sorted.
        scheme: The tagging scheme.
        seed: Seed of the validation set, the order of examples, and random weights.
        max_tokens: Maximum number of subwords that a whole model encodes at once.
        crf: Whether to use a CRF rather than a softmax per word.
        spelled: Whether to concatenate a vector of each word's characters to its word vector.
    """

    sentences: Sentences
    labels: NDArray[np.int64]
    tags: Sequence[str]
    scheme: Scheme
    seed: int
    max_tokens: int
    crf: bool
    spelled: bool

    def __len__(self) -> int:
        return len(self.sentences)

    @cached_property
    def targets(self) -> Encoded:
        """The index of each word's tag, by sentence."""
        lengths = np.fromiter(map(len, self.sentences), np.int64, len(self))
        return Encoded(self.labels.astype(np.int32), offsets_of(lengths))

    @property
    def legal(self) -> Legal:
        """Which tags may follow which."""
        return legal_tags(self.tags, self.scheme)

    def parts(self) -> tuple[Rows, Rows]:
        """Return the training and the validation sentences, the same for every method.

        The split is stratified by each sentence's rarest tag, or by a tag that no other sentence
        has, so that no tag occurs only in the validation set. If there are enough sentences, none
        is in both.
        """
        targets, num_tags = self.targets, len(self.tags)
        different = numbered(text_key(" ".join(words)) for words in self.sentences)
        sentence = np.repeat(different, targets.lengths)
        having = np.bincount(
            np.unique(sentence * num_tags + self.labels) % num_tags, minlength=num_tags
        )
        counts = np.where(having == 1, 0, np.bincount(self.labels, minlength=num_tags))
        rarest = [
            str(min(targets[row].tolist(), key=counts.__getitem__)) for row in range(len(self))
        ]
        return validation_part(rarest, different, seed=self.seed)


def word_ids(encoder: Pretrained, sentences: Sentences) -> Encoded:
    """Return the encoder's id of each word, or for ELMo the ids of its characters."""
    tokenizer = encoder.tokenizer
    if isinstance(encoder.model, Elmo) and isinstance(tokenizer, WordTokenizer):
        normal = {word: tokenizer.normal(word) for words in sentences for word in words}
        spelled = Spelled.of([[normal[word] for word in words] for words in sentences])
        characters = spelled.characters.astype(np.int32)[spelled.words.ids]
        return Encoded(characters, spelled.words.offsets)
    if isinstance(tokenizer, WordTokenizer):
        return tokenizer.encode_words(sentences)
    windows = read_windows(tokenizer, sentences, room=1 << 30)  # type: ignore[arg-type]
    first = windows.encoded.ids[windows.encoded.offsets[windows.window_N] + windows.place_N]
    return Encoded(first, windows.offsets)


def pipeline_inputs(encoder: Pretrained, sentences: Sentences, *, spelled: bool) -> WordInputs:
    """Return the pipeline's inputs for sentences."""
    spelling = Spelled.of(sentences) if spelled else None
    return WordInputs(word_ids(encoder, sentences), spelling)


def window_inputs(encoder: Pretrained, sentences: Sentences, max_tokens: int) -> Windows:
    """Return sentences as inputs of a whole model: windows, special tokens included.

    Raises:
        SettingsError: The encoder has a tokenizer of another class, or `max_tokens` leaves no room
            for a word.
    """
    tokenizer = encoder.tokenizer
    if not isinstance(tokenizer, SubwordTokenizer):
        raise SettingsError(
            f"to tag words, a {type(encoder.model).__name__} needs a SubwordTokenizer "
            f"(SubwordTokenizer.train or .load), got a {type(tokenizer).__name__}"
        )
    frame = encoder.frame
    return read_windows(
        tokenizer,
        sentences,
        room=encoder.room(max_tokens),
        before=frame.before,
        after=frame.after,
        causal=is_causal(encoder.model),
    )


def word_coverage(encoder: Pretrained, sentences: Sentences) -> dict[str, Any]:
    """Return how much of the sentences' vocabulary the encoder knows, as fields of a `Proof`."""
    counts = Counter(word for words in sentences for word in words)
    if isinstance(encoder.model, Elmo):  # it encodes any word
        return {
            "words_covered": len(counts),
            "words": len(counts),
            "tokens_covered": 1.0,
            "unknown": (),
        }
    words = list(counts)
    encoded = encoder.tokenizer.encode_batch(words)
    if isinstance(encoder.tokenizer, WordTokenizer):
        encoded = encoder.tokenizer.encode_words([[word] for word in words])
    unknown = encoder.tokenizer.unknown_id
    missing = [word for row, word in enumerate(words) if unknown in encoded[row].tolist()]
    not_known = sum(counts[word] for word in missing)
    return {
        "words_covered": len(words) - len(missing),
        "words": len(words),
        "tokens_covered": 1.0 - not_known / max(1, counts.total()),
        "unknown": tuple(sorted(missing, key=lambda word: (-counts[word], word))[:8]),
    }


def replaces_embedding(encoder: Pretrained) -> bool:
    """Return whether an encoder replaces the embedding layer rather than the whole model."""
    return isinstance(encoder.model, WordVectors) or reads_in_context(encoder)
