"""Inputs shared by the jobs on language models: corpus, tokenizers, examples, initial weights.

`prepare_bert` and `prepare_gpt` run in headstart's interpreter and write a folder. Contenders read
it, for which a peer's interpreter only needs numpy. Tokenizers and the encoded corpus are kept for
the next job.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness import Figures, measure_repeated
from public_data import articles

if TYPE_CHECKING:
    from headstart.pretrain.masked_lm import Examples
    from headstart.tokenize.documents import EncodedDocuments
    from headstart.tokenize.subwords import SubwordTokenizer

VOCABULARY = 8192
TOKENS, ROWS = 128, 32  # tokens per row, rows per step
SENTENCES = 1600  # 50 batches of 32, the pool that transformers sorts by length
WARM_UP = 2  # steps that are not timed
Kind = Literal["bpe", "wordpiece"]


@dataclass(frozen=True)
class Masked:
    """Concatenated examples of BERT's objectives.

    Attributes:
        ids: The tokens `[tokens]`.
        read: The corrupted tokens, which are the input `[tokens]`.
        segments: 0 in the first segment of an example and 1 in the second `[tokens]`.
        targets: Whether a token is a target of MLM `[tokens]`.
        random: Whether an example's second segment is random `[examples]`.
        offsets: Where each example begins, then the end `[examples + 1]`.
    """

    ids: NDArray[np.int64]
    read: NDArray[np.int64]
    segments: NDArray[np.int64]
    targets: NDArray[np.bool_]
    random: NDArray[np.bool_]
    offsets: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)

    def in_order(self, size: int) -> list[NDArray[np.int64]]:
        """Return the rows of the examples in batches of `size`."""
        rows = np.arange(len(self.random))
        return [rows[at : at + size] for at in range(0, len(rows), size)]

    def padded(self, rows: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """Return some examples, one per row, under the argument names of transformers."""
        lengths = self.lengths[rows]
        columns = np.arange(int(lengths.max()))
        mask = columns < lengths[:, None]
        at = (self.offsets[rows][:, None] + columns)[mask]
        arrays = {name: np.zeros(mask.shape, np.int64) for name in ("input_ids", "token_type_ids")}
        arrays["input_ids"][mask] = self.read[at]
        arrays["token_type_ids"][mask] = self.segments[at]
        arrays["labels"] = np.full(mask.shape, -100)
        arrays["labels"][mask] = np.where(self.targets[at], self.ids[at], -100)
        arrays["attention_mask"] = mask.astype(np.int64)
        arrays["next_sentence_label"] = self.random[rows].astype(np.int64)
        return arrays


def folder(name: str) -> Path:
    """Return a folder below the system's folder for temporary files."""
    return Path(tempfile.gettempdir()) / "headstart-benchmark-language-models" / name


def read_masked(name: str) -> Masked:
    """Return the examples that `prepare_bert` wrote: `packed` or `natural`."""
    with np.load(folder("bert-examples") / f"{name}.npz") as arrays:
        return Masked(**arrays)


def read_rows() -> NDArray[np.int64]:
    """Return the rows that `prepare_gpt` wrote, each with its next token appended."""
    rows: NDArray[np.int64] = np.load(folder("gpt-examples") / "rows.npy")
    return rows


def corpus(
    arguments: argparse.Namespace, kind: Kind
) -> tuple["SubwordTokenizer", "EncodedDocuments"]:
    """Return a headstart tokenizer trained on the Wikipedia text, and the text as ids."""
    from headstart.tokenize.documents import EncodedDocuments, encode_documents
    from headstart.tokenize.subwords import SubwordTokenizer

    place = folder(f"corpus-{kind}")
    done = place / "documents.npy"  # written last
    if not done.exists():
        texts = articles(arguments.data, "train")
        place.mkdir(parents=True, exist_ok=True)
        tokenizer = SubwordTokenizer.train(texts, kind=kind, vocabulary_size=VOCABULARY)
        tokenizer.save(place / "tokenizer.json")
        encoded = encode_documents(texts, tokenizer, place, by_sentence=kind == "wordpiece")
        np.save(place / "sentences.npy", encoded.sentences)
        np.save(done, encoded.documents)
    return SubwordTokenizer.load(place / "tokenizer.json"), EncodedDocuments(
        np.memmap(place / "ids.i32", np.int32, "r"),
        np.load(place / "sentences.npy"),
        np.load(done),
    )


def mini_bert(arguments: argparse.Namespace) -> tuple["SubwordTokenizer", "EncodedDocuments"]:
    """Write a mini BERT with random weights; return its tokenizer and the text as ids."""
    import torch

    from headstart.hub.language_models import PretrainedBert
    from headstart.models.bert import Bert, BertConfig

    tokenizer, documents = corpus(arguments, "wordpiece")
    fresh = torch.Generator().manual_seed(0)
    model = Bert(BertConfig(vocabulary_size=len(tokenizer.vocabulary)), generator=fresh)
    PretrainedBert.of(model, tokenizer, lineage={}).save(folder("bert"), overwrite=True)
    return tokenizer, documents


