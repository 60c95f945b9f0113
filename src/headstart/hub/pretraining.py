"""Pretrain a BERT or GPT on a corpus, or adapt one to another corpus."""

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from headstart.budget import Budget
from headstart.data.corpora import Corpus
from headstart.devices import available_cores
from headstart.errors import SettingsError
from headstart.hub.bundle import CURVE, Pretrained
from headstart.hub.language_models import PretrainedBert, PretrainedGpt
from headstart.models.bert import Bert, BertConfig, MaskedTokenHead, init_weights
from headstart.models.gpt import Gpt, GptConfig
from headstart.pretrain import causal_lm, masked_lm
from headstart.progress import Progress
from headstart.seeds import derive
from headstart.settings import suggestion
from headstart.storage import fingerprint, working_folder
from headstart.tokenize.batches import Rows
from headstart.tokenize.documents import EncodedDocuments, encode_documents, told_of_copies
from headstart.tokenize.subwords import Kind, SubwordTokenizer
from headstart.training.distributed import process_group, rank_and_size
from headstart.training.optimizers import OptimizerName
from headstart.training.runs import Objective, RunSettings, run

SIZES = {  # layers, width, heads, feed-forward: Turc et al. 2019, https://arxiv.org/abs/1908.08962
    "tiny": (2, 128, 2, 512),
    "mini": (4, 256, 4, 1024),
    "small": (4, 512, 8, 2048),
    "medium": (8, 512, 8, 2048),
    "base": (12, 768, 12, 3072),
}
_VOCABULARY = 8192
_ADAPTING_RATE_TIMES_WIDTH = 0.04  # 5e-5 for BERT's width of 768; higher for narrower models
_ADAPTING_ROWS = 8  # rows per step of a GPT
_RATE_TIMES_WIDTH = {  # for a new model
    ("bert", "adamw"): 0.128,  # 5e-4 for mini; at twice that, NSP keeps it from learning words
    ("gpt", "adamw"): 0.256,
    ("gpt", "muon"): 1.0,
}
_NEW_MODEL = ("vocabulary_size", "lowercase", "dropout")  # options of a new model
_KINDS: dict[str, Kind] = {"gpt": "bpe", "bert": "wordpiece"}
_KIND: dict[str, type[masked_lm.MaskedLm | causal_lm.CausalLm]] = {
    "gpt": causal_lm.CausalLm,
    "bert": masked_lm.MaskedLm,
}
Settings = TypeVar("Settings")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a model is pretrained.

    Attributes:
        budget: The limits of the run.
        seed: Seed of all randomness.
        threads: Number of threads; None means all cores.
        device: Device that trains a BERT or GPT and keeps it afterwards.
        options: Settings of the objective, by the fields of `MaskedLm` or `CausalLm`; for a new
            model also `vocabulary_size`, `lowercase` and `dropout`.
        run_folder: Folder for checkpoints and log. A stopped run found there is resumed.
        save_minutes: Minutes between checkpoints. Each best validation also writes one.
        skip_bad_batches: Number of bad batches that may be skipped before training stops.
        allow_drift: Settings that may differ when a run is resumed.
        track: Folder for TensorBoard files.
        progress: Receives progress updates.
    """

    budget: Budget
    seed: int
    threads: int | None
    device: torch.device
    options: Mapping[str, Any]
    run_folder: Path | None
    save_minutes: float
    skip_bad_batches: int
    allow_drift: Sequence[str]
    track: Path | None
    progress: Progress

    def run_settings(self, learning_rate: float, optimizer: OptimizerName = "adamw") -> RunSettings:
        """Return the settings of a model's run."""
        return RunSettings(
            budget=self.budget,
            optimizer=optimizer,
            learning_rate=learning_rate,
            seed=self.seed,
            save_minutes=self.save_minutes,
            skip_bad_batches=self.skip_bad_batches,
            allow_drift=tuple(self.allow_drift),
            track=self.track,
        )


