"""Each error is the built-in its callers expect, and has the exit code its commands promise."""

import pytest

from headstart import errors

LEAVES = [
    (errors.DataError, ValueError, 2),
    (errors.FormatError, ValueError, 2),
    (errors.SettingsError, ValueError, 2),
    (errors.MissingExtraError, ImportError, 2),
    (errors.NetworkError, ConnectionError, 2),
    (errors.TransferError, RuntimeError, 70),
    (errors.MemoryLimitError, MemoryError, 70),
    (errors.LockedError, RuntimeError, 73),
    (errors.StorageError, OSError, 74),
    (errors.ExistsError, FileExistsError, 2),
    (errors.InterruptedRunError, RuntimeError, 75),
    (errors.NonFiniteError, ArithmeticError, 76),
]


@pytest.mark.parametrize(("leaf", "builtin", "exit_code"), LEAVES)
def test_leaf(leaf, builtin, exit_code):
    assert issubclass(leaf, errors.HeadstartError)
    assert issubclass(leaf, builtin)
    assert leaf.exit_code == exit_code
    assert str(leaf("a sentence")) == "a sentence"


def test_every_leaf_is_listed():
    assert {leaf for leaf, _, _ in LEAVES} == set(errors.HeadstartError.__subclasses__())
