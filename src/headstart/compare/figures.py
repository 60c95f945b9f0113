"""The report's plots in plotly's format.

Colors are tokens such as "@tone-3" or "@tone-3/0.15", which the page replaces with the colors of
its light or dark theme. Panels of one kind share their scales.
"""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from headstart.compare.head_start import REFERENCE, HeadStart, Multiple
from headstart.compare.styles import Style, family, shortened, styles
from headstart.compare.wording import TEXTS, Wording
from headstart.pages import visible

Row = Mapping[str, Any]
Parts = dict[str, Any]

FONT = '-apple-system, "Segoe UI", Inter, Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif'
COSTS = {
    "seconds": "Seconds to fit",
    "megabytes": "Megabytes to store",
    "predictions_per_second": "Predictions per second",
}


class Figure(NamedTuple):
    """One plot: its name on the page, its title, the methods named beside it, and the plot.

    The traces of a method carry its index among the methods as `meta`, so the page can hide them.
    """

    name: str
    title: str
    methods: list[str]
    data: list[Parts]
    layout: Parts


def curve_panels(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Return the methods of each panel of learning curves: one encoder's, then the references.

    An adapted encoder shares a panel with the original.
    """
    methods = list(dict.fromkeys(row["method"] for row in rows))
    references = [method for method in (REFERENCE, "majority") if method in methods]
    panels: dict[str, list[str]] = {}
    for method in methods:
        if method not in references:
            panels.setdefault(family(method), []).append(method)
    return {name: members + references for name, members in (panels or {REFERENCE: []}).items()}


def side_by_side(methods: Sequence[str]) -> dict[str, float]:
    """Return an offset for each method in a panel of one label count, so that none hides another.

    Offsets are shares of the label axis, from its middle; `majority`, a line across the whole axis,
    has none.
    """
    points = [method for method in methods if method != "majority"]
    step = min(_APART, 0.8 / max(len(points), 1))
    return {method: (at - (len(points) - 1) / 2) * step for at, method in enumerate(points)}


def learning_curves(rows: Sequence[Row], *, wording: Wording = TEXTS) -> list[Figure]:
    """Draw score against labels, one panel per encoder, with the references in each."""
    layout = _layout(
        xaxis=_label_axis(rows, wording), yaxis=score_axis(rows), hovermode=_hover(rows)
    )
    return [
        Figure(f"curves-{number}", title, methods, _curves(rows, methods), layout)
        for number, (title, methods) in enumerate(curve_panels(rows).items())
    ]


def head_start_gap(
    rows: Sequence[Row], headline: Mapping[str, Any], *, wording: Wording = TEXTS
) -> Figure | None:
    """Draw the quoted head start as the horizontal gap between two learning curves."""
    method, labels = headline.get("method"), headline.get("labels")
    pair = [row for row in rows if row["method"] in (method, REFERENCE)]
    quoted = [row for row in pair if row["method"] == method and row["labels"] == labels]
    if not quoted or headline.get("factor") is None:
        return None
    start, score = math.log10(quoted[0]["labels"]), quoted[0]["mean"]
    end = start + math.log10(headline["factor"])
    arrow = {
        "x": end, "y": score, "ax": start, "ay": score,
        "xref": "x", "yref": "y", "axref": "x", "ayref": "y", "text": "",
        "showarrow": True, "arrowhead": 2, "arrowwidth": 2, "arrowcolor": "@accent",
    }  # fmt: skip
    times = Multiple(headline["factor"], headline.get("bound"))
    label = {
        "x": (start + end) / 2, "y": score, "yshift": 15, "showarrow": False,
        "text": plot_text(f"{times}×"), "bgcolor": "@card/0.8",
        "font": {"color": "@accent", "size": 17, "weight": 700},
    }  # fmt: skip
    layout = _layout(
        xaxis=_label_axis(pair, wording),
        yaxis=score_axis(pair),
        hovermode=_hover(pair),
        annotations=[arrow, label],
    )
    methods = [str(method), REFERENCE]
    return Figure("gap", "", methods, _curves(rows, methods), layout)


def head_start_bars(rows: Sequence[Row], *, wording: Wording = TEXTS) -> list[Figure]:
    """Draw the head starts, one panel per label budget, without budgets where none can be seen."""
    started = [row for row in rows if row["head_start"] is not None]
    if not started:
        return []
    look = styles(row["method"] for row in rows)
    ends = [
        math.log2(row[name]) for row in started for name in ("head_start_low", "head_start_high")
    ]
    low, high = math.floor(min(*ends, 0)), math.ceil(max(*ends, 1))
    step = math.ceil((high - low) / 5)  # as many ticks as fit
    powers = [power for power in range(low, high + 1) if power % step == 0]
    axis = {
        **_AXIS,
        "range": [low - 0.1, high + 0.1],
        "tickvals": powers,
        "ticktext": [f"1/{2**-power}×" if power < 0 else f"{2**power}×" for power in powers],
        "tickangle": 0,
        "zeroline": True,
        "zerolinecolor": "@muted",
    }
    figures = []
    for labels in sorted({row["labels"] for row in started}):
        panel = [row for row in started if row["labels"] == labels]
        if all(row["head_start"] <= 1 and row["head_start_bound"] == ">" for row in panel):
            continue  # scratch was not run with more labels
        layout = _layout(
            margin={"l": 8, "r": 64, "t": 10, "b": 34},
            height=62 + 27 * len(panel),
            bargap=0.35,
            xaxis=axis,
            yaxis=_method_axis([row["method"] for row in panel]),
            annotations=[_bar_label(row) for row in panel],
        )
        methods = [row["method"] for row in panel]
        title = f"{labels:,} {wording.labels}"
        figures.append(Figure(f"starts-{labels}", title, methods, _bars(panel, look), layout))
    return figures


def cost_against_quality(rows: Sequence[Row], look: Mapping[str, Style]) -> list[Figure]:
    """Draw score against each cost, for the rows of one budget, with the Pareto front.

    Args:
        rows: The rows.
        look: The style of each method on the page; from these rows alone it could differ.
    """
    figures = []
    for name, title in COSTS.items():
        measured = [row for row in rows if row[name]]
        if not measured:
            continue
        sign = -1 if name == "predictions_per_second" else 1
        best = pareto_front([(sign * row[name], row["mean"]) for row in measured])
        front = sorted((measured[index] for index in best), key=lambda row: row[name])
        line = {
            "type": "scatter", "mode": "lines", "hoverinfo": "skip",
            "x": [row[name] for row in front], "y": [row["mean"] for row in front],
            "line": {"color": "@muted", "width": 1, "shape": "hv" if sign > 0 else "vh"},
        }  # fmt: skip
        points = [_cost_point(row, name, look[row["method"]]) for row in measured]
        layout = _layout(xaxis=_cost_axis([row[name] for row in measured]), yaxis=score_axis(rows))
        methods = [row["method"] for row in front]
        figures.append(Figure(f"cost-{name}", title, methods, [line, *points], layout))
    return figures


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices of the points `(cost, score)` that no other point dominates."""
    return [
        index
        for index, (cost, score) in enumerate(points)
        if not any(
            other_cost <= cost and other >= score and (other_cost, other) != (cost, score)
            for other_cost, other in points
        )
    ]


def head_start_text(row: Row, *, interval: bool = False) -> str | None:
    """Return "8.2×", or "8.2× [5.1, > 20]" with the interval; None without a head start."""
    start = HeadStart.of(row)
    if start is None:
        return None
    return f"{start.factor}× {start.interval}".rstrip() if interval else f"{start.factor}×"


def score_axis(rows: Sequence[Row]) -> Parts:
    """Return the score axis, which spans everything that is drawn and starts at a round number."""
    low = min(row["mean" if row["method"] == "majority" else "low"] for row in rows)  # no band
    high = max(row["high"] for row in rows)
    step = next(step for step in (0.02, 0.05, 0.1, 0.2, 1.0) if high - low <= 5 * step)
    return {
        **_AXIS,
        "range": [max(0.0, math.floor(low / step) * step), high + 0.2 * step],
        "dtick": step,
        "tickformat": ".1f" if step >= 0.1 else ".2f",
    }


def plot_text(text: str) -> str:
    """Escape `text` for plotly, which interprets some HTML in labels."""
    return html.escape(visible(text), quote=False)


_APART = 0.04  # of the label axis, about 10 pixels
_AXIS = {"gridcolor": "@line", "linecolor": "@line", "zeroline": False}


def _layout(**own: Any) -> Parts:  # noqa: ANN401 - plotly's own names and values
    return {
        "showlegend": False,
        "autosize": True,
        "hovermode": "closest",
        "margin": {"l": 36, "r": 10, "t": 10, "b": 34},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 12, "color": "@muted"},
        "hoverlabel": {
            "bgcolor": "@card",
            "bordercolor": "@line",
            "font": {"family": FONT, "size": 12, "color": "@ink"},
        },
        **own,
    }


