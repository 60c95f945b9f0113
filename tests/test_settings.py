"""Settings come back as they were written, and whatever is wrong with a file is named."""

import shlex
import tomllib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import SettingsError
from headstart.settings import (
    join_commas,
    plain,
    plain_arguments,
    read_settings,
    replay_command,
    settings_toml,
    split_commas,
    whole_number,
)

KNOWN = ("data", "labels", "label_column", "quick", "seeds")


def written(tmp_path, text):
    path = tmp_path / "run.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_reads_every_kind_of_value(tmp_path):
    path = written(tmp_path, '\ufeffdata = "a.csv"\nlabels = [50, 200]\nquick = true\nseeds = 3\n')
    expected = {"data": "a.csv", "labels": [50, 200], "quick": True, "seeds": 3}
    assert read_settings(path, known=KNOWN) == expected


def test_hyphens_and_underscores_are_the_same(tmp_path):
    path = written(tmp_path, 'label-column = "topic"\n')
    assert read_settings(path, known=KNOWN) == {"label_column": "topic"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nlables = [50]\n", "line 2: unknown setting 'lables'; did you mean 'labels'?"),
        (
            "zzz = 1\n",
            "unknown setting 'zzz'; choose from data, label_column, labels, quick, seeds",
        ),
        ("[compare]\nseeds = 3\n", "line 1: unknown setting 'compare'"),
        ("[labels]\nseeds = 3\n", "line 1: 'labels' must be text, a number, true or false"),
        ("seeds = 2026-01-01\n", "'seeds' must be text, a number, true or false"),
        ("label-column = 'a'\nlabel_column = 'b'\n", "line 2: 'label_column' is set twice"),
        ("seeds = 1\nseeds = 2\n", "not valid TOML: Cannot overwrite a value (at line 2"),
        ("seeds =\n", "not valid TOML: Invalid value (at line 1, column 8)"),
        (b"seeds = '\xff'\n", "not UTF-8 at byte 9"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        read_settings(path, known=KNOWN)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(SettingsError, match="cannot read the settings: No such file"):
        read_settings(tmp_path / "none.toml", known=KNOWN)


texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
keys = st.from_regex(r"[a-z_]+", fullmatch=True)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(keys, scalars | st.lists(scalars)))
def test_toml_reads_back_exactly(values):
    back = tomllib.loads(settings_toml(values))
    assert back == values
    assert [type(value) for value in back.values()] == [type(value) for value in values.values()]


def test_toml_leaves_out_none():
    assert settings_toml({"data": None, "seeds": 5}) == "seeds = 5\n"


def test_toml_refuses_half_a_surrogate_pair():
    with pytest.raises(SettingsError, match="not valid Unicode"):
        settings_toml({"data": "\ud800.csv"})


def test_replay_command_is_what_one_would_type():
    used = {
        "data": "my data.csv",
        "corpus": ["a.txt", "b c.txt"],
        "parallel": ["a.en", "a.de"],
        "methods": ["scratch", "glove:frozen"],
        "seeds": 5,
        "quick": True,
        "test": None,
        "resume": False,
    }
    assert shlex.split(replay_command("compare", used)) == [
        *("headstart", "compare", "my data.csv", "--corpus", "a.txt", "--corpus", "b c.txt"),
        *("--parallel", "a.en", "--parallel", "a.de"),
        *("--methods", "scratch,glove:frozen", "--seeds", "5", "--quick"),
    ]


def test_replay_command_keeps_a_name_that_looks_like_an_option():
    assert (
        replay_command("compare", {"data": "-x", "seeds": 1}) == "headstart compare --seeds 1 -- -x"
    )


def test_replay_command_keeps_zero():
    assert replay_command("fit classification", {"seed": 0}, arguments=()).endswith("--seed 0")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1)))
def test_items_joined_by_commas_are_split_again(items):
    assert split_commas(join_commas(items)) == items


def test_items_are_split_as_one_types_them():
    assert split_commas("a, b,,c ") == ["a", "b", "c"]
    assert join_commas(["a", "v=x,y.txt:probe"]) == 'a,"v=x,y.txt:probe"'
    assert split_commas(join_commas(["two\nlines", "b\rc"])) == ["two\nlines", "b\rc"]
    with pytest.raises(ValueError, match="new-line character"):
        split_commas("a\nb")


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_a_whole_number_is_a_plain_one(value):
    assert whole_number("seeds", value) == 3
    assert type(whole_number("seeds", value)) is int


@pytest.mark.parametrize("value", [2.0, 1.5, np.float64(2), "2", "a", [2], None, True, np.True_])
def test_what_is_no_whole_number_is_named(value):
    with pytest.raises(SettingsError, match="seeds must be a whole number, got "):
        whole_number("seeds", value)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(np.int8(1), int), (np.float32(1), float), (np.True_, bool), (np.str_("a"), str)],
)
def test_scalars_of_numpy_become_pythons(value, kind):
    assert type(plain(value)) is kind
    given = plain_arguments(lambda *values, **named: (*values, named))
    for found in given(value, one=value, several={"an": {"other": value}}):
        one = found if not isinstance(found, dict) else found["several"]["an"]["other"]
        assert (one, type(one)) == (value, kind)


def test_what_is_no_scalar_of_numpy_stays():
    for value in (True, 3, 0.1, None, [np.int64(3)], np.zeros(2)):
        assert plain(value) is value
