"""Numbers of plausible types are taken, or refused by the name of what they were given for."""

import math

import numpy as np
import pytest

from headstart.compare.arguments import amount, as_list, count, whole_numbers
from headstart.errors import SettingsError


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_a_count_is_a_plain_number(value):
    assert type(count("seeds", value)) is int
    assert (count("seeds", value), count("seeds", None)) == (3, None)


def test_lists_of_counts():
    for values in ([10, np.int64(20)], np.array([10, 20]), (10, 20), range(10, 21, 10)):
        found = whole_numbers("label_budgets", values)
        assert found == [10, 20]
        assert {type(each) for each in found} == {int}
    assert whole_numbers("label_budgets", None) is None
    with pytest.raises(SettingsError, match=r"each of label_budgets must be a whole .*, got 20\.5"):
        whole_numbers("label_budgets", [10, 20.5])


@pytest.mark.parametrize("value", ["tfidf", 20, np.int64(20), np.array(20)])
def test_one_thing_is_no_list(value):
    with pytest.raises(SettingsError, match="methods must be a list, such as "):
        as_list("methods", value)


@pytest.mark.parametrize("empty", [[], (), np.array([])])
def test_an_empty_list_is_not_taken_for_none(empty):
    with pytest.raises(SettingsError, match="methods is an empty list"):
        as_list("methods", empty)


def test_amounts_are_plain_numbers_above_zero():
    for value, plain in ((3, int), (2.5, float), (np.float32(2.5), float), (math.inf, float)):
        found = amount("minutes", value)
        assert (found, type(found)) == (value, plain)
    for value, message in (
        (0, "above 0"),
        (math.nan, "above 0"),
        ("5", "a number, got '5'"),
        (True, "a number, got True"),
    ):
        with pytest.raises(SettingsError, match=f"minutes must be {message}"):
            amount("minutes", value)