def _budgets(rows: Iterable[Row]) -> list[int]:
    return sorted({row["labels"] for row in rows})


def _hover(rows: Iterable[Row]) -> str:
    return "x unified" if len(_budgets(rows)) > 1 else "closest"  # points side by side share no x


def _label_range(budgets: Sequence[int]) -> list[float]:
    return [math.log10(budgets[0]) - 0.08, math.log10(budgets[-1]) + 0.08]


def _label_axis(rows: Iterable[Row], wording: Wording) -> Parts:
    budgets = _budgets(rows)
    return {
        **_AXIS,
        "type": "log",
        "range": _label_range(budgets),
        "tickvals": budgets,
        "ticktext": [f"{labels:,}" for labels in budgets],
        "title": {"text": wording.labels, "standoff": 6},
        "unifiedhovertitle": {"text": f"%{{x:,d}} {wording.labels}"},
    }


def _method_axis(methods: Sequence[str]) -> Parts:
    return {
        **_AXIS,
        "type": "category",
        "range": [len(methods) - 0.5, -0.5],
        "tickvals": [plot_text(method) for method in methods],
        "ticktext": [plot_text(shortened(method, most=22)) for method in methods],
        "automargin": True,
        "showgrid": False,
        "ticklabelstandoff": 6,
    }


