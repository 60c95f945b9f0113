"""Skip-gram with negative sampling: headstart's `pretrain.skip_gram`, gensim and fastText.

All train on the same file (Wikipedia articles, lowercased words, one paragraph per line) with the
same dimension, window, negatives, subsampling and epochs, on two threads: gensim's `Word2Vec` in
its `corpus_file` mode, fastText without subwords and at its own learning rate. Compared are:

- `words_per_second`: words of the file times epochs, over the seconds of training alone. headstart
  and gensim count words beforehand, and headstart also encodes the file. For fastText, the time of
  a call with no epoch is subtracted.
- Spearman correlations with the ratings of three word-similarity files, and the share of correct
  answers to analogy questions, over the words of the vocabulary.
- `held_out_loss`: the objective on held-out articles, with the exact expectation over the noise.

    python benchmarks/word2vec.py --epochs 5
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from harness import Figures, Metric, Timed, argument_parser, main, measure, wikipedia

TESTS = {"wordsim": "EN-WS-353-ALL", "men": "EN-MEN-TR-3k", "simlex": "EN-SIMLEX-999"}
DIM, WINDOW, NEGATIVES, SAMPLE, MIN_COUNT = 100, 5, 5, 1e-3, 5


def prepare(arguments: argparse.Namespace) -> None:
    for part in ("train", "test"):
        wikipedia(arguments, part)


def ours(arguments: argparse.Namespace) -> Figures:
    from headstart.budget import Budget
    from headstart.pretrain import skip_gram
    from headstart.tokenize.encoded import encode_corpus
    from headstart.tokenize.words import WordTokenizer

    lines = wikipedia(arguments).read_text().splitlines()
    tokenizer = WordTokenizer.train(lines, min_count=MIN_COUNT, split="whitespace")
    config = skip_gram.SkipGram(dim=DIM, window=WINDOW, negatives=NEGATIVES, sample=SAMPLE)
    with tempfile.TemporaryDirectory() as folder:
        encoded = encode_corpus(lines, tokenizer, Path(folder))
        skip_gram.train(encoded, config, budget=Budget(tokens=1))  # loads the compiled code
        results = []
        timed = measure(
            lambda: results.append(
                skip_gram.train(
                    encoded,
                    config,
                    budget=Budget(epochs=arguments.epochs),
                    seed=arguments.seed,
                    threads=arguments.threads,
                )
            )
        )
    vectors, outputs = results[0].vectors[2:], results[0].outputs[2:]
    words = tokenizer.vocabulary[2:]
    speed = encoded.words * arguments.epochs / timed.seconds
    scores = quality(words, vectors, outputs, encoded.counts[2:], arguments)
    return {"words_per_second": speed, "others": timed.others, **scores}


def gensim(arguments: argparse.Namespace) -> Figures:
    from gensim.models import Word2Vec

    path, epochs = str(wikipedia(arguments)), arguments.epochs
    model = Word2Vec(
        vector_size=DIM,
        window=WINDOW,
        negative=NEGATIVES,
        sample=SAMPLE,
        min_count=MIN_COUNT,
        sg=1,
        workers=arguments.threads,
        epochs=epochs,
        seed=arguments.seed,
    )
    model.build_vocab(corpus_file=path)
    total = model.corpus_total_words
    timed = measure(
        lambda: model.train(
            corpus_file=path,
            total_examples=model.corpus_count,
            total_words=total,
            epochs=epochs,
        )
    )
    words = model.wv.index_to_key
    counts = np.array([model.wv.get_vecattr(word, "count") for word in words])
    scores = quality(words, model.wv.vectors, model.syn1neg, counts, arguments)
    return {"words_per_second": total * epochs / timed.seconds, "others": timed.others, **scores}


def fasttext(arguments: argparse.Namespace) -> Figures:
    _, counting = _fasttext(0, arguments)
    model, timed = _fasttext(arguments.epochs, arguments)
    words, counts = model.get_words(include_freq=True)
    kept = np.array(
        [word != "</s>" for word in words]
    )  # only fastText counts the end of a line as a word
    vectors, outputs = model.get_input_matrix()[kept], model.get_output_matrix()[kept]
    words = [word for word in words if word != "</s>"]
    total = len(wikipedia(arguments).read_text().split())
    speed = total * arguments.epochs / (timed.seconds - counting.seconds)
    scores = quality(words, vectors, outputs, counts[kept], arguments)
    return {"words_per_second": speed, "others": timed.others, **scores}


def _fasttext(epochs: int, arguments: argparse.Namespace) -> tuple[Any, Timed]:
    """Train, and repeat if a number is NaN, which fastText does not always report."""
    from fasttext import train_unsupervised

    settings = {"dim": DIM, "ws": WINDOW, "neg": NEGATIVES, "t": SAMPLE, "minCount": MIN_COUNT}
    settings |= {"minn": 0, "maxn": 0, "bucket": 0}  # no subwords
    settings |= {"model": "skipgram", "epoch": epochs, "thread": arguments.threads, "verbose": 0}
    path = str(wikipedia(arguments))
    while True:
        models: list[Any] = []
        try:
            timed = measure(lambda: models.append(train_unsupervised(path, **settings)))  # noqa: B023
        except RuntimeError as error:
            if "NaN" not in str(error):
                raise
        if models and np.isfinite(models[0].get_input_matrix()).all():
            return models[0], timed


def quality(
    words: list[str],
    vectors: np.ndarray,
    outputs: np.ndarray,
    counts: np.ndarray,
    arguments: argparse.Namespace,
) -> Figures:
    """Score vectors without headstart, which a peer's interpreter does not have."""
    ids = {word: row for row, word in enumerate(words)}
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    folder = arguments.data / "wordsim"
    found = {name: spearman(unit, ids, folder / f"{file}.txt") for name, file in TESTS.items()}
    found["analogies"] = analogies(unit, ids, folder / "questions-words.txt")
    others = wikipedia(arguments, "test")
    found["held_out_loss"] = held_out_loss(others, ids, vectors, outputs, counts)
    return found


