"""Fitting the shared pipeline on word vectors, CoVe or ELMo to texts.

Shapes: T tokens, L layers, D width, C outputs.
"""

from typing import Any

import torch
from torch import Tensor

from headstart.errors import SettingsError
from headstart.hub.bundle import Pretrained
from headstart.hub.proof import Proof
from headstart.models.word_vectors import WordVectors
from headstart.progress import Progress
from headstart.seeds import derive
from headstart.tasks.pairs import num_sides
from headstart.tasks.pipelines import TextPipeline, task_layers
from headstart.tokenize.batches import Encoded, Rows, pad
from headstart.tokenize.pairs import padded_lengths
from headstart.tokenize.words import UNKNOWN_ID, WordTokenizer
from headstart.training.precision import has_fast_bf16
from headstart.transfer.contextual import layer_scales, new_pipeline, optimizer_of, trainable
from headstart.transfer.fitted import (
    ContextualModel,
    NeuralModel,
    contextual_scores,
    pipeline_scores,
)
from headstart.transfer.methods import Features, FineTune, Layers, Scratch, filled
from headstart.transfer.neural import Rule, Start
from headstart.transfer.starting_point import (
    embedded,
    fresh_start,
    pretrained_start,
    proof_after,
    proof_before,
)
from headstart.transfer.stopping import Validation
from headstart.transfer.task import Task, coverage
from headstart.transfer.token_states import token_states

_WARM_UP_STEPS = 10
_CPU = torch.device("cpu")


class VectorsStart(Start[Task, TextPipeline, Validation]):
    """Word vectors, pretrained or random, as the embedding layer."""

    rule = Rule(rise=lambda _: _WARM_UP_STEPS, seeds_steps=False)

    def __init__(
        self, method: Scratch | Features | FineTune, encoder: Pretrained | None, task: Task
    ) -> None:
        self.method, self.encoder, self.task = method, encoder, task
        self.training, _ = filled(method)
        self.is_frozen = isinstance(method, Features)
        if isinstance(method, Scratch):
            tokenizer = WordTokenizer.train(task.texts, min_count=1)
            encoded, self.truncated = tokenizer.encode_batch(task.texts).truncate(task.max_tokens)
            self.start = fresh_start(tokenizer, encoded, width=method.width, seed=task.seed)
            self.start.vectors[UNKNOWN_ID] = 0.0  # never trained, as every word is known
        elif encoder is None or not isinstance(encoder.model, WordVectors):
            raise SettingsError("only word vectors can replace the embedding layer")
        else:
            self.ids = encoder.ids(task.texts)
            encoded, self.truncated = self.ids.truncate(task.max_tokens)
            self.start = pretrained_start(encoder, encoded)
        self.lengths = _lengths(self.start.encoded, task)

    def fresh(self, rows: Rows) -> TextPipeline:
        """Return the pipeline before training.

        The pipeline scales frozen vectors at each forward pass. Trainable vectors are scaled here,
        so the same learning rate and gradient clipping suit all encoders.
        """
        del rows
        torch.default_generator.manual_seed(derive(self.task.seed, "pipeline"))
        start, frozen = self.start, self.is_frozen
        vectors = start.vectors.clone() if frozen else start.scale * start.vectors
        pipeline = TextPipeline(
            WordVectors.from_matrix(vectors),
            self.task.target.outputs,
            hidden=self.training.hidden,
            dropout=self.training.dropout,
            scale=start.scale if frozen else 1.0,
            pairs=self.task.pairs,
        )
        pipeline.encoder.requires_grad_(not frozen)  # type: ignore[attr-defined]
        return pipeline

    def optimizer(self, model: TextPipeline) -> torch.optim.Optimizer:
        return optimizer_of(self.method, model)

    def loss(self, model: TextPipeline, rows: Rows) -> tuple[Tensor, Tensor]:
        encoded = self.start.encoded
        ids_BT, mask_BT = map(torch.from_numpy, pad(encoded, model.text_rows(rows, encoded)))
        return self.task.target.loss(model(ids_BT, mask_BT), rows)

    def validate(self, model: TextPipeline, held_out: Rows) -> Validation:
        return self.task.validate(pipeline_scores(model, self.start.encoded, held_out), held_out)

    def proof_before(self, model: TextPipeline) -> Proof | None:
        if self.encoder is None:
            return None
        self.before = embedded(model).clone()
        known = coverage(self.encoder, self.task.texts, self.ids)
        return proof_before(self.encoder, self.start, self.before, known, frozen=self.is_frozen)

    def proof_after(self, proof: Proof, model: TextPipeline) -> Proof:
        return proof_after(proof, self.before, embedded(model))

    def fitted(self, model: TextPipeline) -> NeuralModel:
        """Return the trained model with the full vocabulary."""
        self.start.expand(model, frozen=self.is_frozen)
        return NeuralModel(self.start.tokenizer, model, self.task.max_tokens)


