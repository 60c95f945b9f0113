import os
import signal

import numpy as np
import pytest
from tiny_run import Notes

from headstart.errors import (
    FormatError,
    InterruptedRunError,
    LockedError,
    NonFiniteError,
    SettingsError,
)
from headstart.storage import folder_lock
from headstart.training.array_runs import array_run


def begin(folder, array, *, size=3, save_minutes=1e-9):
    return array_run(
        {"weights": array},
        folder=folder,
        description={"size": size},
        save_minutes=save_minutes,
        progress=Notes(),
    )


def test_arrays_and_place_are_taken_up(tmp_path):
    with begin(tmp_path, np.float32([1, 2, 3])) as run:
        assert run.place == {}
        assert run.rest_is_due()
        run.save(1, {"step": 1})
        run.save(1, {"step": 1})  # nothing has changed since
    fresh = np.zeros(3, np.float32)
    with begin(tmp_path, fresh) as run:
        assert run.place == {"step": 1}
    assert fresh.tolist() == [1, 2, 3]


def test_the_newest_two_stay(tmp_path):
    with begin(tmp_path, np.zeros(3, np.float32)) as run:
        for step in (1, 2, 3):
            run.save(step, {})
    assert sorted(path.name for path in tmp_path.glob("step-*")) == [
        "step-00000002",
        "step-00000003",
    ]


def test_a_signal_makes_a_rest_due_and_ends_with_a_save(tmp_path):
    with begin(tmp_path, np.zeros(3, np.float32), save_minutes=60) as run:
        assert not run.rest_is_due()
        os.kill(os.getpid(), signal.SIGTERM)
        assert run.rest_is_due()
        with pytest.raises(InterruptedRunError, match=r"stopped by SIGTERM; .* to resume from"):
            run.save(7, {})
    assert (tmp_path / "step-00000007").is_dir()


def test_arrays_that_are_not_finite_are_not_saved(tmp_path):
    array = np.zeros(3, np.float32)
    with begin(tmp_path, array) as run:
        run.save(1, {})
        array[1] = np.nan
        with pytest.raises(NonFiniteError, match="weights are no longer finite"):
            run.save(2, {})
    assert [path.name for path in tmp_path.glob("step-*")] == ["step-00000001"]


def test_without_a_folder_nothing_is_written(tmp_path):
    with begin(None, np.zeros(3, np.float32)) as run:
        assert not run.rest_is_due()
        run.save(1, {})
    assert list(tmp_path.iterdir()) == []


def test_what_is_refused(tmp_path):
    with begin(tmp_path, np.zeros(3, np.float32)) as run:
        run.save(1, {})
    with (
        pytest.raises(SettingsError, match="size: 3 -> 4"),
        begin(tmp_path, np.zeros(4, np.float32), size=4),
    ):
        pass
    with (
        pytest.raises(FormatError, match=r"'weights' is .* \[3\], expected"),
        begin(tmp_path, np.zeros(4, np.float32)),
    ):
        pass
    with pytest.raises(SettingsError, match="save_minutes"), begin(None, None, save_minutes=0):
        pass
    with (
        folder_lock(tmp_path),
        pytest.raises(LockedError),
        begin(tmp_path, np.zeros(3, np.float32)),
    ):
        pass
