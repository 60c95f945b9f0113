"""The report as a file: complete, self-contained, and no user's text is anything but text."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from headstart.compare import report
from headstart.compare.head_start import Multiple
from headstart.compare.report import render_report
from headstart.hub.bundle import PretrainedWordVectors
from headstart.inspect.senses import word_senses


class Page(HTMLParser):
    """What a browser would see: elements with their attributes' names, and the texts."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.texts, self.blocks, self.attributes = [], [], [], []
        self.inside = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, *sorted(name for name, _ in attrs)))
        self.attributes += attrs
        self.inside = tag
        if tag in ("script", "style"):
            self.blocks.append([tag, dict(attrs), ""])

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside in ("script", "style"):
            self.blocks[-1][2] += data
        else:
            self.texts.append(data)


@pytest.fixture(scope="module")
def result(made_up):
    return made_up(num_rows=150)


@pytest.fixture(scope="module")
def page(result):
    return Page(render_report(result))


def text_of(page):
    return " ".join(" ".join(page.texts).split())


def test_the_score_is_called_by_its_name(result):
    text = text_of(Page(render_report({**result, "metric": "span F1"})))
    assert "Mean span F1 on the same test rows" in text
    assert "Span F1 [95% CI]" in text


def test_it_tells_the_story_in_order(page, result):
    text = text_of(page)
    parts = [
        result["title"], "head start, 95% confidence interval", result["headline"]["sentence"],
        result["warnings"][0], result["differences"][0], "Learning curves", "Head start", "Scores",
        "Cost versus quality", "Recommendation", "Could the best encoder have been predicted?",
        "What the word vectors know", "Proof that transfer",
        "Data", "Settings and replay", result["command"],
    ]  # fmt: skip
    places = []
    for part in parts:
        places.append(text.index(part, places[-1] if places else 0))
    assert places == sorted(places)


def test_every_number_and_setting_is_there(page, result):
    text = text_of(page)
    for row in result["summary"]:
        assert f"{row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" in text
    assert "5 of 5 degenerate" in text
    assert "pretrain.dim 50" in text
    assert "torch 2.13.0" in text
    for word in ("wimbledon", "With another number of labels", "Frozen before", "1,777"):
        assert word in text


def test_the_head_start_is_the_largest_thing(page, result):
    number = page.texts[page.texts.index(result["title"]) :]
    quoted = Multiple(result["headline"]["factor"], result["headline"]["bound"])
    assert next(text for text in number if "×" in text) == f"{quoted}×"


def test_all_that_score_best_are_bold(result):
    rows = [dict(row) for row in result["summary"]]
    few = [row for row in rows if row["labels"] == rows[0]["labels"]]
    few[0]["mean"], few[1]["mean"], few[2]["mean"] = 0.99, 0.99 - 1e-12, 0.98
    (table, *_) = report._tables(rows, [], set())
    assert [row["is_best"] for row in table["rows"]] == [True, True, *[False] * (len(few) - 2)]
    said = f"{few[0]['method']} and {few[1]['method']} 0.990"
    assert said in text_of(Page(render_report({**result, "summary": rows})))


@pytest.mark.parametrize(
    ("words", "said"),
    [(["bank", "the"], "are one point ("), (["bank", "Bank"], "are one point for each spelling (")],
)
def test_a_word_is_one_point_under_word_vectors_or_one_for_each_spelling(result, words, said):
    vectors = PretrainedWordVectors.from_words(
        "glove", words, np.eye(2, dtype=np.float32), config={}, lineage={}
    )
    senses = word_senses({"glove": vectors}, ["the bank fell", "Bank of it"], "bank")
    text = text_of(Page(render_report({**result, "senses": senses})))
    assert f"all 2 occurrences of “ bank ” {said}2 in the corpus)" in text


def test_a_bound_alone_has_no_interval(result):
    bounds = {name: 40.0 for name in ("factor", "low", "high")}
    bounds |= {name: ">" for name in ("bound", "low_bound", "high_bound")}
    text = text_of(Page(render_report({**result, "headline": {**result["headline"], **bounds}})))
    assert "> 40× head start With" in text
    assert "95% confidence interval >" not in text


def test_one_of_a_thing_is_not_called_many(made_up):
    one = made_up(methods=("tfidf",), budgets=(50,), num_seeds=1, num_rows=40)
    data = {"train_rows": 1, "test_rows": 1, "classes": [{"label": "LOC", "count": 1}]}
    wording = {"kind": "type", "kinds": "types of spans"}
    text = text_of(Page(render_report({**one, "data": data, "wording": wording})))
    assert "1 training row 1 test row 1 type 1 method 1 label count 1 seed" in text


