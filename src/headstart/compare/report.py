"""The report of a comparison as one HTML file, for a manager first and then for an engineer.

The file is self-contained and makes no network requests. The template escapes users' texts; the
plots' data are in a script element that is never run; a content security policy allows only the
inline blocks whose hashes it lists.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment
from plotly.offline import get_plotlyjs

from headstart.compare.figures import (
    COSTS,
    Row,
    cost_against_quality,
    head_start_bars,
    head_start_gap,
    head_start_text,
    learning_curves,
)
from headstart.compare.head_start import REFERENCE, Multiple
from headstart.compare.ranking import ESTIMATES
from headstart.compare.styles import styles
from headstart.compare.wording import Wording, brief, together
from headstart.inspect.senses_page import picture
from headstart.pages import csp_hash, page_style
from headstart.pages import template_environment as plain_environment

FOLDER = Path(__file__).parent
# Plotly adds the style sheet of its maps unless an element with the sheet's id already exists.
_MAP_STYLES = re.compile(r'getElementById\("([0-9a-f]{64})"\)')
_OPTIONAL = (
    *("data", "clean", "differences", "proofs", "layers", "knowledge", "command", "seconds"),
    "cores_used",
)
_SHOWN_OCCURRENCES = 6
_NOT_FOUND = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
_ONE_SEED = (
    "Only one seed was run: intervals and p-values reflect the choice of test rows, but not other "
    "seeds or other choices of the labels."
)


def render_report(result: Mapping[str, Any]) -> str:
    """Return the report as one HTML page.

    Args:
        result: A comparison's results, as stored in JSON. `summary`, the rows of `summarize`, is
            required; `title`, `metric`, `wording`, `data`, `clean`, `cells`, `headline`, `best`,
            `recommendation`, `left_out`, `gains`, `differences`, `warnings`, `proofs`, `layers`,
            `forecast`, `knowledge`, `senses`, `settings`, `command`, `versions` and `seconds` are
            shown if they are given.
    """
    style = page_style(FOLDER / "tones.css", FOLDER / "report.css")
    scripts = [get_plotlyjs(), (FOLDER / "report.js").read_text("utf-8")]
    return (
        template_environment()
        .get_template("report.html.j2")
        .render(
            **_view(result),
            style=style,
            scripts=scripts,
            script_hashes=[csp_hash(script) for script in scripts],
            style_hashes=[csp_hash(style), csp_hash("")],  # plotly adds an empty one and fills it
            unwanted_styles=_MAP_STYLES.findall(scripts[0]),
        )
    )


def template_environment() -> Environment:
    """Return the template environment of all pages, with the report's number formats."""
    environment = plain_environment(FOLDER)
    environment.filters.update(_FORMATS)
    return environment


