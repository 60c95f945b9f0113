"""Fitting of each method to tagged sentences, by the same procedure for all.

The loss on a validation set chooses the regularization strength or the number of steps; then the
model is refitted to all sentences. Shapes: N words, D width, K tags.
"""

import math
from collections import Counter, defaultdict
from dataclasses import fields, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import SettingsError
from headstart.hub.bundle import Pretrained
from headstart.hub.proof import Proof
from headstart.models.word_vectors import WordVectors
from headstart.progress import SILENT, Progress
from headstart.seeds import derive
from headstart.tasks.classification import Classes
from headstart.tasks.crf import Independent
from headstart.tasks.heads import classification_head
from headstart.tasks.taggers import HeadTagger, decoder_of
from headstart.tokenize.batches import Rows
from headstart.training.optimizers import adamw
from headstart.transfer.features import quick_reading
from headstart.transfer.fitted_taggers import FrequentTags, HeadOnStates, word_states
from headstart.transfer.methods import (
    Features,
    GradualUnfreeze,
    LowRank,
    Majority,
    Method,
    Probe,
    Scratch,
    TfIdf,
    Training,
    filled,
    name_of,
    needs_an_encoder,
    with_defaults,
)
from headstart.transfer.neural import Start, fit_neural, undisturbed
from headstart.transfer.tag_pipelines import ContextualStart, VectorsStart
from headstart.transfer.tag_probe import probe
from headstart.transfer.tag_task import Sentences, TagTask, replaces_embedding, word_coverage
from headstart.transfer.tag_training import TAGGERS, TagFit, WordScores, tag_loss, validate
from headstart.transfer.tag_whole_models import WholeStart

_PIPELINE = Training(hidden=100, dropout=0.3, batch_size=16, min_steps=300, max_steps=20_000)
_HEAD = Training(hidden=256, dropout=0.3, batch_size=16, min_steps=200, max_steps=10_000)
_WHOLE = Training(hidden=256, dropout=0.1, batch_size=16, min_steps=60, max_steps=10_000)


def tagging_defaults(
    method: Method, *, whole_model: int | None, in_context: bool = False
) -> Method:
    """Fill in the settings that are None with the defaults for tagging, and return the method.

    Args:
        method: The method.
        whole_model: Width of an encoder that replaces the whole model; None for any other.
        in_context: Whether the encoder replaces the embedding layer by states of words in context.
    """
    defaults: dict[str, Any] = {"training": _WHOLE if whole_model else _PIPELINE}
    if isinstance(method, Features) and whole_model:
        defaults["training"] = _HEAD
    elif not whole_model:
        defaults["learning_rate"] = 3e-3
        defaults["encoder_rate"] = 5e-4 if in_context else 3e-3
        defaults["embedding_rate"] = 1e-2
    missing = {
        each.name: defaults[each.name]
        for each in fields(method)
        if each.name in defaults and getattr(method, each.name) is None
    }
    return with_defaults(replace(method, **missing), whole_model=whole_model)


def fit_tagger(
    method: Method, encoder: Pretrained | None, task: TagTask, *, progress: Progress = SILENT
) -> TagFit:
    """Fit `method` to `task`.

    Raises:
        SettingsError: The method is not for tagging, or it needs an encoder and has none.
        TransferError: Nothing was transferred, or a frozen part changed.
        NonFiniteError: Training diverged.
    """
    if isinstance(method, TfIdf):
        raise SettingsError(
            "the transfer 'tfidf' counts the words of a text; it cannot tag single words"
        )
    if isinstance(method, Majority):
        return _fit_majority(task)
    if encoder is None:
        if not isinstance(method, Scratch):
            raise needs_an_encoder(method)
    elif isinstance(method, Probe):
        return _fit_probe(method, encoder, task, progress)
    with undisturbed(encoder):
        start = _start_of(method, encoder, task, progress)
        return fit_neural(start, progress, of="sentences")


def _start_of(
    method: Any,  # noqa: ANN401 - a method that trains
    encoder: Pretrained | None,
    task: TagTask,
    progress: Progress,
) -> Start[TagTask, Any, WordScores]:
    if encoder is None:
        return VectorsStart(method, None, task)
    if not replaces_embedding(encoder):
        if isinstance(method, Features):
            return FrozenStart(method, encoder, task, progress)
        return WholeStart(method, encoder, task, progress)
    if isinstance(method, GradualUnfreeze | LowRank):
        raise SettingsError(
            f"the transfer {name_of(method)!r} is for encoders that replace the whole model, such "
            "as bert; for one that replaces the embedding layer, use probe, frozen or finetune"
        )
    if isinstance(method, Scratch):
        return VectorsStart(method, None, task)
    if isinstance(encoder.model, WordVectors):
        return VectorsStart(method, encoder, task)
    return ContextualStart(method, encoder, task, progress)


