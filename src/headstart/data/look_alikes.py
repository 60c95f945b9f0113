"""What looks the same and is not: labels that differ in case or spaces, letters in two parts."""

from collections.abc import Iterable
from unicodedata import is_normalized, normalize

_SHOWN = 3  # groups of labels


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
    more = f", and {len(groups) - _SHOWN:,} more" if len(groups) > _SHOWN else ""
    return [
        f"{'; '.join(groups[:_SHOWN])}{more}: several classes, though they differ only in case, "
        "spaces or Unicode's forms; make them one if they are one"
    ]


def note_texts(texts: Iterable[str]) -> list[str]:
    """Return a note of the texts with letters in parts, such as e and an accent for é."""
    count = sum(
        not text.isascii()
        and not is_normalized("NFC", text)
        and len(normalize("NFC", text)) < len(text)
        for text in texts
    )
    if not count:
        return []
    return [
        f"{count:,} of the texts have letters in parts (e and an accent for é), which make other "
        "words than letters in one: compose them, with unicodedata.normalize('NFC', text)"
    ]
