"""Memory of word2vec and of GloVe's counts on 1, 4 and 16 times the same text.

The vocabulary stays, the corpus grows: neither may need more memory for it. `counts_4x_mb` is the
most memory that counting held on 4 times the text, above what the process held before;
`word2vec_4x_mb` the same for one epoch. Only memory of the process itself counts: pages of mapped
files are the system's cache, and given back when anybody needs them.

The text is Wikipedia articles, or `--corpus`: once it fills the buffers of all threads
(`buffer_words` words) the figures are level. Linux only.

    python benchmarks/memory_word_vectors.py
"""

import argparse
import functools
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from harness import Figures, Metric, argument_parser, main, wikipedia
from headstart.budget import Budget
from headstart.pretrain import cooccurrence, skip_gram
from headstart.tokenize.encoded import EncodedCorpus, encode_corpus
from headstart.tokenize.words import WordTokenizer

WINDOW = 10
SCALES = (1, 4, 16)


def anonymous_megabytes() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024 / 1e6


def growth_megabytes(work: Callable[[], object]) -> float:
    """Run `work` and return the most memory it held, looking every 10 ms."""
    before = most = anonymous_megabytes()
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.01):
            most = max(most, anonymous_megabytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return most - before


def repeated(corpus: EncodedCorpus, times: int, folder: Path) -> EncodedCorpus:
    path = folder / f"{times}.i32"
    with path.open("wb") as file:
        for _ in range(times):
            corpus.ids.tofile(file)
    ids = np.memmap(path, np.int32, "r")
    return EncodedCorpus(ids, corpus.counts * times, corpus.documents * times, corpus.words * times)


def text(arguments: argparse.Namespace) -> Path:
    return arguments.corpus or wikipedia(arguments)


def headstart(arguments: argparse.Namespace) -> Figures:
    threads = arguments.threads
    lines = text(arguments).read_text().splitlines()
    tokenizer = WordTokenizer.train(lines, lowercase=False, split="whitespace")

    def count(corpus: EncodedCorpus) -> None:
        with tempfile.TemporaryDirectory() as name:
            cooccurrence.count(corpus, Path(name), window=WINDOW, threads=threads)

    def word2vec(corpus: EncodedCorpus) -> None:
        skip_gram.train(corpus, skip_gram.SkipGram(), budget=Budget(epochs=1), threads=threads)

    figures = {}
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as other:
        corpus = encode_corpus(lines, tokenizer, Path(name))
        small = encode_corpus(lines[:20], tokenizer, Path(other))
        del lines
        for label, method in (("counts", count), ("word2vec", word2vec)):
            method(small)  # compiles, or loads what was compiled
            for scale in SCALES:
                larger = repeated(corpus, scale, Path(name))
                work = functools.partial(method, larger)
                figures[f"{label}_{scale}x_mb"] = growth_megabytes(work)
    return figures | {
        "words": corpus.words,
        "buffer_words": threads * cooccurrence.BUFFER / WINDOW,
        "vocabulary": len(tokenizer.vocabulary),
    }


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.add_argument("--corpus", type=Path, help="text; without it, Wikipedia articles")
    parser.add_argument("--threads", type=int, default=2)
    names = [f"{method}_{scale}x_mb" for method in ("counts", "word2vec") for scale in SCALES]
    main(
        "memory_word_vectors",
        {"headstart": headstart},
        [Metric(name) for name in (*names, "words", "buffer_words", "vocabulary")],
        parser,
        prepare=text,
    )
