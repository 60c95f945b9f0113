"""Time to fit one cell of a comparison: 200 labels of SST-2 on GloVe 50d, scored on 1,000 rows.

Measures seconds per cell of each transfer, on one thread, with the encoder loaded: fitting by the
shared rule (a search on the validation set, then all labels) plus scoring 1,000 test rows. The
first cell of a process also imports what torch needs to train, so one cell is run beforehand and
not counted. Each repetition draws other labels.

`--encoder` names a folder with a CoVe or an ELMo instead. The states of all these texts are then
computed beforehand, as a comparison does.

    python benchmarks/fit_cell.py
    python benchmarks/fit_cell.py --encoder runs/elmo
"""

import argparse
import time
from pathlib import Path

from harness import Figures, Metric, argument_parser, main, measure

TRANSFERS = ("tfidf", "probe", "scratch", "frozen", "finetune")
LABELS, TEST_ROWS = 200, 1000


def read(path: Path) -> tuple[list[str], list[str]]:
    """Read lines of `<label> <text>`."""
    rows = [line.split(" ", 1) for line in path.read_text(encoding="utf-8").splitlines()]
    return [text for _, text in rows], [label for label, _ in rows]


def prepare(arguments: argparse.Namespace) -> None:
    read(train_file(arguments))  # if it is missing, the job is skipped


def train_file(arguments: argparse.Namespace) -> Path:
    return arguments.data / "sst" / "stsa.binary.train"


def ours(arguments: argparse.Namespace) -> Figures:
    import torch

    from headstart.data.demo import fetch_demo
    from headstart.data.splits import nested_subsets
    from headstart.hub.store import load_encoder
    from headstart.transfer.estimators import TextClassifier
    from headstart.transfer.token_states import TokenMemory, reads_in_context, token_states

    torch.set_num_threads(1)
    texts, labels = read(train_file(arguments))
    test_texts, test_labels = read(arguments.data / "sst" / "stsa.binary.test")
    test = test_texts[:TEST_ROWS], test_labels[:TEST_ROWS]
    rows = nested_subsets(labels, [LABELS], seed=arguments.seed)[LABELS]
    given = [texts[row] for row in rows], [labels[row] for row in rows]
    encoder = load_encoder(arguments.encoder or fetch_demo().glove)
    transfers: tuple[str, ...] = TRANSFERS
    if reads_in_context(encoder):
        every = [*given[0], *test[0]]
        states = token_states(encoder, every, max_tokens=512)
        encoder.memory = TokenMemory({text: row for row, text in enumerate(every)}, states, 512)
        transfers = ("frozen",)
    TextClassifier(encoder, "frozen").fit(*given).score(*test)
    figures: Figures = {"others": 0.0}
    for transfer in transfers:
        classifier = TextClassifier(encoder, transfer, random_state=arguments.seed)
        used = time.process_time()
        timed = measure(lambda fitting=classifier: fitting.fit(*given).score(*test))
        figures[f"{transfer}_seconds"] = timed.seconds
        figures[f"{transfer}_cpu_seconds"] = time.process_time() - used
        figures[f"{transfer}_accuracy"] = classifier.score(*test)
        figures["others"] = max(figures["others"], timed.others)
    return figures


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.add_argument(
        "--encoder", type=Path, help="word vectors, a CoVe or an ELMo; by default the demo's GloVe"
    )
    metrics = [Metric(f"{name}_seconds") for name in TRANSFERS]
    metrics += [Metric(f"{name}_cpu_seconds") for name in TRANSFERS]
    metrics += [Metric(f"{name}_accuracy", "difference") for name in TRANSFERS]
    main("fit_cell", {"headstart": ours}, metrics, parser, prepare=prepare)
