"""Kill runs at any moment, let them go on, and count how many end as if nothing had happened.

    python -m benchmarks.soak --kills 50 --predictions 100

trains a tiny model on each of the six objectives, first at one go. Then it trains again in child
processes that get SIGKILL: at a random moment, or at a random touch of the disk while a checkpoint
is saved, up to four times before a run may end. A run counts as resumed exactly if its weights, its
optimizer's state and every loss of its log are those of the run at one go, to the last bit.

Then `headstart predict` is interrupted by SIGKILL, SIGTERM or Ctrl-C, at such moments, too. Its
output must be whole or absent, and whole once the same command has run again.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import tokenizers
import torch
from tokenizers import models

from headstart.budget import Budget
from headstart.cli import app
from headstart.models.bert import Bert, BertConfig
from headstart.models.cove import Cove, CoveConfig
from headstart.models.elmo import Elmo, ElmoConfig
from headstart.models.gpt import Gpt, GptConfig
from headstart.pretrain import bidirectional_lm, causal_lm, glove, masked_lm, skip_gram, translation
from headstart.tokenize.documents import EncodedDocuments
from headstart.tokenize.encoded import END, EncodedCorpus
from headstart.tokenize.subwords import SubwordTokenizer
from headstart.tokenize.words import WordTokenizer
from headstart.training.runs import RunSettings, run
from headstart.transfer.estimators import TextClassifier

Train = Callable[[Path], str]  # trains in a folder, or goes on there; returns what identifies it
Predict = Callable[[Path], NoReturn]  # predicts into a file, and ends the process

CLOCK = {"seconds", "tokens_per_second"}  # of the log: what no two runs share
TOUCHES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}
MOST_KILLS = 4  # of one run
STOPS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
ENDS = (0, *(-stop for stop in STOPS), app.INTERRUPTED, app.TERMINATED)
MOST_TOUCHES = 19  # of the disk by a prediction
ROWS, ROWS_AT_ONCE = 1200, 40  # of a prediction
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{n}" for n in range(60))]
SETTINGS = RunSettings(
    budget=Budget(steps=8), bf16=False, seed=5, validate_every=4, save_every=2, warm_up=0.3
)


def digest_of_run(model: torch.nn.Module, folder: Path) -> str:
    """Return what identifies a run's result: weights, optimizer's state, and its losses."""
    digest = hashlib.sha256()
    for parameter in model.parameters():
        digest.update(parameter.detach().numpy().tobytes())
    digest.update((max(folder.glob("step-*")) / "optimizer.safetensors").read_bytes())
    for line in (folder / "log.jsonl").read_text().splitlines():
        values = {name: each for name, each in json.loads(line).items() if name not in CLOCK}
        digest.update(json.dumps(values).encode())
    return digest.hexdigest()


def documents(first: int) -> EncodedDocuments:
    """Return forty documents of made-up sentences, whose ids begin at `first`."""
    draw = np.random.default_rng(0)
    per_document = draw.integers(2, 5, 40)
    lengths = draw.integers(3, 12, per_document.sum())
    ids = draw.integers(first, len(PIECES), lengths.sum()).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return EncodedDocuments(ids, offsets, np.concatenate([[0], np.cumsum(per_document)]))


def pieces() -> SubwordTokenizer:
    """Return a tokenizer that names the made-up pieces."""
    vocabulary = {piece: number for number, piece in enumerate(PIECES)}
    model = models.WordPiece(vocabulary, unk_token="[UNK]")  # noqa: S106 - no password
    return SubwordTokenizer(tokenizers.Tokenizer(model))


def fresh() -> torch.Generator:
    """Return the stream that weights are drawn from."""
    return torch.Generator().manual_seed(3)


SIZES = {"vocabulary_size": len(PIECES), "width": 16, "layers": 1, "heads": 2, "feed_forward": 32}


def bert() -> Train:
    """Masked words and next sentences."""
    text, tokenizer = documents(5), pieces()
    settings = masked_lm.MaskedLm(tokens_per_row=24, rows_per_step=4, rows_at_once=2)

    def train(folder: Path) -> str:
        model = Bert(BertConfig(**SIZES, positions=24), mlm=True, nsp=True, generator=fresh())
        objective = masked_lm.Objective(model, text, tokenizer, settings, seed=0)
        run(model, objective, settings=SETTINGS, folder=folder)
        return digest_of_run(model, folder)

    return train


def gpt() -> Train:
    """Next tokens."""
    text, tokenizer = documents(5), pieces()
    settings = causal_lm.CausalLm(tokens_per_row=16, rows_per_step=4, rows_at_once=2)

    def train(folder: Path) -> str:
        model = Gpt(GptConfig(**SIZES, positions=16), generator=fresh())
        objective = causal_lm.Objective(model, text, tokenizer, settings, seed=0)
        run(model, objective, settings=SETTINGS, folder=folder)
        return digest_of_run(model, folder)

    return train


def elmo() -> Train:
    """Language models from both sides."""
    text = documents(2)
    settings = bidirectional_lm.BidirectionalLm(
        words_per_row=12, rows_per_step=4, rows_at_once=2, samples=20
    )
    sizes = {"filters": ((1, 4), (2, 6)), "character_width": 5, "projection": 8, "cells": 12}

    def train(folder: Path) -> str:
        config = ElmoConfig(**sizes, vocabulary_size=40)
        model = Elmo(config, generator=fresh())
        objective = bidirectional_lm.Objective(model, text, PIECES, settings, seed=0)
        run(model, objective, settings=SETTINGS, folder=folder)
        return digest_of_run(model, folder)

    return train


def cove() -> Train:
    """Translations."""
    draw = np.random.default_rng(0)
    sources = [" ".join(draw.choice(PIECES[5:], 5)) for _ in range(80)]
    targets = [text.upper() for text in sources]
    words = WordTokenizer.train(sources, min_count=1)
    tokenizer = SubwordTokenizer.train(targets, kind="bpe", vocabulary_size=300, lowercase=False)
    pairs = translation.Pairs(
        words.encode_batch(sources), tokenizer.encode_batch(targets), sources, targets
    )
    settings = translation.Translation(pairs_per_step=8, pairs_at_once=4)
    config = CoveConfig(
        source_vocabulary=len(words.vocabulary),
        vector_width=10,
        hidden=12,
        target_vocabulary=len(tokenizer.vocabulary),
        dropout=0.1,
    )

    def train(folder: Path) -> str:
        model = Cove(config, generator=fresh())
        model.embedding.weight.requires_grad_(requires_grad=False)
        objective = translation.Objective(model, pairs, tokenizer, settings, seed=0)
        run(model, objective, settings=SETTINGS, folder=folder)
        return digest_of_run(model, folder)

    return train


def corpus() -> EncodedCorpus:
    """Return a corpus of ten stretches of word2vec."""
    draw = np.random.default_rng(0)
    ids = (2 + draw.zipf(1.3, 5000) % 200).astype(np.int32)
    ids[::25] = END
    counts = np.bincount(ids[ids >= 0], minlength=202)
    return EncodedCorpus(ids, counts, int((ids == END).sum()), int(counts.sum()))


def word2vec() -> Train:
    """Skip-gram, saved after every stretch."""
    text = corpus()
    skip_gram._CHUNK = 500  # so that there are stretches in so little text

    def train(folder: Path) -> str:
        found = skip_gram.train(
            text,
            skip_gram.SkipGram(dim=8),
            budget=Budget(epochs=2),
            run_folder=folder,
            save_minutes=1e-9,
        )
        content = found.vectors.tobytes() + found.outputs.tobytes()
        return hashlib.sha256(content).hexdigest() + str(found.report["epochs"])

    return train


def glove_vectors() -> Train:
    """GloVe, saved after every chunk of pairs."""
    text = corpus()
    glove._CHUNK = 2000

    def train(folder: Path) -> str:
        found = glove.train(
            text,
            glove.GloVe(dim=8, window=4),
            budget=Budget(epochs=3),
            folder=folder.parent,
            run_folder=folder,
            save_minutes=1e-9,
        )
        return hashlib.sha256(found.vectors.tobytes()).hexdigest() + str(found.report["cost"])

    return train


OBJECTIVES: dict[str, Callable[[], Train]] = {
    "word2vec": word2vec,
    "glove": glove_vectors,
    "cove": cove,
    "elmo": elmo,
    "gpt": gpt,
    "bert": bert,
}


def in_child(train: Train, folder: Path, *, before: Callable[[], None]) -> int:
    """Train in a child process, `before` having been done there; return its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        before()
        train(folder)
        code = 0
    finally:
        os._exit(code)


