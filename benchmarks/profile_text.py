"""Profile the jobs that process text without matrix products.

`tokenizing` tokenizes Wikipedia articles into subwords as in `tokenizing.py`, `vectors` loads
400,000 word vectors from text as in `load_vectors.py`, and `counting` counts pairs of words as in
`glove.py`. Prints each stage's share of the CPU time, without that of nested stages, and the speed
of the whole. For reference it also copies an array larger than any cache, which is the time to read
and write the same bytes once. `profile_steps.py` profiles training steps and encoding.

    python benchmarks/profile_text.py
"""

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import load_vectors
import tokenizing
from harness import SHARED
from public_data import articles

JOBS = ("tokenizing", "vectors", "counting")
ARTICLES, WINDOW = 1200, 5
COPIED = 1 << 27  # bytes

Work = Callable[[], Mapping[str, float]]  # returns counts by unit, `bytes` among them
Stages = Mapping[str, tuple[Any, str]]  # name of each stage: owner and name of its function


def subwords(kind: str, arguments: argparse.Namespace) -> tuple[Work, Stages]:
    from headstart.tokenize import piece_memory
    from headstart.tokenize.subwords import SubwordTokenizer

    texts = list(tokenizing.batches(arguments))
    size = sum(len(text.encode()) for batch in texts for text in batch)

    def work() -> Mapping[str, float]:
        tokenizer = SubwordTokenizer.load(tokenizing.tokenizer_file(kind))
        pieces = sum(len(tokenizer.encode_batch(batch).ids) for batch in texts)
        return {"bytes": size, "pieces": pieces}

    memory = piece_memory.PieceMemory
    return work, {
        "loading the tokenizer": (SubwordTokenizer, "load"),
        "splitting texts at spaces": (memory, "_parts"),
        "looking up words, joining their subwords": (memory, "encode_batch"),
        "new words: in the library": (piece_memory, "encode_batch"),
        "new words: splitting and caching": (memory, "_cut"),
    }


def vectors(arguments: argparse.Namespace) -> tuple[Work, Stages]:
    from headstart.hub.foreign import text_rows, vectors

    file = load_vectors.file_of(arguments)

    def work() -> Mapping[str, float]:
        matrix = vectors.read_vectors(file).matrix
        return {"bytes": file.stat().st_size, "numbers": matrix.size}

    return work, {
        "numbers": (text_rows, "_parse_numbers"),
        "words": (text_rows, "_find_words"),
        "words as strings": (text_rows, "_decode"),
        "the rest of a block": (text_rows, "_parse_lines"),
        "one list and one matrix": (vectors, "_gather"),
        "repeated words": (vectors, "_drop_repeated"),
    }


def counting(folder: Path, arguments: argparse.Namespace) -> tuple[Work, Stages]:
    from headstart.pretrain import cooccurrence
    from headstart.tokenize.encoded import encode_corpus
    from headstart.tokenize.words import WordTokenizer

    lines = articles(arguments.data, "train")[:ARTICLES]
    tokenizer = WordTokenizer.train(lines, min_count=5, split="whitespace")
    corpus = encode_corpus(lines, tokenizer, folder)

    def work() -> Mapping[str, float]:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            found = cooccurrence.count(corpus, Path(name), window=WINDOW)
            return {"bytes": corpus.ids.nbytes, "words": corpus.words, "counts": found.pairs}

    return work, {
        "packing pairs, counting the commonest": (cooccurrence, "_pack"),
        "summing sorted pairs": (cooccurrence, "_sum_packed"),
        "merging runs": (cooccurrence, "_add"),
        "writing runs": (cooccurrence, "_store"),
        "writing and shuffling tiles": (cooccurrence, "_write_records"),
    }


@contextmanager
def timed(stages: Stages) -> Iterator[dict[str, float]]:
    """Add up the CPU time of each stage's function, without that of nested stages."""
    spent = dict.fromkeys(stages, 0.0)
    inside = threading.local()  # time of nested stages, per running stage

    def wrapped(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - arguments of any function
            open_stages = inside.__dict__.setdefault("stages", [])
            open_stages.append(0.0)
            began = time.thread_time()
            try:
                return function(*given, **named)
            finally:
                seconds = time.thread_time() - began
                spent[name] += seconds - open_stages.pop()
                if open_stages:
                    open_stages[-1] += seconds

        return run

    with ExitStack() as stack:
        for name, (owner, attribute) in stages.items():
            function = wrapped(name, getattr(owner, attribute))
            stack.enter_context(mock.patch.object(owner, attribute, function))
        yield spent


def report(job: str, work: Work, stages: Stages, rest: str = "everything else") -> None:
    work()  # compiles, and fills the system's file cache
    with timed(stages) as spent:
        began = time.process_time()
        done = work()
        seconds = time.process_time() - began
    print(
        f"\n{job}: per CPU second, {done['bytes'] / seconds / 1e6:,.0f} MB, "
        + ", ".join(
            f"{count / seconds / 1e6:.2f} million {unit}"
            for unit, count in done.items()
            if unit != "bytes"
        )
        + f"; {done['bytes'] / seconds / copying():.1%} of copying memory"
    )
    shares = {**spent, rest: seconds - sum(spent.values())}
    for name, share in sorted(shares.items(), key=lambda item: -item[1]):
        print(f"  {share / seconds:6.1%}  {name}")


def copying() -> float:
    """Return the bytes read per CPU second while copying a large array."""
    source = np.ones(COPIED // 8)
    target = source.copy()
    began = time.process_time()
    for _ in range(10):
        np.copyto(target, source)
    return 10 * COPIED / (time.process_time() - began)


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=JOBS)
    parser.add_argument(
        "--megabytes", type=float, default=10.0, help="megabytes of text to tokenize"
    )
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.set_defaults(vectors=None, header=False)  # options of `load_vectors.py`: GloVe text
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # its own threads would belong to no stage
    for job in arguments.jobs:
        if job == "tokenizing":
            tokenizing.prepare(arguments)
            for kind in tokenizing.KINDS:
                report(f"tokenizing, {kind}", *subwords(kind, arguments))
        elif job == "vectors":
            load_vectors.prepare(arguments)
            report(job, *vectors(arguments))
        else:
            with tempfile.TemporaryDirectory() as name:
                report(job, *counting(Path(name), arguments), "sorting pairs, everything else")


if __name__ == "__main__":
    main()