def prepare_bert(arguments: argparse.Namespace) -> None:
    """Write packed and natural examples, and a mini BERT with random weights."""
    from headstart.pretrain.masked_lm import Examples, make_examples
    from headstart.seeds import generator

    tokenizer, documents = mini_bert(arguments)
    place = folder("bert-examples")
    place.mkdir(parents=True, exist_ok=True)

    random = generator(0, "benchmark examples")
    pairs = make_examples(
        documents, np.arange(len(documents)), tokens=TOKENS, pairs=True, random=random
    )
    full = np.flatnonzero(pairs.lengths == TOKENS)
    chosen = random.permutation(full)[: arguments.steps * ROWS]
    _write_masked(place / "packed.npz", documents, pairs.select(chosen), tokenizer)

    begins, ends = documents.sentences[:-1], documents.sentences[1:]
    chosen = random.choice(len(begins), arguments.sentences, replace=False)
    stretches = np.stack([begins, np.minimum(ends, begins + TOKENS - 2)], 1)[chosen]
    nothing = np.zeros(len(chosen), np.int64)
    sentences = Examples(stretches, np.zeros_like(stretches), nothing.astype(np.bool_), nothing)
    _write_masked(place / "natural.npz", documents, sentences, tokenizer)


def _write_masked(
    path: Path, documents: "EncodedDocuments", examples: "Examples", tokenizer: "SubwordTokenizer"
) -> None:
    from headstart.pretrain.masked_lm import corrupt, surround
    from headstart.seeds import generator
    from headstart.tokenize.batches import pack

    specials = tokenizer.specials
    encoded, second = surround(documents.ids, examples, specials.cls, specials.sep)
    packed = pack(encoded, np.arange(len(encoded)), tokens=TOKENS)
    special = [one for one in vars(specials).values() if one is not None]
    ordinary = np.setdiff1d(np.arange(len(tokenizer.vocabulary)), special)
    text = packed.sequences_BT >= 0
    open_BT = text & (packed.ids_BT != specials.cls) & (packed.ids_BT != specials.sep)
    targets, corrupted = corrupt(
        packed,
        open_BT,
        share=0.15,
        mask=specials.mask,
        ordinary=ordinary,
        continues=None,
        random=generator(0, "benchmark masks"),
    )
    is_target = np.zeros(packed.ids_BT.size, np.bool_)
    is_target[targets] = True
    lengths = encoded.lengths
    within = np.arange(len(encoded.ids)) - np.repeat(encoded.offsets[:-1], lengths)
    at = np.repeat(packed.first_N, lengths) + within
    np.savez(
        path,
        ids=encoded.ids.astype(np.int64),
        read=corrupted.ravel()[at],
        segments=(within >= np.repeat(second, lengths)).astype(np.int64),
        targets=is_target[at],
        random=examples.random,
        offsets=encoded.offsets,
    )


def mini_gpt(arguments: argparse.Namespace) -> "EncodedDocuments":
    """Write a mini GPT with random weights; return the text as ids."""
    import torch

    from headstart.hub.language_models import PretrainedGpt
    from headstart.models.gpt import Gpt, GptConfig

    tokenizer, documents = corpus(arguments, "bpe")
    fresh = torch.Generator().manual_seed(0)
    model = Gpt(GptConfig(vocabulary_size=len(tokenizer.vocabulary)), generator=fresh)
    with torch.no_grad():  # makes the end token unlikely, so no text ends early
        model.tokens.weight[tokenizer.specials.end] = 0.0
    PretrainedGpt.of(model, tokenizer, lineage={}).save(folder("gpt"), overwrite=True)
    return documents


def prepare_gpt(arguments: argparse.Namespace) -> None:
    """Write rows, each from one document, and a mini GPT with random weights."""
    from headstart.seeds import generator

    documents = mini_gpt(arguments)
    starts = documents.starts
    whole = [
        np.arange(start, end - TOKENS, TOKENS)
        for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
    ]
    chosen = generator(0, "benchmark rows").permutation(np.concatenate(whole))
    chosen = chosen[: arguments.steps * ROWS]
    rows = documents.ids[chosen[:, None] + np.arange(TOKENS + 1)].astype(np.int64)
    place = folder("gpt-examples")
    place.mkdir(parents=True, exist_ok=True)
    np.save(place / "rows.npy", rows)


def training_speed(
    name: str,
    train: Callable[[Sequence[Any]], None],
    batches: Sequence[Any],
    tokens: int,
    arguments: argparse.Namespace,
) -> Figures:
    """Time training passes over batches that hold `tokens` tokens."""
    train(batches[:WARM_UP])
    timed = measure_repeated(lambda: train(batches), least_seconds=arguments.seconds)
    return {
        f"{name}_tokens_per_second": tokens / timed.seconds,
        f"{name}_tokens_per_cpu_second": tokens / timed.cpu_seconds,
        "others": timed.others,
    }
