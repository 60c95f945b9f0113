"""How much contextual word states help a task: ELMo and CoVe, GloVe, and no transfer.

Pretrains ELMo on Wikipedia articles and CoVe on Multi30k's English and German, once for all
repetitions, or uses the folders that `--elmo` and `--cove` name. CoVe uses the word vectors of
`--glove`, by default the demo's GloVe 6B 50d; `glove_finetune` fine-tunes the same vectors. All
methods share one pipeline, with 100 labels of SST-2 and of TREC. Each repetition is a seed, with
other labels in another order. Compared are test accuracies: fine-tuned GloVe minus the others.

    python benchmarks/contextual.py --minutes 30
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import Figures, Metric, argument_parser, main
from public_data import articles
from published_encoder import SETS, drawn, glove, test_rows

METHODS = {
    "glove_finetune": ("glove", "finetune"),
    "scratch": ("", "scratch"),
    "elmo_frozen": ("elmo", "frozen"),
    "elmo_finetune": ("elmo", "finetune"),
    "cove_frozen": ("cove", "frozen"),
}
TASKS = ("sst2", "trec")


def folder(kind: str, arguments: argparse.Namespace) -> Path:
    """Return the folder of an encoder."""
    given: Path | None = getattr(arguments, kind)
    if given is not None:
        return given
    limit = (
        f"{arguments.minutes:g}-minutes" if arguments.steps is None else f"{arguments.steps}-steps"
    )
    return Path(tempfile.gettempdir()) / f"headstart-benchmark-{kind}-{limit}"


def prepare(arguments: argparse.Namespace) -> None:
    import headstart as hs

    for name in arguments.tasks:
        SETS[name](arguments.data, "test")
    limit = (
        {"minutes": arguments.minutes} if arguments.steps is None else {"steps": arguments.steps}
    )
    how: dict[str, Any] = {"size": "mini", "threads": arguments.threads, **limit}
    if not (place := folder("elmo", arguments)).exists():
        texts = articles(arguments.data, "train")[: arguments.articles]
        hs.pretrain("elmo", corpus=texts, **how).save(place)
    if not (place := folder("cove", arguments)).exists():
        pairs = [arguments.data / "multi30k" / f"train.{side}.gz" for side in ("en", "de")]
        hs.pretrain("cove", parallel=pairs, vectors=glove(arguments), **how).save(place)


def fitted(encoder: str, transfer: str) -> Callable[[argparse.Namespace], Figures]:
    def fit(arguments: argparse.Namespace) -> Figures:
        import torch

        from headstart.hub.store import load_encoder
        from headstart.transfer.estimators import TextClassifier

        torch.set_num_threads(arguments.threads)
        if encoder == "glove":
            loaded: Any = glove(arguments)
        else:
            loaded = load_encoder(folder(encoder, arguments)) if encoder else None
        figures = {}
        for name in arguments.tasks:
            given, test = drawn(name, arguments.labels, arguments), test_rows(name, arguments)
            classifier = TextClassifier(loaded, transfer, random_state=arguments.seed)
            found = classifier.fit(*given).score(*test)
            figures[f"{name}_accuracy"] = float(found)
            print(f"{encoder} {transfer} {name}: {found:.4f}", file=sys.stderr, flush=True)
        return figures

    return fit


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.add_argument("--elmo", type=Path, help="folder of an ELMo, to skip pretraining")
    parser.add_argument("--cove", type=Path, help="folder of a CoVe, to skip pretraining")
    parser.add_argument("--glove", type=Path, help="file of word vectors; by default the demo's")
    parser.add_argument("--minutes", type=float, default=30.0, help="minutes per pretraining")
    parser.add_argument("--steps", type=int, help="steps per pretraining, instead of minutes")
    parser.add_argument("--articles", type=int, help="pretrain ELMo on the first N")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--labels", type=int, default=100)
    parser.add_argument("--test-rows", type=int, help="score on the first N test rows")
    parser.add_argument("--threads", type=int, default=2)
    main(
        "contextual",
        {name: fitted(*of) for name, of in METHODS.items()},
        [Metric(f"{name}_accuracy", "difference") for name in TASKS],
        parser,
        prepare=prepare,
        ours=tuple(METHODS),
        quick={"steps": 3, "articles": 20, "labels": 12, "tasks": ["trec"], "test_rows": 50},
    )
