"""Read text files line by line: automatic decompression, strict UTF-8, lines counted from 1.

Every text file of the package is opened here, and the same rules hold everywhere: only UTF-8 is
accepted, a byte-order mark is dropped, NUL is rejected, and only a line feed ends a line.
"""

import io
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from headstart.errors import DataError, StorageError

Item = TypeVar("Item")
STDIN = Path("-")
MAX_LINE_BYTES = 128 << 20  # text8, a common corpus, is a single line of 100 MB
_BLOCK_BYTES = 1 << 20
_MOST_WAITING = 64  # batches
_CODECS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_MAX_RATIO = 200  # text compresses 3 to 10 times; a file that expands 200 times is a bomb
_RATIO_EXEMPT_BYTES = 64 << 20


def not_all_blank(
    batches: Iterable[list[Item]], is_blank: Callable[[Item], bool], otherwise: str
) -> Iterator[list[Item]]:
    """Yield the batches unchanged, but raise before the first of them if every item is blank.

    To bound memory, at most 64 blank batches are held back; they are then yielded anyway.

    Raises:
        DataError: All items are blank; `otherwise` is the message.
    """
    found, waiting = False, []
    for batch in batches:
        waiting.append(batch)
        found = found or not all(map(is_blank, batch))
        if found or len(waiting) == _MOST_WAITING:
            yield from waiting
            waiting.clear()
    if not found:
        raise DataError(otherwise)


def check_that_it_stays(path: Path, what: str) -> None:
    """Reject a pipe or a device where the input is read more than once.

    Raises:
        DataError: `path` is a pipe or a device.
    """
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        kind = "a pipe" if path.is_fifo() else "neither a file nor a folder"
        raise DataError(f"{path}: is {kind}, but {what} is read several times; save it as a file")


def max_decoded_bytes(stored_bytes: int) -> int:
    """Return how many bytes a compressed file of `stored_bytes` may expand to."""
    return max(_RATIO_EXEMPT_BYTES, _MAX_RATIO * stored_bytes)


@contextmanager
def open_bytes(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file, or standard input for `-`; gzip and zstd are detected by their first bytes.

    Raises:
        DataError: The file is missing or unreadable, or (while reading) corrupted.
        StorageError: The disk fails.
    """
    if path == STDIN and sys.stdin is None:
        raise DataError(f"{path}: standard input is closed")
    try:
        file = sys.stdin.buffer if path == STDIN else path.open("rb")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a folder; give a file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        buffered = cast(io.BufferedReader, file)
        with _read_errors(path):
            start = buffered.peek(4)
        for magic, codec in _CODECS.items():
            if start.startswith(magic):
                buffered = io.BufferedReader(_Decompressed(path, buffered, codec))
        yield buffered
    finally:
        if path != STDIN:
            file.close()


@contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror or error}") from error


class _Decompressed(io.RawIOBase):
    """The content of a compressed file; rejects corrupted files and decompression bombs."""

    def __init__(self, path: Path, file: BinaryIO, codec: str) -> None:
        import pyarrow as pa  # late: most files are not compressed

        self._path = path
        self._codec = codec
        self._stream: Any = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), codec)
        # Standard input has no size to compare with, and is never in memory as a whole.
        self._bytes_left = math.inf if path == STDIN else max_decoded_bytes(path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # "any buffer" has no type before 3.12
        try:
            data = self._stream.read(len(buffer))
        except OSError as error:
            raise DataError(f"{self._path}: corrupted {self._codec} file: {error}") from None
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            raise DataError(
                f"{self._path}: grows more than {_MAX_RATIO} times when decompressed; "
                "if this is expected, decompress it first"
            )
        buffer[: len(data)] = data
        return len(data)


def read_blocks(path: Path) -> Iterator[str]:
    """Yield the text of a file in blocks of whole lines; line ends are kept.

    Memory is bounded by the longest line.

    Raises:
        DataError: The file is not UTF-8, contains a NUL, or has a line above `MAX_LINE_BYTES`;
            names the line and byte.
        StorageError: The disk fails.
    """
    line = 1
    with open_bytes(path) as file:
        for block in _whole_lines(path, file):
            text = _decode(path, line, block.removeprefix(b"\xef\xbb\xbf") if line == 1 else block)
            yield text
            line += text.count("\n")


def _whole_lines(path: Path, file: io.BufferedReader) -> Iterator[bytes]:
    unfinished: list[bytes] = []
    line, size = 1, 0
    while chunk := _read_chunk(path, file):
        head, newline, tail = chunk.rpartition(b"\n")
        if newline:
            yield b"".join((*unfinished, head, newline))
            line += head.count(b"\n") + 1
            unfinished, size = [], 0
        unfinished.append(tail)
        size += len(tail)
        if size > MAX_LINE_BYTES:
            raise DataError(
                f"{path} line {line}: longer than {MAX_LINE_BYTES >> 20} MiB; "
                "put each document on its own line"
            )
        if b"\0" in tail:  # a hole in a sparse file is one endless line of NULs
            break
    if last := b"".join(unfinished):
        yield last


def _read_chunk(path: Path, file: io.BufferedReader) -> bytes:
    with _read_errors(path):
        return file.read1(_BLOCK_BYTES)


def _decode(path: Path, first_line: int, block: bytes) -> str:
    if (at := block.find(b"\0")) >= 0:
        hint = "the file looks like UTF-16; " if first_line == 1 and at < 4 else ""
        place = _place(path, first_line, block, at)
        raise DataError(f"{place}: NUL character; {hint}save the file as UTF-8 text")
    try:
        return block.decode()
    except UnicodeDecodeError as error:
        place = _place(path, first_line, block, error.start)
        raise DataError(
            f"{place}: 0x{block[error.start]:02x} is not valid UTF-8; "
            "convert the file from its encoding (for example: iconv -f WINDOWS-1252 -t UTF-8; "
            "Turkish is often WINDOWS-1254, Chinese GB18030, Japanese SHIFT_JIS), and look at the "
            "result"
        ) from None


def _place(path: Path, first_line: int, block: bytes, at: int) -> str:
    line = first_line + block.count(b"\n", 0, at)
    byte = at - block.rfind(b"\n", 0, at)
    return f"{path} line {line}, byte {byte}"


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file without their line ends (LF or CRLF)."""
    for block in read_blocks(path):
        lines = (block.replace("\r\n", "\n") if "\r" in block else block).split("\n")
        if not lines[-1]:
            lines.pop()
        yield from lines
