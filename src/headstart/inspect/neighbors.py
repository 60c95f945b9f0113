"""What vectors know about the words of a task: their neighbors, and which words moved most.

The usual comparison has three columns: vectors trained from scratch on few labels know little,
pretrained vectors know the language, and fine-tuned vectors know it and have shifted towards the
task.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headstart.models.word_vectors import Neighbors, WordSpace
from headstart.tokenize.words import WordTokenizer

_WORD = re.compile(r"[^\W\d_]{3,}")
_SHARE_OF_TEXTS = 0.004


@dataclass(frozen=True)
class TellingWord:
    """A word that is typical of a class.

    Attributes:
        word: The word.
        label: The class.
        count: Number of texts that contain it.
    """

    word: str
    label: str
    count: int


class _Documents(NamedTuple):
    """The words W (three or more letters) in at least two texts, and which texts contain them.

    A word counts once per text. `text_of` and `row_of` give the text and the row in W of each such
    pair of text and word.
    """

    words: list[str]
    counts_W: NDArray[np.int64]
    text_of: NDArray[np.int64]
    row_of: NDArray[np.int64]


def inspect_words(
    texts: Sequence[str],
    labels: Sequence[str],
    tokenizer: WordTokenizer,
    spaces: Mapping[str, WordSpace],
    *,
    per_class: int = 3,
    top: int = 6,
) -> dict[str, Any]:
    """Compare the words that are typical of each class in several vector spaces.

    Neighbors are searched among the words of the task: those in at least 4 of 1,000 texts (and in
    two or more), the same for all spaces. In the full vocabulary of a large space, the nearest
    neighbors are rare names that a space learned from the labels alone does not contain.

    Args:
        texts: Labeled texts.
        labels: Their labels.
        tokenizer: Tokenizes the texts into the words of the spaces.
        spaces: The vector spaces by name, one column each. Moved words are reported between
            `pretrained` and `finetuned`.
        per_class: Number of words per class.
        top: Number of neighbors per word, and of words that moved most.

    Returns:
        `{"words": [{"word", "label", "count", "columns": {name: [{"word", "similarity"}, ..]}}],
        "moved": [{"word", "distance", "before": [..], "after": [..]}]}`, all plain values. A column
        is empty if the word has no vector.
    """
    documents = _documents(texts, tokenizer)
    words = _telling_words(documents, labels, per_class)
    min_texts = _SHARE_OF_TEXTS * len(texts)
    own = [
        word
        for word, count in zip(documents.words, documents.counts_W, strict=True)
        if count >= min_texts
    ]
    candidates = list(dict.fromkeys([*own, *(word.word for word in words)]))
    spaces = {name: space.among(candidates) for name, space in spaces.items()}
    columns = {
        name: _neighbors(space, [word.word for word in words], top)
        for name, space in spaces.items()
    }
    shown = [
        {**vars(word), "columns": {name: column[word.word] for name, column in columns.items()}}
        for word in words
    ]
    moved = []
    if "pretrained" in spaces and "finetuned" in spaces:
        moved = moved_words(spaces["pretrained"], spaces["finetuned"], own, top=top)
    return {"words": shown, "moved": moved}


def telling_words(
    texts: Sequence[str],
    labels: Sequence[str],
    tokenizer: WordTokenizer,
    *,
    per_class: int = 3,
) -> list[TellingWord]:
    """Return the words most typical of each class, with the classes in sorted order.

    A typical word has a high z-score of the log-odds that a text of the class contains it, compared
    with the other texts, with the word's own frequency as prior (Monroe, Colaresi and Quinn,
    "Fightin' Words", 2008, equations 15, 16 and 22). Words consist of three or more letters.
    """
    return _telling_words(_documents(texts, tokenizer), labels, per_class)


def _telling_words(
    documents: _Documents, labels: Sequence[str], per_class: int
) -> list[TellingWord]:
    if len(documents.words) < 2:
        return []
    classes, label_of = np.unique(np.asarray(labels, dtype=object).astype(str), return_inverse=True)
    counts_CW = np.zeros((len(classes), len(documents.words)))
    np.add.at(counts_CW, (label_of[documents.text_of], documents.row_of), 1.0)
    prior_W = counts_CW.sum(0)
    found = []
    for label, own_W in zip(classes.tolist(), counts_CW, strict=True):
        other_W = prior_W - own_W
        log_odds_W = _log_odds(own_W + prior_W) - _log_odds(other_W + prior_W)
        z_W = log_odds_W / np.sqrt(1.0 / (own_W + prior_W) + 1.0 / (other_W + prior_W))
        for row in np.argsort(-z_W, kind="stable")[:per_class]:
            if z_W[row] > 0.0:
                found.append(TellingWord(documents.words[row], label, int(prior_W[row])))
    return found


def moved_words(
    before: WordSpace, after: WordSpace, words: Sequence[str], *, top: int = 6
) -> list[dict[str, Any]]:
    """Return the words whose vectors changed direction most, with neighbors before and after.

    The distance is one minus the cosine of the two vectors, so 0 if training did not change a word.
    """
    shared = [word for word in words if word in before and word in after]
    unit_before = before.unit_VD[[before.ids[word] for word in shared]]
    unit_after = after.unit_VD[[after.ids[word] for word in shared]]
    distances = (1.0 - (unit_before * unit_after).sum(1)).numpy()
    rows = [row for row in np.argsort(-distances, kind="stable")[:top] if distances[row] > 1e-6]
    chosen = [shared[row] for row in rows]
    neighbors = [_neighbors(space, chosen, top) for space in (before, after)]
    return [
        {
            "word": shared[row],
            "distance": round(float(distances[row]), 4),
            "before": neighbors[0][shared[row]],
            "after": neighbors[1][shared[row]],
        }
        for row in rows
    ]


def _documents(texts: Sequence[str], tokenizer: WordTokenizer) -> _Documents:
    encoded = tokenizer.encode_batch(texts)
    text_of = np.repeat(np.arange(len(texts)), encoded.lengths)
    size = tokenizer.vocabulary_size  # one number for both: sorts much faster than pairs
    text_of, ids = np.divmod(np.unique(text_of * size + encoded.ids), size)
    rows, row_of, counts = np.unique(ids, return_inverse=True, return_counts=True)
    proper = [bool(_WORD.fullmatch(tokenizer.vocabulary[row])) for row in rows]
    kept = np.array(proper, bool) & (counts > 1)
    position = np.cumsum(kept) - 1
    inside = kept[row_of]
    words = [tokenizer.vocabulary[row] for row in rows[kept]]
    return _Documents(words, counts[kept], text_of[inside], position[row_of[inside]])


def _log_odds(counts_W: NDArray[np.float64]) -> NDArray[np.float64]:
    log_odds_W: NDArray[np.float64] = np.log(counts_W / (counts_W.sum() - counts_W))
    return log_odds_W


def _neighbors(space: WordSpace, words: Sequence[str], top: int) -> dict[str, list[dict[str, Any]]]:
    known = [word for word in words if word in space]
    found: dict[str, Neighbors] = dict(zip(known, space.neighbors(known, top=top), strict=True))
    return {
        word: [
            {"word": other, "similarity": round(similarity, 4)}
            for other, similarity in found.get(word, [])
        ]
        for word in words
    }
