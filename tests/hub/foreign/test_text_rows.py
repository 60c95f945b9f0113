"""The kernel's numbers against exact arithmetic, and its lines against Python's own splitting."""

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headstart.errors import FormatError
from headstart.hub.foreign.text_rows import count_numbers, nearest_float32, read_rows

FILE = Path("vectors.txt")


def parse(text: bytes, dim: int, *, block: int = 1 << 18, wanted=None):
    blocks = [text[at : at + block] for at in range(0, len(text), block)]
    parts = list(read_rows(FILE, blocks, dim=dim, wanted=wanted))
    words = [word for part in parts for word in part.words]
    return words, np.concatenate([part.matrix for part in parts])


def exactly_nearest(token: str) -> np.float32:
    """By exact fractions: the float32 of least distance, the even one of two."""
    exact = Fraction(Decimal(token))
    with np.errstate(over="ignore"):
        guess = np.float32(float(token))
        around = [np.nextafter(guess, np.float32(side)) for side in (-np.inf, np.inf)]
    finite = [value for value in (guess, *around) if np.isfinite(value)]
    return min(finite, key=lambda v: (abs(Fraction(float(v)) - exact), int(v.view(np.int32)) & 1))


decimals = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
    st.floats(-1e30, 1e30).map(lambda value: f"{value:.18e}"),
    st.decimals(-1000, 1000, places=6).map("{:f}".format),
    st.from_regex(r"[-+]?[0-9]{1,25}\.?[0-9]{0,25}([eE][-+]?[0-3]?[0-9])?", fullmatch=True).filter(
        lambda token: abs(float(token)) < 3.4e38
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(decimals, min_size=1, max_size=8))
@example(["16777217", "16777219"])  # ties between two floats: to the even one
@example(["16777217.0000000000000000000000000001"])  # a double rounds it to a tie, which it is not
@example(["1.000000178813934326171874999999999999"])  # the same from below
@example(["0.1", "-0.0", "1e-45", "7e-46", "1.17549435e-38", "3.4028234e38", "5.", "00012"])
@example(["1" + "0" * 300 + "e-300", "0." + "0" * 60 + "1e61", "0e999999", "1e-999999"])
def test_every_decimal_becomes_the_nearest_float32(tokens):
    line = " ".join(["word", *tokens]).encode()
    words, matrix = parse(line + b"\n", len(tokens))
    expected = np.array([exactly_nearest(token) for token in tokens])
    assert words == ["word"]
    np.testing.assert_array_equal(matrix[0].view(np.int32), expected.view(np.int32))


@settings(max_examples=300, deadline=None)
@given(decimals)
@example("16777217.0000000000000000000000000001")
@example("-1.000000178813934326171874999999999999")
def test_python_decides_doubtful_numbers_exactly(token):
    assert nearest_float32(token.encode()) == exactly_nearest(token)


NO_NUMBERS = ["nan", "NaN", "inf", "-inf", "1e400", "3.5e38", "1_000", "٣", "1,5", "0x10", "", "-"]
NO_NUMBERS += [
    ".5",
    "1e",
    "1e+",
    "--1",
    "1-",
    "1.2.3",
    "e5",
    "0.1\r0.2",
    "1\t",
    "1\x00",
    "1 \u00a0",
]


@pytest.mark.parametrize("token", NO_NUMBERS)
@pytest.mark.parametrize("column", [0, 1])
def test_what_is_no_finite_decimal_is_refused_with_its_line(token, column):
    row = ["0.5", "0.5"]
    row[column] = token
    text = f"a 1 2\nb 3 4\nc {' '.join(row)}\nd 1 2\n".encode()
    with pytest.raises(FormatError, match=r"vectors\.txt line 3: "):
        parse(text, 2)


word_characters = st.characters(blacklist_categories=("Cs",), blacklist_characters="\n ")
rows = st.lists(
    st.tuples(st.text(word_characters, min_size=1, max_size=5), st.integers(-9, 9)), max_size=30
)


@settings(max_examples=150, deadline=None)
@given(rows, st.integers(1, 70), st.sampled_from(["\n", "\r\n", " \n"]), st.booleans())
def test_blocks_cut_anywhere_give_the_same_rows_as_python(rows, block, end, final_end):
    text = "".join(f"{word} {number} 0.5{end}" for word, number in rows)
    text = text if final_end else text.removesuffix(end)
    if not text:
        return
    words, matrix = parse(text.encode(), 2, block=block)
    assert words == [word for word, _ in rows]
    assert matrix.tolist() == [[float(number), 0.5] for _, number in rows]


@pytest.mark.parametrize(
    "word",
    [
        ". . .",
        "at name@domain.com",
        "a\u00a0b",
        "a\u2028b",
        "a\u0085b",
        "\u3000",
        "a\tb",
        "7",
        "-1",
    ],
)
def test_a_word_is_all_that_stands_before_the_numbers(word):
    words, matrix = parse(f"x 1 2 3\n{word} 4 5 6\n".encode(), 3)
    assert words == ["x", word]
    assert matrix.tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"c 1", "1 numbers after 'c', expected 2"),
        (b"c", "0 numbers after 'c', expected 2"),
        (b"c 1 2 3", "more than 2 numbers"),
        (b"c  1 2", "double space"),
        (b"", "empty"),
        (b"\r", "empty"),
        (b" 1 2", "begins with a space"),
        (b" c 1 2", "begins with a space"),
        (b"\xff\xfe 1 2", "not UTF-8"),
        (b"w" * 4097 + b" 1 2", "longer than 4096 bytes"),
        (b"x" * (3 << 20), "longer than 1048576 bytes"),
        (b"c 1 0." + b"0" * (3 << 20), "longer than 1048576 bytes"),
    ],
)
def test_a_bad_line_is_named(line, reason):
    for wanted in (None, frozenset({"a"})):
        with pytest.raises(FormatError, match=rf"vectors\.txt line 3: .*{reason}"):
            parse(b"a 1 2\nb 3 4\n" + line + b"\nd 5 6\n", 2, wanted=wanted)


def test_the_first_of_several_bad_lines_is_named_though_threads_race():
    good = b"".join(b"w%d 0.5 0.25\n" % row for row in range(20_000))
    text = good + b"bad 1\n" + good + b"worse\n"
    with pytest.raises(FormatError, match="line 20001: 1 numbers"):
        parse(text, 2, block=4096)


def test_only_wanted_words_are_parsed_in_the_order_of_the_file():
    text = b"a 1 2\n. . . 3 4\nb nan 6\nc 7 8\n"
    words, matrix = parse(text, 2, wanted=frozenset({"c", ". . .", "absent"}))
    assert words == [". . .", "c"]
    assert matrix.tolist() == [[3, 4], [7, 8]]


@pytest.mark.parametrize(
    ("line", "count"),
    [(b"a 1 2", 2), (b"7 1 2", 2), (b". . 1 2 \r", 2), (b"a", 0), (b"", 0), (b"a b", 0)],
)
def test_numbers_at_the_end_of_a_line_are_counted(line, count):
    assert count_numbers(line) == count
