"""What crashes, panics, hangs or swells when it is read does so in a child, and is told."""

import json
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from tests.reliability.malformed import tokenizer_json

from headstart.errors import FormatError
from headstart.hub.foreign import trial
from headstart.hub.foreign.trial import try_hdf5, try_tokenizer


@pytest.fixture
def tokenizer(tmp_path):
    file = tmp_path / "tokenizer.json"
    file.write_bytes(tokenizer_json())
    return file


@pytest.fixture
def weights(tmp_path):
    file = tmp_path / "weights.hdf5"
    with h5py.File(file, "w") as opened:
        opened["a/b"] = np.zeros((2, 3), np.float32)
        opened.create_dataset("large", (1 << 14, 1 << 14), np.float32, fillvalue=1.0)  # 1 GiB
    return file


def test_good_files_are_let_through(tokenizer, weights):
    try_tokenizer(tokenizer)
    try_hdf5(weights, {"a/b": (2, 3)})


def test_what_errs_in_an_orderly_way_is_left_to_this_process(tmp_path, weights):
    try_tokenizer(tmp_path / "gone.json")
    (tmp_path / "bad.json").write_bytes(tokenizer_json(model=None))
    try_tokenizer(tmp_path / "bad.json")
    try_hdf5(weights, {"gone": (1,), "a": (2, 3)})


def test_a_panic_is_told_by_this_process_alone(tmp_path, capfd):
    file = tmp_path / "panics.json"
    broken = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    file.write_bytes(tokenizer_json(normalizer=broken))
    with pytest.raises(FormatError, match=r"panics\.json: what reads it panicked: ") as error:
        try_tokenizer(file)
    assert error.value.exit_code == 2
    assert capfd.readouterr() == ("", "")


def test_what_needs_too_much_memory_is_told(weights, monkeypatch):
    monkeypatch.setattr(trial, "MOST_BYTES", 1 << 30)
    try_hdf5(weights, {"large": (1, 1)})  # of another shape: not read
    with pytest.raises(FormatError, match="needs more than 1 GiB of memory; the file"):
        try_hdf5(weights, {"large": (1 << 14, 1 << 14)})


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "was ended by SIGSEGV"),
        ("os.abort()", "was ended by SIGABRT"),
        ("sum(iter(int, 1))", "needs more than 1 s"),
    ],
)
def test_a_crash_and_a_hang_end_the_child_alone(ending, message, tokenizer, monkeypatch):
    monkeypatch.setattr(trial, "MOST_SECONDS", 1)
    code = (
        "import os, signal\nfrom headstart.hub.foreign import trial\n"
        f"trial._READERS['tokenizer'] = lambda *_: {ending}\ntrial._child()"
    )
    real = subprocess.run
    monkeypatch.setattr(
        subprocess, "run", lambda command, **how: real([sys.executable, "-P", "-c", code], **how)
    )
    began = time.monotonic()
    with pytest.raises(FormatError, match=message):
        try_tokenizer(tokenizer)
    assert time.monotonic() - began < 30


def test_a_child_has_nothing_of_the_environment(tokenizer, monkeypatch):
    seen = []
    real = subprocess.run

    def run(command, **how):
        seen.append(how["env"])
        return real(command, **how)

    monkeypatch.setenv("SECRET", "s")
    monkeypatch.setattr(subprocess, "run", run)
    try_tokenizer(tokenizer)
    assert [set(each) for each in seen] == [{"PYTHONPATH"}]


def test_the_child_imports_nothing_heavy(tokenizer):
    """A trial costs a twentieth of a second of processor time, and that of reading the file."""
    given = json.dumps(["tokenizer", str(tokenizer), {}, 1 << 32, 60])
    code = (
        "import sys; from headstart.hub.foreign.trial import _child; _child(); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=given, capture_output=True, text=True, check=True
    )
    assert "tokenizers" in done.stdout.split()
    assert not {"torch", "numpy", "h5py"} & set(done.stdout.split())
