"""Files of word vectors of every format, whole and broken, through the one door they come in by."""

import gzip
import io
import os
import pickle
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headstart.errors import FormatError
from headstart.hub.foreign.vectors import read_vectors

WORDS = ["the", "naïve", "日本"]
MATRIX = np.array([[0.1, -2.0, 3e-5], [1e-3, 0.0, -7.25], [5.0, 6.5, 1e6]], np.float32)


def text(words=WORDS, matrix=MATRIX, *, header="", end="\n") -> bytes:
    lines = [
        " ".join([word, *map(str, row)]) + end for word, row in zip(words, matrix, strict=True)
    ]
    return (header + "".join(lines)).encode()


def binary(words=WORDS, matrix=MATRIX, *, count=None, between=b"\n") -> bytes:
    header = f"{len(words) if count is None else count} {matrix.shape[1]}\n".encode()
    rows = zip(words, matrix, strict=True)
    return header + b"".join(
        w.encode() + b" " + r.astype("<f4").tobytes() + between for w, r in rows
    )


GOOD = {
    "GloVe text": text(),
    "GloVe text, CRLF": text(end="\r\n"),
    "GloVe text, no last line end": text().rstrip(),
    "GloVe text, byte-order mark": b"\xef\xbb\xbf" + text(),
    "word2vec text": text(header="3 3\n"),
    "word2vec text, CRLF": text(header="3 3\r\n", end="\r\n"),
    "word2vec text, fastText's trailing spaces": text(header="3 3\n", end=" \n"),
    "word2vec text, byte-order mark": b"\xef\xbb\xbf" + text(header="3 3\n"),
    "word2vec binary": binary(),
    "word2vec binary, nothing between": binary(between=b""),
}


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_format_header_and_dimension_are_inferred(kind, pack, tmp_path):
    file = tmp_path / "vectors.any"
    file.write_bytes(pack(GOOD[kind]))
    vectors = read_vectors(file)
    assert vectors.words == WORDS
    np.testing.assert_array_equal(vectors.matrix, MATRIX)
    assert vectors.matrix.dtype == np.float32
    assert vectors.matrix.flags.c_contiguous
    assert vectors.format == kind.partition(",")[0]
    assert (vectors.source, vectors.coverage, vectors.notes) == (str(file), 1.0, ())


@pytest.mark.parametrize("kind", GOOD)
def test_a_vocabulary_picks_its_words_and_coverage_is_told(kind, tmp_path):
    file = tmp_path / "vectors"
    file.write_bytes(GOOD[kind])
    vectors = read_vectors(file, vocabulary=["emu", "日本", "the", "emu", "gnu"])
    assert vectors.words == ["the", "日本"]
    np.testing.assert_array_equal(vectors.matrix, MATRIX[[0, 2]])
    assert vectors.missing == ("emu", "gnu")
    assert vectors.coverage == 0.5
    assert vectors.notes == (f"{file}: contains 2 of 4 requested words; 2 missing: 'emu', 'gnu'",)
    nothing = read_vectors(file, vocabulary=["emu"])
    assert (nothing.words, nothing.matrix.shape, nothing.coverage) == ([], (0, 3), 0.0)


@pytest.mark.parametrize("make", [text, binary])
def test_of_repeated_words_the_first_is_kept_and_the_rest_counted(make, tmp_path):
    generator = np.random.default_rng(0)
    names = [f"w{number}" for number in generator.integers(0, 20_000, 40_000)]
    matrix = generator.integers(-99, 99, (40_000, 2)).astype(np.float32)
    file = tmp_path / "vectors"
    file.write_bytes(make(names, matrix))
    vectors = read_vectors(file)
    first = {}
    for row, name in enumerate(names):
        first.setdefault(name, row)
    assert vectors.words == list(first)
    np.testing.assert_array_equal(vectors.matrix, matrix[list(first.values())])
    assert f"dropped {40_000 - len(first)} vectors of repeated words" in vectors.notes[0]
    assert read_vectors(file, vocabulary=["w7"]).matrix.tolist() == [matrix[first["w7"]].tolist()]


