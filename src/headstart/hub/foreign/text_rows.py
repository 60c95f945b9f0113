"""Parse lines of a word and its numbers, as fast as the disk and with exact rounding.

One compiled kernel finds the words in a block of lines, splitting only at line feeds and ASCII
spaces. Another converts the numbers to 32-bit floats. It leaves two cases to Python: numbers too
close to the midpoint of two floats, and fields that are not numbers. Each thread takes a block;
results come back in the order of the file.
"""

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headstart.devices import available_cores, map_in_order
from headstart.errors import FormatError

MAX_DIM = 4096
MAX_WORD_BYTES = 4096
_MAX_LINE_BYTES = 1 << 20
_MAX_THREADS = 8  # with more, reading the file is slower than parsing it
_NUMBER = re.compile(rb"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?")
_TAB_AND_DECIMAL = re.compile(rb"\t[-+]?\d*\.\d")
_LIKE_A_NUMBER = re.compile(rb"[-+]?\.?\d")
_SPACE, _LINE_FEED, _RETURN = ord(" "), ord("\n"), ord("\r")
_MINUS, _PLUS, _POINT, _ZERO, _E = ord("-"), ord("+"), ord("."), ord("0"), ord("e")
_POWERS = np.array([float(f"1e{exponent}") for exponent in range(65)])  # each correctly rounded
_SLACK = 2.0**-50  # above the relative error of digits, power and one operation in float64

Matrix = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """A part of a file: words, their vectors `[words, dim]`, and the number of its lines."""

    words: list[str]
    matrix: Matrix
    lines: int


class _BadLineError(Exception):
    """Line `line` of a block, counted from 0, is invalid."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def read_rows(
    path: Path,
    blocks: Iterable[bytes],
    *,
    dim: int,
    first_line: int = 1,
    wanted: frozenset[str] | None = None,
) -> Iterator[Rows]:
    """Parse lines of a word and `dim` numbers; with `wanted`, only the numbers of these words.

    The word is everything before the last `dim` fields, so it may contain spaces. Spaces and a
    carriage return at the end of a line are dropped.

    Raises:
        FormatError: A line is invalid; the message gives its number.
    """

    def parse(lines: bytes) -> Rows:
        return _parse_lines(lines, dim, wanted)

    line, threads = first_line, min(_MAX_THREADS, available_cores())
    try:
        with ThreadPoolExecutor(threads) as pool:
            for rows in map_in_order(pool, threads, parse, _whole_lines(blocks)):
                yield rows
                line += rows.lines
    except _BadLineError as error:
        raise FormatError(f"{path} line {line + error.line}: {error}") from None


def count_numbers(line: bytes) -> int:
    """Return how many fields at the end of a line are numbers; the first field is the word."""
    fields = _fields(line)
    count = 0
    while count < len(fields) - 1 and _NUMBER.fullmatch(fields[-1 - count]):
        count += 1
    return count


def check_first_word(path: Path, line: bytes, dim: int) -> None:
    """Check the word of the first line, which determines how many numbers (`dim`) a line has.

    A number that we do not accept, or one without a space before it, would become part of every
    word.

    Raises:
        FormatError: The word ends in a tab and a decimal, or in a field that starts like a number.
    """
    fields = _fields(line)
    word = fields[: len(fields) - dim]
    if _TAB_AND_DECIMAL.search(word[-1]):
        raise FormatError(
            f"{path} line 1: a tab before the number in {show(word[-1])}; use single spaces "
            "between word and numbers"
        )
    if len(word) > 1 and _LIKE_A_NUMBER.match(word[-1]):
        raise FormatError(
            f"{path} line 1: {show(word[-1])} before {dim} numbers is not a finite decimal; use "
            "numbers such as 0.5 or 5e-1"
        )


def nearest_float32(token: bytes) -> np.float32 | None:
    """Round an ASCII decimal to the nearest 32-bit float, ties to even; None if there is none.

    Rounding to 64 bits first is exact, unless the result is the midpoint of two 32-bit floats.
    """
    if not _NUMBER.fullmatch(token):
        return None
    number = float(token)
    with np.errstate(over="ignore"):
        nearest = np.float32(number)
        error = number - float(nearest)
        other = np.nextafter(nearest, np.float32(np.copysign(np.inf, error)))
    if not np.isfinite(nearest):
        return None
    if error and error == float(other) - number:
        exact = Decimal(token.decode())
        if exact != Decimal(number):
            nearest = max(nearest, other) if exact > Decimal(number) else min(nearest, other)
    return nearest


def show(piece: bytes | str) -> str:
    """Quote a part of a file for a message, truncated to a readable length."""
    text = piece.decode(errors="backslashreplace") if isinstance(piece, bytes) else piece
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _whole_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Split the stream after line feeds; of an overlong line yield a part, which is rejected."""
    rest = b""
    for block in blocks:
        text = rest + block
        end = text.rfind(b"\n") + 1
        rest = text[end:]
        if end:
            yield text[:end]
        if len(rest) > _MAX_LINE_BYTES:
            break
    if rest:
        yield rest + b"\n"


