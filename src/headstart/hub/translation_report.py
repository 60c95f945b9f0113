"""An HTML page that shows whether a CoVe learned to translate: curves, BLEU, attention.

The page is self-contained: it runs no scripts and loads nothing from the network, which a content
security policy enforces. The template escapes users' texts.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.pages import csp_hash, page_style, template_environment

_FOLDER = Path(__file__).parent
_WIDTH, _HEIGHT, _LEFT, _BELOW = 460, 210, 46, 26  # a curve's panel, and its margins for labels
_TOP = 14
_CELL, _LETTER = 22, 6.7  # in an attention map: size of a cell, approximate width of a letter
_LONGEST_LABEL = 24
_SECONDS = 60


def render_translation_report(
    name: str, config: Mapping[str, Any], lineage: Mapping[str, Any]
) -> str:
    """Return the report of a pretraining run as one HTML page.

    Args:
        name: The encoder's name.
        config: Its sizes and settings.
        lineage: The results of the run: `curve`, and if pairs were held out `bleu` and
            `translations`.
    """
    style = page_style(_FOLDER / "translation_report.css")
    curve: Sequence[Mapping[str, float]] = lineage["curve"]
    return (
        template_environment(_FOLDER)
        .get_template("translation_report.html.j2")
        .render(
            name=name,
            style=style,
            style_hash=csp_hash(style),
            bleu=lineage.get("bleu"),
            facts=_facts(config, lineage),
            panels=[
                _panel(title, [(row["step"], row[key]) for row in curve if key in row])
                for title, key in (("Loss per held-out token", "loss"), ("BLEU, greedy", "bleu"))
            ],
            translations=[_map(each) for each in lineage.get("translations") or ()],
            settings={**config, "seed": lineage.get("seed"), "threads": lineage.get("threads")},
        )
    )


def _facts(config: Mapping[str, Any], lineage: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the key facts as pairs of name and value."""
    validation = lineage.get("validation") or {}
    return [
        ("pairs", f"{lineage['pairs']:,}"),
        ("held out", f"{lineage['pairs_held_out']:,}"),
        ("perplexity", f"{validation['perplexity']:.2f}" if validation else "not measured"),
        ("steps", f"{lineage['steps']:,}"),
        ("epochs", f"{lineage['epochs']:.1f}"),
        ("minutes", f"{lineage['training_seconds'] / _SECONDS:.1f}"),
        ("target tokens per second", f"{lineage['tokens_per_second']:,.0f}"),
        ("words without a vector", f"{lineage['words_without_vector']:.1%}"),
        ("units per direction", f"{config['hidden']:,}"),
    ]


def _panel(title: str, points: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Return a curve as coordinates in a drawing, with axis labels."""
    most_x = max((x for x, _ in points), default=1.0)
    low, high = (f((y for _, y in points), default=0.0) for f in (min, max))
    room = (high - low) * 0.08 or 0.5
    low, high = max(0.0, low - room), high + room

    def place(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + (_WIDTH - _LEFT - 12) * x / most_x
        down = _TOP + (_HEIGHT - _TOP - _BELOW) * (high - y) / (high - low)
        return round(across, 1), round(down, 1)

    heights = [low + (high - low) * part / 4 for part in range(5)]
    return {
        "title": title,
        "width": _WIDTH,
        "height": _HEIGHT,
        "left": _LEFT,
        "points": [(*place(x, y), f"step {x:,.0f}: {y:.3g}") for x, y in points],
        "rows": [(place(0, y)[1], f"{y:.3g}") for y in heights],
        "columns": [
            (place(most_x * part / 2, low)[0], f"{most_x * part / 2:,.0f}") for part in range(3)
        ],
    }


def _map(translated: Mapping[str, Any]) -> dict[str, Any]:
    """Return a translation with its attention map as coordinates in a drawing."""
    source = [_label(word) for word in translated["source"]] or ["(empty)"]
    target = [_label(piece) for piece in translated["target"][:-1]] + ["(end)"]
    left = round(12 + _LETTER * max(map(len, target)))
    top = round(12 + _LETTER * max(map(len, source)))
    cells = [
        (
            left + _CELL * column,
            top + _CELL * row,
            round(share, 3),
            f"{piece} ← {word}: {share:.0%}",
        )
        for row, (piece, shares) in enumerate(zip(target, translated["attention"], strict=True))
        for column, (word, share) in enumerate(zip(source, shares, strict=True))
        if share >= 0.005
    ]
    return {
        **{name: translated[name] for name in ("text", "reference", "translation")},
        "width": left + _CELL * len(source) + round(0.7 * top),  # labels are slanted to the right
        "height": top + _CELL * len(target) + 4,
        "left": left,
        "top": top,
        "cell": _CELL,
        "words": [(left + _CELL * (at + 0.5), word) for at, word in enumerate(source)],
        "pieces": [(top + _CELL * (at + 0.5), piece) for at, piece in enumerate(target)],
        "cells": cells,
    }


def _label(text: str) -> str:
    return text if len(text) <= _LONGEST_LABEL else f"{text[: _LONGEST_LABEL - 2]}.."