header = "3 3\n"
BAD = {
    "empty file": (b"", "the file is empty"),
    "empty gzip": (gzip.compress(b""), "the file is empty"),
    "only a header": (b"3 3\n", "truncated in vector 1 of the 3"),
    "a header without line end": (b"3 3", "truncated in vector 1 of the 3"),
    "leading line feed": (b"\n" + text(), "line 1: 0 numbers after a word"),
    "prose": (b"Once upon a time\nthere was\n", "line 1: 0 numbers after a word"),
    "count too small": (text(header="2 3\n"), "line 1: .* 2 vectors, the file contains 3"),
    "count too large": (text(header="4 3\n"), "line 1: .* 4 vectors, the file contains 3"),
    "dimension too small": (text(header="3 2\n"), "line 2: more than 2 numbers"),
    "dimension too large": (text(header="3 4\n"), "line 2: 3 numbers after 'the', expected 4"),
    "no vectors": (b"0 5\n", "line 1: the header says 0 vectors"),
    "no numbers": (b"5 0\na\n", "line 1: the header says 5 vectors of 0"),
    "monstrous header": (text(header="1000000000000 1000000\n"), "line 1: .*1000000 numbers"),
    "monstrous count": (text(header="1000000000000 3\n"), "says 1000000000000 vectors"),
    "monstrous binary": (binary(count=10**12), "truncated in vector 4 of the 1000000000000"),
    "short line": (text() + b"dog 1 2\n", "line 4: 2 numbers after 'dog', expected 3"),
    "long line": (text() + b"dog 1 2 3 4\n", "line 4: more than 3 numbers"),
    "NaN at once": (text(header="3 3\n").replace(b"0.1", b"nan"), "line 2: number 1 of 'the'"),
    "NaN": (text(header=header[:-2] + "3\n").replace(b"6.5", b"nan"), "line 4: number 2 of '日本'"),
    "infinity": (text().replace(b"6.5", b"inf"), "line 3: .* is 'inf', not a finite decimal"),
    "beyond 32 bits": (text().replace(b"6.5", b"1e400"), "line 3: .* is '1e400'"),
    "underscore": (text().replace(b"6.5", b"1_000"), "line 3: .* is '1_000'"),
    "Arabic digits": (text().replace(b"6.5", "٣".encode()), "line 3: .* is '٣'"),
    "invalid UTF-8": (text().replace(b"the", b"\xfft\xfe"), "line 1: the word .* is not UTF-8"),
    "blank line": (text() + b"\n" + text(), "line 4: empty"),
    "endless word": (b"x" * (3 << 20), "line 1: "),
    "endless second word": (text() + b"x" * (3 << 20), "line 4: "),
    "UTF-16": (("\ufeff" + text().decode()).encode("utf-16"), "line 1: "),
    "tab after the word": (
        b"king\t0.5 1 2\nqueen\t1 2 3\n",
        "line 1: a tab before the number in 'king.t0.5'",
    ),
    "space before the word": (b" king 0.5 1\n queen 1 2\n", "line 1: begins with a space"),
    "no digit before the point": (
        b"king .5 -.25 3\nqueen .5 .75 4\n",
        "line 1: '-.25' before 1 numbers is not a finite dec",
    ),
    "hexadecimal": (b"king 0x1 2 3\n", "line 1: '0x1' before 2 numbers is not a finite decimal"),
    "binary cut in a vector": (binary()[:-3], "truncated in vector 3 of the 3"),
    "binary cut in a word": (binary()[:-14], "truncated in vector 3 of the 3"),
    "binary cut between": (binary(count=4), "truncated in vector 4 of the 4"),
    "binary left over": (binary(count=2), "bytes are left over after the 2"),
    "binary NaN": (binary(matrix=MATRIX * [[1], [np.nan], [1]]), "vector of 'naïve' contains NaN"),
    "binary infinity": (binary(matrix=MATRIX * [[1], [1], [np.inf]]), "'日本' contains NaN or inf"),
    "binary endless word": (binary(count=4) + b"x" * 5000, "vector 4 is longer than 4096 bytes"),
    "binary, word not UTF-8": (
        binary().replace("ï".encode(), b"\xff\xff"),
        "vector 2, .*not UTF-8",
    ),
    "binary, no word": (binary(words=["the", "", "日本"]), "the word of vector 2 is"),
    "damaged gzip": (gzip.compress(text() * 99)[:-30], "corrupted"),
    "not gzip after all": (b"\x1f\x8b" + text(), "corrupted"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_broken_file_is_refused_by_name_and_place(name, tmp_path):
    content, reason = BAD[name]
    file = tmp_path / "vectors.txt"
    file.write_bytes(content)
    with pytest.raises(FormatError, match=rf"^{file}.*({reason})") as caught:
        read_vectors(file)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "absent.txt", tmp_path, "-"):
        with pytest.raises(FormatError, match="no such file"):
            read_vectors(path)


class Canary:
    def __reduce__(self):
        return os.mkdir, ("canary",)


def pickled(protocol) -> bytes:
    return pickle.dumps(Canary(), protocol=protocol)


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(2))
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("data.pkl")
        member.size = len(pickled(2))
        archive.addfile(member, io.BytesIO(pickled(2)))
    return buffer.getvalue()


