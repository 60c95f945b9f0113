"""Taggers that are the shared pipeline, on word vectors, CoVe or ELMo: what they start from."""

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
from headstart.training.optimizers import Adam
from headstart.transfer.contextual import (
    layer_scales,
    parameter_groups,
    reading_of,
    trainable,
)
from headstart.transfer.fitted_taggers import PipelineTagger
from headstart.transfer.methods import Features, FineTune, Layers, Scratch, filled
from headstart.transfer.starting_point import (
    StartingPoint,
    embedded,
    fresh_start,
    pretrained_start,
    proof_after,
    proof_before,
)
from headstart.transfer.tag_task import TagTask, pipeline_inputs, word_coverage
from headstart.transfer.tag_training import tag_loss
from headstart.transfer.token_states import states_of_words

_LEAST_PASSES = 8


class VectorsStart:
    """Word vectors, pretrained or random, in the place of the embedding layer."""

    least_passes = _LEAST_PASSES

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
                raise TypeError("an encoder is checked for before a method is fitted")
            self.wrapped = encoder
            self.given = pipeline_inputs(encoder, task.sentences, spelled=task.spelled)
            start = pretrained_start(encoder, self.given.encoded)
        self.start: StartingPoint = start
        self.given = WordInputs(start.encoded, self.given.spelling)

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

    def optimizer(self, tagger: TaggingPipeline) -> torch.optim.Optimizer:
        method = self.method
        own = [p for name, p in tagger.named_parameters() if not name.startswith("encoder.")]
        groups = [{"params": own, "lr": method.learning_rate}]
        if not isinstance(method, Features):
            rate = method.embedding_rate if isinstance(method, Scratch) else method.encoder_rate
            groups.append({"params": [*tagger.encoder.parameters()], "lr": rate})  # type: ignore[attr-defined]
        return Adam(groups, fused=True)

    def loss(self, tagger: TaggingPipeline, rows: Rows) -> tuple[Tensor, Tensor]:
        return tag_loss(tagger, *tagger.scores(self.given, rows), self.task, rows)

    def before_step(self, tagger: TaggingPipeline, number: int) -> None:
        """Every part moves from the first step on."""

    def proof_before(self, tagger: TaggingPipeline) -> Proof | None:
        if self.encoder is None:
            return None
        self.before = embedded(tagger).clone()
        coverage = word_coverage(self.encoder, self.task.sentences)
        return proof_before(self.encoder, self.start, self.before, coverage, frozen=self.is_frozen)

    def proof_after(self, proof: Proof, tagger: TaggingPipeline) -> Proof:
        del tagger
        return proof_after(proof, self.before, self.after)

    def fitted(self, tagger: TaggingPipeline) -> PipelineTagger:
        self.after = embedded(tagger)
        self.start.expand(tagger, frozen=self.is_frozen)
        tagger.counts_V = None
        tuned = self.wrapped.with_model(tagger.encoder)
        return PipelineTagger(tuned, tagger.eval(), Layers(), self.is_frozen)


class ContextualStart:
    """What reads words in context in the place of the embedding layer: CoVe and ELMo."""

    least_passes = _LEAST_PASSES

    def __init__(
        self, method: Features | FineTune, encoder: Pretrained, task: TagTask, progress: Progress
    ) -> None:
        self.method, self.encoder = method, encoder
        # ELMo reads characters itself.
        self.task = replace(task, spelled=task.spelled and not isinstance(encoder.model, Elmo))
        self.training, _ = filled(method)
        self.is_frozen = isinstance(method, Features)
        given = pipeline_inputs(encoder, task.sentences, spelled=self.task.spelled)
        states = states_of_words(encoder, task.sentences, given.encoded, progress=progress)
        self.scale_LD = layer_scales(encoder, states.values)
        self.given = replace(given, states=states) if self.is_frozen else given

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

    def optimizer(self, tagger: TaggingPipeline) -> torch.optim.Optimizer:
        return Adam(parameter_groups(self.method, tagger), fused=True)

    def loss(self, tagger: TaggingPipeline, rows: Rows) -> tuple[Tensor, Tensor]:
        if self.is_frozen:
            tagger.encoder.eval()  # type: ignore[attr-defined]  # it is everybody's
        total, count = tag_loss(tagger, *tagger.scores(self.given, rows), self.task, rows)
        for mix in tagger.mixes():
            total = total + self.method.layers.l2 * count * mix.w.square().sum()
        return total, count

    def before_step(self, tagger: TaggingPipeline, number: int) -> None:
        """Every part moves from the first step on."""

    def proof_before(self, tagger: TaggingPipeline) -> Proof:
        del tagger
        known = word_coverage(self.encoder, self.task.sentences)
        tensors = self.encoder.tensors()
        return Proof.of_all(self.encoder.name, tensors, known, frozen=self.is_frozen)

    def proof_after(self, proof: Proof, tagger: TaggingPipeline) -> Proof:
        now = dict(tagger.encoder.state_dict())  # type: ignore[attr-defined]
        return proof.after(self.encoder.tensors(), now)

    def fitted(self, tagger: TaggingPipeline) -> PipelineTagger:
        encoder = self.encoder
        if not self.is_frozen:
            tagger.requires_grad_(requires_grad=True)
            encoder = encoder.with_model(tagger.encoder)
        return PipelineTagger(encoder, tagger.eval(), self.method.layers, self.is_frozen)


def vocabulary_of(task: TagTask) -> WordTokenizer:
    """Return all words of the sentences, the frequent ones first.

    Where the spelling is read, too, case is left to it.
    """
    empty = WordTokenizer.from_vocabulary([], lowercase=task.spelled, split="whitespace")
    counts = Counter(empty.normal(word) for words in task.sentences for word in words)
    for special in empty.vocabulary:
        counts.pop(special, None)
    words = sorted(counts, key=lambda word: (-counts[word], word))
    return WordTokenizer.from_vocabulary(words, lowercase=task.spelled, split="whitespace")