def _cost_axis(costs: Sequence[float]) -> Parts:
    """Return a logarithmic axis with ticks at round numbers."""
    low, high = math.log10(min(costs)), math.log10(max(costs))
    pad = 0.08 * max(high - low, 0.5)
    powers = range(math.floor(low - pad), math.ceil(high + pad) + 1)
    steps = (1, 2, 5) if high - low < 1.5 else (1, 3) if high - low < 3 else (1,)
    ticks = [step * 10.0**power for power in powers for step in steps]
    return {
        **_AXIS,
        "type": "log",
        "range": [low - pad, high + pad],
        "tickvals": ticks,
        "ticktext": [f"{tick:,.0f}" if tick >= 1 else f"{tick:g}" for tick in ticks],
    }


def _curves(rows: Sequence[Row], methods: Sequence[str]) -> list[Parts]:
    """Return the traces of each method's curve and band, the first method on top."""
    look, budgets = styles(row["method"] for row in rows), _budgets(rows)
    low, high = _label_range(budgets)
    places = side_by_side(methods) if len(budgets) == 1 else {}
    traces: list[Parts] = []
    for at, method in reversed(list(enumerate(methods))):
        own = [row for row in rows if row["method"] == method]
        x: list[float] = [row["labels"] for row in own]
        if len(own) == 1 and method == "majority":
            own, x = own * 2, [10**low, 10**high]
        elif method in places:
            x = [x[0] * 10 ** (places[method] * (high - low))]
        traces += [{**trace, "meta": at} for trace in _curve(own, x, look[method])]
    return traces