def _view(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names the template uses; missing parts of the result are None or empty."""
    rows: Sequence[Row] = result["summary"]
    headline = result.get("headline") or {"sentence": ""}
    recommended = result.get("recommendation")
    labels = recommended["labels"] if recommended else max(row["labels"] for row in rows)
    at_cost = [row for row in rows if row["labels"] == labels and row["method"] != "majority"]
    wording = Wording(**(result.get("wording") or {}))
    left_out: Sequence[Row] = result.get("left_out") or ()
    run_methods = list(dict.fromkeys(row["method"] for row in rows))
    look = styles([*run_methods, *(row["method"] for row in left_out)])
    gap = head_start_gap(rows, headline, wording=wording)
    figures = {
        "gap": [gap] if gap else [],
        "curves": learning_curves(rows, wording=wording),
        "starts": head_start_bars(rows, wording=wording),
        "costs": cost_against_quality(at_cost, look),
    }
    seeds = {cell["seed"] for cell in result.get("cells", ())}
    proofs = result.get("proofs") or {}
    best = result.get("best") or {}
    clean = result.get("clean") or {"rows": 0, "test_rows": 0}
    return {
        **{name: result.get(name) for name in _OPTIONAL},
        "wording": wording,
        "title": result.get("title", "Comparison"),
        "metric": result.get("metric", "score"),
        "warnings": [*result.get("warnings", ()), *([_ONE_SEED] if len(seeds) == 1 else [])],
        "headline": headline,
        "quoted": _quoted(headline),
        "recommended": recommended,
        "kept_in": best.get("folder"),
        "fitted_to": _fitted_to(best, result.get("data") or {}, wording),
        "types": _types(result.get("cells", ()), recommended),
        "figures": figures,
        "plots": {
            figure.name: {"data": figure.data, "layout": figure.layout}
            for group in figures.values()
            for figure in group
        },
        "methods": look,
        "run_methods": run_methods,
        "left_out": list(_left_out(left_out)),
        "most_labels": _most_labels(rows, left_out),
        "gains": result.get("gains") or [],
        "num_seeds": len(seeds),
        "tables": list(_tables(rows, left_out, {labels, headline.get("labels")})),
        "compared": any(row["method"] == REFERENCE for row in rows),
        "some_seen": clean["rows"] < clean["test_rows"],
        "costs": COSTS,
        "cost_labels": labels,
        "cost_rows": at_cost,
        "calibrated": any(row.get("calibration_error") is not None for row in at_cost),
        "forecast": _forecast(result.get("forecast")),
        "senses": _senses(result.get("senses")),
        "proof_names": list(dict.fromkeys(name for proof in proofs.values() for name in proof)),
        "settings": list(_flat(result.get("settings") or {})),
        "versions": result.get("versions") or {},
    }


def _forecast(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return each encoder's estimates beside the scores it reached at each label budget."""
    if found is None:
        return None
    budgets = list(dict.fromkeys(row["labels"] for row in found["reached"]))
    reached = {(row["encoder"], row["labels"]): row for row in found["reached"]}
    return {
        "labels": found["labels"],
        "seconds": found["seconds"],
        "titles": list(ESTIMATES.values()),
        "budgets": budgets,
        "rows": [
            {
                "encoder": row["encoder"],
                "told": [row[name] for name in ESTIMATES],
                "reached": [reached.get((row["encoder"], labels)) for labels in budgets],
            }
            for row in found["encoders"]
        ],
        "judged": [{**row, "title": ESTIMATES[row["estimate"]]} for row in found["judged"]],
    }


def _senses(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the pictures of a word's occurrences, and some occurrences with their nearest ones."""
    if found is None:
        return None
    drawn = picture(found)
    every = max(1, len(drawn["rows"]) // _SHOWN_OCCURRENCES)
    rows = drawn["rows"][::every][:_SHOWN_OCCURRENCES]
    cased = any(look["distinct"] > 1 for look in drawn["panels"] if not look["contextual"])
    shown = {"word": found["word"], "total": found["total"], "cased": cased}
    return {**drawn, "rows": rows, **shown}


def _quoted(headline: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the head start to show in large type, or None if none is quoted.

    Its interval is empty if all three numbers are the same bound, as in `headline`.
    """
    if headline.get("factor") is None:
        return None
    factor, low, high = (
        Multiple(headline[name], headline.get(bound))
        for name, bound in (("factor", "bound"), ("low", "low_bound"), ("high", "high_bound"))
    )
    interval = "" if factor == low == high else f"{low}× to {high}×"
    return {"factor": f"{factor}×", "interval": interval}


def _fitted_to(best: Mapping[str, Any], data: Mapping[str, Any], wording: Wording) -> str:
    labels = best.get("fitted_labels")
    if labels is None or labels == data.get("train_rows"):
        return f"all {wording.labels}"
    return f"{labels:,} {wording.labels} (there was no time for all)"


def _types(
    cells: Sequence[Row], recommended: Mapping[str, Any] | None
) -> list[dict[str, str | float]]:
    """Return the recommended method's scores for each type, as means over its seeds."""
    if recommended is None:
        return []
    chosen = recommended["method"], recommended["labels"]
    runs = [
        {each["type"]: each for each in cell.get("types", ())}
        for cell in cells
        if (cell["method"], cell["labels"]) == chosen
    ]
    rows: list[dict[str, str | float]] = []
    for name in sorted({name for run in runs for name in run}):
        own = [run.get(name, _NOT_FOUND) for run in runs]
        means = {key: sum(each[key] for each in own) / len(own) for key in _NOT_FOUND}
        rows.append({"type": name, **means, "support": max(each["support"] for each in own)})
    return rows


def _left_out(left_out: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Yield what was left out, with methods of the same labels and reason grouped.

    The reason is that of a method's smallest budget.
    """
    methods: dict[tuple[str, str], list[str]] = {}
    for method in dict.fromkeys(row["method"] for row in left_out):
        own = [row for row in left_out if row["method"] == method]
        labels = " and ".join(", ".join(f"{row['labels']:,}" for row in own).rsplit(", ", 1))
        methods.setdefault((labels, own[0]["why"]), []).append(method)
    for (labels, why), names in methods.items():
        yield {"method": ", ".join(names), "labels": labels, "why": why}


def _most_labels(rows: Sequence[Row], left_out: Sequence[Row]) -> dict[str, int]:
    """Return the largest budget that was run, for each method that had no time for all budgets."""
    stopped = {row["method"] for row in left_out}
    return {row["method"]: row["labels"] for row in rows if row["method"] in stopped}


def _tables(
    rows: Sequence[Row], left_out: Sequence[Row], opened: set[int | None]
) -> Iterator[dict[str, Any]]:
    """Yield a table for each label budget, with the intervals placed in a strip 100 wide."""
    lowest = min(row["low"] for row in rows)
    width = max(row["high"] for row in rows) - lowest or 1
    for labels in sorted({row["labels"] for row in rows}):
        of_budget = [row for row in rows if row["labels"] == labels]
        most = max(row["mean"] for row in of_budget)
        best = [row for row in of_budget if row["mean"] > most - 1e-9]  # ties up to rounding
        yield {
            "labels": labels,
            "open": labels in opened,
            "best": best[0],
            "best_methods": together([row["method"] for row in best]),
            "left_out": [row for row in left_out if row["labels"] == labels],
            "rows": [
                {
                    **row,
                    "places": [
                        100 * (row[name] - lowest) / width for name in ("low", "mean", "high")
                    ],
                    "is_best": row in best,
                    "head_start_text": head_start_text(row, interval=True),
                }
                for row in of_budget
            ],
        }


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every setting, nested ones under a dotted name."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _setting(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_setting, value))
    return "–" if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _score(number: float) -> str:
    return f"{number:.3f}"


def _signed(number: float) -> str:
    return f"{number:+.3f}".replace("-", "−")


def _p_value(p: float) -> str:
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.001 else f"{p:.3f}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]  # jinja's own turns "span F1" into "Span f1"


_FORMATS: dict[str, Callable[..., str]] = {
    "capitalize": _capitalize,
    "setting": _setting,
    "count": _count,
    "score": _score,
    "signed": _signed,
    "brief": brief,
    "p_value": _p_value,
    "duration": _duration,
}
