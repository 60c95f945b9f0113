"""Every reader of strangers' files, called on bytes: for hypothesis in the tests, and for atheris.

A reader may answer or raise an error of ours; anything else that it raises is a finding.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import save
from tests.reliability.malformed import BINARY, parquet_bytes, tokenizer_json

from headstart.data.corpora import read_corpus
from headstart.data.labelled import read_labelled
from headstart.data.tagged import read_tagged
from headstart.errors import HeadstartError
from headstart.hub.bundle import load_tokenizer
from headstart.hub.foreign.elmo import _expected, read_options, read_original
from headstart.hub.foreign.vectors import read_vectors
from headstart.settings import read_settings
from headstart.storage import check_manifest, file_sha256
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.loading import load
from headstart.weights import read_safetensors

ELMO_OPTIONS = {
    "lstm": {
        "use_skip_connections": True, "projection_dim": 2, "cell_clip": 3, "proj_clip": 3,
        "dim": 3, "n_layers": 1,
    },
    "char_cnn": {
        "activation": "relu", "filters": [[1, 2]], "n_highway": 1, "embedding": {"dim": 2},
        "n_characters": 262, "max_characters_per_token": 50,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """A reader of one kind of file.

    Attributes:
        file: What the file is called.
        read: Reads it.
        seeds: Good files, from which bad ones are made.
    """

    file: str
    read: Callable[[Path], object]
    seeds: tuple[bytes, ...]

    def __call__(self, folder: Path, content: bytes) -> bool:
        """Read the content from a file in the folder; say whether it was taken."""
        path = folder / self.file
        path.write_bytes(content)
        try:
            self.read(path)
        except HeadstartError as error:
            if error.exit_code != 2 or "\n" in str(error).strip():
                raise AssertionError(f"not the one line of a bad file: {error!r}") from error
            return False
        return True


def _tokenizer(path: Path) -> None:
    tokenizer = load_tokenizer(path)
    tokenizer.encode_batch(["a b", "", "\u202ea\x00", "b" * 40])
    tokenizer.words("a b")


def _config(path: Path) -> None:
    """Load a fitted model whose configuration is the file, under a manifest that fits."""
    names = [file for file in path.parent.iterdir() if file.name != "manifest.json"]
    sums = {file.name: file_sha256(file) for file in names}
    (path.parent / "manifest.json").write_text(json.dumps({"sha256": sums}))
    model = load(path.parent)
    if isinstance(model, TextClassifier):
        model.predict(["a good text"])


def _with_bad_rows_and_without(read: Callable[..., object]) -> Callable[[Path], None]:
    def both(path: Path) -> None:
        for most in (2, 0):
            read(path, max_bad_rows=most)

    return both


def make_readers(folder: Path) -> dict[str, Reader]:
    """Return every reader by its name; what they need besides the file is put into `folder`."""
    model = folder / "model"
    if not model.exists():
        fitted = TextClassifier(transfer="tfidf")
        fitted.fit(["a good text", "a bad one"] * 4, ["x", "y"] * 4).save(model)
    options = folder / "options.json"
    options.write_text(json.dumps(ELMO_OPTIONS))
    random = np.random.default_rng(0)
    with h5py.File(folder / "made.hdf5", "w") as file:
        for name, shape in _expected(read_options(options)):
            file[name] = random.normal(size=shape).astype(np.float32)
    texts, labels = pa.array(["a text", "b", "c"]), pa.array(["x", "y", "x"])
    weights = save({"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)})
    manifest = (model / "manifest.json").read_bytes()
    labelled, tagged = map(_with_bad_rows_and_without, (read_labelled, read_tagged))
    return {
        "vectors_text": Reader(
            "bad.vec", read_vectors, (b"up 1 2\ndown 3 -4.5e1\n", b"2 2\nup 1 2\r\ndown 3 4\r\n")
        ),
        "vectors_binary": Reader("bad.bin", read_vectors, (BINARY,)),
        "safetensors": Reader("bad.safetensors", read_safetensors, (weights,)),
        "elmo": Reader(
            "bad.hdf5",
            lambda path: read_original(options, path),
            ((folder / "made.hdf5").read_bytes(),),
        ),
        "conll": Reader("bad.conll", tagged, (b"Mary B-PER\nleft O\n\nHe O\n",)),
        "csv": Reader("bad.csv", labelled, (b'text,label\na,b\n"c ""d"", e",f\n',)),
        "jsonl": Reader("bad.jsonl", labelled, (b'{"text": "a\\u00e9", "label": 1}\n' * 2,)),
        "parquet": Reader(
            "bad.parquet", labelled, (parquet_bytes({"text": texts, "label": labels}),)
        ),
        "text": Reader("bad.txt", lambda path: list(read_corpus(path)), (b"One. Two.\n\nThree\n",)),
        "tokenizer": Reader("bad.json", _tokenizer, (tokenizer_json(),)),
        "settings": Reader(
            "bad.toml",
            lambda path: read_settings(path, known=["seeds", "labels"]),
            (b"seeds = 3\nlabels = [1, 2]\n",),
        ),
        "config": Reader("config.json", _config, ((model / "config.json").read_bytes(),)),
        "manifest": Reader("manifest.json", lambda path: check_manifest(path.parent), (manifest,)),
    }


def place_for(name: str, folder: Path) -> Path:
    """Return a folder in which the reader finds what it needs besides its file."""
    place = folder / name
    if not place.exists():
        if name in ("config", "manifest"):
            shutil.copytree(folder / "model", place)
        else:
            place.mkdir()
    return place
