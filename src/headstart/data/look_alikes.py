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


def note_texts(texts: Iterable[str]) -> list[str]:
    """Return notes on texts with decomposed letters (e plus an accent for é), and on much HTML."""
    total = in_parts = marked_up = 0
    for text in texts:
        total += 1
        marked_up += bool(_HTML.search(text))
        in_parts += (
            not text.isascii()
            and not is_normalized("NFC", text)
            and len(normalize("NFC", text)) < len(text)
        )
    return [*_note_parts(in_parts), *_note_html(marked_up, total)]


def _note_html(count: int, total: int) -> list[str]:
    if count < 2 or count < _MUCH * total:
        return []
    return [
        f"HTML in {count:,} of the texts, such as &amp; or <br>, is read as words: "
        "unescape it with html.unescape(text), and remove tags"
    ]


def _note_parts(count: int) -> list[str]:
    if not count:
        return []
    return [
        f"letters in {count:,} of the texts are decomposed (e plus an accent for é) and do not "
        "match composed ones: compose them with unicodedata.normalize('NFC', text)"
    ]


def _looks(label: str) -> str:
    return " ".join(normalize("NFKC", label).casefold().split())


def _more(count: int) -> str:
    return f", and {count:,} more" if count > 0 else ""
