"""Subword tokenization: headstart's tokenizer and a call of transformers' fast tokenizer.

Both load the same `tokenizer.json` (WordPiece and byte pairs of 8192, trained on the corpus, and
MiniLM's WordPiece of 30,522) and turn the same Wikipedia articles into ids without special tokens:
`--megabytes` of them, in batches of 1,000 paragraphs. headstart's cache of words is empty at first.
`.._checksum` is the checksum of all ids: the differences must be 0.

    python benchmarks/tokenizing.py
"""

import argparse
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import OURS, Figures, Metric, argument_parser, keep_others, main, measure
from language_model_inputs import VOCABULARY, folder
from public_data import articles

KINDS = ("wordpiece", "bpe", "minilm")
BATCH = 1000
Encode = Callable[[Sequence[str]], NDArray[np.int32]]


def batches(arguments: argparse.Namespace) -> Iterator[list[str]]:
    """Yield batches of paragraphs, `--megabytes` in total."""
    left, batch = int(arguments.megabytes * 1e6), []
    for article in articles(arguments.data, "train"):
        for paragraph in article.split("\n"):
            batch.append(paragraph)
            left -= len(paragraph.encode())
            if left < 0:
                yield batch
                return
            if len(batch) == BATCH:
                yield batch
                batch = []
    yield batch


def tokenizer_file(kind: str) -> Path:
    return folder("tokenizing") / f"{kind}.json"


def prepare(arguments: argparse.Namespace) -> None:
    from headstart.data.demo import fetch_demo
    from headstart.tokenize.subwords import SubwordTokenizer

    texts = [text for batch in batches(arguments) for text in batch]
    folder("tokenizing").mkdir(parents=True, exist_ok=True)
    for kind in KINDS[:2]:
        trained = SubwordTokenizer.train(texts, kind=kind, vocabulary_size=VOCABULARY)
        trained.save(tokenizer_file(kind))
    SubwordTokenizer.load(fetch_demo().minilm / "tokenizer.json").save(tokenizer_file("minilm"))


def contender(make: Callable[[Path], Encode]) -> Callable[[argparse.Namespace], Figures]:
    """Return a contender that measures the encoder that `make` builds from a tokenizer file."""

    def figures(arguments: argparse.Namespace) -> Figures:
        found: Figures = {}
        texts = list(batches(arguments))
        size = sum(len(text.encode()) for batch in texts for text in batch)
        for kind in KINDS:
            encode = make(tokenizer_file(kind))
            encode(texts[0][:10])
            ids: list[NDArray[np.int32]] = []
            timed = measure(lambda: ids.extend(map(encode, texts)))  # noqa: B023 - run at once
            checksum = zlib.crc32(np.concatenate(ids).tobytes())
            keep_others(
                found,
                {
                    f"{kind}_megabytes_per_second": size / 1e6 / timed.seconds,
                    f"{kind}_megabytes_per_cpu_second": size / 1e6 / timed.cpu_seconds,
                    f"{kind}_checksum": float(checksum),
                    "others": timed.others,
                },
            )
        return found

    return figures


def ours(file: Path) -> Encode:
    from headstart.tokenize.subwords import SubwordTokenizer

    tokenizer = SubwordTokenizer.load(file)
    return lambda texts: tokenizer.encode_batch(texts).ids


def theirs(file: Path) -> Encode:
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file), split_special_tokens=True)

    def encode(texts: Sequence[str]) -> NDArray[np.int32]:
        lists = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return np.concatenate([np.array(ids, np.int32) for ids in lists])

    return encode


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.add_argument("--megabytes", type=float, default=10.0)
    main(
        "tokenizing",
        {OURS: contender(ours), "transformers": contender(theirs)},
        [
            *(
                Metric(f"{kind}_megabytes_per_{second}")
                for second in ("second", "cpu_second")
                for kind in KINDS
            ),
            *(Metric(f"{kind}_checksum", "difference") for kind in KINDS),
        ],
        parser,
        prepare=prepare,
        quick={"megabytes": 1.0},
    )
