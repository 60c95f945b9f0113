"""Speed of taggers in training and predicting: headstart's BiLSTM-CRF and flair's `SequenceTagger`.

Both train on CoNLL-2000's chunks with randomly initialized word vectors of 100 and an LSTM of 100
units per direction. `words` uses nothing else. `spelled` adds each tool's character features (a
convolution of 32 filters, and flair's LSTM of 25 units per direction). Compared are words per
second:

- of one training epoch over some sentences, in batches of 32, updates included. For headstart, only
  the training of `TokenTagger` is timed (`transfer.neural`), because a whole `fit` first searches
  for the number of steps and then trains anew. For flair, it is the loop of its `ModelTrainer`
  without its evaluations.
- of predicting the test part, from lists of words to tags.

The peers are `flair` with its defaults, and `flair-best`: batches of similar length in training,
and batches of 256 with sentences made beforehand in predicting. `make bench` installs flair into
its own environment, `.flair-venv`, because it rejects the transformers version of the other peers.

    python benchmarks/tagging_speed.py
"""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from harness import OURS, ROOT, Figures, Metric, Timed, argument_parser, keep_others, main, measure
from public_data import TaggedRows, conll2000

BATCH, LARGE_BATCH, WIDTH, HIDDEN = 32, 256, 100, 100
KINDS = ("words", "spelled")


def read(arguments: argparse.Namespace) -> tuple[TaggedRows, TaggedRows]:
    """Return the sentences to train on, and those to predict."""
    parts = conll2000(arguments.data, "train"), conll2000(arguments.data, "test")
    most = arguments.sentences
    train, test = ((sentences[:most], tags[:most]) for sentences, tags in parts)
    return train, test


def prepare(arguments: argparse.Namespace) -> None:
    read(arguments)


def speed(name: str, sentences: Sequence[Sequence[str]], timed: Timed) -> Figures:
    words = sum(map(len, sentences))
    return {
        f"{name}_words_per_second": words / timed.seconds,
        f"{name}_words_per_cpu_second": words / timed.cpu_seconds,
        "others": timed.others,
    }


def ours(arguments: argparse.Namespace) -> Figures:
    import torch

    torch.set_num_threads(arguments.threads)
    figures: Figures = {}
    for kind in KINDS:
        for each in _our_figures(kind, arguments):
            keep_others(figures, each)
    return figures


def our_start(kind: str, arguments: argparse.Namespace) -> Any:  # noqa: ANN401 - imported late
    """Return the start that headstart's tagger is trained from."""
    from headstart.transfer.methods import Scratch, Training
    from headstart.transfer.tag_pipelines import VectorsStart
    from headstart.transfer.tag_task import TagTask
    from headstart.transfer.tagging import tagging_defaults

    (sentences, tags), _ = read(arguments)
    names = sorted({tag for its in tags for tag in its})
    numbers = {tag: number for number, tag in enumerate(names)}
    task = TagTask(
        sentences=sentences,
        labels=np.array([numbers[tag] for its in tags for tag in its], np.int64),
        tags=names,
        scheme="IOB2",
        seed=arguments.seed,
        max_tokens=512,
        crf=True,
        spelled=kind == "spelled",
    )
    training = Training(hidden=HIDDEN, dropout=0.3, batch_size=BATCH, min_steps=1, max_steps=1)
    method = tagging_defaults(Scratch(width=WIDTH, training=training), whole_model=None)
    return VectorsStart(method, None, task)


