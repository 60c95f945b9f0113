"""Fitting of each method to labeled texts, by the same procedure for all.

A validation set chooses the regularization strength or the number of steps; then the model is
refitted to all labels with that choice. No method gets more labels, more evaluations or more
tuning than another. Shapes: B batch, T tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError, SettingsError
from headstart.hub.bundle import Pretrained
from headstart.hub.proof import Proof
from headstart.models.word_vectors import WordVectors
from headstart.progress import SILENT, Progress
from headstart.tasks.pairs import combined
from headstart.tasks.targets import Scores
from headstart.transfer.features import pooled_features, quick_reading
from headstart.transfer.fitted import ConstantModel, Fitted, LinearModel, tfidf_vectorizer
from headstart.transfer.methods import (
    Features,
    GradualUnfreeze,
    LowRank,
    Majority,
    Method,
    Probe,
    Scratch,
    TfIdf,
    name_of,
    needs_an_encoder,
)
from headstart.transfer.neural import Start, fit_neural, undisturbed
from headstart.transfer.stopping import Validation
from headstart.transfer.task import Fit, Task, coverage
from headstart.transfer.text_pipelines import ContextualStart, VectorsStart
from headstart.transfer.token_states import reads_in_context
from headstart.transfer.whole_models import FrozenStart, WholeStart

TextFit = Fit[Fitted, Validation]


def fit(
    method: Method, encoder: Pretrained | None, task: Task, *, progress: Progress = SILENT
) -> TextFit:
    """Fit `method` to `task`.

    Raises:
        SettingsError: The method needs an encoder and has none.
        TransferError: Nothing was transferred, or a frozen part changed.
        NonFiniteError: Training diverged.
    """
    if isinstance(method, Majority):
        return _fit_majority(task)
    if not any(map(str.split, task.texts)):
        raise DataError("no text contains a word; there is nothing to learn from")
    if isinstance(method, TfIdf):
        return _fit_tfidf(method, task, progress)
    if isinstance(method, Scratch) and not whole_model_width(encoder):
        return _fit_neural(method, None, task, progress)
    if encoder is None:
        raise needs_an_encoder(method)
    if isinstance(method, Probe):
        return _fit_probe(method, encoder, task, progress)
    return _fit_neural(method, encoder, task, progress)


def whole_model_width(encoder: Pretrained | None) -> int | None:
    """Return the width of an encoder that replaces the whole model, or None for any other."""
    if encoder is None or isinstance(encoder.model, WordVectors) or reads_in_context(encoder):
        return None
    return encoder.model.width


def _fit_neural(
    method: Any,  # noqa: ANN401 - a method that trains
    encoder: Pretrained | None,
    task: Task,
    progress: Progress,
) -> TextFit:
    with undisturbed(encoder):
        start = _start_of(method, encoder, task, progress)
        return fit_neural(start, progress, of="labels")


def _start_of(
    method: Any,  # noqa: ANN401 - as above
    encoder: Pretrained | None,
    task: Task,
    progress: Progress,
) -> Start[Task, Any, Validation]:
    if encoder is None:
        return VectorsStart(method, None, task)
    if whole_model_width(encoder):
        if isinstance(method, Features):
            return FrozenStart(method, encoder, task, progress)
        return WholeStart(method, encoder, task)
    if isinstance(method, GradualUnfreeze | LowRank):
        raise SettingsError(
            f"the transfer {name_of(method)!r} is for encoders that replace the whole model, such "
            "as bert; for one that replaces the embedding layer, use probe, frozen or finetune"
        )
    if reads_in_context(encoder):
        return ContextualStart(method, encoder, task, progress)
    return VectorsStart(method, encoder, task)


def _fit_majority(task: Task) -> TextFit:
    rows, held_out = task.parts()
    scores = np.tile(task.target.constant(rows), (len(held_out), 1))
    model = ConstantModel(task.target.constant(np.arange(len(task))), pairs=task.pairs)
    return TextFit(model=model, chosen={}, validation=task.validate(scores, held_out))


def _fit_tfidf(method: TfIdf, task: Task, progress: Progress) -> TextFit:
    last: dict[bytes, tuple[Any, Any]] = {}  # all strengths share the counts

    def count(rows: NDArray[np.int64]) -> tuple[Any, Any]:
        if (key := rows.tobytes()) not in last:
            vectorizer = tfidf_vectorizer()
            try:
                x = vectorizer.fit_transform([task.texts[row] for row in task.text_rows(rows)])
            except ValueError:
                raise DataError(
                    "no text to fit contains a word; TF-IDF has nothing to count"
                ) from None
            last.clear()
            last[key] = vectorizer, combined(x, task.pairs)
        return last[key]

    def fit_rows(rows: NDArray[np.int64], strength: float) -> LinearModel:
        vectorizer, x = count(rows)
        weight, bias = task.target.linear(x, rows, strength)
        return LinearModel(vectorizer, weight, bias, pairs=task.pairs)

    def scores(model: LinearModel, rows: NDArray[np.int64]) -> Scores:
        return model.scores([task.texts[row] for row in task.text_rows(rows)])

    return _choose_strength(method.strengths, fit_rows, scores, task, progress)


def _fit_probe(method: Probe, encoder: Pretrained, task: Task, progress: Progress) -> TextFit:
    frozen = encoder.tensors()
    ids = encoder.ids(task.texts)
    encoded, truncated = encoder.inputs(ids, task.max_tokens)
    proof = Proof.of_all(encoder.name, frozen, coverage(encoder, task.texts, ids))
    proof.check()
    with quick_reading():
        features = pooled_features(
            encoder,
            task.texts,
            pooling=method.pooling,
            max_tokens=task.max_tokens,
            encoded=encoded,
            progress=progress,
        )
    scale = 1.0 / max(float(np.sqrt(np.square(features).mean())), 1e-12)

    def fit_rows(rows: NDArray[np.int64], strength: float) -> LinearModel:
        x = combined(scale * features[task.text_rows(rows)], task.pairs)
        weight, bias = task.target.linear(x, rows, strength)
        return LinearModel(
            encoder, weight, bias, scale, method.pooling, task.max_tokens, task.pairs
        )

    def scores(model: LinearModel, rows: NDArray[np.int64]) -> Scores:
        return model.from_features(features[task.text_rows(rows)])

    result = _choose_strength(method.strengths, fit_rows, scores, task, progress)
    proof = proof.after(frozen, encoder.tensors())
    proof.check()
    return replace(result, proof=proof, truncated=truncated)


def _choose_strength(
    strengths: Sequence[float],
    fit_rows: Callable[[NDArray[np.int64], float], LinearModel],
    scores: Callable[[LinearModel, NDArray[np.int64]], Scores],
    task: Task,
    progress: Progress,
) -> TextFit:
    rows, held_out = task.parts()
    tried = []
    with progress.stage("choosing the regularization", len(strengths) + 1, "fits") as advance:
        for strength in strengths:
            model = fit_rows(rows, strength)
            tried.append(task.validate(scores(model, held_out), held_out))
            advance(1)
        best = min(range(len(tried)), key=lambda at: tried[at].loss)
        model = fit_rows(np.arange(len(task)), strengths[best])
        advance(1)
    return TextFit(
        model=model,
        chosen={"strength": strengths[best]},
        validation=tried[best],
    )