def pretrain_model(
    method: str, text: Corpus, plan: Plan, *, size: str, tokenizer: SubwordTokenizer | Kind | None
) -> PretrainedBert | PretrainedGpt:
    """Pretrain a BERT or a GPT on a corpus.

    Under `torchrun`, each process computes its share of every step, and all end with the same
    weights.

    Raises:
        SettingsError: The size or an option is invalid, or `run_folder` contains another run.
        DataError: The corpus is too small, or no document has two sentences for NSP.
        NonFiniteError: Training diverged.
        InterruptedRunError: Training was stopped; the same call resumes it.
    """
    if size not in SIZES:
        raise SettingsError(f"unknown size {size!r}; choose from {', '.join(SIZES)}")
    layers, width, heads, feed_forward = SIZES[size]
    options = dict(plan.options)
    vocabulary_size = options.pop("vocabulary_size", _VOCABULARY)
    lowercase = options.pop("lowercase", method == "bert")
    dropout = options.pop("dropout", 0.1)
    settings = settings_of(_KIND[method], method, options, others=_NEW_MODEL)
    if "learning_rate" not in options:
        rate = _RATE_TIMES_WIDTH[method, _optimizer(settings)] / width
        settings = replace(settings, learning_rate=rate)
    with process_group(), compute_threads(plan.threads):
        if not isinstance(tokenizer, SubwordTokenizer):
            tokenizer = SubwordTokenizer.train(
                text.texts,
                kind=tokenizer or _KINDS[method],
                vocabulary_size=vocabulary_size,
                lowercase=lowercase,
                progress=plan.progress,
            )
        sizes: dict[str, Any] = {
            "vocabulary_size": len(tokenizer.vocabulary),
            "width": width,
            "layers": layers,
            "heads": heads,
            "feed_forward": feed_forward,
            "positions": settings.tokens_per_row,  # later positions would never be trained
            "dropout": dropout,
        }
        fresh = torch.Generator().manual_seed(derive(plan.seed, "weights"))
        model: Bert | Gpt = (
            Bert(BertConfig(**sizes), mlm=_mlm(settings), nsp=_nsp(settings), generator=fresh)
            if method == "bert"
            else Gpt(GptConfig(**sizes), generator=fresh)
        )
        lineage = _train(model, tokenizer, text, settings, plan, identity={"sizes": sizes})
    about = {**asdict(settings), "size": size}
    if isinstance(model, Bert):
        return PretrainedBert.of(model, tokenizer, lineage=lineage, settings=about)
    return PretrainedGpt.of(model, tokenizer, lineage=lineage, settings=about)


def adapt_model(encoder: Pretrained, text: Corpus, plan: Plan) -> PretrainedBert | PretrainedGpt:
    """Continue pretraining a copy of a BERT or GPT on another corpus.

    A BERT without a masked-token head gets a new one; a BERT without an NSP head is adapted without
    NSP. The lineage stores the settings as `adapting`, and the encoder's previous lineage as
    `before`, which also takes over the pretraining settings from `config`.

    Raises:
        SettingsError: The encoder is neither BERT nor GPT, or an option is invalid.
        DataError, NonFiniteError, InterruptedRunError: As in `pretrain_model`.
    """
    if not isinstance(encoder, PretrainedBert | PretrainedGpt):
        raise SettingsError(
            f"{encoder.name}: only BERT and GPT can be adapted; pretrain anew instead"
        )
    model: Bert | Gpt = copy.deepcopy(encoder.model)
    options = {
        "learning_rate": _ADAPTING_RATE_TIMES_WIDTH / model.width,
        "tokens_per_row": min(128, model.config.positions),
        **plan.options,
    }
    if isinstance(model, Bert):
        fresh = torch.Generator().manual_seed(derive(plan.seed, "head"))
        options = {"nsp": model.nsp is not None, **options}
        if model.mlm is None:
            model.mlm = MaskedTokenHead(model.config)
            init_weights(model.mlm, fresh)
    else:  # a model trained with AdamW is best adapted with AdamW
        options = {"optimizer": "adamw", "rows_per_step": _ADAPTING_ROWS, **options}
    settings = settings_of(_KIND[encoder.kind], encoder.kind, options)
    with process_group(), compute_threads(plan.threads):
        identity = {"adapted": encoder.fingerprint}
        lineage = _train(model, encoder.tokenizer, text, settings, plan, identity=identity)
    adapting = asdict(settings)
    before = {name: value for name, value in encoder.lineage.items() if name != CURVE}
    if first := {name: value for name, value in encoder.config.items() if name in adapting}:
        before["pretraining"] = first
    config = {name: value for name, value in encoder.config.items() if name not in first}
    about = {"adapted_from": encoder.name, "adapting": adapting, "before": before}
    return type(encoder)(
        encoder.kind, model.eval(), encoder.tokenizer, config=config, lineage={**about, **lineage}
    )


