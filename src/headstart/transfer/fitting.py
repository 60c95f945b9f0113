"""Fitting each method to labelled texts, all by the same rule.

A validation part of the labels chooses (the regularization strength, or the number of steps), then
the model is fitted anew to all the labels with what was chosen. No method gets more labels, more
looks, or more care than another. Shapes: B batch, T tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.errors import DataError, SettingsError
from headstart.hub.bundle import Pretrained
from headstart.hub.proof import Proof
from headstart.models.word_vectors import WordVectors
from headstart.progress import SILENT, Progress
from headstart.seeds import derive
from headstart.tasks.pairs import combined
from headstart.tasks.pipelines import TextPipeline
from headstart.tasks.targets import Scores
from headstart.tokenize.batches import Encoded, endless_batches, pad
from headstart.tokenize.pairs import padded_lengths
from headstart.tokenize.words import UNKNOWN_ID, WordTokenizer
from headstart.training.loop import train
from headstart.training.optimizers import Adam
from headstart.training.schedules import warm_up, warm_up_then_decay
from headstart.transfer.contextual import fit_in_context
from headstart.transfer.features import pooled_features, quick_reading
from headstart.transfer.fitted import (
    ConstantModel,
    LinearModel,
    NeuralModel,
    pipeline_scores,
    tfidf_vectorizer,
)
from headstart.transfer.methods import (
    Features,
    FineTune,
    GradualUnfreeze,
    LowRank,
    Majority,
    Method,
    Probe,
    Scratch,
    TfIdf,
    filled,
    name_of,
)
from headstart.transfer.starting_point import (
    StartingPoint,
    embedded,
    fresh_start,
    pretrained_start,
    proof_after,
    proof_before,
)
from headstart.transfer.stopping import Validation, least_passes, search_steps, steps_between_looks
from headstart.transfer.task import Fit, Task, coverage
from headstart.transfer.token_states import reads_in_context
from headstart.transfer.whole_models import fit_whole_model

_WARM_UP_STEPS = 10


def fit(
    method: Method, encoder: Pretrained | None, task: Task, *, progress: Progress = SILENT
) -> Fit:
    """Fit `method` to `task`.

    Raises:
        SettingsError: The method needs an encoder and there is none.
        TransferError: Nothing was transferred, or a frozen part changed.
        NonFiniteError: Training diverged.
    """
    if isinstance(method, Majority):
        return _fit_majority(task)
    if not any(map(str.split, task.texts)):
        raise DataError("no text holds a word; there is nothing to learn from")
    if isinstance(method, TfIdf):
        return _fit_tfidf(method, task, progress)
    if isinstance(method, Scratch) and not whole_model_width(encoder):
        return _fit_pipeline(method, None, task, progress)
    if encoder is None:
        raise SettingsError(f"the transfer {name_of(method)!r} needs an encoder; give one")
    if isinstance(method, Probe):
        return _fit_probe(method, encoder, task, progress)
    if isinstance(method, Scratch) or whole_model_width(encoder):
        return fit_whole_model(method, encoder, task, progress)
    return _fit_on_embeddings(method, encoder, task, progress)


def whole_model_width(encoder: Pretrained | None) -> int | None:
    """Return the width of an encoder that replaces the whole model; None for any other."""
    if encoder is None or isinstance(encoder.model, WordVectors) or reads_in_context(encoder):
        return None
    return encoder.model.width


def _fit_on_embeddings(
    method: Features | FineTune | GradualUnfreeze | LowRank,
    encoder: Pretrained,
    task: Task,
    progress: Progress,
) -> Fit:
    if isinstance(method, GradualUnfreeze | LowRank):
        raise SettingsError(
            f"the transfer {name_of(method)!r} is for encoders that replace the whole model, such "
            "as bert; what replaces the embedding layer has probe, frozen and finetune"
        )
    if reads_in_context(encoder):
        return fit_in_context(method, encoder, task, progress)
    return _fit_pipeline(method, encoder, task, progress)


def _fit_majority(task: Task) -> Fit:
    rows, held_out = task.parts()
    scores = np.tile(task.target.constant(rows), (len(held_out), 1))
    model = ConstantModel(task.target.constant(np.arange(len(task))), pairs=task.pairs)
    return Fit(model=model, chosen={}, validation=task.validate(scores, held_out))


def _fit_tfidf(method: TfIdf, task: Task, progress: Progress) -> Fit:
    last: dict[bytes, tuple[Any, Any]] = {}  # every strength is given the same counts

    def count(rows: NDArray[np.int64]) -> tuple[Any, Any]:
        if (key := rows.tobytes()) not in last:
            vectorizer = tfidf_vectorizer()
            try:
                x = vectorizer.fit_transform([task.texts[row] for row in task.text_rows(rows)])
            except ValueError:
                raise DataError(
                    "no text to fit holds a word; tf-idf has nothing to count"
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


def _fit_probe(method: Probe, encoder: Pretrained, task: Task, progress: Progress) -> Fit:
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
) -> Fit:
    rows, held_out = task.parts()
    tried = []
    with progress.stage("choosing a strength", len(strengths) + 1, "fits") as advance:
        for strength in strengths:
            model = fit_rows(rows, strength)
            tried.append(task.validate(scores(model, held_out), held_out))
            advance(1)
        best = min(range(len(tried)), key=lambda at: tried[at].loss)
        model = fit_rows(np.arange(len(task)), strengths[best])
        advance(1)
    return Fit(
        model=model,
        chosen={"strength": strengths[best]},
        validation=tried[best],
    )


def _fit_pipeline(
    method: Scratch | Features | FineTune,
    encoder: Pretrained | None,
    task: Task,
    progress: Progress,
) -> Fit:
    with torch.random.fork_rng(devices=[]):  # dropout and fresh weights draw from the global stream
        ids = None if encoder is None else encoder.ids(task.texts)
        start = _starting_point(method, encoder, task, ids)
        rows, held_out = task.parts()
        steps, validation = _search_steps(method, start, task, rows, held_out, progress)
        pipeline = _new_pipeline(method, start, task)
        proof, before = None, embedded(pipeline).clone()
        frozen = isinstance(method, Features)
        if encoder is not None and ids is not None:
            known = coverage(encoder, task.texts, ids)
            proof = proof_before(encoder, start, before, known, frozen=frozen)
            proof.check()
        everything = np.arange(len(task))
        with progress.stage("fitting on all labels", steps, "steps") as advance:
            for _ in _train(
                method,
                pipeline,
                start,
                task,
                everything,
                steps=steps,
                schedule=lambda step: warm_up_then_decay(step, steps, _WARM_UP_STEPS),
            ):
                advance(1)
        if proof is not None:
            proof = proof_after(proof, before, embedded(pipeline))
            proof.check()
        start.expand(pipeline, frozen=frozen)
    return Fit(
        model=NeuralModel(start.tokenizer, pipeline.eval(), task.max_tokens),
        chosen={"steps": steps},
        truncated=start.truncated,
        proof=proof,
        validation=validation,
    )


def _starting_point(
    method: Scratch | Features | FineTune,
    encoder: Pretrained | None,
    task: Task,
    ids: Encoded | None,
) -> StartingPoint:
    if isinstance(method, Scratch):
        tokenizer = WordTokenizer.train(task.texts, min_count=1)
        encoded, cut = tokenizer.encode_batch(task.texts).truncate(task.max_tokens)
        start = fresh_start(tokenizer, encoded, width=method.width, seed=task.seed)
        start.vectors[UNKNOWN_ID] = 0.0  # never trained: no word of the labelled texts is unknown
        return replace(start, truncated=cut)
    if encoder is None or ids is None or not isinstance(encoder.model, WordVectors):
        raise SettingsError("only word vectors can replace the embedding layer")
    encoded, cut = ids.truncate(task.max_tokens)
    return replace(pretrained_start(encoder, encoded), truncated=cut)


def _new_pipeline(
    method: Scratch | Features | FineTune, start: StartingPoint, task: Task
) -> TextPipeline:
    """Return the pipeline before training.

    Frozen vectors stay as they are, and the pipeline scales them as it reads them; trained ones are
    scaled here, so that one learning rate, and one clipped gradient, is the same for all encoders.
    """
    torch.default_generator.manual_seed(derive(task.seed, "pipeline"))
    training, _ = filled(method)
    frozen = isinstance(method, Features)
    pipeline = TextPipeline(
        WordVectors.from_matrix(start.vectors.clone() if frozen else start.scale * start.vectors),
        task.target.outputs,
        hidden=training.hidden,
        dropout=training.dropout,
        scale=start.scale if frozen else 1.0,
        pairs=task.pairs,
    )
    pipeline.encoder.requires_grad_(not frozen)  # type: ignore[attr-defined]
    return pipeline


def _search_steps(
    method: Scratch | Features | FineTune,
    start: StartingPoint,
    task: Task,
    rows: NDArray[np.int64],
    held_out: NDArray[np.int64],
    progress: Progress,
) -> tuple[int, Validation]:
    """Find how many steps on all the labels are best, by training on a part of them."""
    training, _ = filled(method)
    pipeline = _new_pipeline(method, start, task)

    def validate() -> Validation:
        return task.validate(pipeline_scores(pipeline, start.encoded, held_out), held_out)

    steps = _train(
        method,
        pipeline,
        start,
        task,
        rows,
        steps=training.max_steps,
        schedule=lambda step: warm_up(step, _WARM_UP_STEPS),
    )
    every = steps_between_looks(training, len(rows))
    best_step, best = search_steps(steps, validate, training, every=every, progress=progress)
    found = round(best_step * len(task) / len(rows))
    return max(training.min_steps, found, least_passes(training, len(task))), best


def _train(
    method: Scratch | Features | FineTune,
    pipeline: TextPipeline,
    start: StartingPoint,
    task: Task,
    rows: NDArray[np.int64],
    *,
    steps: int,
    schedule: Callable[[int], float],
) -> Iterator[int]:
    """Train the pipeline on `rows`, yielding the number of each step."""

    def compute_loss(batch: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        sides = pipeline.text_rows(batch, start.encoded)
        ids_BT, mask_BT = map(torch.from_numpy, pad(start.encoded, sides))
        pipeline.train()
        return task.target.loss(pipeline(ids_BT, mask_BT), batch)

    training, _ = filled(method)
    lengths = padded_lengths(start.encoded, sides=pipeline.sides)[rows]
    batches = endless_batches(lengths, batch_size=training.batch_size, seed=task.seed)
    limited = ([rows[next(batches)]] for _ in range(steps))
    optimizer = Adam(_parameter_groups(method, pipeline), fused=True)
    for step in train(limited, compute_loss, optimizer, schedule=schedule):
        yield step.number


def _parameter_groups(
    method: Scratch | Features | FineTune, pipeline: TextPipeline
) -> list[dict[str, Any]]:
    own = [p for name, p in pipeline.named_parameters() if not name.startswith("encoder.")]
    groups: list[dict[str, Any]] = [{"params": own, "lr": method.learning_rate}]
    if isinstance(method, Features):
        return groups
    rate = method.embedding_rate if isinstance(method, Scratch) else method.encoder_rate
    layers = pipeline.encoder.layer_groups()
    return [*groups, {"params": [p for layer in layers for p in layer.parameters()], "lr": rate}]
