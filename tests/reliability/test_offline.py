"""Nobody is asked where nobody may be: with the network closed, what is here still loads."""

import hashlib
import shutil
import socket

import pytest

from headstart.errors import FormatError, NetworkError
from headstart.transfer.loading import load

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class AskedError(AssertionError):
    """Somebody tried to reach the network."""


@pytest.fixture
def closed(monkeypatch):
    """Close the network: any look-up or connection fails the test, whoever swallows its error."""
    asked = []

    def refuse(*arguments, **_):
        asked.append(arguments)
        raise AskedError(arguments)

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)
    yield
    assert asked == []


@pytest.fixture
def cached(good, tmp_path, monkeypatch):
    """A model in a cache of the hub, as it lies there: files are links to their content's hash."""
    cache = tmp_path / "hub"
    model = cache / "models--me--tiny"
    snapshot = model / "snapshots" / COMMIT
    for folder in (snapshot, model / "blobs", model / "refs"):
        folder.mkdir(parents=True)
    (model / "refs" / "main").write_text(COMMIT)
    for file in (good / "bert").iterdir():
        blob = model / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copyfile(file, blob)
        (snapshot / file.name).symlink_to(blob)
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    return snapshot


@pytest.mark.usefixtures("closed")
def test_what_is_in_the_cache_is_loaded_and_its_commit_is_told(cached):
    encoder = load("me/tiny", local_files_only=True)
    assert encoder.lineage["revision"] == COMMIT
    again = load("me/tiny", revision=COMMIT, local_files_only=True)
    assert again.fingerprint == encoder.fingerprint


@pytest.mark.usefixtures("closed")
def test_what_is_not_in_the_cache_is_told(cached):
    with pytest.raises(NetworkError, match=r"me/other: .* network access is disabled"):
        load("me/other", local_files_only=True)


@pytest.mark.usefixtures("closed")
def test_weights_that_are_not_what_the_hub_has_are_refused(cached):
    blob = (cached / "model.safetensors").resolve()
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    with pytest.raises(FormatError, match=r"model\.safetensors: differs from the Hub's file"):
        load("me/tiny", local_files_only=True)


@pytest.mark.usefixtures("closed")
def test_files_and_folders_need_nobody(good, run):
    for source in ("words.vec", "model", "bert", "elmo"):
        load(good / source)
    assert run("predict", good / "model", "--text", "a goal")[0] == 0
