"""The learning curves as a static SVG for a README or a slide, in light and dark."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unicodedata import east_asian_width

from headstart.compare.figures import Row, curve_panels, score_axis, side_by_side
from headstart.compare.styles import shortened, styles
from headstart.pages import colors, template_environment, visible

_FOLDER = Path(__file__).parent
_COLUMNS = 3
_WIDTH, _HEIGHT = 312, 300  # of a panel; taller if the legend is long
_PLOT = 162  # the minimum height of the plot in a panel
_LEFT, _RIGHT, _BOTTOM = 34, 12, 34  # around the plot in a panel
_LEGEND_LINE = 17
_MARGIN, _SAMPLE = 14, 32  # before a legend entry, and for the line before its name
_BETWEEN_COUNTS = 6
_TITLE_SCALE = 13 / 11 * 1.06  # larger and bold


def learning_curves_svg(
    rows: Sequence[Row],
    *,
    metric: str = "score",
    labels: str = "labels",
    left_out: Sequence[Row] = (),
) -> str:
    """Return the learning curves of a summary as SVG: one panel per encoder, 95% bands.

    Args:
        rows: The summary that `summarize` returns.
        metric: The name of the score.
        labels: What budgets count.
        left_out: The `method` and `labels` of what was not run; the legend then shows the largest
            label count that the method was run with.
    """
    panels = curve_panels(rows)
    names = _names(rows, left_out)
    widest = max(map(_width, names.values()))
    beside = 2 if widest <= _room_for_name(beside=2) else 1
    lines = max(math.ceil(len(methods) / beside) for methods in panels.values())
    top = 34 + lines * _LEGEND_LINE
    height = max(_HEIGHT, top + _PLOT + _BOTTOM)
    drawn = [
        _panel(rows, title, methods, names, top=top, height=height, beside=beside)
        for title, methods in panels.items()
    ]
    columns = min(len(drawn), _COLUMNS)
    places = [
        ((index % columns) * _WIDTH, index // columns * height) for index in range(len(drawn))
    ]
    return (
        template_environment(_FOLDER)
        .get_template("picture.svg.j2")
        .render(
            tones=colors() + (_FOLDER / "tones.css").read_text("utf-8"),
            metric=metric,
            labels=labels,
            panels=[{**panel, "place": place} for panel, place in zip(drawn, places, strict=True)],
            width=columns * _WIDTH,
            height=math.ceil(len(drawn) / columns) * height,
        )
    )


def _names(rows: Sequence[Row], left_out: Sequence[Row]) -> dict[str, str]:
    """Return each method's name in the legend, with its largest label count if time ran out."""
    stopped = {row["method"] for row in left_out}
    most = {row["method"]: row["labels"] for row in rows}  # budgets increase
    return {
        method: f"{method} to {labels:,}" if method in stopped else method
        for method, labels in most.items()
    }


def _panel(
    rows: Sequence[Row],
    title: str,
    methods: Sequence[str],
    names: dict[str, str],
    *,
    top: int,
    height: int,
    beside: int,
) -> dict[str, Any]:
    look = styles(row["method"] for row in rows)
    budgets = sorted({row["labels"] for row in rows})
    axis = score_axis(rows)
    bottom, top_score = (float(end) for end in axis["range"])
    first, last = math.log(budgets[0]), math.log(budgets[-1])

    places = side_by_side(methods)

    def x(labels: int, method: str = "") -> float:
        alone = 0.5 + places.get(method, 0.0)
        share = (math.log(labels) - first) / (last - first) if last > first else alone
        return round(_LEFT + 8 + share * (_WIDTH - _LEFT - _RIGHT - 24), 1)

    def y(score: float) -> float:
        share = (score - bottom) / (top_score - bottom)
        return round(height - _BOTTOM - share * (height - _BOTTOM - top), 1)

    box = {
        "left": _LEFT,
        "right": _WIDTH - _RIGHT - 8,
        "top": top,
        "bottom": height - _BOTTOM,
    }
    curves = []
    for method in reversed(methods):
        own = [row for row in rows if row["method"] == method]
        points = [(x(row["labels"], method), y(row["mean"])) for row in own]
        if method == "majority" and len(own) == 1:
            points = [(box[end], points[0][1]) for end in ("left", "right")]
        curves.append({
            "method": method,
            "style": look[method],
            "points": points,
            "band": [(x(row["labels"], method), y(row["high"])) for row in own]
            + [(x(row["labels"], method), y(row["low"])) for row in reversed(own)],
        })  # fmt: skip
    num_ticks = int((top_score - bottom) / axis["dtick"] + 1e-6) + 1
    scores = [bottom + axis["dtick"] * number for number in range(num_ticks)]
    return {
        "title": _fitted(title, (_WIDTH - 2 * _MARGIN) / _TITLE_SCALE),
        "curves": curves,
        "legend": [
            {
                "name": _fitted(names[method], _room_for_name(beside)),
                "method": method,
                "style": look[method],
                "place": (
                    _MARGIN + index % beside * _legend_column(beside),
                    42 + index // beside * _LEGEND_LINE,
                ),
            }
            for index, method in enumerate(methods)
        ],
        "labels": _readable([(x(labels), f"{labels:,}") for labels in budgets]),
        "scores": [(y(score), format(score, axis["tickformat"])) for score in scores],
        "box": box,
    }


def _legend_column(beside: int) -> int:
    return (_WIDTH - _MARGIN) // beside


def _room_for_name(beside: int) -> int:
    return _legend_column(beside) - _SAMPLE - 4


def _readable(counts: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Return the counts below the plot, with empty text for those that would touch another.

    The largest keeps its text.
    """
    found, free = [], math.inf
    for x, count in reversed(counts):
        half = _width(count) / 2
        fits = x + half <= free
        found.append((x, count if fits else ""))
        free = x - half - _BETWEEN_COUNTS if fits else free
    return found[::-1]


def _fitted(text: str, room: float) -> str:
    """Return the text, shortened in the middle until it fits."""
    return next(
        short
        for most in range(len(text), -1, -1)
        if _width(short := shortened(text, most=most)) <= room or most <= 3
    )


def _width(text: str) -> float:
    """Return about how many pixels a text takes: an overestimate, as the font is unknown."""
    return sum(map(_letter_width, visible(text)))


def _letter_width(letter: str) -> float:
    if east_asian_width(letter) in "WF":
        return 11.0
    if letter in "mwMW@%":
        return 9.5
    return 8.0 if letter.isupper() else 6.2
