"""Fitting the shared pipeline on representations of words in context: CoVe and ELMo.

Frozen, the encoder reads every text once, and the pipeline is trained on what it said; fine-tuned,
it is trained on with the pipeline. The rule is every neural method's: a validation part of the
labels finds the number of steps, then the model is trained anew on all of them. Shapes: N words, L
layers, D width.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.hub.bundle import Pretrained
from headstart.hub.proof import Proof
from headstart.models.cove import Cove
from headstart.models.interface import evaluating
from headstart.progress import Progress
from headstart.seeds import derive
from headstart.tasks.pairs import Pairs
from headstart.tasks.pipelines import ScalarMix, TextPipeline, task_layers, task_shape
from headstart.tokenize.batches import Rows, endless_batches, pad
from headstart.tokenize.pairs import padded_lengths
from headstart.training.loop import train
from headstart.training.optimizers import Adam
from headstart.training.precision import has_fast_bf16
from headstart.training.schedules import warm_up, warm_up_then_decay
from headstart.transfer.fitted import ContextualModel, contextual_scores
from headstart.transfer.methods import Features, FineTune, Layers, filled
from headstart.transfer.stopping import Validation, least_passes, search_steps, steps_between_looks
from headstart.transfer.task import Fit, Task, coverage
from headstart.transfer.token_states import token_states

_WARM_UP_STEPS = 10
_CPU = torch.device("cpu")


def fit_in_context(
    method: Features | FineTune, encoder: Pretrained, task: Task, progress: Progress
) -> Fit:
    """Train the shared pipeline on an encoder that reads words in context.

    Raises:
        TransferError: Nothing was transferred, or a frozen part changed.
        NonFiniteError: Training diverged.
    """
    with torch.random.fork_rng(devices=[]), evaluating(encoder.model):
        start = _Start(method, encoder, task, progress)
        rows, held_out = task.parts()
        training = start.training
        trial = start.fresh()

        def validate() -> Validation:
            return task.validate(start.scores(trial, held_out), held_out)

        steps = _train(
            start,
            trial,
            rows,
            steps=training.max_steps,
            schedule=lambda step: warm_up(step, _WARM_UP_STEPS),
        )
        best_step, validation = search_steps(
            steps,
            validate,
            training,
            every=steps_between_looks(training, len(rows)),
            progress=progress,
        )
        found = round(best_step * len(task) / len(rows))
        num_steps = max(training.min_steps, found, least_passes(training, len(task)))
        final = start.fresh()
        proof = start.proof()
        proof.check()
        with progress.stage("fitting on all labels", num_steps, "steps") as advance:
            for _ in _train(
                start,
                final,
                np.arange(len(task)),
                steps=num_steps,
                schedule=lambda step: warm_up_then_decay(step, num_steps, _WARM_UP_STEPS),
            ):
                advance(1)
        proof = start.proof_after(proof, final)
        proof.check()
        final.eval()
    if not start.is_frozen:
        final.requires_grad_(requires_grad=True)
    chosen: dict[str, Any] = {"steps": num_steps}
    for name, mix in (("layer_weights", final.mix), ("output_layer_weights", final.output_mix)):
        if mix is not None:
            chosen[name] = [round(share, 4) for share in mix.shares.tolist()]
    return Fit(
        model=start.fitted(final),
        chosen=chosen,
        truncated=start.truncated,
        proof=proof,
        validation=validation,
    )


class _Start:
    """What every training of one fit starts from: the texts, what is frozen, the scales."""

    def __init__(
        self, method: Features | FineTune, encoder: Pretrained, task: Task, progress: Progress
    ) -> None:
        self.method, self.encoder, self.task = method, encoder, task
        self.training, _ = filled(method)
        self.layers: Layers = method.layers
        self.ids = encoder.ids(task.texts)
        self.encoded, self.truncated = encoder.inputs(self.ids, task.max_tokens)
        states = token_states(
            encoder,
            task.texts,
            max_tokens=task.max_tokens,
            encoded=self.encoded,
            progress=progress,
        )
        self.scale_LD = layer_scales(encoder, states.values)
        self.states = states if self.is_frozen else None  # trained, it will say others

    @property
    def is_frozen(self) -> bool:
        return isinstance(self.method, Features)

    def fresh(self) -> TextPipeline:
        """Return the pipeline before training, with the encoder's own weights."""
        torch.default_generator.manual_seed(derive(self.task.seed, "pipeline"))
        return new_pipeline(
            self.encoder.model if self.is_frozen else trainable(self.encoder.model),
            self.task.target.outputs,
            self.layers,
            hidden=self.training.hidden,
            dropout=self.training.dropout,
            scale=self.scale_LD,
            pairs=self.task.pairs,
        )

    def scores(self, pipeline: TextPipeline, rows: Rows) -> NDArray[np.float32]:
        """Return the scores of some of the examples `[rows, outputs]`, in evaluation mode."""
        return contextual_scores(pipeline, self.encoded, self.states, rows)

    def proof(self) -> Proof:
        """Say what of the encoder the pipeline starts with: all of it."""
        known = coverage(self.encoder, self.task.texts, self.ids)
        tensors = self.encoder.tensors()
        return Proof.of_all(self.encoder.name, tensors, known, frozen=self.is_frozen)

    def proof_after(self, proof: Proof, pipeline: TextPipeline) -> Proof:
        """Say how far training moved the weights, or that it moved none."""
        now = dict(pipeline.encoder.state_dict())  # type: ignore[attr-defined]
        return proof.after(self.encoder.tensors(), now)

    def fitted(self, pipeline: TextPipeline) -> ContextualModel:
        """Return the trained model with what it needs to read texts."""
        encoder = self.encoder
        if not self.is_frozen:
            encoder = encoder.with_model(pipeline.encoder)
        return ContextualModel(
            encoder, pipeline, self.layers, self.task.max_tokens, frozen=self.is_frozen
        )


