"""What the estimators share: checking their input, fitting, and saving."""

import time
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from headstart.devices import torch_defaults
from headstart.errors import DataError, SettingsError
from headstart.hub.bundle import Pretrained
from headstart.hub.cards import card
from headstart.hub.proof import Proof
from headstart.hub.store import load_encoder
from headstart.models.gpt import Gpt
from headstart.progress import SILENT, Progress
from headstart.settings import whole_number
from headstart.tasks.classification import NAMES
from headstart.tasks.pairs import Pairs
from headstart.tasks.targets import Target
from headstart.transfer.fitted import Fitted, Kept
from headstart.transfer.fitting import fit, whole_model_width
from headstart.transfer.methods import (
    FineTune,
    Method,
    Scratch,
    as_plain,
    check_is_read,
    method_of,
    name_of,
    with_defaults,
)
from headstart.transfer.stopping import Validation
from headstart.transfer.task import Task
from headstart.transfer.token_states import reads_in_context


class Estimator(Protocol):
    """The settings of every estimator, and its attributes once it is fitted."""

    encoder: Pretrained | str | Path | None
    transfer: str | Method
    max_tokens: int
    random_state: int
    method_: Method
    proof_: Proof | None
    fit_report_: dict[str, Any]

    @property
    def model_(self) -> Kept: ...


@dataclass(frozen=True)
class Learnt:
    """The result of fitting an estimator.

    Attributes:
        method: The method, with all its settings.
        model: The model, fitted to all texts.
        proof: What was transferred from the encoder; None for methods that transfer nothing.
        validation: Scores on the validation set, from the model fitted without it.
        report: Loss, settings chosen on the validation set, seconds, number of truncated texts.
    """

    method: Method
    model: Fitted
    proof: Proof | None
    validation: Validation
    report: dict[str, Any]


@torch_defaults()
def learn(
    estimator: Estimator,
    texts: Sequence[str],
    target: Target,
    *,
    pairs: Pairs = None,
    progress: Progress,
) -> Learnt:
    """Fit an estimator's method to texts, or to pairs of texts, and their targets.

    Raises:
        DataError: The texts cannot be used.
        SettingsError: A setting is invalid, or the method needs an encoder and has none.
    """
    seed = whole_number("random_state", estimator.random_state)
    check_max_tokens(estimator.max_tokens)
    encoder = None if estimator.encoder is None else as_encoder(estimator.encoder, progress)
    if isinstance(estimator.transfer, str) and estimator.transfer == "auto":
        method: Method = Scratch() if encoder is None else FineTune()
    else:
        method = method_of(estimator.transfer)
    if encoder is not None:
        check_is_read(
            method,
            encoder.name,
            whole_model=whole_model_width(encoder),
            in_context=reads_in_context(encoder),
            is_gpt=isinstance(encoder.model, Gpt),
        )
    started = time.perf_counter()
    task = Task(
        texts=texts,
        target=target,
        seed=seed,
        max_tokens=int(estimator.max_tokens),  # JSON cannot hold a numpy integer
        pairs=pairs,
    )
    method = with_defaults(
        method,
        whole_model=whole_model_width(encoder),
        in_context=reads_in_context(encoder),
        pairs=pairs is not None,
        labels=len(task),
    )
    result = fit(method, encoder, task, progress=progress)
    report = {
        "labels": len(task),
        "seconds": time.perf_counter() - started,
        "validation_loss": result.validation.loss,
        "truncated": result.truncated,
        **result.chosen,
    }
    return Learnt(method, result.model, result.proof, result.validation, report)


def saved_settings(estimator: Estimator) -> dict[str, Any]:
    """Return the part of `config.json` that all fitted estimators share; `loading` reads it."""
    return {
        "method": as_plain(estimator.method_),
        "parameters": {
            "max_tokens": int(estimator.max_tokens),
            "random_state": int(estimator.random_state),
        },
        "model": estimator.model_.config(),
        "proof": estimator.proof_.as_dict() if estimator.proof_ else None,
        "report": estimator.fit_report_,
    }


def saved_card(
    estimator: Estimator,
    name: str,
    what: str,
    facts: Mapping[str, Any],
    *,
    example: str = '"a text"',
) -> str:
    """Return the model card for a fitted estimator's folder.

    Args:
        estimator: The estimator.
        name: Name of the folder.
        what: A sentence that describes the model.
        facts: Facts to list before those of the fit report.
        example: Python code of one input to `predict`.
    """
    proof = estimator.proof_.as_dict() if estimator.proof_ else {}
    told = {"method": name_of(estimator.method_), **facts, **estimator.fit_report_, **proof}
    return card(name, what, told, f"model = hs.load({name!r})\nmodel.predict([{example}])")


def check_targets(
    texts: Collection[Any],
    targets: Any,  # noqa: ANN401 - whatever is given
    what: str,
    *,
    of: str = "text",
) -> None:
    """Reject targets that are not a list or column with one label or number per text or pair.

    Args:
        texts: The texts or pairs.
        targets: The labels or numbers.
        what: What a target is called, `label` or `number`.
        of: What has a target, `text` or `pair`.

    Raises:
        DataError: The targets have the wrong type, shape or length.
    """
    no_list = isinstance(targets, str | bytes | Mapping | Set)
    if no_list or not hasattr(targets, "__len__"):
        raise DataError(f"{what}s must be a list or one column, got a {type(targets).__name__}")
    if hasattr(targets, "toarray"):  # a sparse array of scipy, which has no length
        hint = f"; {NAMES}" if what == "label" else ""
        raise DataError(
            f"{what}s must be one per {of}, got an array of shape {targets.shape}{hint}"
        )
    if len(texts) != len(targets):
        raise DataError(f"{len(texts)} {of}s but {len(targets)} {what}s; give one {what} per {of}")


def as_encoder(encoder: object, progress: Progress = SILENT) -> Pretrained:
    """Return a pretrained encoder; load it if it is given by its path.

    Raises:
        SettingsError: It is neither an encoder nor a path.
        FormatError: The path does not exist, or its content does not match its format.
    """
    if isinstance(encoder, str | Path):
        return load_encoder(encoder, progress=progress)
    if not isinstance(encoder, Pretrained):
        raise SettingsError(
            f"encoder must be a pretrained encoder or its path, got {encoder!r:.40}"
        )
    return encoder


def check_max_tokens(max_tokens: object) -> None:
    """Reject an invalid token limit.

    Raises:
        SettingsError: It is not a whole number above 0.
    """
    whole = isinstance(max_tokens, int | np.integer) and not isinstance(max_tokens, bool)
    if not whole or max_tokens < 1:  # type: ignore[operator]
        raise SettingsError(f"max_tokens must be a whole number above 0, got {max_tokens!r}")