def was_killed(child: int) -> bool:
    """Wait for a child, and say whether it was killed; one that failed is an error."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in (0, -signal.SIGKILL):
        raise RuntimeError(f"a run failed, with exit code {code}")
    return code != 0


def kill_at_moment(train: Train, folder: Path, seconds: float) -> bool:
    """Kill a child after so many seconds; False if it had ended before."""
    child = in_child(train, folder, before=lambda: None)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return was_killed(child)


def kill_at_touch(train: Train, folder: Path, number: int) -> bool:
    """Kill a child at its so many-th touch of the folder; False if it had ended before."""
    child = in_child(train, folder, before=lambda: signal_at_touch(folder, number, signal.SIGKILL))
    return was_killed(child)


def signal_at_touch(folder: Path, number: int, stop: signal.Signals) -> None:
    """Let this process get a signal at its so many-th touch of the folder."""
    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        path = arguments[0] if event in TOUCHES and arguments else None
        if isinstance(path, str | bytes | os.PathLike) and str(folder) in os.fsdecode(path):
            count += 1
            if count == number:
                os.kill(os.getpid(), stop)

    sys.addaudithook(hook)


def is_saving(folder: Path) -> bool:
    """Say whether the run that was killed left a checkpoint half written or half removed."""
    return any(folder.glob(".step-*"))


def soak(name: str, kills: int, folder: Path, *, seed: int = 0) -> dict[str, int]:
    """Kill runs of an objective until there were so many kills; count how they ended."""
    train, draw = OBJECTIVES[name](), random.Random(seed)
    expected = train(folder / f"{name}-whole")
    started = time.perf_counter()
    if train(folder / f"{name}-again") != expected:
        raise RuntimeError(f"{name}: two runs at one go differ")
    whole_seconds = time.perf_counter() - started
    counts = {"runs": 0, "kills": 0, "while_saving": 0, "resumed_exactly": 0, "kills_resumed": 0}
    while counts["kills"] < kills:
        place = folder / f"{name}-{counts['runs']}"
        of_this_run = 0
        for _ in range(min(MOST_KILLS, kills - counts["kills"])):
            if draw.random() < 0.5:
                killed = kill_at_moment(train, place, draw.uniform(0, whole_seconds))
            else:
                killed = kill_at_touch(train, place, draw.randint(1, 150))
            if not killed:
                break
            of_this_run += 1
            counts["while_saving"] += is_saving(place)
        exact = train(place) == expected and not is_saving(place)
        counts["runs"] += 1
        counts["kills"] += of_this_run
        counts["resumed_exactly"] += exact
        counts["kills_resumed"] += of_this_run * exact
        shutil.rmtree(place)
    return counts


def prediction(folder: Path) -> Predict:
    """Fit a small model, write texts for it, and return what predicts them and ends the process."""
    texts = [f"w{n % 7} w{n % 11} number {n}" for n in range(ROWS)]
    model = TextClassifier(transfer="tfidf", random_state=0)
    model.fit(texts[:60], [f"label {n % 7}" for n in range(60)]).save(folder / "model")
    lines = (json.dumps({"text": text}) + "\n" for text in texts)
    (folder / "texts.jsonl").write_text("".join(lines))
    words = ["predict", str(folder / "model"), str(folder / "texts.jsonl")]

    def predict(out: Path) -> NoReturn:
        try:
            code = app.main([*words, "--batch-size", str(ROWS_AT_ONCE), "--out", str(out)])
        except KeyboardInterrupt:  # before or after the command itself
            code = app.INTERRUPTED
        os._exit(code)

    return predict


def be_silent() -> None:
    """Let this process print nothing, and Ctrl-C mean what it means in a terminal."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def stop_prediction(predict: Predict, out: Path, draw: random.Random, seconds: float) -> int:
    """Predict into `out` in a child that gets a signal; return how it ended.

    The signal comes within so many seconds, or at one of the first touches of the folder.
    """
    stop, at_touch = draw.choice(STOPS), draw.random() < 0.5
    touch = draw.randint(1, MOST_TOUCHES) if at_touch else 0

    def before() -> None:
        be_silent()
        signal_at_touch(out.parent, touch, stop)

    child = in_child(predict, out, before=before)
    if not at_touch:
        time.sleep(draw.uniform(0, seconds))
        os.kill(child, stop)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def soak_predictions(stops: int, folder: Path, *, seed: int = 0) -> Counter[str]:
    """Interrupt `headstart predict` so many times, and count what stood under its output's name.

    Returns:
        After how many of the interrupted runs the output was absent, whole, or anything else
        ("short"), and how many of its rows were lost then. The same command afterwards must write
        all of it.
    """
    draw, predict = random.Random(seed), prediction(folder)

    def whole(out: Path) -> bytes:
        if os.waitpid(in_child(predict, out, before=be_silent), 0)[1] != 0:
            raise RuntimeError(f"{out}: a prediction failed")
        return out.read_bytes()

    outs = [folder / "out.csv", folder / "out.jsonl"]
    started = time.perf_counter()
    expected = {out: whole(out) for out in outs}
    seconds = (time.perf_counter() - started) / len(outs)
    counts = Counter(interrupted=0, absent=0, whole=0, short=0, lost=0)
    while counts["interrupted"] < stops:
        out = draw.choice(outs)
        out.unlink(missing_ok=True)
        code = stop_prediction(predict, out, draw, seconds)
        if code not in ENDS:
            raise RuntimeError(f"a prediction failed, with exit code {code}")
        if code == 0:  # it had ended before
            continue
        counts["interrupted"] += 1
        if not out.exists():
            counts["absent"] += 1
        elif (found := out.read_bytes()) == expected[out]:
            counts["whole"] += 1
        else:
            counts["short"] += 1
            counts["lost"] += len(set(expected[out].split(b"\n")) - set(found.split(b"\n")))
        if whole(out) != expected[out]:
            raise RuntimeError(f"{out}: the same command writes something else")
    return counts


def main() -> int:
    """Soak the objectives and predictions, print a table, and fail if a single one differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="kills of each objective")
    parser.add_argument("--objectives", nargs="+", default=list(OBJECTIVES), choices=OBJECTIVES)
    parser.add_argument("--predictions", type=int, default=100, help="interrupted ones")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'objective':12} {'kills':>6} {'while saving':>13} {'resumed exactly':>16}", flush=True)
    lost = 0
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder of its own
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        for name in given.objectives:
            counts = soak(name, given.kills, Path(folder), seed=given.seed)
            exactly = f"{counts['kills_resumed']} of {counts['kills']}"
            saving = counts["while_saving"]
            print(f"{name:12} {counts['kills']:6} {saving:13} {exactly:>16}", flush=True)
            lost += counts["kills"] - counts["kills_resumed"]
        counts = soak_predictions(given.predictions, Path(folder), seed=given.seed)
        lost += counts["short"]
        print(
            f"{counts['interrupted']} interrupted runs of predict: output absent after "
            f"{counts['absent']}, whole after {counts['whole']}, short after {counts['short']}; "
            f"{counts['lost']} rows lost"
        )
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
