"""What the plots are told to draw."""

import json
import math
import re
from itertools import pairwise

import pytest

from headstart.compare.figures import (
    cost_against_quality,
    curve_panels,
    head_start_bars,
    head_start_gap,
    learning_curves,
    pareto_front,
    plot_text,
    score_axis,
)
from headstart.compare.styles import styles


@pytest.fixture(scope="module")
def result(made_up):
    return made_up(num_rows=200)


def look_of(rows):
    return styles(row["method"] for row in rows)


def test_one_panel_an_encoder_with_the_references(result):
    panels = curve_panels(result["summary"])
    assert list(panels) == ["tfidf", "word2vec", "glove"]
    assert panels["glove"] == [
        "glove:probe",
        "glove:frozen",
        "glove:finetune",
        "scratch",
        "majority",
    ]
    figures = learning_curves(result["summary"])
    lines = [trace for trace in figures[2].data if "name" in trace]
    assert [line["name"] for line in lines] == list(reversed(panels["glove"]))
    assert lines[-1]["y"] == [
        row["mean"] for row in result["summary"] if row["method"] == "glove:probe"
    ]


def test_what_was_adapted_stands_beside_what_it_was(made_up):
    methods = ("scratch", "bert:finetune", "bert:scratch", "bert+adapt:finetune")
    rows = made_up(methods=methods, num_rows=60)["summary"]
    assert curve_panels(rows) == {
        "bert": ["bert:finetune", "bert:scratch", "bert+adapt:finetune", "scratch"]
    }
    (figure,) = learning_curves(rows)
    named = {trace["meta"]: trace["name"] for trace in figure.data if "name" in trace}
    assert named == dict(enumerate(figure.methods))
    assert all("meta" in trace for trace in figure.data), "a trace that the page cannot hide"
    colors = {trace["line"]["color"] for trace in figure.data if "name" in trace}
    assert len(colors) == 3, "the adapted encoder looks like the one it was"


def test_only_references_still_have_a_panel(result):
    rows = [row for row in result["summary"] if row["method"] in ("scratch", "majority")]
    assert curve_panels(rows) == {"scratch": ["scratch", "majority"]}
    assert len(learning_curves(rows)) == 1
    assert head_start_bars([row for row in rows if row["method"] == "scratch"]) == []


def test_the_gap_starts_at_the_budget_and_is_as_wide_as_the_head_start(result):
    gap = head_start_gap(result["summary"], result["headline"])
    arrow, label = gap.layout["annotations"]
    assert 10 ** arrow["ax"] == pytest.approx(result["headline"]["labels"])
    assert 10 ** (arrow["x"] - arrow["ax"]) == pytest.approx(result["headline"]["factor"])
    assert label["text"].endswith("×")
    assert head_start_gap(result["summary"], {"sentence": "", "factor": None}) is None


def test_bars_mark_bounds(result):
    figures = {figure.title: figure for figure in head_start_bars(result["summary"])}
    assert "10 labels" in figures
    assert "1,000 labels" not in figures  # scratch has no more labels than that
    rows = [
        row for row in result["summary"]
        if row["labels"] == 250 and row["method"] not in ("scratch", "majority")
    ]  # fmt: skip
    bars, highs, lows = figures["250 labels"].data
    assert bars["x"] == [math.log2(row["head_start"]) for row in rows]
    assert highs["y"] == [row["method"] for row in rows if row["head_start_high_bound"]]
    assert lows["y"] == []


def test_costs_that_nobody_measured_have_no_plot(result):
    rows = [{**row, "megabytes": None} for row in result["summary"] if row["labels"] == 50]
    assert [figure.name for figure in cost_against_quality(rows, look_of(rows))] == [
        "cost-seconds", "cost-predictions_per_second"
    ]  # fmt: skip


def test_costs_are_drawn_in_the_page_s_colors_if_a_method_is_missing(result):
    named = {"word2vec": "mine", "glove": "theirs"}
    rows = [
        {**row, "method": re.sub("word2vec|glove", lambda found: named[found[0]], row["method"])}
        for row in result["summary"]
    ]
    page = look_of(rows)
    shown = [row for row in rows if row["labels"] == 1000 and "mine" not in row["method"]]
    for figure in cost_against_quality(shown, page):
        points = {trace["name"]: trace["marker"]["color"] for trace in figure.data[1:]}
        assert points == {name: f"@{page[name].tone}" for name in points}
        assert "theirs:probe" in points
    assert look_of(shown)["theirs:probe"] != page["theirs:probe"]


def test_pareto_front():
    points = [(1, 0.5), (2, 0.9), (3, 0.8), (2, 0.9), (1, 0.4), (4, 0.95)]
    assert pareto_front(points) == [0, 1, 3, 5]


@pytest.mark.parametrize(
    ("low", "high", "start", "step"),
    [(0.23, 0.98, 0.2, 0.2), (0.9, 0.96, 0.9, 0.02), (0, 1, 0, 0.2)],
)
def test_score_axis(low, high, start, step):
    axis = score_axis([{"method": "scratch", "low": low, "mean": high, "high": high}])
    assert axis["range"][0] == pytest.approx(start)
    assert axis["dtick"] == step


def test_the_axis_does_without_majority_s_interval_which_is_not_drawn():
    rows = [
        {"method": "majority", "labels": labels, "mean": 0.5, "low": 0.1, "high": 0.7}
        for labels in (50, 1000)
    ]
    assert score_axis(rows)["range"][0] == pytest.approx(0.5), "a line has no interval"
    assert score_axis(rows[:1])["range"][0] == pytest.approx(0.5), "at one label count, too"


def test_at_one_label_count_methods_stand_side_by_side_and_majority_is_a_line(made_up):
    rows = made_up(budgets=(50,), num_rows=60)["summary"]
    for figure in learning_curves(rows):
        *lines, majority = sorted(figure.data, key=lambda trace: trace["name"] == "majority")
        low, high = figure.layout["xaxis"]["range"]
        assert majority["x"] == pytest.approx([10**low, 10**high])
        assert (majority["mode"], majority["line"]["dash"]) == ("lines", "dash")
        assert majority["y"][0] == majority["y"][1]
        across = sorted(math.log10(x) for line in lines for x in line["x"])
        assert len(across) == len(figure.methods) - 1
        assert all(after - before > 0.03 * (high - low) for before, after in pairwise(across))
        assert sum(across) / len(across) == pytest.approx(math.log10(50))
        assert all("error_y" in line for line in lines)
        assert figure.layout["hovermode"] == "closest"


def test_text_for_plotly_is_escaped():
    assert plot_text("<b>\u202e&") == r"&lt;b&gt;\u202e&amp;"


def test_figures_are_json(result):
    rows = result["summary"]
    costs = cost_against_quality(rows, look_of(rows))
    for figure in (*learning_curves(rows), *head_start_bars(rows), *costs):
        json.dumps([figure.data, figure.layout], allow_nan=False)
