"""The page on a word's senses: whole, escaped, and in need of nothing and nobody."""

import base64
import hashlib
import re

import numpy as np
import pytest

from headstart.hub.bundle import PretrainedWordVectors
from headstart.inspect.senses import word_senses
from headstart.inspect.senses_page import excerpt, render_senses


@pytest.fixture
def found(encoders, river_and_money):
    return word_senses(encoders, river_and_money, "bank")


def test_every_occurrence_is_in_every_picture_and_inside_it(found):
    page = render_senses(found)
    figures = re.findall(r"<figure>.*?</figure>", page, re.DOTALL)
    assert [re.search(r"<bdi>(.*?)</bdi>", each)[1] for each in figures] == [
        look["name"] for look in found["encoders"]
    ]
    for figure, look in zip(figures, found["encoders"], strict=True):
        dots = re.findall(r'cx="(.*?)" cy="(.*?)" r="5" data-number="(\d+)"', figure)
        assert [int(number) for *_, number in dots] == list(range(40))
        assert all(16 <= float(x) <= 404 and 16 <= float(y) <= 284 for x, y, _ in dots)
        assert ("one vector for all 40 occurrences" in figure) == (look["name"] == "glove")
        near = re.findall(r'data-number="(\d+)" data-near="(\d+)"', figure)
        assert {int(number): int(other) for number, other in near} == {
            number: each[0] for number, each in enumerate(look["nearest"]) if each
        }
        for group in look["groups"]:
            assert len(re.findall(rf'class="dot group-{group["number"]}"', figure)) == group["size"]
            assert f"{group['size']}: <bdi>{', '.join(group['words'])}</bdi>" in figure
    assert len(re.findall(r'<tr id="occurrence-\d+"><td>', page)) == 40
    assert page.count("all have the same vector") == 40
    assert page.count("<b>40</b>") == 2
    assert "left out, spelling without" not in page


def test_spellings_with_vectors_of_their_own_are_not_called_the_same():
    vectors = np.eye(3, dtype=np.float32)
    cased = PretrainedWordVectors.from_words(
        "cased", ["bank", "Bank", "the"], vectors, config={}, lineage={}
    )
    texts = ["the bank fell", "the bank rose", "near the bank", "Bank of it"]
    found = word_senses({"cased": cased}, texts, "bank")
    assert found["encoders"][0]["distinct"] == 2
    page = render_senses(found)
    assert "all have the same vector" not in page
    assert page.count("several are equally near") == 4


def test_a_picture_has_one_scale(found):
    """The farthest points touch the margin in one direction, and distances keep their ratio."""
    (figure,) = re.findall(
        r"<figure>[^<]*<figcaption>.{,90}<bdi>reader.*?</figure>", render_senses(found), re.DOTALL
    )
    dots = [tuple(map(float, each)) for each in re.findall(r'cx="(.*?)" cy="(.*?)"', figure)]
    points = found["encoders"][-1]["points"]
    wide, high = (max(axis) - min(axis) for axis in zip(*points, strict=True))
    drawn_wide, drawn_high = (max(axis) - min(axis) for axis in zip(*dots, strict=True))
    assert drawn_wide / drawn_high == pytest.approx(wide / high, rel=0.02)
    assert drawn_wide == pytest.approx(388, abs=0.2) or drawn_high == pytest.approx(268, abs=0.2)
    assert (dots[0][0] > dots[1][0]) == (points[0][0] > points[1][0])
    assert (dots[0][1] < dots[1][1]) == (points[0][1] > points[1][1])  # up is up


def test_beside_the_number_stands_what_the_same_reaches_untrained(found):
    looks = {look["name"]: {**look} for look in found["encoders"]}
    looks["elmo"]["untrained"] = 1.4
    del looks["gpt"]["untrained"]  # as in results that are older
    page = render_senses({**found, "encoders": list(looks.values())})
    figures = re.findall(r"<b>(\S+) <small>(.*?)</small></b><bdi>(.*?)</bdi>", page)
    said = {name: words for _, words, name in figures}
    assert said["elmo"] == "context ratio, untrained 1.40×"
    assert said["glove"] == said["reader"] == said["gpt"] == "context ratio"
    (row,) = re.findall(r"<tr><td><bdi>elmo</bdi></td>(.*?)</tr>", page)
    cells = re.findall(r'<td class="number">(.*?)</td>', row)
    assert cells[:2] == [f"{looks['elmo']['times']:.2f}×", "1.40×"]


def test_texts_and_names_are_escaped(encoders):
    texts = ['A <script>alert("bank")</script> bank & "co".', "<img src=x onerror=y> bank"]
    name = "<b>'mine\"</b>"
    page = render_senses(word_senses({name: encoders["glove"]}, texts, "bank"))
    assert page.count("<script>") == 1
    assert "<img" not in page
    assert "<b>'" not in page
    assert "&lt;img src=x onerror=y&gt; <mark>bank</mark>" in page


def test_it_needs_nothing_from_elsewhere_and_admits_only_its_own_script(found):
    page = render_senses(found)
    assert not re.search(r"https?://|src=|@import|url\(", page)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none'")
    for name in ("style", "script"):
        (block,) = re.findall(rf"<{name}>(.*?)</{name}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy


def test_little_is_enough(encoders):
    page = render_senses(word_senses(encoders, ["bank", "the bank"], "bank"))
    assert page.count("<figure>") == len(encoders)
    assert "–" in page


def test_a_page_says_what_was_left_out(found):
    assert "<b>7</b> left out, spelling without" in render_senses({**found, "left_out": 7})


def test_an_excerpt_has_dots_where_the_sentence_goes_on():
    sentence = "very " * 30 + "long bank of the river" + " and" * 30
    start = sentence.index("bank")
    near = excerpt({"sentence": sentence, "start": start, "end": start + 4})
    assert near["before"].startswith("… very ")
    assert near["before"].endswith("long ")
    assert near["word"] == "bank"
    assert near["after"].startswith(" of the river and")
    assert near["after"].endswith(" and …")
    whole = {"sentence": "My bank!", "start": 3, "end": 7}
    assert excerpt(whole) == {"before": "My ", "word": "bank", "after": "!"}
