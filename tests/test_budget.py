"""A budget says how much of it is used up."""

import pytest

from headstart.budget import Budget
from headstart.errors import SettingsError


def test_the_first_limit_reached_ends_the_run():
    budget = Budget(epochs=4, tokens=1000, minutes=1)
    assert budget.spent(epochs=1, tokens=100, seconds=6) == 0.25
    assert budget.spent(epochs=1, tokens=900, seconds=6) == 0.9
    assert budget.spent(epochs=1, tokens=100, seconds=60) == 1.0


def test_steps():
    assert Budget(steps=8).spent(steps=2, epochs=100) == 0.25


def test_needs_a_limit():
    with pytest.raises(SettingsError, match="at least one of"):
        Budget()


@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_limit_is_above_zero(value):
    with pytest.raises(SettingsError, match="minutes must be above 0"):
        Budget(epochs=1, minutes=value)


@pytest.mark.parametrize("value", ["3", True, [1]])
def test_a_limit_is_a_number(value):
    with pytest.raises(SettingsError, match="epochs must be a number, got "):
        Budget(epochs=value)


@pytest.mark.parametrize("name", ["minutes", "epochs"])
def test_a_limit_is_finite(name):
    with pytest.raises(SettingsError, match=f"{name} must be finite, got inf"):
        Budget(**{name: float("inf")})
