"""Kill runs at random moments, resume them, and count how many give the uninterrupted result.

    python -m benchmarks.soak --kills 50 --predictions 100

Trains a tiny model on each of the six objectives, first without interruption. Then it trains again
in child processes that get SIGKILL at a random moment, or at a random access to the disk while a
checkpoint is saved, up to four times before a run may finish. A run counts as resumed exactly if
its weights, its optimizer's state and every loss of its log are bit-identical to those of the
uninterrupted run.

Then it interrupts `headstart predict` with SIGKILL, SIGTERM or Ctrl-C at such moments. The output
must be complete or absent, and complete after the same command has run again.
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

Train = Callable[[Path], str]  # trains or resumes in a folder; returns a digest
Predict = Callable[[Path], NoReturn]  # predicts into a file and exits the process

CLOCK = {"seconds", "tokens_per_second"}  # fields of the log that differ between runs
TOUCHES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}
MOST_KILLS = 4  # per run
STOPS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
ENDS = (0, *(-stop for stop in STOPS), app.INTERRUPTED, app.TERMINATED)
MOST_TOUCHES = 19  # disk accesses of a prediction
ROWS, ROWS_AT_ONCE = 1200, 40  # rows of a prediction, and per batch
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{n}" for n in range(60))]
SETTINGS = RunSettings(
    budget=Budget(steps=8), bf16=False, seed=5, validate_every=4, save_every=2, warm_up=0.3
)


def digest_of_run(model: torch.nn.Module, folder: Path) -> str:
    """Return a digest of a run's result: weights, optimizer state and losses."""
    digest = hashlib.sha256()
    for parameter in model.parameters():
        digest.update(parameter.detach().numpy().tobytes())
    digest.update((max(folder.glob("step-*")) / "optimizer.safetensors").read_bytes())
    for line in (folder / "log.jsonl").read_text().splitlines():
        values = {name: each for name, each in json.loads(line).items() if name not in CLOCK}
        digest.update(json.dumps(values).encode())
    return digest.hexdigest()


def documents(first: int) -> EncodedDocuments:
    """Return forty documents of made-up sentences with ids from `first` on."""
    draw = np.random.default_rng(0)
    per_document = draw.integers(2, 5, 40)
    lengths = draw.integers(3, 12, per_document.sum())
    ids = draw.integers(first, len(PIECES), lengths.sum()).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return EncodedDocuments(ids, offsets, np.concatenate([[0], np.cumsum(per_document)]))


def pieces() -> SubwordTokenizer:
    """Return a tokenizer whose vocabulary is the made-up subwords."""
    vocabulary = {piece: number for number, piece in enumerate(PIECES)}
    model = models.WordPiece(vocabulary, unk_token="[UNK]")  # noqa: S106 - no password
    return SubwordTokenizer(tokenizers.Tokenizer(model))


def fresh() -> torch.Generator:
    """Return the generator for initial weights."""
    return torch.Generator().manual_seed(3)


SIZES = {"vocabulary_size": len(PIECES), "width": 16, "layers": 1, "heads": 2, "feed_forward": 32}


def bert() -> Train:
    """Return a BERT run: masked tokens and next sentences."""
    text, tokenizer = documents(5), pieces()
    settings = masked_lm.MaskedLm(tokens_per_row=24, rows_per_step=4, rows_at_once=2)

    def train(folder: Path) -> str:
        model = Bert(BertConfig(**SIZES, positions=24), mlm=True, nsp=True, generator=fresh())
        objective = masked_lm.Objective(model, text, tokenizer, settings, seed=0)
        run(model, objective, settings=SETTINGS, folder=folder)
        return digest_of_run(model, folder)

    return train


def gpt() -> Train:
    """Return a GPT run: next tokens."""
    text, tokenizer = documents(5), pieces()
    settings = causal_lm.CausalLm(tokens_per_row=16, rows_per_step=4, rows_at_once=2)

    def train(folder: Path) -> str:
        model = Gpt(GptConfig(**SIZES, positions=16), generator=fresh())
        objective = causal_lm.Objective(model, text, tokenizer, settings, seed=0)
        run(model, objective, settings=SETTINGS, folder=folder)
        return digest_of_run(model, folder)

    return train


