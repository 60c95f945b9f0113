"""What crashes, panics, hangs or swells when it is read does so in a child, and is told."""

import json
import struct
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import torch
from tests.reliability.endings import ENDINGS, end_readers
from tests.reliability.malformed import tokenizer_json

from headstart.errors import FormatError
from headstart.hub.foreign import trial
from headstart.hub.foreign.trial import try_reading


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


@pytest.fixture
def pieces(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "electra"}')
    file = tmp_path / "vocab.txt"
    file.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    return file


@pytest.fixture
def pickled(tmp_path):
    torch.save({"a": torch.zeros(1234)}, tmp_path / "a.pth")
    return tmp_path / "a.pth"


def test_good_files_are_let_through(tokenizer, weights, pieces):
    try_reading("tokenizer", tokenizer)
    try_reading("hdf5", weights, shapes={"a/b": (2, 3)})
    try_reading("pieces", pieces, model_type="bert")


def seen_by_the_child(kind, path, **about):
    """Return what is raised in a child, which swallows it."""
    code = (
        "import json, sys; from headstart.hub.foreign import trial\n"
        "kind, path, about = json.load(sys.stdin)\n"
        "trial._READERS[kind](path, lambda: trial._limit_memory(1 << 32), **about)"
    )
    given = json.dumps([kind, str(path), about])
    command = [sys.executable, "-P", "-c", code]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False).stderr


def test_the_child_reads_what_this_process_would(tokenizer, weights, pieces, pickled):
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    assert seen_by_the_child("tokenizer", tokenizer) == ""
    assert seen_by_the_child("hdf5", weights, shapes={"a/b": (2, 3)}) == ""
    assert seen_by_the_child("pieces", pieces, model_type="bert") == ""
    assert seen_by_the_child("pickle", pickled) == ""
    tokenizer.unlink()
    assert seen_by_the_child("transformers", pieces.parent) == ""


def test_what_errs_in_an_orderly_way_is_left_to_this_process(tmp_path, weights):
    try_reading("tokenizer", tmp_path / "gone.json")
    (tmp_path / "bad.json").write_bytes(tokenizer_json(model=None))
    try_reading("tokenizer", tmp_path / "bad.json")
    try_reading("hdf5", weights, shapes={"gone": (1,), "a": (2, 3)})
    (tmp_path / "vocab.txt").write_text("no\npieces")
    try_reading("pieces", tmp_path / "vocab.txt", model_type="bert")


def test_a_panic_is_told_by_this_process_alone(tmp_path, capfd):
    file = tmp_path / "panics.json"
    broken = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    file.write_bytes(tokenizer_json(normalizer=broken))
    with pytest.raises(FormatError, match=r"panics\.json: its reader panicked: ") as error:
        try_reading("tokenizer", file)
    assert error.value.exit_code == 2
    assert capfd.readouterr() == ("", "")


def test_what_needs_too_much_memory_is_told(weights, monkeypatch):
    monkeypatch.setattr(trial, "MOST_BYTES", 1 << 30)
    try_reading("hdf5", weights, shapes={"large": (1, 1)})  # of another shape: not read
    with pytest.raises(FormatError, match="needs more than 1 GiB of memory; the file"):
        try_reading("hdf5", weights, shapes={"large": (1 << 14, 1 << 14)})


class Large:
    """What a pickle of so many zeros looks like, which torch lets it make."""

    def __reduce__(self):
        return bytearray, (8 << 30,)


def test_a_pickle_that_swells_is_told_and_a_large_one_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "MOST_BYTES", 64 << 20)
    zeros, large = tmp_path / "zeros.pth", tmp_path / "large.pth"
    torch.save({"a": Large()}, zeros)
    with pytest.raises(FormatError, match=r"zeros\.pth: its reader needs more than 0\.0625 GiB"):
        try_reading("pickle", zeros)
    torch.save({"a": torch.zeros(25 << 20)}, large)  # 100 MiB
    try_reading("pickle", large)


def test_a_pickle_that_claims_more_than_it_holds_is_told(tmp_path):
    file, claimed = tmp_path / "claims.pth", 2**31 - 1
    torch.save({"a": torch.zeros(1234567)}, file, _use_new_zipfile_serialization=False)
    old, new = (b"J" + struct.pack("<i", number) for number in (1234567, claimed))
    assert old in file.read_bytes()
    file.write_bytes(file.read_bytes().replace(old, new))
    with pytest.raises(FormatError, match=r"claims\.pth: its reader needs more than 4\.01 GiB"):
        try_reading("pickle", file)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_crash_and_a_hang_end_the_child_alone(ending, tokenizer, monkeypatch):
    end_readers(monkeypatch, ending)
    began = time.monotonic()
    with pytest.raises(FormatError) as error:
        try_reading("tokenizer", tokenizer)
    assert str(error.value).startswith(f"{tokenizer}: its reader {ENDINGS[ending]}")
    assert "\n" not in str(error.value)
    assert time.monotonic() - began < 30


def test_a_child_has_nothing_of_the_environment(tokenizer, monkeypatch):
    seen = []
    real = subprocess.run

    def run(command, **how):
        seen.append(how["env"])
        return real(command, **how)

    monkeypatch.setenv("SECRET", "s")
    monkeypatch.setattr(subprocess, "run", run)
    try_reading("tokenizer", tokenizer)
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
