"""The still picture of the learning curves."""

from xml.etree import ElementTree

import pytest

from headstart.compare.picture import learning_curves_svg

SVG = "{http://www.w3.org/2000/svg}"


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
    assert len(ranges) == 2
    for each in ranges:
        (x, high), (other, low) = (map(float, end.split(",")) for end in each.get("points").split())
        assert x == other
        assert high < low, "y points down"


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