def elmo() -> Train:
    """Return an ELMo run: language models in both directions."""
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
    """Return a CoVe run: translation."""
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
    """Return a corpus of ten word2vec chunks."""
    draw = np.random.default_rng(0)
    ids = (2 + draw.zipf(1.3, 5000) % 200).astype(np.int32)
    ids[::25] = END
    counts = np.bincount(ids[ids >= 0], minlength=202)
    return EncodedCorpus(ids, counts, int((ids == END).sum()), int(counts.sum()))


def word2vec() -> Train:
    """Return a skip-gram run that is saved after every chunk."""
    text = corpus()
    skip_gram._CHUNK = 500  # gives several chunks in such a short text

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
    """Return a GloVe run that is saved after every chunk of pairs."""
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
    """Call `before`, then train, in a child process; return its process id."""
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
    """Wait for a child and return whether it was killed; raise if it failed."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in (0, -signal.SIGKILL):
        raise RuntimeError(f"a run failed, with exit code {code}")
    return code != 0


def kill_at_moment(train: Train, folder: Path, seconds: float) -> bool:
    """Kill a child after `seconds`; return False if it had already ended."""
    child = in_child(train, folder, before=lambda: None)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return was_killed(child)


def kill_at_touch(train: Train, folder: Path, number: int) -> bool:
    """Kill a child at its `number`-th access to the folder; return False if it ended earlier."""
    child = in_child(train, folder, before=lambda: signal_at_touch(folder, number, signal.SIGKILL))
    return was_killed(child)


def signal_at_touch(folder: Path, number: int, stop: signal.Signals) -> None:
    """Make this process receive a signal at its `number`-th access to the folder."""
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
    """Return whether the killed run left a partly written or partly removed checkpoint."""
    return any(folder.glob(".step-*"))


def soak(name: str, kills: int, folder: Path, *, seed: int = 0) -> dict[str, int]:
    """Kill runs of an objective until there are `kills` kills; count how the runs ended."""
    train, draw = OBJECTIVES[name](), random.Random(seed)
    expected = train(folder / f"{name}-whole")
    started = time.perf_counter()
    if train(folder / f"{name}-again") != expected:
        raise RuntimeError(f"{name}: two uninterrupted runs differ")
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
    """Fit a small model, write texts, and return a function that predicts them and exits."""
    texts = [f"w{n % 7} w{n % 11} number {n}" for n in range(ROWS)]
    model = TextClassifier(transfer="tfidf", random_state=0)
    model.fit(texts[:60], [f"label {n % 7}" for n in range(60)]).save(folder / "model")
    lines = (json.dumps({"text": text}) + "\n" for text in texts)
    (folder / "texts.jsonl").write_text("".join(lines))
    words = ["predict", str(folder / "model"), str(folder / "texts.jsonl")]

    def predict(out: Path) -> NoReturn:
        try:
            code = app.main([*words, "--batch-size", str(ROWS_AT_ONCE), "--out", str(out)])
        except KeyboardInterrupt:  # raised outside the command itself
            code = app.INTERRUPTED
        os._exit(code)

    return predict


def be_silent() -> None:
    """Silence this process, and give SIGINT the handler it has in a terminal."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def stop_prediction(predict: Predict, out: Path, draw: random.Random, seconds: float) -> int:
    """Predict into `out` in a child that receives a signal; return its exit code.

    The signal comes within `seconds`, or at one of the first accesses to the folder.
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
    """Interrupt `headstart predict` `stops` times, and count the states of its output file.

    The same command, run again, must write the complete output.

    Returns:
        After how many interrupted runs the output was absent, whole, or anything else ("short"),
        and how many of its rows were lost in the last case.
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
        if code == 0:  # it ended before the signal
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
            raise RuntimeError(f"{out}: running the same command again gives another output")
    return counts


def main() -> int:
    """Soak the objectives and predictions, print a table, and return 1 if any result differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="kills per objective")
    parser.add_argument("--objectives", nargs="+", default=list(OBJECTIVES), choices=OBJECTIVES)
    parser.add_argument("--predictions", type=int, default=100, help="interrupted predictions")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'objective':12} {'kills':>6} {'while saving':>13} {'resumed exactly':>16}", flush=True)
    lost = 0
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder of its own is created in it
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
