"""Fitting taggers with the shared pipeline on word vectors, CoVe or ELMo."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.hub.bundle import Pretrained
from headstart.hub.proof import Proof
from headstart.models.elmo import Elmo
from headstart.models.word_vectors import WordVectors
from headstart.progress import Progress
from headstart.seeds import derive
from headstart.tasks.taggers import TaggingPipeline, WordInputs, decoder_of
from headstart.tokenize.batches import Rows
from headstart.tokenize.words import WordTokenizer
from headstart.transfer.contextual import (
    layer_scales,
    optimizer_of,
    reading_of,
    trainable,
)
from headstart.transfer.fitted_taggers import PipelineTagger
from headstart.transfer.methods import Features, FineTune, Layers, Scratch, filled
from headstart.transfer.neural import Start
from headstart.transfer.starting_point import (
    StartingPoint,
    embedded,
    fresh_start,
    pretrained_start,
    proof_after,
    proof_before,
)
from headstart.transfer.tag_task import TagTask, pipeline_inputs, word_coverage
from headstart.transfer.tag_training import TAGGERS, WordScores, tag_loss, validate
from headstart.transfer.token_states import states_of_words


class VectorsStart(Start[TagTask, TaggingPipeline, WordScores]):
    """Word vectors, pretrained or random, as the embedding layer."""

    rule = TAGGERS

    def __init__(
        self, method: Scratch | Features | FineTune, encoder: Pretrained | None, task: TagTask
    ) -> None:
        self.method, self.encoder, self.task = method, encoder, task
        self.training, _ = filled(method)
        self.is_frozen = isinstance(method, Features)
        if isinstance(method, Scratch):
            tokenizer = vocabulary_of(task)
            encoded = tokenizer.encode_words(task.sentences)
            start = fresh_start(tokenizer, encoded, width=method.width, seed=task.seed)
            vectors = WordVectors.from_matrix(start.vectors)
            self.wrapped = Pretrained("scratch", vectors, tokenizer, config={}, lineage={})
            self.given = pipeline_inputs(self.wrapped, task.sentences, spelled=task.spelled)
        else:
            if encoder is None:
                raise TypeError("an encoder is required here; the caller checks for it")
            self.wrapped = encoder
            self.given = pipeline_inputs(encoder, task.sentences, spelled=task.spelled)
            start = pretrained_start(encoder, self.given.encoded)
        self.start: StartingPoint = start
        self.given = WordInputs(start.encoded, self.given.spelling)
        self.lengths = task.targets.lengths

    def fresh(self, rows: Rows) -> TaggingPipeline:
        start = self.start
        torch.default_generator.manual_seed(derive(self.task.seed, "pipeline"))
        vectors = start.vectors.clone() if self.is_frozen else start.scale * start.vectors
        pipeline = TaggingPipeline(
            WordVectors.from_matrix(vectors),
            decoder_of(self.task.legal, crf=self.task.crf),
            len(self.task.tags),
            spelled=self.task.spelled,
            hidden=self.training.hidden,
            dropout=self.training.dropout,
            scale=start.scale if self.is_frozen else 1.0,
        )
        pipeline.encoder.requires_grad_(not self.is_frozen)  # type: ignore[attr-defined]
        if isinstance(self.method, Scratch):
            ids = self.given.encoded.select(rows).ids
            counts = np.bincount(ids, minlength=len(start.vectors))
            pipeline.counts_V = torch.from_numpy(counts)
        return pipeline

    def optimizer(self, model: TaggingPipeline) -> torch.optim.Optimizer:
        return optimizer_of(self.method, model)

    def loss(self, model: TaggingPipeline, rows: Rows) -> tuple[Tensor, Tensor]:
        return tag_loss(model, *model.scores(self.given, rows), self.task, rows)

    def validate(self, model: TaggingPipeline, held_out: Rows) -> WordScores:
        return validate(model, self.given, self.task, held_out)

    def proof_before(self, model: TaggingPipeline) -> Proof | None:
        if self.encoder is None:
            return None
        self.before = embedded(model).clone()
        coverage = word_coverage(self.encoder, self.task.sentences)
        return proof_before(self.encoder, self.start, self.before, coverage, frozen=self.is_frozen)

    def proof_after(self, proof: Proof, model: TaggingPipeline) -> Proof:
        return proof_after(proof, self.before, embedded(model))

    def fitted(self, model: TaggingPipeline) -> PipelineTagger:
        self.start.expand(model, frozen=self.is_frozen)
        model.counts_V = None
        tuned = self.wrapped.with_model(model.encoder)
        return PipelineTagger(tuned, model, Layers(), self.is_frozen)


class ContextualStart(Start[TagTask, TaggingPipeline, WordScores]):
    """CoVe or ELMo in place of the embedding layer."""

    rule = TAGGERS

    def __init__(
        self, method: Features | FineTune, encoder: Pretrained, task: TagTask, progress: Progress
    ) -> None:
        self.method, self.encoder = method, encoder
        # ELMo encodes characters itself.
        self.task = replace(task, spelled=task.spelled and not isinstance(encoder.model, Elmo))
        self.training, _ = filled(method)
        self.is_frozen = isinstance(method, Features)
        given = pipeline_inputs(encoder, task.sentences, spelled=self.task.spelled)
        states = states_of_words(encoder, task.sentences, given.encoded, progress=progress)
        self.scale_LD = layer_scales(encoder, states.values)
        self.given = replace(given, states=states) if self.is_frozen else given
        self.lengths = task.targets.lengths

    def fresh(self, rows: Rows) -> TaggingPipeline:
        del rows
        torch.default_generator.manual_seed(derive(self.task.seed, "pipeline"))
        model: Any = self.encoder.model
        return TaggingPipeline(
            model if self.is_frozen else trainable(model),
            decoder_of(self.task.legal, crf=self.task.crf),
            len(self.task.tags),
            spelled=self.task.spelled,
            hidden=self.training.hidden,
            dropout=self.training.dropout,
            scale=self.scale_LD,
            **reading_of(model, self.method.layers),
        )

    def optimizer(self, model: TaggingPipeline) -> torch.optim.Optimizer:
        return optimizer_of(self.method, model)

    def loss(self, model: TaggingPipeline, rows: Rows) -> tuple[Tensor, Tensor]:
        if self.is_frozen:
            model.encoder.eval()  # type: ignore[attr-defined]  # shared, so no dropout
        total, count = tag_loss(model, *model.scores(self.given, rows), self.task, rows)
        for mix in model.mixes():
            total = total + self.method.layers.l2 * count * mix.w.square().sum()
        return total, count

    def validate(self, model: TaggingPipeline, held_out: Rows) -> WordScores:
        return validate(model, self.given, self.task, held_out)

    def finish(self, model: TaggingPipeline) -> None:
        """Make all weights trainable again, for further training."""
        if not self.is_frozen:
            model.requires_grad_(requires_grad=True)

    def proof_before(self, model: TaggingPipeline) -> Proof:
        del model
        known = word_coverage(self.encoder, self.task.sentences)
        tensors = self.encoder.tensors()
        return Proof.of_all(self.encoder.name, tensors, known, frozen=self.is_frozen)

    def proof_after(self, proof: Proof, model: TaggingPipeline) -> Proof:
        now = dict(model.encoder.state_dict())  # type: ignore[attr-defined]
        return proof.after(self.encoder.tensors(), now)

    def fitted(self, model: TaggingPipeline) -> PipelineTagger:
        encoder = self.encoder if self.is_frozen else self.encoder.with_model(model.encoder)
        return PipelineTagger(encoder, model, self.method.layers, self.is_frozen)


def vocabulary_of(task: TagTask) -> WordTokenizer:
    """Return a tokenizer with all words of the sentences, the most frequent ones first.

    Words are lowercased if characters are encoded too, because these preserve case.
    """
    empty = WordTokenizer.from_vocabulary([], lowercase=task.spelled, split="whitespace")
    counts = Counter(empty.normal(word) for words in task.sentences for word in words)
    for special in empty.vocabulary:
        counts.pop(special, None)
    words = sorted(counts, key=lambda word: (-counts[word], word))
    return WordTokenizer.from_vocabulary(words, lowercase=task.spelled, split="whitespace")
