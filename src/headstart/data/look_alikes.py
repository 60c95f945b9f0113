"""What is not what it seems, noted: labels that look alike or are several, split letters, HTML."""

import re
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from unicodedata import is_normalized, normalize

_SHOWN = 3  # groups of labels
_HTML = re.compile(r"&(amp|lt|gt|quot|nbsp|#\d+);|</?(br|p|div|span|a|b|i)\b[^<>]*>", re.IGNORECASE)
_MUCH = 0.01  # of the texts
_BETWEEN = "|;,"  # labels in one cell


def note_labels(labels: Iterable[str]) -> list[str]:
    """Return a note of the labels that differ in nothing one sees, as classes that they are.

    They do where Unicode's compatible forms, case and spaces are left out.
    """
    alike: dict[str, list[str]] = {}
    for label in sorted(set(labels)):
        alike.setdefault(" ".join(normalize("NFKC", label).casefold().split()), []).append(label)
    groups = [" and ".join(map(repr, group)) for group in alike.values() if len(group) > 1]
    if not groups:
        return []
    return [
        f"{'; '.join(groups[:_SHOWN])}{_more(len(groups) - _SHOWN)}: several classes, though they "
        "differ only in case, spaces or Unicode's forms; make them one if they are one"
    ]


def note_several(labels: Iterable[str]) -> list[str]:
    """Return a note of labels that seem to be several of one text, in one cell.

    Each of their parts is a label by itself, or a part of another one; of a single such label, all
    are labels.
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
                f"{' and '.join(map(repr, several[:2]))}{_more(len(several) - 2)}: several labels "
                f"of a text? they are read as classes of their own; for {mark!r} between labels "
                f"give label_separator (--label-separator {mark!r})"
            ]
    return []


def note_texts(texts: Iterable[str]) -> list[str]:
    """Return notes of texts with letters in parts (e and an accent for é), and of much HTML."""
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
        f"{count:,} of the texts hold HTML, such as &amp; or <br>, of which each part is read as a "
        "word: unescape it, with html.unescape(text), and take tags out"
    ]


def _note_parts(count: int) -> list[str]:
    if not count:
        return []
    return [
        f"{count:,} of the texts have letters in parts (e and an accent for é), which make other "
        "words than letters in one: compose them, with unicodedata.normalize('NFC', text)"
    ]


def _more(count: int) -> str:
    return f", and {count:,} more" if count > 0 else ""
