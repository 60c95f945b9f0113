"""Loading word vectors from text: headstart's `read_vectors` and gensim's `KeyedVectors`.

The file has 400,000 words with 50 numbers each: the demo's GloVe 6B vectors, or those of
`--vectors`, written as text. gensim reads word2vec text (`--header`) faster than GloVe text, which
it must read twice.

`growth_mb` is the peak memory of the process minus its memory before it reads the file (after
imports and, for headstart, after a tiny file that loads the compiled code). It includes the matrix,
the list of words, everything. `growth_per_matrix` divides it by the size of the matrix.
`first_call_seconds` is the time of the tiny file, which loads compiled code from the cache or
compiles it.

    python benchmarks/load_vectors.py --header
"""

import argparse
import gc
import tempfile
import time
from pathlib import Path

import numpy as np

from harness import Figures, Metric, Timed, argument_parser, main, measure, peak_megabytes


def file_of(arguments: argparse.Namespace) -> Path:
    name = Path(arguments.vectors).stem if arguments.vectors else "glove-6b-50d"
    kind = "word2vec" if arguments.header else "glove"
    return Path(tempfile.gettempdir()) / f"headstart-benchmark-{name}.{kind}.txt"


def prepare(arguments: argparse.Namespace) -> None:
    from headstart.data.demo import fetch_demo
    from headstart.hub.foreign.vectors import read_vectors
    from vector_files import write_glove, write_word2vec_text

    if file_of(arguments).exists():
        return
    vectors = read_vectors(arguments.vectors or fetch_demo().glove)
    write = write_word2vec_text if arguments.header else write_glove
    write(file_of(arguments), vectors.words, vectors.matrix)


def held_megabytes() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024 / 1e6


def ours(arguments: argparse.Namespace) -> Figures:
    from headstart.hub.foreign.vectors import read_vectors

    with tempfile.TemporaryDirectory() as folder:
        tiny = Path(folder) / "tiny.txt"
        tiny.write_text("a 1 2\nb 3 4\n")
        start = time.perf_counter()
        read_vectors(tiny)
        first_call = time.perf_counter() - start
    loaded = []
    before = held_megabytes()
    timed = measure(lambda: loaded.append(read_vectors(file_of(arguments))))
    growth = peak_megabytes() - before
    matrix = loaded[0].matrix
    return figures(timed, growth, matrix) | {"first_call_seconds": first_call}


def gensim(arguments: argparse.Namespace) -> Figures:
    from gensim.models import KeyedVectors

    path, no_header = str(file_of(arguments)), not arguments.header
    loaded = []
    gc.collect()
    before = held_megabytes()
    load = KeyedVectors.load_word2vec_format
    timed = measure(lambda: loaded.append(load(path, binary=False, no_header=no_header)))
    growth = peak_megabytes() - before
    return figures(timed, growth, loaded[0].vectors)


def figures(timed: Timed, growth: float, matrix: np.ndarray) -> Figures:
    return {
        "seconds": timed.seconds,
        "others": timed.others,
        "growth_mb": growth,
        "growth_per_matrix": growth * 1e6 / matrix.nbytes,
        "checksum": float(abs(matrix.astype(np.float64)).sum()),
    }


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.add_argument("--vectors", type=Path, help="file of word vectors")
    parser.add_argument("--header", action="store_true", help="word2vec text instead of GloVe text")
    main(
        "load_vectors",
        {"headstart": ours, "gensim": gensim},
        [
            Metric("seconds", "saving"),
            Metric("growth_mb", "saving"),
            Metric("growth_per_matrix", "saving"),
            Metric("first_call_seconds", "saving"),
            Metric("checksum", "difference"),
        ],
        parser,
        prepare=prepare,
    )
