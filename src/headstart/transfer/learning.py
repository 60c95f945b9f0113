"""What the estimators share: how they check what they are given, fit, and write themselves down."""

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
    """The settings that every estimator has, and what it has learnt once it is fitted."""

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
    """What fitting gave an estimator.

    Attributes:
        method: The method, with every setting filled in.
        model: The model, fitted to all texts.
        proof: What the model owes to its encoder; None without one.
        validation: What the model that was fitted without the validation part said of it.
        report: Loss, what the validation part chose, seconds, texts cut.
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
    """Fit what an estimator is set to, to what is predicted of the texts, or of pairs of them.

    Raises:
        DataError: The texts cannot be used.
        SettingsError: A setting is impossible, or the method needs an encoder and there is none.
    """
    if not isinstance(estimator.random_state, int | np.integer):
        raise SettingsError(f"random_state must be a whole number, got {estimator.random_state!r}")
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
        seed=int(estimator.random_state),
        max_tokens=int(estimator.max_tokens),  # a number of numpy's is none of JSON's
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
    """Return what `config.json` holds of any fitted estimator; `loading` reads it."""
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
    """Return the card of a fitted estimator's folder.

    Args:
        estimator: The estimator.
        name: The folder's name.
        what: A sentence.
        facts: What it knows beside what was found in fitting.
        example: What it predicts for, as Python has it.
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
    """Refuse what is no list of as many labels, or numbers, as there are texts, or pairs.

    Raises:
        DataError: It is none; `what` names one of them.
    """
    no_list = isinstance(targets, str | bytes | Mapping | Set)
    if no_list or not hasattr(targets, "__len__"):
        raise DataError(f"{what}s must be a list or one column, got a {type(targets).__name__}")
    if hasattr(targets, "toarray"):  # a sparse one of scipy's, which has no length
        hint = f"; {NAMES}" if what == "label" else ""
        raise DataError(
            f"{what}s must be one per {of}, got an array of shape {targets.shape}{hint}"
        )
    if len(texts) != len(targets):
        raise DataError(f"{len(texts)} {of}s but {len(targets)} {what}s; give one {what} a {of}")


def as_encoder(encoder: object, progress: Progress = SILENT) -> Pretrained:
    """Return a pretrained encoder, loaded if it is given by its path.

    Raises:
        SettingsError: It is neither.
        FormatError: There is nothing there, or it is not what its format promises.
    """
    if isinstance(encoder, str | Path):
        return load_encoder(encoder, progress=progress)
    if not isinstance(encoder, Pretrained):
        raise SettingsError(
            f"encoder must be a pretrained encoder or its path, not {encoder!r:.40}"
        )
    return encoder


def plain(label: Any) -> Any:  # noqa: ANN401 - whatever is a label
    """Return a label of numpy's as Python's own, which JSON can hold."""
    return label.item() if isinstance(label, np.generic) else label


def check_max_tokens(max_tokens: object) -> None:
    """Refuse a limit of tokens that is none.

    Raises:
        SettingsError: It is no whole number above 0.
    """
    whole = isinstance(max_tokens, int | np.integer) and not isinstance(max_tokens, bool)
    if not whole or max_tokens < 1:  # type: ignore[operator]
        raise SettingsError(f"max_tokens must be a whole number above 0, got {max_tokens!r}")
