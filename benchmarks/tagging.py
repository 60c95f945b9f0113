"""Scores of taggers for chunks, parts of speech and rare names, from all training sentences.

Measures strict span F1 for chunks (CoNLL-2000) and names (WNUT-17), and word accuracy for parts of
speech (UD English EWT), on the test parts. Each repetition is a seed. `scratch` is the BiLSTM-CRF
with randomly initialized vectors, `glove` the same on GloVe 6B 50d, fine-tuned, and `minilm`
fine-tunes all-MiniLM-L6-v2.

    python benchmarks/tagging.py --methods scratch glove
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import Figures, Metric, argument_parser, main

if TYPE_CHECKING:
    from headstart.data.tagged import TaggedSentences

FILES = {
    "chunks": ("conll2000/train.txt.gz", "conll2000/test.txt.gz"),
    "speech": ("ud_ewt/train.conllu.gz", "ud_ewt/test.conllu.gz"),
    "names": ("wnut17/wnut17train.conll", "wnut17/emerging.test.annotated"),
}
METHODS = ("scratch", "glove", "minilm")


def read(name: str, arguments: argparse.Namespace) -> "tuple[TaggedSentences, TaggedSentences]":
    from headstart.data.tagged import read_tagged

    train, test = (read_tagged(arguments.data / file) for file in FILES[name])
    return train.select(range(len(train))[: arguments.sentences]), test


def encoder_of(method: str, arguments: argparse.Namespace) -> Any:  # noqa: ANN401 - or None
    from headstart.data.demo import fetch_demo
    from headstart.hub.store import load_encoder

    if method == "scratch":
        return None
    given = arguments.glove if method == "glove" else arguments.minilm
    return load_encoder(given or getattr(fetch_demo(), method))


def scores_of(method: str) -> Callable[[argparse.Namespace], Figures]:
    """Return a contender that fits one method to every data set."""

    def scores(arguments: argparse.Namespace) -> Figures:
        import torch

        from headstart.transfer.token_tagger import TokenTagger

        torch.set_num_threads(arguments.threads)
        encoder, figures = encoder_of(method, arguments), Figures()
        for name in arguments.sets:
            train, test = read(name, arguments)
            tagger = TokenTagger(encoder, random_state=arguments.seed)
            started = time.perf_counter()
            tagger.fit(train.sentences, train.tags)
            figures[f"{name}_seconds"] = time.perf_counter() - started
            figures[name] = tagger.score(test.sentences, test.tags)
            print(f"{method} {name}: {figures[name]:.4f}", file=sys.stderr, flush=True)
        return figures

    return scores


def prepare(arguments: argparse.Namespace) -> None:
    for name in arguments.sets:
        read(name, arguments)


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.set_defaults(repetitions=3)
    parser.add_argument("--sets", nargs="+", choices=FILES, default=list(FILES))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["scratch", "glove"])
    parser.add_argument("--glove", type=Path, help="file of word vectors; by default the demo's")
    parser.add_argument("--minilm", type=Path, help="folder of the encoder; by default the demo's")
    parser.add_argument("--sentences", type=int, help="train on the first N sentences")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    contenders = {method: scores_of(method) for method in asked.methods}
    main(
        "tagging",
        contenders,
        [Metric(name, "difference") for name in asked.sets],
        parser,
        prepare=prepare,
        ours=tuple(contenders),
        quick={"sentences": 60, "sets": ["chunks"]},
    )
