"""Texts in which a fitted model knows no word, so that their predictions say little."""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import compress

import numpy as np

from headstart.hub.bundle import Pretrained
from headstart.models.elmo import Elmo
from headstart.tokenize.batches import offsets_of
from headstart.transfer.fitted import LinearModel

_MARK = r"!-/:-@\[-`{-¿×÷؛؟٪-٭।॥‐-⁞、-〟！-／：-＠［-｀｛-･"  # which models of all languages know
_WORD = re.compile(  # has a letter, and no mark at its ends but a period of `u.s.`
    rf"(?<!\S)[{_MARK}]*+(?=\S*[^\W\d_])(?P<word>(?:[^\W\d_]\.){{2,}}|[^{_MARK}\s](?:\S*[^{_MARK}\s])?)"
)
_MOST_KNOWN = 100_000  # words to remember


class UnknownTexts:
    """Counts texts, or pairs of texts, that contain words, but none that the model knows.

    Args:
        model: A fitted model, or anything that predicts; what has no vocabulary knows every word.
    """

    def __init__(self, model: object) -> None:
        self._knows = _knower(getattr(model, "model_", None))
        self._known: set[str] = set()  # those met so far; most texts contain one
        self._unknown = self._total = 0

    def count(self, texts: Iterable[str | tuple[str, ...]]) -> None:
        """Count more texts or pairs."""
        if self._knows is None:
            return
        left = []
        for each in texts:
            self._total += 1
            text = each if isinstance(each, str) else "\n".join(each)
            if not any(word["word"] in self._known for word in _WORD.finditer(text)):
                left.append(set(_WORD.findall(text)))
        words = list(set().union(*left))
        known = set(compress(words, self._knows(words)))
        if len(self._known) < _MOST_KNOWN:
            self._known |= known
        self._unknown += sum(bool(its) and known.isdisjoint(its) for its in left)

    def notes(self) -> list[str]:
        """Return a note if there are such texts."""
        if not self._unknown:
            return []
        return [
            f"{self._unknown:,} of {self._total:,} inputs contain no word that the model knows; "
            "their predictions say little"
        ]


def _knower(fitted: object) -> Callable[[Sequence[str]], Iterable[bool]] | None:
    """Return the function that tells which words a model knows; None if it knows all."""
    if isinstance(fitted, LinearModel) and not isinstance(fitted.features, Pretrained):
        terms, vocabulary = fitted.features.build_analyzer(), fitted.features.vocabulary_.keys()
        return lambda words: [not vocabulary.isdisjoint(terms(word)) for word in words]
    encoder = getattr(fitted, "encoder", getattr(fitted, "features", None))
    tokenizer = getattr(fitted, "tokenizer", None)
    if tokenizer is None or isinstance(getattr(encoder, "model", None), Elmo):
        return None  # ELMo encodes any word

    def knows(words: Sequence[str]) -> Iterable[bool]:
        encoded = tokenizer.encode_batch(words)
        known = encoded.ids != tokenizer.unknown_id
        return (np.diff(offsets_of(known)[encoded.offsets]) > 0).tolist()

    return knows if tokenizer.unknown_id >= 0 else None
