"""Notes on misleading data: labels that look alike or are joined, decomposed letters, HTML."""

import re
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from unicodedata import is_normalized, normalize

_SHOWN = 3  # groups of labels in a note
_HTML = re.compile(r"&(amp|lt|gt|quot|nbsp|#\d+);|</?(br|p|div|span|a|b|i)\b[^<>]*>", re.IGNORECASE)
_MUCH = 0.01  # of the texts
_BETWEEN = "|;,"  # separators of several labels in one cell


def note_labels(labels: Iterable[str]) -> list[str]:
    """Return a note on labels that look the same but are different classes.

    They are equal after NFKC normalization and case folding, and without extra spaces.
    """
    alike: dict[str, list[str]] = {}
    for label in sorted(set(labels)):
        alike.setdefault(_looks(label), []).append(label)
    groups = [" and ".join(map(repr, group)) for group in alike.values() if len(group) > 1]
    if not groups:
        return []
    return [
        f"{'; '.join(groups[:_SHOWN])}{_more(len(groups) - _SHOWN)}: separate classes that "
        "differ only in case, spaces or Unicode form; merge them if they are the same"
    ]


def look_alike(label: str, labels: Iterable[str]) -> str | None:
    """Return the first of the other labels that look the same as this one, or None."""
    look = _looks(label)
    return next((one for one in labels if one != label and _looks(one) == look), None)


def note_several(labels: Iterable[str]) -> list[str]:
    """Return a note on labels that seem to join several labels of one text in one cell.

    Each of their parts is also a label, or a part of another label. If there is only one joined
    label, all of its parts must be labels.
    """
    names = set(labels)
    for mark in _BETWEEN:
        parts = {name: [part.strip() for part in name.split(mark)] for name in names}
        found = Counter(chain.from_iterable(map(set, parts.values())))
        several = sorted(
            name
            for name, its in parts.items()
            if len(its) > 1 and all(part and found[part] > 1 for part in its)
        )
        if len(several) > 1 or any(names.issuperset(parts[name]) for name in several):
            return [
                f"{' and '.join(map(repr, several[:2]))}{_more(len(several) - 2)}: each is read "
                f"as one class, but looks like several labels joined by {mark!r}; to split them "
                f"set label_separator (--label-separator {mark!r})"
            ]
    return []


class TextNotes:
    """Counts texts with decomposed letters (e plus an accent for é) and with HTML.

    Args:
        of: What is counted, for the notes.
    """

    def __init__(self, of: str = "texts") -> None:
        self._of = of
        self._total = self._in_parts = self._marked_up = 0

    def count(self, texts: Iterable[str | tuple[str, ...]]) -> None:
        """Count more texts, or both sides of pairs."""
        for text in (
            part for each in texts for part in ([each] if isinstance(each, str) else each)
        ):
            self._total += 1
            self._marked_up += bool(_HTML.search(text))
            self._in_parts += (
                not text.isascii()
                and not is_normalized("NFC", text)
                and len(normalize("NFC", text)) < len(text)
            )

    def notes(self) -> list[str]:
        """Return notes on decomposed letters, and on much HTML."""
        found = []
        if self._in_parts:
            found.append(
                f"letters in {self._in_parts:,} of the {self._of} are decomposed (e plus an accent "
                "for é) and do not match composed ones: compose them with "
                "unicodedata.normalize('NFC', text)"
            )
        if self._marked_up > 1 and self._marked_up >= _MUCH * self._total:
            found.append(
                f"HTML in {self._marked_up:,} of the {self._of}, such as &amp; or <br>, is read as "
                "words: unescape it with html.unescape(text), and remove tags"
            )
        return found


def note_texts(texts: Iterable[str | tuple[str, ...]], of: str = "texts") -> list[str]:
    """Return notes on decomposed letters and much HTML in texts, or in both sides of pairs."""
    counted = TextNotes(of)
    counted.count(texts)
    return counted.notes()


def _looks(label: str) -> str:
    return " ".join(normalize("NFKC", label).casefold().split())


def _more(count: int) -> str:
    return f", and {count:,} more" if count > 0 else ""
