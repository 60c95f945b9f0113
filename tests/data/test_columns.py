from pathlib import Path

import pytest

from headstart.data.columns import choose_label, choose_text, listed
from headstart.errors import DataError

PATH = Path("reviews.csv")


def choose(columns, *, text=None, label=None):
    """Choose both as reading a labeled file does; numbers are columns that hold no text."""
    held = {name: name not in {"id", "score"} for name in columns}
    label_name, label_notes = choose_label(PATH, held, label, text=text)
    text_name, text_notes = choose_text(PATH, held, text, label=label_name)
    return text_name, label_name, len(label_notes + text_notes)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["text", "label"], ("text", "label", 0)),
        (["id", "label", "headline", "text"], ("text", "label", 0)),
        (["id", "Review", "Sentiment"], ("Review", "Sentiment", 2)),
        (["text", "spam"], ("text", "spam", 1)),
        (["words", "label"], ("words", "label", 1)),
        (["score", "words", "label"], ("words", "label", 1)),
        (["Note", "Text ", " Label"], ("Text ", " Label", 2)),
    ],
)
def test_a_name_is_guessed_when_unmistakable_and_said(columns, expected):
    assert choose(columns) == expected


@pytest.mark.parametrize(
    ("columns", "role"),
    [
        (["a", "b"], "label"),
        (["text"], "label"),
        (["headline", "body", "label"], "text"),
        (["title", "subtitle", "label"], "text"),
        (["text", "class", "category"], "label"),
    ],
)
def test_what_could_be_several_columns_is_refused_with_their_names(columns, role):
    with pytest.raises(
        DataError, match=rf"which column is the {role}; the columns are '{columns[0]}'"
    ):
        choose(columns)


@pytest.mark.parametrize(("name", "hint"), [("a.csv.gz", "the first line"), ("a.jsonl", "nested")])
def test_what_is_no_name_depends_on_the_format(name, hint):
    with pytest.raises(DataError, match=hint):
        choose_label(Path(name), {"a": True, "b": True}, None)


def test_two_texts_a_row_are_told_to_be_pairs():
    with pytest.raises(DataError, match="for two texts per row use pairs"):
        choose(["text_a", "text_b", "label"])


@pytest.mark.parametrize(("column", "mark"), [("text;label", "semicolon"), ("text\tid", "tab")])
def test_a_file_that_another_mark_separates_is_refused(column, mark):
    with pytest.raises(
        DataError, match=rf"the only column is .*; its values seem separated by a {mark}"
    ):
        choose([column])
    assert choose([column, "text", "label"])[:2] == ("text", "label")


def test_a_column_that_is_asked_for_needs_no_guess():
    assert choose(["a", "b", "c"], text="c", label="a") == ("c", "a", 0)


def test_an_unknown_column_is_refused_with_those_there_are():
    with pytest.raises(DataError, match=r"reviews\.csv: no column 'c'; the columns are 'a', 'b'"):
        choose(["a", "b"], text="a", label="c")


def test_of_many_columns_a_message_names_some():
    assert listed(str(number) for number in range(100)).endswith("'18', '19', ..")