def _our_figures(kind: str, arguments: argparse.Namespace) -> list[Figures]:
    from headstart.transfer.neural import train_steps

    (sentences, _), (unseen, _) = read(arguments)
    start, rows = our_start(kind, arguments), np.arange(len(sentences))
    tagger = start.fresh(rows)

    def train(steps: int) -> None:
        for _ in train_steps(start, tagger, rows, steps, schedule=lambda step: 1.0):
            pass

    train(2)
    trained = measure(lambda: train(-(-len(sentences) // BATCH)))
    fitted = start.fitted(tagger.eval())
    fitted.predict(unseen[:BATCH])
    predicted = measure(lambda: fitted.predict(unseen))
    return [
        speed(f"{kind}_training", sentences, trained),
        speed(f"{kind}_predicting", unseen, predicted),
    ]


def flair_of(*, best: bool) -> Callable[[argparse.Namespace], Figures]:
    """Return a contender that trains flair's tagger and predicts with it."""

    def theirs(arguments: argparse.Namespace) -> Figures:
        import logging

        import torch

        logging.disable(logging.INFO)  # flair logs the whole vocabulary
        torch.set_num_threads(arguments.threads)
        figures: Figures = {}
        for kind in KINDS:
            for each in _flair_figures(kind, arguments, best=best):
                keep_others(figures, each)
        return figures

    return theirs


def _flair_figures(kind: str, arguments: argparse.Namespace, *, best: bool) -> list[Figures]:
    import torch

    (words, tags), (unseen, _) = read(arguments)
    sentences = _flair_sentences(words, tags)
    tagger = _flair_tagger(kind, words, sentences)
    optimizer = torch.optim.AdamW(tagger.parameters(), lr=1e-3)
    random = np.random.default_rng(arguments.seed)

    def train(rows: Sequence[np.ndarray]) -> None:
        tagger.train()
        for batch in rows:
            some = [sentences[row] for row in batch]
            loss, count = tagger.forward_loss(some)
            (loss / count).backward()
            torch.nn.utils.clip_grad_norm_(tagger.parameters(), 5.0)
            optimizer.step()
            optimizer.zero_grad()
            for sentence in some:
                sentence.clear_embeddings()

    order = random.permutation(len(sentences))
    if best:  # as in headstart: sorted within pools of 16 batches
        lengths = np.array([len(its) for its in words])
        pools = np.array_split(order, -(-len(order) // (16 * BATCH)))
        order = np.concatenate([pool[np.argsort(lengths[pool])] for pool in pools])
    batches = [order[at : at + BATCH] for at in range(0, len(order), BATCH)]
    train(batches[:2])
    trained = measure(lambda: train(batches))
    tagger.eval()
    made = _flair_sentences(unseen, None) if best else None
    tagger.predict(_flair_sentences(unseen[:BATCH], None))

    def predict() -> None:
        given = made or _flair_sentences(unseen, None)
        tagger.predict(given, mini_batch_size=LARGE_BATCH if best else BATCH)

    predicted = measure(predict)
    return [
        speed(f"{kind}_training", words, trained),
        speed(f"{kind}_predicting", unseen, predicted),
    ]


def _flair_sentences(words: Sequence[list[str]], tags: Sequence[list[str]] | None) -> list[Any]:
    from flair.data import Sentence

    sentences = [Sentence(its, use_tokenizer=False) for its in words]
    for sentence, its in zip(sentences, tags or (), strict=False):
        begins = [at for at, tag in enumerate(its) if tag.startswith("B-")]
        for begin in begins:
            end = begin + 1
            while end < len(its) and its[end].startswith("I-"):
                end += 1
            sentence[begin:end].add_label("chunk", its[begin][2:])
    return sentences


def _flair_tagger(kind: str, words: Sequence[list[str]], sentences: Sequence[Any]) -> Any:  # noqa: ANN401
    from flair.data import Dictionary
    from flair.embeddings import CharacterEmbeddings, OneHotEmbeddings, StackedEmbeddings
    from flair.models import SequenceTagger

    def numbered(items: Sequence[str]) -> Dictionary:
        dictionary = Dictionary()
        for item in items:
            dictionary.add_item(item)
        return dictionary

    counts = Counter(word for its in words for word in its)
    embeddings: list[Any] = [
        OneHotEmbeddings(numbered([*counts]), field="text", embedding_length=WIDTH)
    ]
    if kind == "spelled":
        letters = numbered(sorted({letter for word in counts for letter in word}))
        embeddings.append(CharacterEmbeddings(letters))
    chunks = {label.value for sentence in sentences for label in sentence.get_labels("chunk")}
    dictionary = Dictionary(add_unk=False)
    dictionary.span_labels = True
    for chunk in sorted(chunks):
        dictionary.add_item(chunk)
    return SequenceTagger(
        embeddings=StackedEmbeddings(embeddings),
        tag_dictionary=dictionary,
        tag_type="chunk",
        tag_format="BIO",
        hidden_size=HIDDEN,
        rnn_layers=1,
        use_crf=True,
        reproject_embeddings=False,
    )


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.set_defaults(peer_python=ROOT / ".flair-venv/bin/python")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sentences", type=int, default=1920, help="the first N of each part")
    main(
        "tagging_speed",
        {OURS: ours, "flair": flair_of(best=False), "flair-best": flair_of(best=True)},
        [
            Metric(f"{kind}_{what}_words_per_{second}")
            for second in ("second", "cpu_second")
            for kind in KINDS
            for what in ("training", "predicting")
        ],
        parser,
        prepare=prepare,
        quick={"sentences": 128},
    )