def spearman(unit: np.ndarray, ids: dict[str, int], path: Path) -> float:
    rows = [line.lower().split() for line in path.read_text().splitlines()]
    known = [row for row in rows if len(row) == 3 and row[0] in ids and row[1] in ids]
    cosines = [float(unit[ids[a]] @ unit[ids[b]]) for a, b, _ in known]
    ratings = np.array([float(rating) for *_, rating in known])
    return float(np.corrcoef(ranks(np.array(cosines)), ranks(ratings))[0, 1])


def ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks from 0; ties share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[inverse]


def analogies(unit: np.ndarray, ids: dict[str, int], path: Path) -> float:
    lines = [line.lower().split() for line in path.read_text().splitlines() if line[0] != ":"]
    questions = np.array([[ids[w] for w in line] for line in lines if all(w in ids for w in line)])
    right = 0
    for block in np.array_split(questions, max(1, len(questions) // 500)):
        a, b, c, answer = block.T
        scores = (unit[b] - unit[a] + unit[c]) @ unit.T
        for asked in (a, b, c):
            scores[np.arange(len(block)), asked] = -np.inf
        right += int((scores.argmax(1) == answer).sum())
    return right / len(questions)


def held_out_loss(
    text: Path, ids: dict[str, int], vectors: np.ndarray, outputs: np.ndarray, counts: np.ndarray
) -> float:
    """Return the mean loss of the pairs that training would draw from held-out articles."""
    random = np.random.default_rng(0)
    share = SAMPLE * counts.sum() / counts
    keep = np.minimum(np.sqrt(share) + share, 1.0)
    inputs, targets = [], []
    for line in text.read_text().splitlines():
        row = np.array([ids[word] for word in line.split() if word in ids], np.int64)
        row = row[random.random(len(row)) < keep[row]]
        for distance in range(1, WINDOW + 1):
            for here, there in (
                (row[:-distance], row[distance:]),
                (row[distance:], row[:-distance]),
            ):
                near = random.random(len(here)) < (WINDOW + 1 - distance) / WINDOW
                inputs.append(here[near])
                targets.append(there[near])
    here, there = np.concatenate(inputs), np.concatenate(targets)
    noise = counts**0.75 / (counts**0.75).sum()
    positive = np.logaddexp(0, -(vectors[here] * outputs[there]).sum(1)).mean()
    negative = 0.0
    distinct, times = np.unique(here, return_counts=True)
    for rows, weights in zip(*(np.array_split(x, 40) for x in (distinct, times)), strict=True):
        negative += float(weights @ (np.logaddexp(0, vectors[rows] @ outputs.T) @ noise))
    return float(positive) + NEGATIVES * negative / len(here)


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    main(
        "word2vec",
        {"headstart": ours, "gensim": gensim, "fasttext": fasttext},
        [
            Metric("words_per_second"),
            *(Metric(name, "difference") for name in (*TESTS, "analogies", "held_out_loss")),
        ],
        parser,
        prepare=prepare,
        absent=lambda arguments: {"fasttext": "too slow for --quick"} if arguments.quick else {},
        quick={"epochs": 1},
    )
