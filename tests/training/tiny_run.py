"""A tiny language model, its objective, and a program that pretrains it: what the tests run."""

import argparse
import hashlib
import itertools
import json
import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from headstart.budget import Budget
from headstart.errors import HeadstartError
from headstart.seeds import generator
from headstart.training import checkpoints
from headstart.training.distributed import process_group, rank_and_size
from headstart.training.runs import RunSettings, run

VOCABULARY, WIDTH, ROWS, TOKENS = 11, 8, 64, 9
CLOCK = {"tokens_per_second", "seconds"}


class TinyModel(nn.Module):
    def __init__(self, width=WIDTH, dropout=0.2):
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, width)
        self.mix = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, VOCABULARY, bias=False)
        fresh = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in (self.tokens.weight, self.mix.weight):
                parameter.normal_(std=0.3, generator=fresh)
            self.mix.bias.zero_()
        self.out.weight = self.tokens.weight  # tied

    def forward(self, ids_BT):
        return self.out(self.norm(self.dropout(torch.tanh(self.mix(self.tokens(ids_BT))))))


class TinyObjective:
    """Next tokens of rows that count upwards by their own step; micro-batches of two rows."""

    def __init__(self, model, *, pause=0.0, held_out=True, batch_size=8):
        self.model, self.pause, self.held_out, self.batch_size = model, pause, held_out, batch_size
        starts = generator(0, "rows").integers(0, VOCABULARY, (ROWS, 2))
        places = torch.arange(TOKENS)
        first, by = torch.from_numpy(starts).unsqueeze(-1).unbind(1)
        self.rows_RT = (first + (1 + by % 2) * places) % VOCABULARY
        self.seen = []  # (step, row numbers)

    def batches(self, first_step):
        rank, size = rank_and_size()
        per_epoch = ROWS // self.batch_size
        step = first_step
        while True:
            epoch, place = divmod(step - 1, per_epoch)
            order = generator(0, "order", epoch).permutation(ROWS)
            rows = order[place * self.batch_size : (place + 1) * self.batch_size]
            self.seen.append((step, rows.tolist()))
            pairs = [rows[at : at + 2] for at in range(0, len(rows), 2)]
            yield [self.rows_RT[torch.from_numpy(pair)] for pair in pairs[rank::size]]
            step += 1

    def loss(self, ids_BT):
        time.sleep(self.pause)
        scores = self.model(ids_BT[:, :-1]).flatten(0, 1)
        wanted = ids_BT[:, 1:].flatten()
        return F.cross_entropy(scores, wanted, reduction="sum"), torch.tensor(len(wanted))

    def tokens(self, ids_BT):
        return ids_BT.numel()

    def epochs(self, step):
        return step * self.batch_size / ROWS

    def validated_on(self):
        return str(self.held_out) if self.held_out else None

    def validate(self):
        if not self.held_out:
            return None
        total, count = self.loss(self.rows_RT[:8])
        return {"loss": float(total / count), "perplexity": float((total / count).exp())}


def settings(**changes):
    given = {"budget": Budget(steps=12), "learning_rate": 0.01, "bf16": False, "seed": 5}
    return RunSettings(**{**given, "validate_every": 4, "save_every": 2, **changes})


class Notes:
    """Progress that remembers what it was told."""

    def __init__(self):
        self.notes = []

    @contextmanager
    def stage(self, description, total=None, unit=""):
        yield lambda amount: None

    def note(self, message):
        self.notes.append(message)


class Killed(BaseException):
    """Stands for the end of the process at once."""


def start(folder=None, *, act=None, at_step=None, progress=None, identity=None, **changes):
    """Run a model of its own, `act` being done as a step's loss is computed."""
    model = TinyModel(width=changes.pop("width", WIDTH))
    objective = TinyObjective(model, held_out=changes.pop("held_out", True))
    loss = objective.loss

    def acting(batch):
        if torch.is_grad_enabled() and objective.seen[-1][0] == at_step:
            act()
        return loss(batch)

    objective.loss = loss if act is None else acting
    report = run(
        model,
        objective,
        settings=settings(**changes),
        folder=folder,
        identity=identity or {"corpus": "counting"},
        progress=progress or Notes(),
    )
    return model, objective, report


def digest(model, folder):
    """What a run leaves: weights, optimizer state, and the log without its clock."""
    weights = b"".join(p.detach().numpy().tobytes() for p in model.parameters())
    newest = max(path for path in folder.glob("step-*") if path.name[5:].isdigit())
    optimizer = (newest / "optimizer.safetensors").read_bytes()
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    log = [{name: v for name, v in line.items() if name not in CLOCK} for line in lines]
    return hashlib.sha256(weights + optimizer).hexdigest(), log


def kill_this_process_once(objective, rank, step):
    """Let process `rank` of a torchrun die at a step, unless it was started again."""
    loss = objective.loss

    def dying(batch):
        first = os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0"
        if first and torch.is_grad_enabled() and objective.seen[-1][0] == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return loss(batch)

    if rank_and_size()[0] == rank:
        objective.loss = dying


def kill_while_the_first_saves(folder, rank):
    """Let process `rank` die when the first has written one file of its second checkpoint."""
    mine = folder.with_suffix(f".pid{rank_and_size()[0]}")
    mine.write_text(str(os.getpid()))
    real, calls = checkpoints.write_safetensors, itertools.count(1)

    def killing(path, tensors):
        if next(calls) == 4:
            os.kill(int(folder.with_suffix(f".pid{rank}").read_text()), signal.SIGKILL)
        real(path, tensors)

    checkpoints.write_safetensors = killing


def main(words=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--result", type=Path)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--kill", type=int, nargs=2, metavar=("RANK", "STEP"))
    parser.add_argument("--kill-while-saving", type=int, metavar="RANK")
    parser.add_argument("--batch-size", type=int, default=8)
    given = parser.parse_args(words)
    torch.set_num_threads(1)
    with process_group():
        model = TinyModel(dropout=given.dropout)
        objective = TinyObjective(model, pause=given.pause, batch_size=given.batch_size)
        if given.kill:
            kill_this_process_once(objective, *given.kill)
        if given.kill_while_saving is not None:
            kill_while_the_first_saves(given.folder, given.kill_while_saving)
        how = settings(budget=Budget(steps=given.steps))
        try:
            report = run(model, objective, settings=how, folder=given.folder)
        except HeadstartError as error:
            print(error, file=sys.stderr)
            return error.exit_code
        if given.result is not None and rank_and_size()[0] == 0:
            weights = b"".join(p.detach().numpy().tobytes() for p in model.parameters())
            more = {"weights": hashlib.sha256(weights).hexdigest(), "seen": objective.seen}
            given.result.write_text(json.dumps({**report, **more}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
