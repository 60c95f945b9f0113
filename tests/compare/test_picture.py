"""The still picture of the learning curves."""

from itertools import pairwise
from xml.etree import ElementTree

import pytest

from headstart.compare.picture import learning_curves_svg

SVG = "{http://www.w3.org/2000/svg}"


def rows_of(methods, budgets=(10, 100)):
    scores = {"mean": 0.5, "low": 0.4, "high": 0.6}
    return [{"method": each, "labels": labels, **scores} for each in methods for labels in budgets]


def test_panels_curves_and_bands(made_up):
    result = made_up(num_seeds=2, num_rows=100)
    picture = ElementTree.fromstring(learning_curves_svg(result["summary"]))  # noqa: S314 - ours
    assert picture.tag == f"{SVG}svg"
    panels = picture.findall(f"{SVG}g")
    assert [panel.findtext(f"{SVG}text") for panel in panels] == ["tfidf", "word2vec", "glove"]
    curves = panels[1].findall(f".//{SVG}polyline")
    assert len(curves) == 5
    assert len(panels[1].findall(f".//{SVG}polygon")) == 4  # majority has no band
    for curve in curves:
        points = [tuple(map(float, point.split(","))) for point in curve.get("points").split()]
        assert len(points) == 6
        assert all(0 <= x <= 312 and 0 <= y <= 300 for x, y in points)


@pytest.mark.parametrize("methods", [("scratch",), ("majority", "tfidf")])
def test_few_methods_and_one_budget(made_up, methods):
    result = made_up(methods=methods, budgets=(50,), num_seeds=1, num_rows=40)
    ElementTree.fromstring(learning_curves_svg(result["summary"]))  # noqa: S314 - ours


def test_an_interval_at_one_label_count_is_a_line(made_up):
    rows = made_up(methods=("majority", "scratch"), budgets=(50,), num_seeds=1, num_rows=40)
    picture = ElementTree.fromstring(learning_curves_svg(rows["summary"]))  # noqa: S314 - ours
    assert not picture.findall(f".//{SVG}polygon")
    ranges = [each for each in picture.iter(f"{SVG}polyline") if each.get("class") == "range"]
    assert len(ranges) == 1, "majority is a line"
    for each in ranges:
        (x, high), (other, low) = (map(float, end.split(",")) for end in each.get("points").split())
        assert x == other
        assert high < low, "y points down"


def test_majority_stays_in_the_picture_as_the_line_of_the_legend():
    rows = [{**rows_of(["majority"], (50,))[0], "low": 0.05}, *rows_of(["scratch"], (50,))]
    picture = ElementTree.fromstring(learning_curves_svg(rows))  # noqa: S314 - ours
    lines = [each for each in picture.iter() if each.get("class") == "curve majority"]
    assert [each.tag for each in lines] == [f"{SVG}line", f"{SVG}polyline"]
    ends = [point.split(",") for point in lines[1].get("points").split()]
    (left, y), (right, other) = (map(float, end) for end in ends)
    assert y == other
    assert 0 <= y <= 300 - 34
    (grid, *_) = (each for each in picture.iter(f"{SVG}line") if each.get("class") == "grid")
    assert (left, right) == (float(grid.get("x1")), float(grid.get("x2")))


@pytest.mark.parametrize("count", [1, 4, 13])
def test_no_interval_at_one_label_count_hides_another(count):
    transfers = ("probe", "frozen", "finetune", "gradual", "lora", "scratch")
    methods = [f"{name}:{one}" for name in ("bert", "bert+adapt") for one in transfers][: count - 1]
    picture = ElementTree.fromstring(  # noqa: S314 - ours
        learning_curves_svg(rows_of(["majority", "scratch", *methods], (50,)))
    )
    (panel,) = picture.findall(f"{SVG}g")
    ranges = [each for each in panel.iter(f"{SVG}polyline") if each.get("class") == "range"]
    across = sorted(float(each.get("points").split(",")[0]) for each in ranges)
    marks = {float(each.get("x")) for each in panel.findall(f"{SVG}g/{SVG}use")}
    assert len(across) == count
    assert set(across) <= marks
    assert all(after - before > 5 for before, after in pairwise(across))
    assert across[0] > 34
    assert across[-1] < 312 - 20