def _curve(rows: Sequence[Row], labels: Sequence[float], style: Style) -> list[Parts]:
    line = {
        "type": "scatter", "mode": "lines+markers", "name": plot_text(rows[0]["method"]),
        "x": labels, "y": [row["mean"] for row in rows],
        "line": {"color": f"@{style.tone}", "dash": style.dash, "width": 2.2},
        "marker": {"symbol": style.symbol, "size": 7, "color": f"@{style.tone}"},
        "customdata": [[row["low"], row["high"]] for row in rows],
        "hovertemplate": "%{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]",
    }  # fmt: skip
    if len(rows) == 1:  # a point has no band
        return [{**line, "error_y": _error(rows[0], style)}]
    if rows[0]["method"] == "majority":
        thin = {"color": f"@{style.tone}", "dash": "dash", "width": 1.2}
        return [{**line, "mode": "lines", "line": thin}]
    band = {
        "type": "scatter", "mode": "lines", "fill": "toself", "hoverinfo": "skip",
        "x": [*labels, *reversed(labels)],
        "y": [*(row["high"] for row in rows), *(row["low"] for row in reversed(rows))],
        "line": {"width": 0}, "fillcolor": f"@{style.tone}/0.13",
    }  # fmt: skip
    return [band, line]


def _bars(rows: Sequence[Row], look: Mapping[str, Style]) -> list[Parts]:
    names = [plot_text(row["method"]) for row in rows]
    factors, lows, highs = (
        [math.log2(row[name]) for row in rows]
        for name in ("head_start", "head_start_low", "head_start_high")
    )
    bars: Parts = {
        "type": "bar", "orientation": "h", "y": names, "x": factors,
        "marker": {"color": [f"@{look[row['method']].tone}" for row in rows], "opacity": 0.85},
        "error_x": {
            "type": "data", "symmetric": False, "color": "@ink", "thickness": 1.3, "width": 3,
            "array": [high - factor for high, factor in zip(highs, factors, strict=True)],
            "arrayminus": [factor - low for low, factor in zip(lows, factors, strict=True)],
        },
        "customdata": [plot_text(str(head_start_text(row, interval=True))) for row in rows],
        "hovertemplate": "%{y}: %{customdata}<extra></extra>",
    }  # fmt: skip
    traces = [bars]
    ends = (
        (highs, "head_start_high_bound", ">", "triangle-right"),
        (lows, "head_start_low_bound", "<", "triangle-left"),
    )
    for limits, name, bound, symbol in ends:
        beyond = [index for index, row in enumerate(rows) if row[name] == bound]
        traces.append({
            "type": "scatter", "mode": "markers", "hoverinfo": "skip", "cliponaxis": False,
            "x": [limits[index] for index in beyond], "y": [names[index] for index in beyond],
            "marker": {"symbol": symbol, "size": 10, "color": "@ink"},
        })  # fmt: skip
    return traces


def _bar_label(row: Row) -> Parts:
    return {
        "xref": "paper", "x": 1, "xanchor": "left", "xshift": 8, "yref": "y",
        "y": plot_text(row["method"]), "showarrow": False, "align": "left",
        "text": plot_text(str(head_start_text(row))), "font": {"color": "@ink"},
    }  # fmt: skip


def _cost_point(row: Row, name: str, style: Style) -> Parts:
    return {
        "type": "scatter", "mode": "markers", "name": plot_text(row["method"]),
        "x": [row[name]], "y": [row["mean"]],
        "error_y": _error(row, style),
        "marker": {
            "symbol": style.symbol, "size": 11, "color": f"@{style.tone}",
            "line": {"color": "@card", "width": 1},
        },
        "hovertemplate": f"%{{y:.3f}}<br>{COSTS[name].lower()}: %{{x:,.3~g}}",
    }  # fmt: skip


def _error(row: Row, style: Style) -> Parts:
    return {
        "type": "data", "symmetric": False, "thickness": 1, "width": 0,
        "color": f"@{style.tone}/0.5",
        "array": [row["high"] - row["mean"]], "arrayminus": [row["mean"] - row["low"]],
    }  # fmt: skip
