"""H1: whatever bytes a reader is given, it answers or raises an error of ours, and soon."""

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.reliability.readers import make_readers, place_for

NAMES = (
    "vectors_text", "vectors_binary", "safetensors", "elmo", "conll", "csv", "jsonl", "parquet",
    "text", "tokenizer", "settings", "config", "manifest",
)  # fmt: skip
EXAMPLES = {"config": 60, "elmo": 120, "parquet": 150, "tokenizer": 150}  # the slower ones
CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus"
PIECES = (
    b"\0", b"\xff", b"\xc3(", b"\xef\xbb\xbf", b"\r", b"\n", b"\r\n", b"\t", b",", b'"', b'""',
    b"{",
    b"}", b"[", b"]", b":", b"null", b"true", b"NaN", b"1e999", b"-1", b"0", b"9" * 20,
    b"9" * 5000,
    b"\\ud800", b"\\u0000", b"nan", b"1_0", b" ", b"  ", b"../", b"/", b"[" * 2000, b"O", b"I-X",
    b"\xe2\x80\xa8", b"\xd9\xa4", b"PK\x03\x04", b"\x1f\x8b\x08", b"\x80\x04", b"\x7f\xff\xff\xff",
)  # fmt: skip


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readers")
    found = make_readers(folder)
    assert tuple(found) == NAMES
    return {name: (reader, place_for(name, folder)) for name, reader in found.items()}


@st.composite
def damaged(draw, seeds):
    """Return a good file with a few changes, or bytes of any kind."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.one_of(st.binary(max_size=200), st.text(max_size=80).map(_bytes)))
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.sampled_from((0, 0, 1, 1, 2, 8, 100_000))))
        content[start:end] = draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=6)))
    return bytes(content)


def _bytes(text):
    return text.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("name", NAMES)
def test_H1_readers_raise_only_errors_of_ours(readers, name):
    reader, folder = readers[name]

    @settings(
        max_examples=EXAMPLES.get(name, 300),
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(damaged(reader.seeds))
    def check(content):
        started = time.thread_time()
        reader(folder, content)
        assert time.thread_time() - started < 10

    for seed in reader.seeds:
        assert reader(folder, seed), "the seed is a good file"
    check()


@pytest.mark.parametrize("name", NAMES)
def test_H1_what_fuzzing_found_is_an_error_of_ours(readers, name):
    reader, folder = readers[name]
    for file in sorted((CORPUS / name).glob("*")):
        reader(folder, file.read_bytes())