def _train(
    model: Bert | Gpt,
    tokenizer: SubwordTokenizer,
    text: Corpus,
    settings: masked_lm.MaskedLm | causal_lm.CausalLm,
    plan: Plan,
    *,
    identity: Mapping[str, Any],
) -> dict[str, Any]:
    """Tokenize the corpus, train on the objective, and return the lineage."""
    started = time.perf_counter()
    identity = {**identity, "tokenizer": fingerprint(tokenizer.vocabulary)}
    by_sentence = isinstance(model, Bert)
    if by_sentence and tokenizer.spells_bytes:
        identity |= {"spaces": True}  # sentences keep their spaces; older runs dropped them
        by_sentence = _nsp(settings)  # else whole documents, as this model gets texts later
    with working_folder() as folder:
        documents = encode_documents(
            text.texts(),
            tokenizer,
            folder,
            by_sentence=by_sentence,
            progress=plan.progress,
        )
        objective: Any
        if isinstance(model, Bert) and isinstance(settings, masked_lm.MaskedLm):
            objective = masked_lm.Objective(
                model, documents, tokenizer, settings, seed=plan.seed, share=rank_and_size()
            )
        elif isinstance(model, Gpt) and isinstance(settings, causal_lm.CausalLm):
            objective = causal_lm.Objective(
                model, documents, tokenizer, settings, seed=plan.seed, share=rank_and_size()
            )
        prepared = time.perf_counter() - started
        lineage = run_plan(
            model.to(plan.device),
            objective,
            documents,
            text,
            plan,
            settings=settings,
            identity=identity,
            description=f"pretraining {'BERT' if isinstance(model, Bert) else 'GPT'}",
        )
        seconds = prepared + lineage["training_seconds"]  # also those before a resume
        return {**lineage, "seconds": seconds, **objective.report()}


class OfDocuments(Objective[Any], Protocol):
    """An objective whose corpus is split into training and held-out documents."""

    training: Rows
    held_out: Rows


def run_plan(
    model: nn.Module,
    objective: OfDocuments,
    documents: EncodedDocuments,
    text: Corpus,
    plan: Plan,
    *,
    settings: Any,  # noqa: ANN401 - any objective's dataclass that has a learning rate
    identity: Mapping[str, Any],
    description: str,
) -> dict[str, Any]:
    """Train a model on its objective, and return its lineage with the training report."""
    if told := told_of_copies(documents, objective.training, objective.held_out):
        plan.progress.note(told)
    copies = len(documents) - len(objective.training) - len(objective.held_out)
    report = run(
        model,
        objective,
        settings=plan.run_settings(settings.learning_rate, _optimizer(settings)),
        folder=plan.run_folder,
        identity={**identity, "objective": asdict(settings), "corpus": text.fingerprint()},
        progress=plan.progress,
        description=description,
    )
    return {
        "corpus": text.description,
        "documents": len(documents),
        **({"copies_of_held_out": copies} if copies else {}),
        "words": documents.words,
        "seed": plan.seed,
        "threads": plan.threads or available_cores(),
        **report,
    }


def settings_of(
    kind: type[Settings], method: str, options: Mapping[str, Any], *, others: Sequence[str] = ()
) -> Settings:
    """Build an objective's settings from options.

    Args:
        kind: The class of the settings.
        method: The method's name, for error messages.
        options: Values by the names of the class's fields.
        others: Names of other valid options, to suggest in error messages.

    Raises:
        SettingsError: A setting is unknown or invalid.
    """
    own = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(options) - own):
        known = own.union(others)
        raise SettingsError(
            f"{method} has no setting {unknown[0]!r}{suggestion(unknown[0], known)}"
        )
    return kind(**options)


def _optimizer(settings: Any) -> OptimizerName:  # noqa: ANN401 - any objective's settings
    """Return the optimizer that the settings name; most objectives have only AdamW."""
    return getattr(settings, "optimizer", "adamw")


def _mlm(settings: masked_lm.MaskedLm | causal_lm.CausalLm) -> bool:
    return isinstance(settings, masked_lm.MaskedLm) and settings.mlm


def _nsp(settings: masked_lm.MaskedLm | causal_lm.CausalLm) -> bool:
    return isinstance(settings, masked_lm.MaskedLm) and settings.nsp


@contextmanager
def compute_threads(number: int | None) -> Iterator[None]:
    """Set torch's number of threads within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or available_cores())
    try:
        yield
    finally:
        torch.set_num_threads(before)
