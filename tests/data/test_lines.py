import errno
import gzip
import io
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headstart.data import lines
from headstart.data.lines import STDIN, read_blocks, read_lines
from headstart.errors import DataError, StorageError


def written(tmp_path: Path, content: bytes, name: str = "a.txt") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def test_only_a_line_feed_ends_a_line(tmp_path):
    text = "one\u2028two\u0085three\x0bfour\x0cfive\x1csix\rseven"
    path = written(tmp_path, f"{text}\nnext\n".encode())
    assert list(read_lines(path)) == [text, "next"]


def test_crlf_a_byte_order_mark_and_a_missing_last_line_end(tmp_path):
    path = written(tmp_path, b"\xef\xbb\xbfone\r\n\r\nthree")
    assert list(read_lines(path)) == ["one", "", "three"]


def test_an_empty_file_has_no_lines(tmp_path):
    assert list(read_lines(written(tmp_path, b""))) == []


@given(content=st.lists(st.text(st.characters(exclude_characters="\0\n\r", codec="utf-8"))))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_lines_come_back_whatever_the_block_size(tmp_path, monkeypatch, content):
    monkeypatch.setattr(lines, "_BLOCK_BYTES", 7)
    path = written(tmp_path, "".join(line + "\n" for line in content).encode())
    assert list(read_lines(path)) == [
        line.removeprefix("\ufeff") if index == 0 else line for index, line in enumerate(content)
    ]


@pytest.mark.parametrize(
    "compress",
    [
        pytest.param(gzip.compress, id="gzip"),
        pytest.param(lambda b: pa.compress(b, codec="zstd", asbytes=True), id="zstd"),
    ],
)
def test_compression_is_known_by_its_first_bytes_and_may_come_in_parts(tmp_path, compress):
    path = written(tmp_path, compress(b"one\ntwo\n") + compress(b"three\n"), "no-ending")
    assert list(read_lines(path)) == ["one", "two", "three"]


@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b[:50] + b"junk" + b[54:]])
def test_damaged_compression_is_refused(tmp_path, damage):
    content = "\n".join(str(number * 7919) for number in range(5000)).encode()
    path = written(tmp_path, damage(gzip.compress(content)), "a.gz")
    with pytest.raises(DataError, match=r"a\.gz: corrupted gzip file"):
        list(read_lines(path))


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "_RATIO_EXEMPT_BYTES", 1 << 20)
    path = written(tmp_path, gzip.compress(b"a line\n" * 600_000), "bomb.gz")
    with pytest.raises(DataError, match=r"bomb\.gz: grows more than 200 times"):
        list(read_blocks(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"fine\nna\xefve\n", r"line 2, byte 3: 0xef is not valid UTF-8.*iconv"),
        (b"cut short \xe2\x82", r"line 1, byte 11: 0xe2 is not valid UTF-8"),
        (b"\xed\xa0\x80", r"line 1, byte 1: 0xed is not valid UTF-8"),  # a surrogate
        (b"fine\nfine\nab\0c\n", r"line 3, byte 3: NUL character; save the file"),
        ("text".encode("utf-16"), r"line 1, byte 4: NUL character; the file looks like UTF-16"),
    ],
)
def test_what_is_not_utf8_text_is_refused_with_its_line_and_byte(tmp_path, content, message):
    with pytest.raises(DataError, match=rf"a\.txt {message}"):
        list(read_lines(written(tmp_path, content)))


def test_lines_are_counted_across_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "_BLOCK_BYTES", 10)
    path = written(tmp_path, b"abc\n" * 1000 + b"x" * 33 + b"\xff\n")
    with pytest.raises(DataError, match="line 1001, byte 34:"):
        list(read_lines(path))


def test_a_ten_megabyte_line_is_a_line(tmp_path):
    long = "word " * (2 << 20)
    assert list(read_lines(written(tmp_path, f"{long}\nshort".encode()))) == [long, "short"]


def test_an_endless_line_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 2 << 20)
    path = written(tmp_path, b"ok\n" + b"x" * (3 << 20))
    with pytest.raises(DataError, match="line 2: longer than 2 MiB"):
        list(read_lines(path))


def test_a_huge_sparse_file_is_refused_at_once(tmp_path):
    path = written(tmp_path, b"text\n")
    with path.open("r+b") as file:
        file.truncate(10 << 30)
    with pytest.raises(DataError, match="line 2, byte 1: NUL character"):
        list(read_lines(path))


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(DataError, match=r"b\.txt: no such file"):
        list(read_lines(tmp_path / "b.txt"))
    with pytest.raises(DataError, match="is a folder; give a file"):
        list(read_lines(tmp_path))


class Failing(io.RawIOBase):
    """A file of a failing disk, that gives some blocks at most."""

    def __init__(self, blocks):
        self.blocks = blocks

    def readable(self):
        return True

    def readinto(self, buffer):
        if not self.blocks:
            raise OSError(errno.EIO, "Input/output error")
        self.blocks -= 1
        buffer[:] = b"\n" * len(buffer)
        return len(buffer)


@pytest.mark.parametrize("blocks", [0, 1])
def test_a_failing_disk_is_the_disks_fault(tmp_path, monkeypatch, blocks):
    monkeypatch.setattr(Path, "open", lambda *_: io.BufferedReader(Failing(blocks)))
    with pytest.raises(StorageError, match=r"a\.txt: cannot be read: Input/output error"):
        list(read_lines(tmp_path / "a.txt"))


def test_closed_standard_input_is_told(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(DataError, match="-: standard input is closed"):
        list(read_lines(STDIN))


def test_standard_input_of_any_size(monkeypatch):
    monkeypatch.setattr(lines, "_RATIO_EXEMPT_BYTES", 4)
    stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(gzip.compress(b"one\ntwo"))))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert list(read_lines(STDIN)) == ["one", "two"]