def test_under_senses_stands_what_each_reaches_untrained(result):
    about = {"distinct": 2, "nearest": [[1, 0.5], [0, 0.5]], "points": [[0, 1], [1, 0]]}
    about |= {"group_of": [], "groups": [], "chance": 1.2, "contextual": True}
    senses = {
        "word": "bank",
        "total": 2,
        "left_out": 0,
        "occurrences": [{"sentence": f"bank {n}", "start": 0, "end": 4} for n in range(2)],
        "encoders": [
            {"name": "elmo", "times": 1.5, "untrained": 1.4, **about},
            {"name": "older", "times": 1.3, **about},
        ],
    }
    text = text_of(Page(render_report({**result, "senses": senses})))
    assert "elmo context ratio 1.50×, untrained 1.40×" in text
    assert "older context ratio 1.30× bank" in text


def test_a_telling_word_is_in_so_many_texts(result):
    assert "minister politics, in 61 texts" in text_of(Page(render_report(result)))


def test_the_columns_of_words_are_called_what_they_are(result):
    def lead(*names):
        knowledge = {**result["knowledge"]}
        knowledge["words"] = [
            {**word, "columns": {name: word["columns"][name] for name in names}}
            for word in knowledge["words"]
        ]
        text = text_of(Page(render_report({**result, "knowledge": knowledge})))
        return text.split("words that are typical of the classes: ")[1].split(".")[0]

    known = "as represented by glove:finetune, pretrained"
    assert lead("scratch", "pretrained", "finetuned") == (
        f"as learned from scratch from the labels alone, and {known} and fine-tuned"
    )
    assert lead("scratch", "pretrained").endswith("pretrained")
    assert lead("pretrained") == known


def test_nothing_is_fetched_and_only_our_blocks_may_run(page):
    for name, value in page.attributes:
        assert name not in ("src", "srcset", "action", "style", "onload")
        assert not (name == "href" and not value.startswith("#"))
    policy = next(
        value for name, value in page.attributes if name == "content" and "default-src" in value
    )
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for tag, attributes, block in page.blocks:
        digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
        allowed = f"'sha256-{digest}'" in policy
        assert allowed == (attributes.get("type") != "application/json"), tag


def test_the_plots_are_strict_json(page):
    (block,) = [block for _, attributes, block in page.blocks if attributes.get("id") == "plots"]
    plots = json.loads(block, parse_constant=pytest.fail)
    ids = [value for name, value in page.attributes if name == "id"]
    assert set(plots) <= set(ids)
    assert len(plots) == 1 + 3 + 5 + 3  # the gap, encoders, budgets with a head start to see, costs
    assert not set("<>&\u2028") & set(block)


def test_no_payload_becomes_more_than_text(result, attack, payloads, monkeypatch):
    monkeypatch.setattr(report, "get_plotlyjs", lambda: "0")  # long to parse
    page = Page(render_report(result))
    for payload in payloads:
        attacked = Page(render_report(attack(result, payload)))
        assert attacked.elements == page.elements, payload
        names = [name for name, _ in page.attributes]
        assert [name for name, _ in attacked.attributes] == names
        assert [len(block) for _, _, block in attacked.blocks[:-3]] == [
            len(block) for _, _, block in page.blocks[:-3]
        ]
    json.loads(next(block for _, attrs, block in attacked.blocks if attrs.get("id") == "plots"))


def test_hidden_characters_are_shown_as_such(result):
    text = text_of(Page(render_report({**result, "title": "a\u202eb\x00c\ud800"})))
    assert r"a\u202eb\x00c\ud800" in text


LEFT_OUT = [
    {"method": method, "labels": labels, "why": "would have taken about 9 min more"}
    for method, budgets in (("bert:finetune", (250, 1000)), ("minilm:finetune", (10, 25)))
    for labels in budgets
]


@pytest.fixture(scope="module")
def large(made_up):
    methods = ("majority", "scratch", "glove:probe", "bert:finetune", "bert:scratch")
    methods += ("bert+adapt:finetune",)
    return made_up(methods=methods, num_rows=150, left_out=LEFT_OUT)


def test_what_was_left_out_is_seen_wherever_it_is_missing(large):
    page = Page(render_report(large))
    text = text_of(page)
    assert "Left out for lack of time" in text
    why = "would have taken about 9 min more."
    assert f"bert:finetune with 250 and 1,000 labels: {why}" in text
    assert f"minilm:finetune with 10 and 25 labels: {why}" in text
    assert text.count("left out for lack of time") == len(LEFT_OUT)
    assert "bert:finetune to 100 labels" in text
    assert "there was no time for bert:finetune, which may be better" in text