def _parse_lines(text: bytes, dim: int, wanted: frozenset[str] | None) -> Rows:
    """Parse a block that ends with a line feed."""
    data = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(data == _LINE_FEED)
    if len(text) > _MAX_LINE_BYTES and len(ends) == 1:
        raise _BadLineError(0, f"longer than {_MAX_LINE_BYTES} bytes")
    starts = np.empty(len(ends), np.int64)
    buffer = np.empty(len(text), np.uint8)
    joined = buffer[: _find_words(data, ends, dim, starts, buffer)].tobytes()
    num_good = joined.count(b"\n")
    if num_good < len(ends):
        raise _BadLineError(num_good, _complaint(text.split(b"\n", num_good + 1)[num_good], dim))
    words = _decode(joined, dim)
    lines = np.arange(len(words))
    if wanted is not None:
        lines = np.array([row for row, word in enumerate(words) if word in wanted], np.int64)
        words = [words[line] for line in lines]
    matrix = np.empty((len(words), dim), np.float32)
    if _parse_numbers(data, starts[lines], _POWERS, matrix):
        for row, column in np.argwhere(np.isnan(matrix)):
            line = int(lines[row])
            token = _fields(text[starts[line] : ends[line]])[column]
            value = nearest_float32(token)
            if value is None:
                place = f"number {column + 1} of {show(words[row])}"
                raise _BadLineError(line, f"{place} is {show(token)}, not a finite decimal")
            matrix[row, column] = value
    return Rows(words, matrix, len(ends))


@njit(cache=True, nogil=True)
def _find_words(text: Bytes, ends: Places, dim: int, starts: Places, words: Bytes) -> int:
    """Copy each line's word and a line feed into `words`, and set `starts` to its first number.

    Stop at the first invalid line. Return the number of bytes in `words`.
    """
    used = start = 0
    for line in range(len(ends)):
        end = ends[line]
        if end > start and text[end - 1] == _RETURN:
            end -= 1
        while end > start and text[end - 1] == _SPACE:
            end -= 1
        spaces_in_word = -dim
        for at in range(start, end):
            spaces_in_word += text[at] == _SPACE
        at = start
        while at < end and (text[at] != _SPACE or spaces_in_word > 0):
            spaces_in_word -= text[at] == _SPACE
            words[used] = text[at]
            used += 1
            at += 1
        if spaces_in_word < 0 or at == start or at - start > MAX_WORD_BYTES:
            return used - (at - start)
        words[used] = _LINE_FEED
        used += 1
        starts[line] = at + 1
        start = ends[line] + 1
    return used


@njit(cache=True, nogil=True)
def _parse_numbers(  # noqa: C901, PLR0912 - a compiled loop is fastest in one function
    text: Bytes, starts: Places, powers: NDArray[np.float64], matrix: Matrix
) -> int:
    """Fill `matrix` with the numbers that begin at `starts`, and NaN where Python must parse.

    A decimal is its digits as an integer times a power of ten, both in float64; its exact value
    lies within the slack around their product. If both ends of that interval round to the same
    32-bit float, so does the decimal. Return how many numbers are left to Python.
    """
    num_unsure = 0
    most = np.uint64(10**18)  # one more digit fits into 64 bits; further digits are negligible
    for row in range(len(starts)):
        at = starts[row]
        for column in range(matrix.shape[1]):
            negative = text[at] == _MINUS
            at += negative or text[at] == _PLUS
            first = at
            digits = np.uint64(0)
            exponent = 0
            while text[at] ^ _ZERO <= 9:
                if digits < most:
                    digits = digits * np.uint64(10) + np.uint64(text[at] ^ _ZERO)
                else:
                    exponent += 1
                at += 1
            good = at > first
            if good and text[at] == _POINT:
                at += 1
                while text[at] ^ _ZERO <= 9:
                    if digits < most:
                        digits = digits * np.uint64(10) + np.uint64(text[at] ^ _ZERO)
                        exponent -= 1
                    at += 1
            if good and text[at] | 32 == _E:
                at += 1
                downwards = text[at] == _MINUS
                at += downwards or text[at] == _PLUS
                first = at
                power = 0
                while text[at] ^ _ZERO <= 9:
                    power = 10 * power + (text[at] ^ _ZERO) if power < 1000 else power
                    at += 1
                exponent += -power if downwards else power
                good = at > first
            at_end = text[at] == _LINE_FEED or (text[at] == _RETURN and text[at + 1] == _LINE_FEED)
            value = np.float32(np.nan)
            if good and (text[at] == _SPACE or at_end) and -64 <= exponent <= 64:
                number = float(digits)
                number = number * powers[exponent] if exponent > 0 else number / powers[-exponent]
                low = np.float32(number * (1.0 - _SLACK))
                high = np.float32(number * (1.0 + _SLACK))
                if low == high and high < np.inf:
                    value = -high if negative else high
            if np.isnan(value):
                num_unsure += 1
                while text[at] != _SPACE and text[at] != _LINE_FEED:
                    at += 1
            matrix[row, column] = value
            at += 1
    return num_unsure


def _decode(joined: bytes, dim: int) -> list[str]:
    """Decode words that each end with a line feed, and check those that contain spaces."""
    try:
        words = joined.decode().split("\n")[:-1]
    except UnicodeDecodeError as error:
        line = joined.count(b"\n", 0, error.start)
        bad = joined.split(b"\n")[line]
        raise _BadLineError(line, f"the word {show(bad)} is not UTF-8") from None
    if b" " in joined:
        for line, word in enumerate(words):
            if " " not in word:
                continue
            if word.startswith(" "):
                raise _BadLineError(line, "begins with a space instead of a word")
            last_field = word.rpartition(" ")[2].encode()
            if not last_field or _NUMBER.fullmatch(last_field):
                raise _BadLineError(line, f"more than {dim} numbers, or a double space")
    return words


def _complaint(line: bytes, dim: int) -> str:
    """Return why a line is not a word and `dim` numbers."""
    fields = _fields(line)
    if fields == [b""]:
        return f"empty; expected a word and {dim} numbers"
    if len(fields) <= dim:
        return f"{len(fields) - 1} numbers after {show(fields[0])}, expected {dim}"
    if not fields[0]:
        return "begins with a space instead of a word"
    return f"the word is longer than {MAX_WORD_BYTES} bytes"


def _fields(line: bytes) -> list[bytes]:
    return line.removesuffix(b"\r").rstrip(b" ").split(b" ")
