"""An HTML page on the senses of a word: its occurrences under each encoder, side by side.

The page is self-contained and makes no network requests. Its only script highlights the occurrence
under the pointer, and a content security policy allows no other. The template escapes user text.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.inspect.occurrences import Occurrence
from headstart.pages import csp_hash, page_style, template_environment

_FOLDER = Path(__file__).parent
_WIDTH, _HEIGHT, _MARGIN = 420, 300, 16  # of a picture
_NEAR = 70  # characters that the page shows on each side of a word


def render_senses(found: Mapping[str, Any]) -> str:
    """Render the result of `word_senses` as one HTML page."""
    style = page_style(_FOLDER / "senses.css")
    script = (_FOLDER / "senses.js").read_text("utf-8")
    return (
        template_environment(_FOLDER)
        .get_template("senses.html.j2")
        .render(
            word=found["word"],
            style=style,
            style_hash=csp_hash(style),
            script=script,
            script_hash=csp_hash(script),
            facts=_facts(found),
            **picture(found),
        )
    )


def picture(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the template variables for drawing the result of `word_senses`.

    These are `width` and `height` of a drawing; `panels`, one per encoder, with the `dots` of its
    occurrences; and `rows`, one per occurrence, with the nearest one under each encoder.
    """
    parts = [excerpt(each) for each in found["occurrences"]]
    return {
        "width": _WIDTH,
        "height": _HEIGHT,
        "panels": [_panel(look, parts) for look in found["encoders"]],
        "rows": [
            {"own": own, "nearest": [_nearest(look, row, parts) for look in found["encoders"]]}
            for row, own in enumerate(parts)
        ],
    }


def _times(number: float | None) -> str:
    return "–" if number is None else f"{number:.2f}×"


def _facts(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = [
        ("occurrences in the corpus", f"{found['total']:,}"),
        ("shown, each from a different sentence", f"{len(found['occurrences']):,}"),
        ("encoders", str(len(found["encoders"]))),
    ]
    if found["left_out"]:
        facts.append(("left out, spelling without a vector", f"{found['left_out']:,}"))
    return facts


def excerpt(occurrence: Mapping[str, Any]) -> dict[str, str]:
    """Return the `word` of an occurrence with the text `before` and `after` it.

    An ellipsis marks where the sentence is shortened.
    """
    whole = Occurrence(**occurrence)
    near = whole.narrowed(_NEAR)
    before, after = near.sentence[: near.start], near.sentence[near.end :]
    return {
        "before": ("… " if near.start < whole.start else "") + before,
        "word": near.word,
        "after": after + (" …" if len(after) < len(whole.sentence) - whole.end else ""),
    }


def _nearest(
    look: Mapping[str, Any], row: int, parts: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    near = look["nearest"][row]
    if near is not None:
        return {"part": parts[near[0]], "cosine": near[1]}
    why = "all have the same vector" if look["distinct"] == 1 else "several are equally near"
    return {"part": None, "why": why}


def _panel(look: Mapping[str, Any], parts: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return the template variables of one encoder: positions in the drawing, and captions."""
    group_of = look["group_of"] or [None] * len(parts)
    most = max(
        max(abs(x) / (_WIDTH / 2 - _MARGIN), abs(y) / (_HEIGHT / 2 - _MARGIN))
        for x, y in _centered(look["points"])
    )
    dots = [
        (
            round(_WIDTH / 2 + x / (most or 1.0), 1),
            round(_HEIGHT / 2 - y / (most or 1.0), 1),
            number,
            group_of[number],
            near and near[0],
            "".join(parts[number].values()),
        )
        for number, ((x, y), near) in enumerate(
            zip(_centered(look["points"]), look["nearest"], strict=True)
        )
    ]
    one = f"one vector for all {len(parts):,} occurrences" if look["distinct"] == 1 else ""
    times, chance = _times(look["times"]), _times(look["chance"] if look["contextual"] else None)
    untrained = _times(look.get("untrained"))  # absent from older results
    return {
        **{**look, "dots": dots, "label": one},
        **{"times": times, "chance": chance, "untrained": untrained},
    }


def _centered(points: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Return the points, centered on the middle of their bounding box."""
    middles = [(min(axis) + max(axis)) / 2 for axis in zip(*points, strict=True)]
    return [(x - middles[0], y - middles[1]) for x, y in points]