def test_what_pretraining_and_adaptation_bought(large):
    text = text_of(Page(render_report(large)))
    assert "Gains from pretraining and adaptation" in text
    row = large["gains"][0]
    assert f"{row['difference']:+.3f}".replace("-", "\u2212") in text
    (block,) = [
        block
        for _, attributes, block in Page(render_report(large)).blocks
        if attributes.get("id") == "plots"
    ]
    assert "curves-1" in json.loads(block)


def test_no_payload_in_what_was_left_out(large, attack, payloads, monkeypatch):
    monkeypatch.setattr(report, "get_plotlyjs", lambda: "0")
    page = Page(render_report(large))
    for payload in payloads:
        assert Page(render_report(attack(large, payload))).elements == page.elements, payload


@pytest.mark.parametrize(("labels", "said"), [(1777, "all labels"), (250, "250 labels (there")])
def test_how_many_labels_the_winner_was_fitted_to(result, labels, said):
    best = {**result["best"], "fitted_labels": labels}
    assert f"Fitted to {said}" in text_of(Page(render_report({**result, "best": best})))


def seen_before(result, rows):
    """Return the result with scores on clean rows, of which there are so many."""
    clean = {"sentence": f"{rows} of 150 test rows are clean.", "rows": rows, "test_rows": 150}
    scores = {"clean_rows": rows, "clean_mean": 0.123, "clean_low": 0.111, "clean_high": 0.135}
    if not rows:
        scores = {"clean_rows": 0, **dict.fromkeys(("clean_mean", "clean_low", "clean_high"))}
    return {**result, "clean": clean, "summary": [{**row, **scores} for row in result["summary"]]}


@pytest.mark.parametrize(("rows", "shown"), [(150, 0), (140, 54), (0, 0)])
def test_scores_on_clean_rows_stand_beside_those_on_all_where_they_differ(
    large, result, rows, shown
):
    text = text_of(Page(render_report(seen_before(result, rows))))
    assert f"{rows} of 150 test rows are clean." in text
    assert ("On clean rows [95% CI]" in text) == (rows < 150)
    assert text.count("0.123 [0.111, 0.135]") == shown
    table = render_report(seen_before(large, rows)).split('<section id="scores">')[1]
    head, *body = re.findall("<tr.*?</tr>", table.split("</table>")[0], re.DOTALL)
    columns = head.count("<th") - head.count("<thead")
    for row in body:
        spans = sum(int(number) - 1 for number in re.findall('colspan="([0-9]+)"', row))
        assert row.count("<td") + row.count("<th") + spans == columns


OPTIONAL = (
    "title", "metric", "data", "clean", "cells", "headline", "best", "recommendation", "left_out",
    "gains", "differences", "warnings", "proofs", "knowledge", "settings", "command", "versions",
    "seconds", "cores_used",
)  # fmt: skip


def test_calibration_is_told_where_it_is_known(result):
    assert "Calibration error" in text_of(Page(render_report(result)))
    summary = [{**row, "calibration_error": None} for row in result["summary"]]
    assert "Calibration" not in text_of(Page(render_report({**result, "summary": summary})))


@pytest.mark.parametrize("missing", [*OPTIONAL, OPTIONAL])
def test_what_is_not_there_is_left_out(result, missing):
    names = (missing,) if isinstance(missing, str) else missing
    html = render_report({name: value for name, value in result.items() if name not in names})
    assert "None" not in text_of(Page(html))


@pytest.mark.parametrize(
    "shape",
    [
        {"methods": ("tfidf", "glove:probe")},
        {"methods": ("scratch",), "num_seeds": 1},
        {"methods": ("majority",), "budgets": (10,)},
        {"budgets": (50,), "num_seeds": 1},
    ],
)
def test_any_shape_of_comparison(made_up, shape):
    text = text_of(Page(render_report(made_up(num_rows=60, **shape))))
    assert ("Only one seed was run" in text) == (shape.get("num_seeds") == 1)
    assert ("not measured" in text) == ("scratch" not in shape.get("methods", ("scratch",)))


def test_empty_parts_of_the_data_are_left_out(result):
    data = {"source": "a.csv", "corpus": {"source": "b.txt"}}
    text = text_of(Page(render_report({**result, "data": data})))
    assert "Unlabeled corpus b.txt" in text
    text = text_of(Page(render_report({**result, "data": {**data, "corpus": {}}})))
    assert "Unlabeled" not in text


def test_what_was_foretold_stands_beside_what_was_found(page, result):
    text = text_of(page)
    assert "frozen features of 100 training labels were analyzed, in 1.9 s" in text
    for row in result["forecast"]["reached"]:
        assert f"{row['mean']:.3f} {row['method']}" in text
    assert "glove layer" not in text
    assert "-0.300 [-0.400, -0.200] layer 1 of 1" in text
    assert "word2vec › glove" in text
    assert "glove › word2vec" in text
