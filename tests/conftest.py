"""Shared set-up: one thread, a cache of the test's own, and the staged public data where it is."""

import multiprocessing
import os
import signal
import threading
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # two threads on a busy machine make a tiny test a hundred times slower
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # for the processes that tests start

if threading.current_thread() is threading.main_thread():
    # A shell's background job is deaf to Ctrl-C, and what nohup starts to a terminal that closes;
    # so would be the commands that are tested.
    for number, usual in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, usual)

FORKED_HAVE = [  # imported once, and not by each child
    "headstart.compare.cells",
    "headstart.hub.foreign.published_tokenizers",
    "sklearn.linear_model",
    "transformers.models.auto.tokenization_auto",
]
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def forkserver():
    """Where children are forks of a process that has imported what they need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(FORKED_HAVE)
    return context


@pytest.fixture
def forked(monkeypatch, forkserver):
    """Let a comparison's processes be forks of one that has imported what they need.

    That saves four seconds of a comparison. As users start them they are in
    `compare/test_processes.py`, and where commands are tried.
    """
    usual = multiprocessing.get_context
    monkeypatch.setattr(
        multiprocessing,
        "get_context",
        lambda how=None: forkserver if how == "spawn" else usual(how),
    )


@pytest.fixture(scope="session")
def shared_data():
    """The folder of public data sets and published fixtures that lies beside the project."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the public data beside the project (../shared/data) is absent")
    return SHARED / "data"
