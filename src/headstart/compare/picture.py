"""The learning curves as a still picture: an SVG for a README or a slide, light and dark."""

import math
from collections.abc import Sequence
from typing import Any

from headstart.compare.figures import Row, curve_panels, score_axis
from headstart.compare.report import FOLDER, template_environment
from headstart.compare.styles import shortened, styles

_COLUMNS = 3
_WIDTH, _HEIGHT = 312, 300  # of a panel
_LEFT, _RIGHT, _BOTTOM = 34, 12, 34  # around the plot in a panel
_LEGEND_LINE = 17
_SHORT_NAME = 22  # letters of a method's name that leave room for another beside it


def learning_curves_svg(
    rows: Sequence[Row],
    *,
    metric: str = "score",
    labels: str = "labels",
    left_out: Sequence[Row] = (),
) -> str:
    """Return the learning curves of a summary as SVG: one panel an encoder, 95% bands.

    Args:
        rows: The summary that `summarize` returns.
        metric: The name of the score.
        labels: What budgets count.
        left_out: The `method` and `labels` of what was not run; the legend says how far a method
            got instead.
    """
    panels = curve_panels(rows)
    names = _names(rows, left_out)
    beside = 2 if max(map(len, names.values())) <= _SHORT_NAME else 1
    lines = max(math.ceil(len(methods) / beside) for methods in panels.values())
    drawn = [
        _panel(rows, title, methods, names, top=34 + lines * _LEGEND_LINE, beside=beside)
        for title, methods in panels.items()
    ]
    columns = min(len(drawn), _COLUMNS)
    places = [
        ((index % columns) * _WIDTH, index // columns * _HEIGHT) for index in range(len(drawn))
    ]
    return (
        template_environment()
        .get_template("picture.svg.j2")
        .render(
            tones=(FOLDER / "tones.css").read_text("utf-8"),
            metric=metric,
            labels=labels,
            panels=[{**panel, "place": place} for panel, place in zip(drawn, places, strict=True)],
            width=columns * _WIDTH,
            height=math.ceil(len(drawn) / columns) * _HEIGHT,
        )
    )


def _names(rows: Sequence[Row], left_out: Sequence[Row]) -> dict[str, str]:
    """Return what the legend calls each method, with the most labels it had time for."""
    stopped = {row["method"] for row in left_out}
    most = {row["method"]: row["labels"] for row in rows}  # budgets rise
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
    beside: int,
) -> dict[str, Any]:
    look = styles(row["method"] for row in rows)
    budgets = sorted({row["labels"] for row in rows})
    axis = score_axis(rows)
    bottom, top_score = (float(end) for end in axis["range"])
    first, last = math.log(budgets[0]), math.log(budgets[-1])

    def x(labels: int) -> float:
        share = (math.log(labels) - first) / (last - first) if last > first else 0.5
        return round(_LEFT + 8 + share * (_WIDTH - _LEFT - _RIGHT - 24), 1)

    def y(score: float) -> float:
        share = (score - bottom) / (top_score - bottom)
        return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - top), 1)

    curves = []
    for method in reversed(methods):
        own = [row for row in rows if row["method"] == method]
        curves.append({
            "method": method,
            "style": look[method],
            "points": [(x(row["labels"]), y(row["mean"])) for row in own],
            "band": [(x(row["labels"]), y(row["high"])) for row in own]
            + [(x(row["labels"]), y(row["low"])) for row in reversed(own)],
        })  # fmt: skip
    num_ticks = int((top_score - bottom) / axis["dtick"] + 1e-6) + 1
    scores = [bottom + axis["dtick"] * number for number in range(num_ticks)]
    return {
        "title": shortened(title, most=36),
        "curves": curves,
        "legend": [
            {
                "name": shortened(names[method], most=44),
                "method": method,
                "style": look[method],
                "place": (14 + index % beside * 144, 42 + index // beside * _LEGEND_LINE),
            }
            for index, method in enumerate(methods)
        ],
        "labels": [(x(labels), f"{labels:,}") for labels in budgets],
        "scores": [(y(score), format(score, axis["tickformat"])) for score in scores],
        "box": {
            "left": _LEFT,
            "right": _WIDTH - _RIGHT - 8,
            "top": top,
            "bottom": _HEIGHT - _BOTTOM,
        },
    }
