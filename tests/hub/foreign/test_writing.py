"""Vectors written and read again: the same words and the very same floats, or nothing at all."""

import numpy as np
import pytest
from benchmarks.vector_files import write_glove, write_word2vec_binary, write_word2vec_text
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from headstart.errors import FormatError, StorageError
from headstart.hub.foreign.vectors import read_vectors

WRITERS = {
    "GloVe text": write_glove,
    "word2vec text": write_word2vec_text,
    "word2vec binary": write_word2vec_binary,
}
word = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters=" \n"), min_size=1, max_size=6
).filter(lambda text: not text.startswith("\ufeff"))
number = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def vectors(draw):
    words = draw(st.lists(word, min_size=1, max_size=6, unique=True))
    shape = (len(words), draw(st.integers(2, 5)))
    return words, draw(hnp.arrays(np.float32, shape, elements=number))


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(pair=vectors())
@example(pair=(["0"], np.full((1, 2), np.frombuffer(b"0#=Z", "<f4")[0])))  # floats like text
@example(pair=(["0"], np.full((1, 2), np.frombuffer(b".\n\xf1J", "<f4")[0])))
@example(pair=(["0"], np.full((1, 2), np.frombuffer(b"5\n\xf1J", "<f4")[0])))
def test_what_is_written_is_read_back_bit_for_bit(pair, tmp_path):
    words, matrix = pair
    for kind, write in WRITERS.items():
        file = tmp_path / "vectors"
        write(file, words, matrix)
        back = read_vectors(file)
        assert (back.words, back.format) == (words, kind)
        np.testing.assert_array_equal(back.matrix.view(np.int32), matrix.view(np.int32))


def test_a_first_word_that_would_be_read_as_a_number_is_refused(tmp_path):
    file = tmp_path / "vectors.txt"
    write_glove(file, ["a\tb", "c\t0.5"], np.float32([[1, 2], [3, 4]]))
    assert read_vectors(file).words == ["a\tb", "c\t0.5"]
    with pytest.raises(FormatError, match="a tab before the number in"):
        write_glove(file, ["c\t0.5"], np.float32([[1, 2]]))


def test_text_uses_the_shortest_decimals_that_are_exact(tmp_path):
    file = tmp_path / "vectors.txt"
    write_word2vec_text(file, ["a", "b"], np.float32([[0.1, 2], [-1e-7, 1 / 3]]))
    assert file.read_text() == "2 2\na 0.1 2\nb -1e-7 0.33333334\n"
    write_glove(file, ["a"], np.float32([[0.25, 0.0]]))
    assert file.read_text() == "a 0.25 0\n"


@pytest.mark.parametrize("write", WRITERS.values())
@pytest.mark.parametrize(
    ("words", "matrix", "reason"),
    [
        (["a b"], [[1, 2]], "cannot hold the word 'a b'"),
        (["a\nb"], [[1, 2]], "cannot hold the word"),
        ([""], [[1, 2]], "cannot hold the word ''"),
        (["\ud800"], [[1, 2]], "cannot hold the word"),
        (["x" * 5000], [[1, 2]], "cannot hold the word"),
        (["a", "a"], [[1, 2], [3, 4]], "occurs twice"),
        (["a", "b"], [[1, 2]], "2 words with a matrix of 1x2"),
        ([], np.empty((0, 2)), "0 words with a matrix of 0x2"),
        (["a", "b"], [[1, 2], [np.nan, 4]], "the vector of 'b' contains NaN"),
    ],
)
def test_what_the_format_cannot_hold_is_refused_and_the_old_file_stays(
    write, words, matrix, reason, tmp_path
):
    file = tmp_path / "vectors"
    file.write_text("old")
    with pytest.raises(FormatError, match=reason):
        write(file, words, np.array(matrix, np.float32))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("write", WRITERS.values())
def test_a_disk_that_refuses_leaves_nothing_behind(write, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError):
        write(tmp_path / "file" / "vectors", ["a"], np.float32([[1, 2]]))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