@pytest.mark.parametrize(
    ("budgets", "kept"),
    [
        ((10, 100, 1000), {"10", "100", "1,000"}),
        ((100, 200, 300, 400, 500, 600, 700, 800, 900, 1000), {"100", "200", "1,000"}),
        ((900, 999, 1000), {"1,000"}),
    ],
)
def test_counts_below_the_plot_stay_apart(budgets, kept):
    rows = rows_of(["scratch"], budgets)
    picture = ElementTree.fromstring(learning_curves_svg(rows))  # noqa: S314 - ours
    found = {
        text.text: float(text.get("x"))
        for text in picture.iter(f"{SVG}text")
        if text.get("text-anchor") == "middle" and text.text != "labels"
    }
    assert kept <= set(found) <= {f"{labels:,}" for labels in budgets}
    places = [(x - 3 * len(count), x + 3 * len(count)) for count, x in found.items()]
    assert all(end < start for (_, end), (start, _) in pairwise(sorted(places)))


@pytest.mark.parametrize(
    ("methods", "beside", "shown"),
    [
        (("word2vec:finetune", "word2vec:frozen"), 2, "word2vec:finetune"),
        (("minilm+adapt:finetune", "minilm+adapt:frozen"), 1, "minilm+adapt:finetune"),
        (("mmmmmmmmmm:finetune", "mmmmmmmmmm:frozen"), 1, "mmmmmmmmmm:finetune"),
        (("言語模型言語模型:finetune",), 1, "言語模型言語模型:finetune"),
        ((f"{'x' * 80}:finetune",), 1, f"{'x' * 20}…{'x' * 11}:finetune"),
    ],
)
def test_names_in_the_legend_stay_apart_and_in_the_picture(methods, beside, shown):
    rows = rows_of(["scratch", *methods])
    picture = ElementTree.fromstring(learning_curves_svg(rows))  # noqa: S314 - ours
    names = [
        text
        for text in picture.iter(f"{SVG}text")
        if text.get("text-anchor") is None and text.get("class") is None
    ]
    assert len({text.get("x") for text in names}) == beside
    assert shown in [text.text for text in names]


def test_a_long_legend_leaves_room_for_the_plot():
    transfers = ("probe", "frozen", "finetune", "gradual", "lora")
    methods = [f"{name}:{one}" for name in ("minilm", "minilm+adapt") for one in transfers]
    picture = ElementTree.fromstring(learning_curves_svg(rows_of(methods)))  # noqa: S314 - ours
    grid = [each for each in picture.iter(f"{SVG}line") if each.get("class") == "grid"]
    heights = [float(each.get("y2")) - float(each.get("y1")) for each in grid]
    assert max(heights) > 150
    legend = [float(text.get("y")) for text in picture.iter(f"{SVG}text") if text.text in methods]
    assert max(legend) < min(float(each.get("y1")) for each in grid)
    assert float(picture.get("height")) > max(float(each.get("y2")) for each in grid)


def test_names_are_escaped(made_up):
    rows = [
        {**row, "method": row["method"].replace("glove", "<script>\x1b&")}
        for row in made_up(num_seeds=1, num_rows=40)["summary"]
    ]
    picture = ElementTree.fromstring(learning_curves_svg(rows))  # noqa: S314 - ours
    assert r"<script>\x1b&" in [text.text for text in picture.iter(f"{SVG}text")]


def test_the_legend_says_how_far_a_method_got(made_up):
    left_out = [
        {"method": "glove:finetune", "labels": labels, "why": "slow"} for labels in (250, 1000)
    ]
    rows = made_up(num_seeds=1, num_rows=40, left_out=left_out)["summary"]
    picture = ElementTree.fromstring(  # noqa: S314 - ours
        learning_curves_svg(rows, left_out=left_out)
    )
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert "glove:finetune to 100" in texts
    assert "glove:frozen" in texts
