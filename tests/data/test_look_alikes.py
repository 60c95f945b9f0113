from unicodedata import normalize

import pytest

from headstart.data.label_sets import read_label_sets
from headstart.data.labelled import read_labelled
from headstart.data.look_alikes import look_alike, note_labels, note_several, note_texts
from headstart.data.pairs import read_labelled_pairs


@pytest.mark.parametrize(
    "alike", [["sport", "sport "], ["Käufe", normalize("NFD", "Käufe")], ["A b", "a  B"]]
)
def test_labels_that_look_the_same_are_named(alike):
    (note,) = note_labels([*alike, "other", *alike])
    assert note.startswith(f"{' and '.join(map(repr, sorted(alike)))}: separate classes")


def test_few_of_many_groups_are_shown():
    (note,) = note_labels([f"{name}{end}" for name in "abcde" for end in ("", " ")])
    assert "'c' and 'c ', and 2 more: separate classes" in note


@pytest.mark.parametrize("labels", [["1", "01", "1.0"], ["sport", "sports"], ["c", "c++"], []])
def test_labels_that_differ_are_not(labels):
    assert note_labels(labels) == []


def test_the_look_alike_of_a_label_is_found():
    assert look_alike(" world", ["Sports", " world", "World"]) == "World"
    assert look_alike("world", ["Sports", "world"]) is None


def test_a_note_names_its_file(tmp_path):
    path = tmp_path / "news.csv"
    path.write_text("text,label\na,x\nb,X\n")
    (note,) = read_labelled(path).notes
    assert note.startswith(f"{path}: 'X' and 'x': separate classes")
    path.write_text("text,label\na,x|y\nb,X\n")
    (note,) = read_label_sets(path, separator="|").notes
    assert note.startswith(f"{path}: 'X' and 'x': separate classes")


@pytest.mark.parametrize(
    ("labels", "mark"),
    [
        (["a|b", "b|a"], "|"),
        (["a|b", "a", "b"], "|"),
        (["a; b", "c;a", "b", "c", "d"], ";"),
        (["a,b", "a,b,c", "c"], ","),
    ],
)
def test_several_labels_in_one_cell_are_noted(labels, mark):
    (note,) = note_several([*labels, "other"])
    assert f"(--label-separator {mark!r})" in note


@pytest.mark.parametrize(
    "labels", [["oil, gas", "gas"], ["a|b", "c|d"], ["a,", "a", ",a", ""], ["a", "b"], ["a|b"] * 9]
)
def test_labels_with_a_mark_in_them_are_not(labels):
    assert note_several(labels) == []


def test_letters_in_parts_are_counted():
    composed = ["Börse", "plain", "\u0958", "नमस्ते", "\u1100"]  # the third has no other form
    assert note_texts(composed) == []
    (note,) = note_texts([*composed, normalize("NFD", "Börse"), "e\u0301"])
    assert note.startswith("letters in 2 of the texts are decomposed")
    (note,) = note_texts([("e\u0301", "plain"), ("plain", "e\u0301")])
    assert note.startswith("letters in 2 of the texts")


@pytest.mark.parametrize("text", ["A &amp; B", "one<br/>two", '<a href="x">a</a>', "it&#39;s"])
def test_html_is_counted_where_there_is_much(text):
    (note,) = note_texts([text, text, *["a < b & c > d"] * 98])
    assert note.startswith("HTML in 2 of the texts")
    assert note_texts([text, text, *["plain"] * 300]) == []
    assert note_texts([text, "a <3 b", "AT&T;", "x<y>z"]) == []


def test_files_say_so(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("text,label\nBo\u0308rse,a\nb,a \n", encoding="utf-8")
    assert len(read_labelled(file).notes) == 2
    file.write_text("text_a,text_b,label\nx,Bo\u0308rse,a\nb,c,A\n", encoding="utf-8")
    assert len(read_labelled_pairs(file).notes) == 2