def object_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([[Canary()]], dtype=object), allow_pickle=True)
    return buffer.getvalue()


FOREIGN = {
    "pickle": (pickled(4), "a Python pickle, which could run code"),
    "gzipped pickle": (gzip.compress(pickled(4)), "a Python pickle, which could run code"),
    "old pickle": (pickled(0), "line 1: "),
    "torch or npz": (zipped(), "a zip archive"),
    "tar": (tarred(), "line 1: "),
    "object npy": (object_array(), "expected a matrix of floats"),
    "fastText model": (struct.pack("<ii", 793712314, 12) + bytes(60), r"load the \.vec file"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5"),
    "Parquet": (b"PAR1\x15\x04" + bytes(99), "Parquet"),
    "safetensors": (struct.pack("<Q", 40) + b'{"a":{"dtype":"F32"}}', "line 1: "),
    "xz": (b"\xfd7zXZ\x00" + bytes(9), "unpack it first"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_other_formats_are_refused_by_their_bytes_and_never_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content, reason = FOREIGN[name]
    for ending in ("txt", "bin", "npy", "vec", "gz"):
        file = tmp_path / f"vectors.{ending}"
        file.write_bytes(content)
        with pytest.raises(FormatError, match=reason):
            read_vectors(file)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    "line", [b"a 0 0 0 0 0 0 0 0\n", b"\0" * 64, b"aaaaaaaa"], ids=["rows", "zeros", "one line"]
)
def test_a_gzip_bomb_stops_early(line, tmp_path):
    bomb = tmp_path / "bomb.gz"
    with gzip.open(bomb, "wb", compresslevel=9) as file:
        for _ in range(64):
            file.write(line * ((1 << 20) // len(line)))
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match=r"bomb\.gz"):
            read_vectors(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20


def test_memory_follows_the_file_and_not_its_header(tmp_path):
    file = tmp_path / "vectors.txt"
    file.write_bytes(b"999999999999 4096\n" + b"w" + b" 1" * 4096 + b"\n")
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="says 999999999999 vectors, the file contains 1"):
            read_vectors(file)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def save_pair(folder: Path, matrix=MATRIX, words=WORDS, listed="index.parquet") -> Path:
    np.save(folder / "matrix.npy", matrix)
    if listed.endswith(".parquet"):
        table = pa.table({"rank": range(len(words)), "index": words})
        pq.write_table(table, folder / listed)
    else:
        (folder / listed).write_text("".join(f"{word}\n" for word in words))
    return folder / "matrix.npy"


@pytest.mark.parametrize("listed", ["index.parquet", "matrix.parquet", "words.txt", "matrix.txt"])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_matrix_finds_the_words_beside_it(listed, kind, order, tmp_path):
    matrix = np.array([[1, 2], [0.5, -4], [0, 8]], dtype=kind, order=order)
    file = save_pair(tmp_path, matrix, listed=listed)
    vectors = read_vectors(file)
    assert vectors.words == WORDS
    assert vectors.matrix.tolist() == matrix.tolist()
    assert vectors.format == "NumPy matrix"
    chosen = read_vectors(file, vocabulary=["日本", "emu"])
    assert (chosen.words, chosen.matrix.tolist()) == (["日本"], [[0, 8]])
    assert chosen.missing == ("emu",)


def test_the_list_of_the_same_name_goes_first_and_a_choice_is_not_guessed(tmp_path):
    file = save_pair(tmp_path)
    (tmp_path / "other.txt").write_text("a\nb\nc\n")
    assert read_vectors(file).words == WORDS
    pq.write_table(pa.table({"word": ["x", "y", "z"]}), tmp_path / "second.parquet")
    (tmp_path / "third.txt").write_text("a\nb\nc\n")
    with pytest.raises(FormatError, match=r"put them beside it in matrix\.txt"):
        read_vectors(file)
    (tmp_path / "matrix.txt").write_text("p\nq\nr\n")
    assert read_vectors(file).words == ["p", "q", "r"]


@pytest.mark.parametrize(
    ("matrix", "words", "reason"),
    [
        (MATRIX, WORDS[:2], "2 words for the 3 vectors"),
        (MATRIX, [*WORDS, "more"], "more words than the 3 vectors"),
        (MATRIX[0], WORDS, "expected a matrix of floats"),
        (np.ones((3, 2), int), WORDS, "expected a matrix of floats"),
        (np.ones((3, 0)), WORDS, "the header says 3 vectors of 0 numbers"),
        (MATRIX * [[1], [np.nan], [1]], WORDS, r"matrix\.npy row 2: contains NaN or infinity"),
        (MATRIX.astype(float) * 1e200, WORDS, "row 1: contains NaN or infinity"),
    ],
)
def test_a_matrix_that_does_not_fit_its_words_is_refused(matrix, words, reason, tmp_path):
    file = save_pair(tmp_path, matrix, words)
    with pytest.raises(FormatError, match=reason):
        read_vectors(file)


def test_a_matrix_cut_off_or_alone_is_refused(tmp_path):
    file = save_pair(tmp_path)
    whole = file.read_bytes()
    for size in range(0, len(whole), 7):
        file.write_bytes(whole[:size])
        with pytest.raises(FormatError):
            read_vectors(file)
    file.write_bytes(whole)
    (tmp_path / "index.parquet").write_bytes(b"PAR1 garbage PAR1")
    with pytest.raises(FormatError, match=r"index\.parquet"):
        read_vectors(file)
    (tmp_path / "index.parquet").unlink()
    with pytest.raises(FormatError, match="its words are missing"):
        read_vectors(file)


fragments = st.sampled_from(
    [
        *GOOD.values(),
        b"2 2\n",
        b"\n",
        b" ",
        b"\r",
        b"-",
        b"nan",
        b"1e5",
        b"\xff",
        b"\0",
        b"\x93NUMPY",
    ]
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    start=st.sampled_from(
        [b"", b"2 2\n", b"1 3\n", b"\x1f\x8b\x08", b"\x93NUMPY\x01\x00", *GOOD.values()]
    ),
    cut=st.integers(0, 120),
    rest=st.one_of(st.binary(max_size=80), st.lists(fragments, max_size=4).map(b"".join)),
    vocabulary=st.sampled_from([None, ["the"], []]),
)
def test_whatever_the_bytes_vectors_come_out_or_a_format_error(
    start, cut, rest, vocabulary, tmp_path
):
    file = tmp_path / "fuzz"
    file.write_bytes(start[:cut] + rest)
    try:
        vectors = read_vectors(file, vocabulary=vocabulary)
    except FormatError:
        return
    assert vectors.matrix.shape[0] == len(vectors.words) == len(set(vectors.words))
    assert np.isfinite(vectors.matrix).all()


def by_python(path: Path, skip: int) -> tuple[list[str], np.ndarray]:
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    rows = [line.split() for line in content.decode().splitlines()[skip:]]
    return [row[0] for row in rows], np.array([row[1:] for row in rows], np.float64)


@pytest.mark.parametrize(
    ("name", "skip", "kind"),
    [
        ("gensim_vectors/test_glove.txt", 0, "GloVe text"),
        ("embeddings_text/fake_embeddings.5d.txt", 0, "GloVe text"),
        ("embeddings_text/glove.6B.100d.sample.txt.gz", 0, "GloVe text"),
        ("embeddings_text/glove.6B.300d.sample.txt.gz", 0, "GloVe text"),
        ("gensim_vectors/word2vec_pre_kv_c", 1, "word2vec text"),
        ("gensim_vectors/EN.1-10.cbow1_wind5_hs0_neg10_size300_smpl1e-05.txt", 1, "word2vec text"),
        ("gensim_vectors/lee_fasttext.vec", 1, "word2vec text"),
        ("gensim_vectors/toy-model.vec", 1, "word2vec text"),
        ("gensim_vectors/crime-and-punishment.vec", 1, "word2vec text"),
    ],
)
def test_published_text_is_read_as_python_reads_it(name, skip, kind, shared_data):
    path = shared_data / "fixtures" / name
    vectors = read_vectors(path)
    words, matrix = by_python(path, skip)
    assert vectors.format == kind
    assert vectors.words == words
    np.testing.assert_array_equal(vectors.matrix, matrix.astype(np.float32))


def test_published_binary_is_read_as_its_c_program_wrote_it(shared_data):
    path = shared_data / "fixtures/gensim_vectors/euclidean_vectors.bin"
    vectors = read_vectors(path)
    assert (len(vectors.words), vectors.matrix.shape[1]) == (2747, 10)
    data = path.read_bytes()
    at = data.index(b"\n") + 1
    for word, vector in zip(vectors.words, vectors.matrix, strict=True):
        space = data.index(b" ", at)
        assert data[at:space].decode() == word
        assert struct.unpack_from("<10f", data, space + 1) == tuple(vector.tolist())
        at = space + 1 + 40 + (data[space + 41 : space + 42] == b"\n")
    assert at == len(data)


@pytest.mark.parametrize(
    "name", ["toy-model.bin", "lee_fasttext_new.bin", "non_ascii_fasttext.bin", "lee.cor"]
)
def test_published_files_that_hold_no_vectors_are_refused(name, shared_data):
    with pytest.raises(FormatError):
        read_vectors(shared_data / "fixtures/gensim_vectors" / name)
