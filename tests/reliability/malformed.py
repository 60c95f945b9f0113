"""Files that are wrong, each in one way: made by code, so that the repository holds none of them.

A case is a file's content, the command that reads it, and what its one line of error must name.
"""

import gzip
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file, save

from headstart.storage import file_sha256


@dataclass(frozen=True)
class Case:
    """Something wrong.

    Attributes:
        name: What is wrong, and with what kind of file.
        words: The command; `@` stands for the folder of the case, `$` for that of good files.
        files: The content of each file, by its name below the case's folder.
        names: A pattern of what the message must name beside the file.
        file: The file that it must name.
    """

    name: str
    words: str
    files: dict[str, bytes] = field(repr=False)
    names: str
    file: str

    def write(self, folder: Path) -> None:
        """Write the files."""
        for name, content in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)


UTF16 = "text,label\na,b\n".encode("utf-16")
NOT_UTF8 = (b"\xff", b"\xc3(", b"caf\xe9", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80")


def table_cases() -> Iterator[Case]:
    """CSV and TSV, plain and packed."""
    for ending, cut in (("csv", ","), ("tsv", "\t")):
        head = f"text{cut}label\n"
        good = f"a{cut}b\n"
        bad = {
            "empty": ("", "empty"),
            "one byte order mark": ("\ufeff", "empty"),
            "blank lines": ("\n\n\n", "empty"),
            "no rows": (head, "no rows"),
            "no label": (f"{head}{good}c{cut}\n", "line 3"),
            "a blank label": (f"{head}{good}c{cut} \n", "line 3"),
            "a row too short": (f"{head}{good}c\n", "line 3, column 2"),
            "a row too long": (f"{head}{good}c{cut}d{cut}e\n", "line 3, column 3"),
            "a quote never closed": (f'{head}{good}"c{cut}d\n{good * 3}', "line 3, column 1"),
            "a second quote never closed": (f'{head}"x\ny"{cut}"d\n{good}', "line 3, column 2"),
            "text after a quote": (f'{head}"c"d{cut}e\n', "line 2"),
            "a lone carriage return": (f"{head}{good}c\rd{cut}e\n", "line 3"),
            "only carriage returns": (f"text{cut}label\ra{cut}b\r", "line 1"),
            "a NUL": (f"{head}{good}c\0{cut}d\n", "line 3, byte 2"),
            "a column twice": (f"text{cut}text{cut}label\n", "2 columns are called 'text'"),
            "no such columns": (f"x{cut}y{cut}z\na{cut}b{cut}c\n", "cannot tell which column"),
            "one class": (f"{head}{good}c{cut}b\n", "one class"),
            "a class of one": (f"{head}{good}{good}c{cut}d\n", "line 4"),
            "a quote longer than any text": (
                f'{head}"{"x" * (17 << 20)}"{cut}b\n',
                "line 2",
            ),
        }
        for what, (text, names) in bad.items():
            yield data_case(f"{ending}: {what}", f"bad.{ending}", text.encode(), names)
        for number, piece in enumerate(NOT_UTF8):
            content = (head + good).encode() + b"ab" + piece + cut.encode() + b"c\n"
            yield data_case(f"{ending}: not UTF-8, {number}", f"bad.{ending}", content, "line 3, b")
        yield data_case(f"{ending}: UTF-16", f"bad.{ending}", UTF16, "line 1, byte")
        packed = gzip.compress((head + good * 1000).encode())
        for what, content in {
            "cut off": packed[:-12],
            "a flipped bit": packed[:20] + bytes([packed[20] ^ 255]) + packed[21:],
            "only its first bytes": packed[:4],
            "text after a good part": packed + b"oops",
        }.items():
            yield data_case(
                f"{ending}.gz: {what}", f"bad.{ending}.gz", content, "gzip|line|class|empty"
            )
        yield data_case(
            f"{ending}.zst: cut off", f"bad.{ending}.zst", pa.compress(b"x" * 999, "zstd")[:-3],
            "zstd|line",
        )  # fmt: skip


JSON_LINES = {
    "no JSON": "oops",
    "a list": '["a", "b"]',
    "null": "null",
    "a number": "7",
    "two values": '{"text": "a", "label": "b"} {}',
    "cut off": '{"text": "a", "lab',
    "no closing quote": '{"text": "a, "label": "b"}',
    "single quotes": "{'text': 'a', 'label': 'b'}",
    "a key twice": '{"text": "a", "text": "c", "label": "b"}',
    "a key twice, within": '{"text": "a", "label": "b", "more": {"x": 1, "x": 2}}',
    "NaN": '{"text": "a", "label": NaN}',
    "Infinity": '{"text": "a", "label": "b", "x": -Infinity}',
    "too large a number": '{"text": "a", "label": "b", "x": 1e999}',
    "a number of 5,000 digits": '{"text": "a", "label": ' + "9" * 5000 + "}",
    "nested without end": '{"text": "a", "label": ' + "[" * 200_000 + "]" * 200_000 + "}",
    "half a surrogate pair": '{"text": "\\ud800", "label": "b"}',
    "no text": '{"label": "b"}',
    "no label": '{"text": "a"}',
    "a null": '{"text": null, "label": "b"}',
    "a list as text": '{"text": ["a"], "label": "b"}',
    "an object as label": '{"text": "a", "label": {"b": 1}}',
    "a fraction as label": '{"text": "a", "label": 0.5}',
    "an empty label": '{"text": "a", "label": ""}',
    "a raw NUL": '{"text": "a\0", "label": "b"}',
    "a raw tab": '{"text": "a\tb", "label": "b"}',
    "a comma too many": '{"text": "a", "label": "b",}',
    "a comment": '{"text": "a", "label": "b"} // no',
}


def json_cases() -> Iterator[Case]:
    """JSONL: the second line is wrong, or the file as a whole."""
    good = '{"text": "a", "label": "b"}\n'
    for what, line in JSON_LINES.items():
        content = (good + line + "\n" + good).encode()
        yield data_case(f"jsonl: {what}", "bad.jsonl", content, "line 2")
    for what, text in {"empty": "", "blank lines": " \n\n", "a mark": "\ufeff"}.items():
        yield data_case(f"jsonl: {what}", "bad.jsonl", text.encode(), "empty")
    for number, piece in enumerate(NOT_UTF8):
        content = good.encode() + b'{"text": "' + piece + b'", "label": "b"}\n'
        yield data_case(f"jsonl: not UTF-8, {number}", "bad.jsonl", content, "line 2, byte 1")
    pretty = json.dumps([{"text": "a", "label": "b"}], indent=1).encode()
    yield data_case("json: one list over many lines", "bad.json", pretty, "line 1")
    yield data_case("jsonl: UTF-16", "bad.jsonl", good.encode("utf-16"), "line 1, byte")


def parquet_bytes(columns: dict[str, pa.Array], **settings: object) -> bytes:
    """Return a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, **settings)
    return sink.getvalue().to_pybytes()


def parquet_cases() -> Iterator[Case]:
    """Parquet: damage, and columns that hold no texts."""
    texts, labels = pa.array(["a", "b"] * 50), pa.array(["x", "y"] * 50)
    whole = parquet_bytes({"text": texts, "label": labels})
    for what, content in {
        "empty": b"",
        "only its first bytes": b"PAR1",
        "no Parquet": b"text,label\na,b\n",
        "cut off": whole[:-9],
        "half": whole[: len(whole) // 2],
        "without its beginning": whole[40:],
        "a footer beyond the file": whole[:-8] + struct.pack("<I", 1 << 30) + b"PAR1",
        "a footer of zeros": whole[:-108] + bytes(100) + whole[-8:],
        "an encrypted footer": whole[:-4] + b"PARE",
        "zeros between": whole[:8] + bytes(len(whole) - 400) + whole[-392:],
    }.items():
        yield data_case(f"parquet: {what}", "bad.parquet", content, "Parquet|row")
    broken = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(struct.pack("<ii", 0, 2)), pa.py_buffer(b"\xff\xfe")]
    )
    for what, (column, names) in {
        "a null text": (pa.array(["a", None]), "row 2"),
        "bytes": (pa.array([b"a", b"b"]), "column 'text' has the type binary"),
        "numbers with fractions": (pa.array([0.5, 1.5]), "column 'text' has the type double"),
        "lists": (pa.array([["a"], ["b"]]), "column 'text' has the type list"),
        "structures": (pa.array([{"x": 1}, {"x": 2}]), "column 'text' has the type struct"),
        "times": (pa.array([0, 1], pa.timestamp("s")), "column 'text' has the type timestamp"),
        "bytes in a dictionary": (pa.array([b"a", b"b"]).dictionary_encode(), "column 'text'"),
        "half floats": (pa.array(np.array([0.5, 1], np.float16)), "column 'text' has the type"),
        "maps": (pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int8())), "column 'text'"),
        "nulls": (pa.nulls(2), "column 'text' has the type null"),
    }.items():
        content = parquet_bytes({"text": column, "label": pa.array(["x", "y"])})
        yield data_case(f"parquet: {what}", "bad.parquet", content, names)
    one = parquet_bytes({"text": broken, "label": pa.array(["x"])})
    yield data_case("parquet: not UTF-8", "bad.parquet", one, "rows 1 to 1")
    for what, columns in {
        "no label": {"text": texts},
        "no text": {"x": labels, "y": labels, "z": labels},
    }.items():
        yield data_case(f"parquet: {what}", "bad.parquet", parquet_bytes(columns), "cannot tell")
    none = parquet_bytes({"text": texts[:0], "label": labels[:0]})
    yield data_case("parquet: no rows", "bad.parquet", none, "no rows")
    empty = parquet_bytes({"text": pa.array(["a", "b"]), "label": pa.array(["x", ""])})
    yield data_case("parquet: an empty label", "bad.parquet", empty, "line 2")
    bomb = parquet_bytes(
        {"text": pa.array(["y" * 999] * 300_000), "label": pa.array([1] * 300_000)}
    )
    yield data_case("parquet: a bomb", "bad.parquet", bomb, "expands to over")


TAGGED = {
    "empty": ("", "no sentence"),
    "blank lines": ("\n \n\t\n", "no sentence"),
    "only the mark of a document": ("-DOCSTART- O\n\n", "no sentence"),
    "one column": ("Mary\nleft\n", "line 1"),
    "a column less": ("Mary NNP B-PER\nleft VBD\n", "line 2"),
    "a column more": ("Mary B-PER\nleft O O\n", "line 2"),
    "spaces above and tabs here": ("Mary B-PER\nleft\tO\n", "line 2"),
    "tabs above and spaces here": ("Mary\tB-PER\nleft O\n", "line 2"),
    "an empty word": ("Mary\tB-PER\nx\ty\tO\n", "line 2"),
    "an empty tag between tabs": ("Mary\tNNP\tB-PER\nleft\tVBD\t \n", "line 2"),
    "a span that begins inside": ("Mary B-PER\n\nleft I-PER\n", "line [13]"),
    "a span of another type": ("Mary B-PER\nleft I-LOC\n", "line [12]"),
    "a NUL": ("Mary B-PER\nle\0ft O\n", "line 2, byte 3"),
}


def tagged_cases() -> Iterator[Case]:
    """CoNLL columns and sentences in JSON."""
    for what, (text, names) in TAGGED.items():
        yield tagging_case(f"conll: {what}", "bad.conll", text.encode(), names)
    for number, piece in enumerate(NOT_UTF8):
        content = b"Mary B-PER\nx" + piece + b" O\n"
        yield tagging_case(f"conll: not UTF-8, {number}", "bad.conll", content, "line 2, byte")
    yield tagging_case("conll: UTF-16", "bad.conll", UTF16, "line 1, byte")
    yield tagging_case("conllu: no tag", "bad.conllu", b"1\tMary\t_\n", "line 1")
    good = '{"tokens": ["Mary"], "tags": ["O"]}\n'
    for what, line in {
        "fewer tags": '{"tokens": ["a", "b"], "tags": ["O"]}',
        "no tags": '{"tokens": ["a"]}',
        "no words": '{"tokens": [], "tags": []}',
        "a text": '{"tokens": "a b", "tags": ["O", "O"]}',
        "a number among words": '{"tokens": ["a", 7], "tags": ["O", "O"]}',
        "a list among tags": '{"tokens": ["a"], "tags": [["O"]]}',
        "no JSON": "Mary O",
    }.items():
        yield tagging_case(
            f"tagged jsonl: {what}", "bad.jsonl", (good + line + "\n").encode(), "line 2"
        )


def corpus_cases() -> Iterator[Case]:
    """Unlabeled text, and parallel text."""
    words = "pretrain glove --corpus @/bad.txt --epochs 1 --out @/out"
    for what, (content, names) in {
        "empty": (b"", "no text"),
        "blank lines": (b"\n \n\t\n", "no text"),
        "a NUL": (b"good line\nb\0d\n", "line 2, byte 2"),
        "UTF-16": ("plain text\n".encode("utf-16"), "line 1, byte"),
        "UTF-16 without a mark": ("plain text\n".encode("utf-16-le"), "line 1, byte 2"),
        "UTF-32": ("plain text\n".encode("utf-32"), "line 1, byte"),
        "half a gzip": (gzip.compress(b"some text\n" * 999)[:30], "gzip"),
        "a pickle": (b"\x80\x04K\x01.", "line 1, byte 1"),
    }.items():
        yield Case(f"text: {what}", words, {"bad.txt": content}, names, "bad.txt")
    for number, piece in enumerate(NOT_UTF8):
        content = b"good line\nab" + piece + b" c\n"
        yield Case(
            f"text: not UTF-8, {number}", words, {"bad.txt": content}, "line 2, byte", "bad.txt"
        )
    two = "pretrain cove --parallel @/bad.en --parallel @/bad.de --out @/out"
    one = "pretrain cove --parallel @/bad.tsv --out @/out"
    for what, files, names in (
        ("a line too few", {"bad.en": b"a\nb\n", "bad.de": b"c\n"}, "line 2"),
        ("a line too many", {"bad.en": b"a\n", "bad.de": b"c\nd\n"}, "line 2"),
        ("nothing", {"bad.en": b"", "bad.de": b""}, "no pair"),
        ("not UTF-8", {"bad.en": b"a\nb\n", "bad.de": b"c\nd\xff\n"}, "line 2, byte 2"),
    ):
        yield Case(f"parallel: {what}", two, files, names, "bad.")
    for what, content, names in (
        ("no tab", b"a\tb\nc\n", "line 2"),
        ("another number of columns", b"a\tb\nc\td\te\n", "line 2"),
        ("empty sides", b"a\t\n\tb\n", "no pair"),
    ):
        yield Case(f"parallel tsv: {what}", one, {"bad.tsv": content}, names, "bad.tsv")


BINARY = b"2 2\nup " + struct.pack("<ff", 1, 2) + b"\ndown " + struct.pack("<ff", 3, 4) + b"\n"
VECTORS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "a mark": (b"\xef\xbb\xbf", "empty"),
    "no numbers": (b"hello world\n", "line 1"),
    "one word": (b"hello\n", "line 1"),
    "a short row": (b"up 1 2\ndown 3\n", "line 2"),
    "a long row": (b"up 1 2\ndown 3 4 5\n", "line 2"),
    "an empty line": (b"up 1 2\n\ndown 3 4\n", "line 2"),
    "nan": (b"up 1 2\ndown nan 4\n", "line 2"),
    "inf": (b"up 1 2\ndown 3 -inf\n", "line 2"),
    "1e400": (b"up 1 2\ndown 3 1e400\n", "line 2"),
    "1e39, beyond 32 bits": (b"up 1 2\ndown 3 1e39\n", "line 2"),
    "1_000": (b"up 1 2\ndown 3 1_000\n", "line 2"),
    "a hexadecimal number": (b"up 1 2\ndown 3 0x1p3\n", "line 2"),
    "Arabic digits": ("up 1 2\ndown 3 ٤\n".encode(), "line 2"),
    "a comma for a point": (b"up 1 2\ndown 3,5 4\n", "line 2"),
    "a doubled space": (b"up 1 2\ndown  3 4\n", "line 2"),
    "tabs": (b"up\t1\t2\ndown\t3\t4\n", "line 1"),
    "a leading space": (b"up 1 2\n 3 4\n", "line 2"),
    "a word that is not UTF-8": (b"up 1 2\nd\xffn 3 4\n", "line 2"),
    "a word of 5,000 bytes": (b"up 1 2\n" + b"d" * 5000 + b" 3 4\n", "line 2"),
    "a line without end": (b"up 1 2\n" + b"9" * (3 << 20), "line 2"),
    "too many numbers": (b"up " + b"1 " * 4097 + b"\n", "line 1"),
    "no number of the last row": (b"up 1 2\ndown", "line 2"),
    "header: one too many": (b"3 2\nup 1 2\ndown 3 4\n", "line 1"),
    "header: one too few": (b"1 2\nup 1 2\ndown 3 4\n", "line 1"),
    "header: no vectors": (b"0 2\n", "line 1"),
    "header: no numbers": (b"2 0\nup\ndown\n", "line 1"),
    "header: 10^12 of 10^6": (b"1000000000000 1000000\nup 1 2\n", "line 1"),
    "header: another width": (b"2 3\nup 1 2\ndown 3 4\n", "line 2"),
    "binary: cut off in a vector": (BINARY[:-3], "vector 2"),
    "binary: cut off in a word": (BINARY[:17], "vector 2"),
    "binary: cut off in the first": (BINARY[:9], "line 2|vector 1"),
    "binary: a vector too few": (BINARY.replace(b"2 2", b"3 2", 1), "vector 3"),
    "binary: bytes left over": (BINARY.replace(b"2 2", b"1 2", 1), "left over"),
    "binary: nan": (BINARY.replace(struct.pack("<f", 3), struct.pack("<f", float("nan"))), "down"),
    "binary: inf": (BINARY.replace(struct.pack("<f", 3), struct.pack("<f", float("inf"))), "down"),
    "binary: not UTF-8": (BINARY.replace(b"down", b"d\xffwn"), "vector 2"),
    "binary: no word": (BINARY.replace(b"down", b""), "vector 2"),
    "binary: no space for 1 MB": (b"2 2\n" + b"\x01" * (1 << 20), "vector 1|line 2"),
    "binary: 10^12 vectors": (BINARY.replace(b"2 2", b"999999999999 2", 1), "vector 3"),
    "a pickle": (b"\x80\x04K\x01.", "pickle"),
    "a zip archive": (b"PK\x03\x04" + bytes(40), "zip"),
    "a fastText model": (b"\xba\x16\x4f\x2f" + bytes(40), "fastText"),
    "a gzip cut off": (gzip.compress(b"up 1 2\n" * 999)[:40], "gzip"),
    "a bomb": (gzip.compress(b"up " + b"1 " * 2000 + b"\n" + bytes(64 << 20)), "grows|line"),
}


def vector_cases() -> Iterator[Case]:
    """Word vectors, text and binary, and matrices of NumPy."""
    words = "fit classification $/train.csv --encoder @/bad.vec --out @/out"
    for what, (content, names) in VECTORS.items():
        yield Case(f"vectors: {what}", words, {"bad.vec": content}, names, "bad.vec")
    words = words.replace("bad.vec", "bad.npy")
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }"

    def matrix(header: bytes, body: bytes = bytes(16)) -> dict[str, bytes]:
        packed = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body
        return {"bad.npy": packed, "bad.txt": b"up\ndown\n"}

    for what, files, names in (
        ("objects", matrix(head.replace(b"<f4", b"|O")), "matrix of floats"),
        ("code in its header", matrix(head.replace(b"(2, 2)", b"(2, [].x)")), "matrix of floats"),
        ("whole numbers", matrix(head.replace(b"<f4", b"<i8")), "matrix of floats"),
        ("cut off", matrix(head, bytes(9)), "header says 2 vectors"),
        ("10^12 rows", matrix(head.replace(b"(2, 2)", b"(999999999999, 2)")), "header says"),
        ("NaN", matrix(head, struct.pack("<4f", 1, 2, float("nan"), 4)), "row 2"),
        ("no words", {"bad.npy": matrix(head)["bad.npy"]}, "words are missing"),
        ("a word too few", {**matrix(head), "bad.txt": b"up\n"}, "1 words"),
        ("a word too many", {**matrix(head), "bad.txt": b"up\ndown\nx\n"}, "more words"),
    ):
        yield Case(f"npy: {what}", words, files, names, "bad.")


def signed(files: dict[str, bytes], folder: Path) -> dict[str, bytes]:
    """Return a folder's files with a manifest that fits them, as one who tampers would write it."""
    sums = {}
    for name, content in files.items():
        if name != "manifest.json":
            (folder / "sum").write_bytes(content)
            sums[name] = file_sha256(folder / "sum")
    return {**files, "manifest.json": json.dumps({"sha256": sums}).encode()}


def with_header(content: bytes, header: bytes | dict[str, object]) -> bytes:
    """Return a safetensors file with another header."""
    length = int.from_bytes(content[:8], "little")
    if isinstance(header, dict):
        header = json.dumps(header).encode()
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def safetensors_mutants(content: bytes) -> dict[str, bytes]:
    """Return a good file of at least two tensors in all the ways that it could be hostile."""
    length = int.from_bytes(content[:8], "little")
    raw = content[8 : 8 + length]
    header = json.loads(raw)
    first, second = [name for name in header if name != "__metadata__"][:2]

    def changed(name: str, **fields: object) -> bytes:
        return with_header(content, {**header, name: {**header[name], **fields}})

    start, end = header[first]["data_offsets"]
    many = {
        f"x{number}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
        for number in range(20_001)
    }
    twice = raw.rstrip()[:-1] + f', "{first}": {json.dumps(header[first])}}}'.encode()
    return {
        "empty": b"",
        "three bytes": b"abc",
        "only a length": content[:8],
        "cut off in the header": content[: 8 + length // 2],
        "cut off in the data": content[:-1],
        "a byte too many": content + b"\0",
        "a header of 2^63 bytes": (1 << 63).to_bytes(8, "little") + content[8:],
        "a header of 100 MB and one": (100_000_001).to_bytes(8, "little") + content[8:],
        "a header of spaces": with_header(content, raw + b" " * (9 << 20)),
        "a header that is no JSON": with_header(content, b"oops" + raw[4:]),
        "a header that is a list": with_header(content, b"[]"),
        "a header not UTF-8": with_header(content, raw[:2] + b"\xff" + raw[3:]),
        "a header nested 100,000 deep": with_header(content, b"[" * 100_000 + b"]" * 100_000),
        "a pickle": b"\x80\x02cos\nsystem\n." + content,
        "a name twice": with_header(content, twice),
        "20,001 tensors": with_header(content, {**many, **header}),
        "a path as name": with_header(
            content, {("../../etc/passwd" if k == first else k): v for k, v in header.items()}
        ),
        "markup as name": with_header(
            content, {("<script>" if k == first else k): v for k, v in header.items()}
        ),
        "a name of 300 letters": with_header(
            content, {("x" * 300 if k == first else k): v for k, v in header.items()}
        ),
        "an overlap": changed(second, data_offsets=[start, end]),
        "a hole": changed(first, data_offsets=[start + 4, end + 4]),
        "an end before its start": changed(first, data_offsets=[end, start]),
        "an end beyond the file": changed(first, data_offsets=[start, 1 << 40]),
        "a negative place": changed(first, data_offsets=[-8, end]),
        "a shape too large": changed(first, shape=[1 << 62, 1 << 62]),
        "a negative shape": changed(first, shape=[-1]),
        "a shape that is text": changed(first, shape="big"),
        "another shape": changed(first, shape=[1, *header[first]["shape"], 1, 1]),
        "an unknown type": changed(first, dtype="F7"),
        "another type": changed(first, dtype="I32"),
        "a tensor missing": with_header(content, {k: v for k, v in header.items() if k != first}),
        "no tensors": with_header(content[: 8 + length], {}),
    }


def model_cases(good: Path, folder: Path) -> Iterator[Case]:
    """A fitted model's folder: weights, configuration, tokenizer and manifest."""
    whole = {file.name: file.read_bytes() for file in (good / "model").iterdir()}
    words = "predict @/bad $/test.csv --out @/out.csv"

    def case(what: str, files: dict[str, bytes], names: str, *, sign: bool = True) -> Case:
        made = signed(files, folder) if sign else files
        return Case(what, words, {f"bad/{k}": v for k, v in made.items()}, names, "bad")

    weights = whole["model.safetensors"]
    for what, content in safetensors_mutants(weights).items():
        files = {**whole, "model.safetensors": content}
        yield case(f"safetensors: {what}", files, "model.safetensors|weights|tensor|missing")
    tensors = {n: t for n, t in load_file(good / "model" / "model.safetensors").items()}
    for what, number in (("NaN", float("nan")), ("infinity", float("inf"))):
        spoilt = {name: tensor.clone() for name, tensor in tensors.items()}
        next(t for t in spoilt.values() if t.is_floating_point()).view(-1)[0] = number
        yield case(
            f"safetensors: {what}", {**whole, "model.safetensors": save(spoilt)}, "contains NaN or"
        )
    whole_numbers = {name: tensor.to(torch.int32) for name, tensor in tensors.items()}
    yield case(
        "safetensors: whole numbers",
        {**whole, "model.safetensors": save(whole_numbers)},
        "expected floats",
    )
    yield from config_cases(whole, case)
    yield from manifest_cases(whole, case)


def config_cases(whole: dict[str, bytes], case) -> Iterator[Case]:
    """What a config.json may say that is not so."""
    config = json.loads(whole["config.json"])
    for what, content in {
        "empty": b"",
        "no JSON": b"{oops",
        "a list": b"[]",
        "not UTF-8": b'{"kind": "\xff"}',
        "nested without end": b'{"a": ' * 100_000,
        "UTF-16 of nothing": b"\xff\xfe",
    }.items():
        yield case(f"config: {what}", {**whole, "config.json": content}, "config.json")
    for what, fields in {
        "another format": {"format": 99},
        "no kind": {"kind": None},
        "a kind that is a list": {"kind": ["classifier"]},
        "an unknown kind": {"kind": "sculpture"},
        "a class of Python": {"kind": "os.system"},
        "no model": {"model": None},
        "a model that is text": {"model": "x"},
        "another form": {"model": {**config["model"], "form": "builtins.eval"}},
        "terms that are a number": {"model": {**config["model"], "terms": 5}},
        "terms too few": {"model": {**config["model"], "terms": config["model"]["terms"][:3]}},
        "no classes": {"classes": []},
        "a class too many": {"classes": [*config["classes"], "zebra"]},
        "objects as labels": {"dtype": "O,O"},
        "a type with code": {"dtype": "__import__('os')"},
        "a method by its path": {"method": {"name": "os.system"}},
        "a method that is a number": {"method": 7},
        "an unknown parameter": {"parameters": {"hook": "os.system"}},
        "a proof of something else": {"proof": {"unknown": [], "x": 1}},
        "a temperature that is none": {"temperature": "hot"},
        "a temperature of zero": {"temperature": 0},
        "thresholds too few": {"thresholds": [0.5]},
    }.items():
        content = json.dumps({**config, **fields}).encode()
        yield case(f"config: {what}", {**whole, "config.json": content}, "bad")


def manifest_cases(whole: dict[str, bytes], case) -> Iterator[Case]:
    """A manifest that is missing, lies, or looks elsewhere."""
    sums = json.loads(whole["manifest.json"])["sha256"]
    for what, content in {
        "empty": b"",
        "no JSON": b"{",
        "a list": b"[]",
        "no sums": b"{}",
        "sums that are a list": b'{"sha256": []}',
        "a wrong sum": json.dumps({"sha256": {**sums, "config.json": "0" * 64}}).encode(),
        "a sum that is a number": json.dumps({"sha256": {**sums, "config.json": 7}}).encode(),
        "a file that is not there": json.dumps({"sha256": {**sums, "x.json": "0"}}).encode(),
        "a path above": json.dumps({"sha256": {**sums, "../out": "0"}}).encode(),
        "a path from the root": json.dumps({"sha256": {**sums, "/etc/passwd": "0"}}).encode(),
        "a path around": json.dumps({"sha256": {**sums, "a/../../b": "0"}}).encode(),
        "a path of Windows": json.dumps({"sha256": {**sums, "C:\\x": "0"}}).encode(),
        "a NUL in a name": json.dumps({"sha256": {**sums, "a\0b": "0"}}).encode(),
        "no name": json.dumps({"sha256": {**sums, "": "0"}}).encode(),
        "a name of 5,000 letters": json.dumps({"sha256": {**sums, "x" * 5000: "0"}}).encode(),
        "markup in a name": json.dumps({"sha256": {**sums, "<script>": "0"}}).encode(),
    }.items():
        files = {**whole, "manifest.json": content}
        yield case(f"manifest: {what}", files, "manifest|bad/", sign=False)
    for name in ("config.json", "model.safetensors"):
        files = {key: value for key, value in whole.items() if key != name}
        yield case(f"manifest: {name} is gone", files, name, sign=False)
    gone = {key: value for key, value in whole.items() if key != "manifest.json"}
    yield case("manifest: gone", gone, "manifest.json: no such file", sign=False)


def tokenizer_json(**parts: object) -> bytes:
    """Return a tokenizer.json of words, some of its parts replaced."""
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "a": 2, "b": 3}
    whole = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
        "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    }  # fmt: skip
    return json.dumps({**whole, **parts}).encode()


TOKENIZERS = {
    "empty": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "not UTF-8": b'{"version": "\xff"}',
    "no model": tokenizer_json(model=None),
    "words that nothing cuts": tokenizer_json(pre_tokenizer=None),
    "an unknown model": tokenizer_json(model={"type": "Magic"}),
    "an unknown normalizer": tokenizer_json(normalizer={"type": "Magic"}),
    "a normalizer of bytes that are none": tokenizer_json(
        normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    ),
    "a pattern that is none": tokenizer_json(
        pre_tokenizer={
            "type": "Split",
            "pattern": {"Regex": "("},
            "behavior": "Removed",
            "invert": False,
        }
    ),
    "no unknown word": tokenizer_json(
        model={"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "[UNK]"}
    ),
    "numbers with gaps": tokenizer_json(
        model={"type": "BPE", "vocab": {"a": 0, "b": 9}, "merges": []}
    ),
    "a number below zero": tokenizer_json(
        model={"type": "WordLevel", "vocab": {"a": -1}, "unk_token": "[UNK]"}
    ),
    "a number beyond 32 bits": tokenizer_json(
        model={"type": "WordLevel", "vocab": {"a": 1 << 40}, "unk_token": "[UNK]"}
    ),
    "a merge of nothing known": tokenizer_json(
        model={"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["x y"]}
    ),
    "pieces without an unknown one": tokenizer_json(
        model={"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 7}
    ),
    "no pieces": tokenizer_json(model={"type": "BPE", "vocab": {}, "merges": []}),
}


def tokenizer_cases() -> Iterator[Case]:
    """Tokenizers given to pretraining."""
    words = "pretrain glove --corpus $/articles.txt --tokenizer @/bad.json --epochs 1 --out @/out"
    for what, content in TOKENIZERS.items():
        yield Case(f"tokenizer: {what}", words, {"bad.json": content}, "bad.json", "bad.json")


def bert_cases(good: Path) -> Iterator[Case]:
    """A published folder: its configuration, its tokenizer, its parts."""
    whole = {file.name: file.read_bytes() for file in (good / "bert").iterdir()}
    config = json.loads(whole["config.json"])
    words = "fit classification $/train.csv --encoder @/bad --out @/out"

    def case(what: str, files: dict[str, bytes], names: str) -> Case:
        return Case(
            f"published: {what}", words, {f"bad/{k}": v for k, v in files.items()}, names, "bad"
        )

    for what, fields in {
        "10^9 layers": {"num_hidden_layers": 10**9},
        "10^30 layers": {"num_hidden_layers": 10**30},
        "layers below zero": {"num_hidden_layers": -1},
        "no layers": {"num_hidden_layers": 0},
        "layers as text": {"num_hidden_layers": "2"},
        "layers as truth": {"num_hidden_layers": True},
        "10^9 wide": {"hidden_size": 10**9},
        "wide as a fraction": {"hidden_size": 16.5},
        "heads that do not divide": {"num_attention_heads": 5},
        "a vocabulary of 10^12": {"vocab_size": 10**12},
        "another width": {"hidden_size": 32},
        "more layers than weights": {"num_hidden_layers": 3},
        "no positions": {"max_position_embeddings": 0},
        "10^9 positions": {"max_position_embeddings": 10**9},
        "an activation by its path": {"hidden_act": "os.system"},
        "heads that are gone": {"pruned_heads": {"0": [1]}},
        "dropout of two": {"hidden_dropout_prob": 2},
        "no number for eps": {"layer_norm_eps": "small"},
        "an unknown kind with code": {
            "model_type": "evil", "auto_map": {"AutoModel": "evil.Model"},
        },
        "a kind by its path": {"model_type": "../../evil"},
        "a kind that is a list": {"model_type": ["bert"], "architectures": ["Evil"]},
    }.items():  # fmt: skip
        content = json.dumps({**config, **fields}).encode()
        yield case(what, {**whole, "config.json": content}, "bad")
    for what, content in TOKENIZERS.items():
        files = {**whole, "tokenizer.json": content}
        yield case(f"tokenizer: {what}", files, "tokenizer")
    index = json.dumps({"weight_map": {"x": "../model.safetensors"}}).encode()
    parts = {k: v for k, v in whole.items() if k != "model.safetensors"}
    for what, files in {
        "no weights": parts,
        "an index to elsewhere": {**parts, "model.safetensors.index.json": index},
        "an index of nothing": {**parts, "model.safetensors.index.json": b"{}"},
        "an index of numbers": {
            **parts, "model.safetensors.index.json": b'{"weight_map": {"x": 1}}',
        },
        "a pickle of code": {
            **parts, "pytorch_model.bin": b"\x80\x02cos\nsystem\nX\x01\0\0\0x\x85R.",
        },
        "a pickle renamed": {**parts, "model.safetensors": b"\x80\x02cos\nsystem\n."},
    }.items():  # fmt: skip
        yield case(what, files, "bad")


def hdf5_bytes(folder: Path, datasets: dict[str, np.ndarray]) -> bytes:
    """Return an HDF5 file."""
    path = folder / "made.hdf5"
    with h5py.File(path, "w") as file:
        for name, array in datasets.items():
            file[name] = array
    return path.read_bytes()


def elmo_cases(good: Path, folder: Path) -> Iterator[Case]:
    """The original release of ELMo: options and HDF5."""
    whole = {file.name: file.read_bytes() for file in (good / "elmo").iterdir()}
    options = json.loads(whole["options.json"])
    with h5py.File(good / "elmo" / "weights.hdf5") as file:
        arrays: dict[str, np.ndarray] = {}
        file.visititems(
            lambda n, d: arrays.update({n: d[()]}) if isinstance(d, h5py.Dataset) else None
        )
    words = "fit classification $/train.csv --encoder @/bad --out @/out"

    def case(what: str, files: dict[str, bytes], names: str) -> Case:
        return Case(f"elmo: {what}", words, {f"bad/{k}": v for k, v in files.items()}, names, "bad")

    weights = whole["weights.hdf5"]
    for what, content in {
        "empty": b"",
        "no HDF5": b"oops" * 99,
        "cut off": weights[:-100],
        "half": weights[: len(weights) // 2],
        "only its first bytes": weights[:8],
        "zeros in its root": weights[:96] + bytes(400) + weights[496:],
        "no datasets": hdf5_bytes(folder, {}),
        "a dataset missing": hdf5_bytes(
            folder, {k: v for k, v in arrays.items() if "W_P" not in k}
        ),
        "another shape": hdf5_bytes(folder, {**arrays, "char_embed": np.zeros((3, 3), "f4")}),
        "whole numbers": hdf5_bytes(
            folder, {**arrays, "char_embed": arrays["char_embed"].astype("i4")}
        ),
        "NaN": hdf5_bytes(folder, {**arrays, "char_embed": arrays["char_embed"] * np.nan}),
        "a dataset too many": hdf5_bytes(folder, {**arrays, "RNN_9/x": np.zeros(3, "f4")}),
    }.items():
        yield case(what, {**whole, "weights.hdf5": content}, "weights.hdf5")
    lstm, cnn = options["lstm"], options["char_cnn"]
    for what, fields in {
        "no lstm": {"lstm": None},
        "lstm as text": {"lstm": "x"},
        "10^9 layers": {"lstm": {**lstm, "n_layers": 10**9}},
        "10^6 cells of 10^6": {"lstm": {**lstm, "dim": 10**6, "projection_dim": 10**6}},
        "cells as text": {"lstm": {**lstm, "dim": "10"}},
        "a clip that is text": {"lstm": {**lstm, "cell_clip": "3"}},
        "skip as text": {"lstm": {**lstm, "use_skip_connections": "yes"}},
        "10^9 highways": {"char_cnn": {**cnn, "n_highway": 10**9}},
        "filters that are a number": {"char_cnn": {**cnn, "filters": 3}},
        "filters below zero": {"char_cnn": {**cnn, "filters": [[-1, 4]]}},
        "filters of 10^6": {"char_cnn": {**cnn, "filters": [[1, 10**6]] * 3}},
        "no embedding": {"char_cnn": {**cnn, "embedding": None}},
        "another activation": {"char_cnn": {**cnn, "activation": "eval"}},
        "other letters": {"char_cnn": {**cnn, "max_characters_per_token": 10**9}},
    }.items():
        content = json.dumps({**options, **fields}).encode()
        yield case(what, {**whole, "options.json": content}, "options.json|weights.hdf5")
    yield case("options that are no JSON", {**whole, "options.json": b"{"}, "options.json")
    two = {**whole, "b_options.json": whole["options.json"]}
    yield case("two options", two, "found 2 and 1")
    none = {"options.json": whole["options.json"]}
    yield case("no weights", none, "found 1 and 0")


def data_case(name: str, file: str, content: bytes, names: str) -> Case:
    """Return a case of labeled data."""
    return Case(name, f"data check @/{file}", {file: content}, names, file)


def tagging_case(name: str, file: str, content: bytes, names: str) -> Case:
    """Return a case of tagged sentences."""
    words = f"fit tagging @/{file} --transfer majority --out @/out"
    return Case(name, words, {file: content}, names, file)


def all_cases(good: Path, folder: Path) -> Iterator[Case]:
    """Yield every case; `good` holds a user's good files, `folder` is for scratch."""
    yield from table_cases()
    yield from json_cases()
    yield from parquet_cases()
    yield from tagged_cases()
    yield from corpus_cases()
    yield from vector_cases()
    yield from model_cases(good, folder)
    yield from tokenizer_cases()
    yield from bert_cases(good)
    yield from elmo_cases(good, folder)
