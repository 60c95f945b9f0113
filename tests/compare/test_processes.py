"""The processes of a comparison, started as users' are."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

import pytest
from threadpoolctl import threadpool_info

from headstart.compare import cells
from headstart.compare.cells import Model, Processes, fit_models, run_cells
from headstart.compare.contestants import Contestant
from headstart.compare.processes import for_new_processes, one_thread_each
from headstart.progress import SILENT
from headstart.transfer.loading import load


def test_processes_keep_to_one_thread(terms):
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), cells._start_worker,
                             (terms,)) as pool:  # fmt: skip
        with one_thread_each():
            pool.submit(int).result()
        pools = pool.submit(threadpool_info).result()
    assert [each["num_threads"] for each in pools if each["num_threads"] > 1] == []


def test_threads_of_processes_sleep_while_they_wait(terms, monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    with Processes(terms, 1) as processes, for_new_processes():
        found = processes._pool.submit(os.getenv, "OMP_WAIT_POLICY").result()
    assert found == "PASSIVE"
    assert "OMP_WAIT_POLICY" not in os.environ


def test_processes_are_deaf_to_ctrl_c_and_to_a_terminal_that_closes(terms):
    with Processes(terms, 1) as processes, for_new_processes():
        for number in (signal.SIGINT, signal.SIGHUP):
            processes._pool.submit(signal.raise_signal, number).result()


def _heavy_modules():
    return {name for name in sys.modules if name.startswith(("sklearn.", "scipy.", "torch."))}


def test_the_seconds_of_a_cell_are_not_those_of_imports(terms):
    methods = [Contestant.parse(name) for name in ("majority", "tfidf", "scratch")]
    with Processes(terms, 1) as processes:
        with for_new_processes():
            before = processes._pool.submit(_heavy_modules).result()
        run_cells(processes, methods, budgets=[6], seeds=1, progress=SILENT)
        after = processes._pool.submit(_heavy_modules).result()
    assert len(after - before) < 20


def test_what_ran_cells_fits_what_is_kept(terms, tmp_path):
    majority = Contestant.parse("majority")
    with Processes(terms, 1) as processes:
        run_cells(processes, [majority], budgets=[6], seeds=1, progress=SILENT)
        (process,) = processes._pool._processes.values()
        best = Model(tmp_path / "best", majority, 6)
        assert fit_models(processes, [best], progress=SILENT) == [best]
        assert list(processes._pool._processes.values()) == [process]
    assert process.exitcode == 0
    assert load(best.folder).predict(["a wave"]).tolist() == ["land"]


@contextmanager
def _started(files):
    """A comparison in a session of its own, whose processes are importing what they need."""
    main = "import sys; from headstart.cli.app import main; sys.exit(main())"
    words = ["compare", "train.csv", "--methods", "scratch", "--labels", "24", "--seeds", "9"]
    with subprocess.Popen(
        [sys.executable, "-c", main, *words, "--workers", "2", "--out", "out"],
        cwd=files, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        while not (files / "out" / ".lock.holder").exists():
            time.sleep(0.05)
            assert process.poll() is None, process.stderr.read()
        time.sleep(1.5)
        yield process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_in_a_terminal_and_its_end_are_one_line(files, number):
    with _started(files) as process:
        os.killpg(process.pid, number)  # as a terminal does: to all of them
        _, err = process.communicate(timeout=120)
    assert process.returncode == 75
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("error: stopped; finished work is kept in out")


@pytest.mark.slow
def test_no_process_outlives_a_comparison_that_was_killed(files):
    with _started(files) as process:
        process.kill()
        process.wait()
        deadline = time.monotonic() + 60
        while _lives(process.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not _lives(process.pid)


def _lives(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