def _fit_majority(task: TagTask) -> TagFit:
    rows, held_out = task.parts()
    trial = _frequent_tags(task, rows)
    found = [tags.tolist() for tags in trial.predict([task.sentences[row] for row in held_out])]
    validation = WordScores.of(task, held_out, found, math.nan)  # no probabilities, so no loss
    model = _frequent_tags(task, np.arange(len(task)))
    return TagFit(model=model, validation=validation, chosen={})


def _frequent_tags(task: TagTask, rows: Rows) -> FrequentTags:
    by_word: dict[str, Counter[int]] = defaultdict(Counter)
    overall: Counter[int] = Counter()
    for row in rows:
        tags = task.targets[row].tolist()
        overall.update(tags)
        for word, tag in zip(task.sentences[row], tags, strict=True):
            by_word[word][tag] += 1
    words = {word: _most_frequent(counts) for word, counts in by_word.items()}
    return FrequentTags(words, _most_frequent(overall))


def _most_frequent(counts: Counter[int]) -> int:
    return min(counts, key=lambda tag: (-counts[tag], tag))


def _proof(encoder: Pretrained, sentences: Sentences) -> Proof:
    """Return the proof that a frozen encoder is used in full."""
    proof = Proof.of_all(encoder.name, encoder.tensors(), word_coverage(encoder, sentences))
    proof.check()
    return proof


def _fit_probe(method: Probe, encoder: Pretrained, task: TagTask, progress: Progress) -> TagFit:
    """Fit multinomial logistic regression to an encoder's states of words."""
    proof = _proof(encoder, task.sentences)
    with quick_reading():
        states = word_states(encoder, task.sentences, max_tokens=task.max_tokens, progress=progress)
    decoder = Independent(task.legal)

    def tagger(rows: Rows, strength: float) -> HeadTagger:
        weight, bias = probe(states, task, rows, partial(Classes.linear, strength=strength))
        head = nn.Linear(weight.shape[1], len(task.tags))
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(weight))
            head.bias.copy_(torch.from_numpy(bias))
        return HeadTagger(head, decoder, torch.ones(()))

    rows, held_out = task.parts()
    with torch.random.fork_rng(devices=[]):  # nn.Linear draws weights that are not used
        tried = [
            validate(tagger(rows, strength), states, task, held_out)
            for strength in method.strengths
        ]
        best = min(range(len(tried)), key=lambda at: tried[at].loss)
        strength = method.strengths[best]
        head = tagger(np.arange(len(task)), strength)
    proof = proof.after(encoder.tensors(), encoder.tensors())
    proof.check()
    return TagFit(
        model=HeadOnStates(encoder, head.eval(), task.max_tokens),
        validation=tried[best],
        chosen={"strength": strength},
        proof=proof,
    )


class FrozenStart(Start[TagTask, HeadTagger, WordScores]):
    """A head of one hidden layer on a whole model's frozen states, which are computed once."""

    rule = TAGGERS

    def __init__(
        self, method: Features, encoder: Pretrained, task: TagTask, progress: Progress
    ) -> None:
        self.encoder, self.task = encoder, task
        self.training, self.rate = filled(method)
        self.lengths = task.targets.lengths
        self.proof = _proof(encoder, task.sentences)
        with quick_reading():
            self.given = word_states(
                encoder, task.sentences, max_tokens=task.max_tokens, progress=progress
            )
        size = np.sqrt(np.square(self.given.values).mean(0))
        self.scale = torch.from_numpy(1.0 / np.maximum(size, 1e-6))

    def fresh(self, rows: Rows) -> HeadTagger:
        del rows
        torch.default_generator.manual_seed(derive(self.task.seed, "head"))
        head = classification_head(
            self.given.values.shape[1],
            len(self.task.tags),
            hidden=self.training.hidden,
            dropout=self.training.dropout,
        )
        return HeadTagger(head, decoder_of(self.task.legal, crf=self.task.crf), self.scale)

    def optimizer(self, model: HeadTagger) -> torch.optim.Optimizer:
        return adamw(model, learning_rate=self.rate)

    def loss(self, model: HeadTagger, rows: Rows) -> tuple[Tensor, Tensor]:
        return tag_loss(model, *model.scores(self.given, rows), self.task, rows)

    def validate(self, model: HeadTagger, held_out: Rows) -> WordScores:
        return validate(model, self.given, self.task, held_out)

    def proof_before(self, model: HeadTagger) -> Proof:
        del model
        return self.proof

    def proof_after(self, proof: Proof, model: HeadTagger) -> Proof:
        """Add to the proof that the encoder did not change."""
        del model
        return proof.after(self.encoder.tensors(), self.encoder.tensors())

    def fitted(self, model: HeadTagger) -> HeadOnStates:
        return HeadOnStates(self.encoder, model, self.task.max_tokens)