class ContextualStart(Start[Task, TextPipeline, Validation]):
    """CoVe or ELMo in place of the embedding layer.

    A frozen encoder encodes every text once, and the pipeline is trained on the cached states.
    Otherwise, the encoder is fine-tuned together with the pipeline.
    """

    rule = Rule(rise=lambda _: _WARM_UP_STEPS)

    def __init__(
        self, method: Features | FineTune, encoder: Pretrained, task: Task, progress: Progress
    ) -> None:
        self.method, self.encoder, self.task = method, encoder, task
        self.training, _ = filled(method)
        self.layers: Layers = method.layers
        self.is_frozen = isinstance(method, Features)
        self.ids = encoder.ids(task.texts)
        self.encoded, self.truncated = encoder.inputs(self.ids, task.max_tokens)
        self.lengths = _lengths(self.encoded, task)
        states = token_states(
            encoder,
            task.texts,
            max_tokens=task.max_tokens,
            encoded=self.encoded,
            progress=progress,
        )
        self.scale_LD = layer_scales(encoder, states.values)
        self.states = states if self.is_frozen else None  # fine-tuning changes them

    def fresh(self, rows: Rows) -> TextPipeline:
        """Return the pipeline before training, with the encoder's own weights."""
        del rows
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

    def optimizer(self, model: TextPipeline) -> torch.optim.Optimizer:
        return optimizer_of(self.method, model)

    def loss(self, model: TextPipeline, rows: Rows) -> tuple[Tensor, Tensor]:
        sides = model.text_rows(rows, self.encoded)
        if self.states is not None:
            model.encoder.eval()  # type: ignore[attr-defined]  # shared, so no dropout
            scores_BC = model.read(*self.states.pad(sides))
        else:
            ids_BT, mask_BT = map(torch.from_numpy, pad(self.encoded, sides))
            with torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bf16(_CPU)):
                layers = task_layers(model.encoder, ids_BT, mask_BT)
            scores_BC = model.read([x_BTD.float() for x_BTD in layers], mask_BT)
        total, count = self.task.target.loss(scores_BC, rows)
        for mix in model.mixes():
            total = total + self.layers.l2 * count * mix.w.square().sum()
        return total, count

    def validate(self, model: TextPipeline, held_out: Rows) -> Validation:
        scores = contextual_scores(model, self.encoded, self.states, held_out)
        return self.task.validate(scores, held_out)

    def finish(self, model: TextPipeline) -> None:
        """Make all weights trainable again, for further training."""
        if not self.is_frozen:
            model.requires_grad_(requires_grad=True)

    def chosen(self, model: TextPipeline) -> dict[str, Any]:
        """Return the learned weights of the layers."""
        mixes = {"layer_weights": model.mix, "output_layer_weights": model.output_mix}
        return {
            name: [round(share, 4) for share in mix.shares.tolist()]
            for name, mix in mixes.items()
            if mix is not None
        }

    def proof_before(self, model: TextPipeline) -> Proof:
        """Return the proof that the pipeline starts with the full encoder."""
        del model
        known = coverage(self.encoder, self.task.texts, self.ids)
        tensors = self.encoder.tensors()
        return Proof.of_all(self.encoder.name, tensors, known, frozen=self.is_frozen)

    def proof_after(self, proof: Proof, model: TextPipeline) -> Proof:
        """Add to the proof how far training moved the weights, if at all."""
        now = dict(model.encoder.state_dict())  # type: ignore[attr-defined]
        return proof.after(self.encoder.tensors(), now)

    def fitted(self, model: TextPipeline) -> ContextualModel:
        """Return the trained model with everything it needs for prediction."""
        encoder = self.encoder if self.is_frozen else self.encoder.with_model(model.encoder)
        return ContextualModel(
            encoder, model, self.layers, self.task.max_tokens, frozen=self.is_frozen
        )


def _lengths(encoded: Encoded, task: Task) -> Rows:
    return padded_lengths(encoded, sides=num_sides(task.pairs))