def trainable(model: Any) -> Any:  # noqa: ANN401 - an encoder and a module
    """Return a copy of a model of which all weights move, whatever its user froze."""
    return copy.deepcopy(model).requires_grad_(requires_grad=True)


def new_pipeline(
    model: Any,  # noqa: ANN401 - an encoder and a module
    num_outputs: int,
    layers: Layers,
    *,
    hidden: int,
    dropout: float,
    scale: Tensor,
    pairs: Pairs = None,
) -> TextPipeline:
    """Return the shared pipeline on what `layers` says of an encoder."""
    return TextPipeline(
        model,
        num_outputs,
        hidden=hidden,
        dropout=dropout,
        scale=scale,
        pairs=pairs,
        **reading_of(model, layers),
    )


def reading_of(model: Any, layers: Layers) -> dict[str, Any]:  # noqa: ANN401 - as above
    """Return the settings of a pipeline that reads of an encoder what `layers` says."""
    number, _ = task_shape(model)
    mixes = [
        ScalarMix(number, layer_norm=layers.layer_norm) if wanted and number > 1 else None
        for wanted in (True, layers.output)
    ]
    words = isinstance(model, Cove) and not layers.word_vectors
    skip = model.config.vector_width if words else 0
    return {"mix": mixes[0], "output_mix": mixes[1], "skip": skip}


def layer_scales(encoder: Pretrained, values: NDArray[np.float16]) -> Tensor:
    """Return the factors that bring each layer to a root mean square of 1 `[L, D]`.

    CoVe's states and the word vectors beside them get a factor each.
    """
    layers, width = values.shape[1:]
    parts = [slice(0, width)]
    if isinstance(encoder.model, Cove):
        words = encoder.model.config.vector_width
        parts = [slice(0, words), slice(words, width)]
    scale_LD = torch.ones(layers, width)
    for layer in range(layers):
        for part in parts:
            size = float(np.sqrt(np.square(values[:, layer, part], dtype=np.float32).mean()))
            scale_LD[layer, part] = 1.0 / max(size, 1e-12)
    return scale_LD


def _train(
    start: _Start,
    pipeline: TextPipeline,
    rows: Rows,
    *,
    steps: int,
    schedule: Callable[[int], float],
) -> Iterator[int]:
    """Train the pipeline on `rows`, yielding the number of each step."""
    task = start.task

    def compute_loss(batch: Rows) -> tuple[Tensor, Tensor]:
        pipeline.train()
        sides = pipeline.text_rows(batch, start.encoded)
        if start.states is not None:
            start.encoder.model.eval()  # type: ignore[attr-defined]  # it is everybody's
            scores_BC = pipeline.read(*start.states.pad(sides))
        else:
            ids_BT, mask_BT = map(torch.from_numpy, pad(start.encoded, sides))
            with torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bf16(_CPU)):
                layers = task_layers(pipeline.encoder, ids_BT, mask_BT)
            scores_BC = pipeline.read([x_BTD.float() for x_BTD in layers], mask_BT)
        total, count = task.target.loss(scores_BC, batch)
        for mix in pipeline.mixes():
            total = total + start.layers.l2 * count * mix.w.square().sum()
        return total, count

    lengths = padded_lengths(start.encoded, sides=pipeline.sides)[rows]
    batches = endless_batches(lengths, batch_size=start.training.batch_size, seed=task.seed)
    limited = ([rows[next(batches)]] for _ in range(steps))
    optimizer = Adam(parameter_groups(start.method, pipeline), fused=True)
    for step in train(limited, compute_loss, optimizer, schedule=schedule, seed=task.seed):
        yield step.number


def parameter_groups(method: Features | FineTune, pipeline: TextPipeline) -> list[dict[str, Any]]:
    """Return the pipeline's parameters, and the encoder's where it is trained, each with its rate.

    The word vectors that a CoVe reads stay as they are, as they did while it learnt to translate.
    """
    own = [p for name, p in pipeline.named_parameters() if not name.startswith("encoder.")]
    groups: list[dict[str, Any]] = [{"params": own, "lr": method.learning_rate}]
    if isinstance(method, Features):
        return groups
    model = pipeline.encoder
    if isinstance(model, Cove):
        model.embedding.requires_grad_(requires_grad=False)
    trained = [
        parameter
        for group in model.layer_groups()
        for parameter in group.parameters()
        if parameter.requires_grad
    ]
    return [*groups, {"params": trained, "lr": method.encoder_rate}]
