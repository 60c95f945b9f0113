"""Fitting encoders that replace the whole model: fully, gradually, with LoRA, or only a head.

Shapes: B texts of a batch, N rows of states, T tokens, D width, C outputs.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from headstart.errors import SettingsError
from headstart.hub.bundle import Pretrained, Tokenizer
from headstart.hub.language_models import PretrainedGpt
from headstart.hub.proof import Proof, distance
from headstart.hub.random_weights import with_random_weights
from headstart.models.bert import Bert
from headstart.models.cross_entropy import linear_cross_entropy
from headstart.models.gpt import Gpt
from headstart.models.interface import Encoder, Pooling, device_of, is_causal
from headstart.progress import Progress
from headstart.seeds import derive
from headstart.tasks.heads import (
    WholeModel,
    classification_head,
    packs,
    sum_of_orders,
    with_new_tokens,
)
from headstart.tasks.pairs import num_orders
from headstart.tokenize.batches import Packed, Rows
from headstart.tokenize.pairs import padded_lengths
from headstart.training.optimizers import adamw
from headstart.training.precision import quick_products
from headstart.transfer.features import (
    Floats,
    frozen_states,
    pooled,
    quick_reading,
    read_inputs,
    reads_pairs_at_once,
    text_states,
)
from headstart.transfer.first_head import first_head
from headstart.transfer.fitted import (
    FrozenModel,
    Reading,
    TunedModel,
    whole_model_scores,
    whole_model_states,
)
from headstart.transfer.freezing import layerwise_groups, thaw
from headstart.transfer.low_rank import adapt_attention, merge
from headstart.transfer.methods import (
    Features,
    FineTune,
    GradualUnfreeze,
    LowRank,
    Scratch,
    filled,
)
from headstart.transfer.neural import Rule, Start
from headstart.transfer.stopping import Validation, most_steps
from headstart.transfer.task import Task, coverage

WholeModelMethod = Scratch | FineTune | GradualUnfreeze | LowRank
_WARM_UP_SHARE = 0.1
_HEADS_WARM_UP = 10  # steps
_MEAN: Pooling = "mean"
_JITTER = 0.2  # of the lengths by which texts are grouped into batches
_PARTS = 5  # validation sets that choose the pooling
_LEAST_GAIN = 0.005  # nats of validation loss; steps of a whole model are expensive
_NEW_TOKENS = ("<start>", "<delimiter>", "<extract>")


class WholeStart(Start[Task, WholeModel, Validation]):
    """An encoder that replaces the whole model, with a linear layer on its states."""

    rule = Rule(
        rise=lambda steps: max(1, round(_WARM_UP_SHARE * steps)),
        least_gain=_LEAST_GAIN,
        jitter=_JITTER,
    )

    def __init__(self, method: WholeModelMethod, encoder: Pretrained, task: Task) -> None:
        self.method, self.encoder, self.task = method, encoder, task
        training, self.rate = filled(method)
        most = most_steps(training, len(task.parts()[0]))
        self.training = replace(training, max_steps=most)
        self.model, self.tokenizer, self.reading = _start_of(method, encoder, task)
        if isinstance(method, Scratch):
            self.model = with_random_weights(self.model, task.seed)
        self.ids = encoder.ids(task.texts)
        self.encoded, self.truncated = self.reading.encode(encoder, self.ids)
        self.lengths = padded_lengths(self.encoded, sides=num_orders(task.pairs))
        if packs(self.model):  # packed rows are full in any grouping
            self.lengths = np.ones_like(self.lengths)
        self.states: dict[Pooling, Floats] = {}
        self._choose_pooling()

    def _choose_pooling(self) -> None:
        """Choose the pooling by validation loss, unless the method sets it.

        A model pretrained for minutes has hardly learned to use [CLS] or the state of the last
        token; the mean of all states is then the better representation. One validation set of a
        few texts would choose by chance, so several are drawn.
        """
        asked = isinstance(self.method, FineTune) and self.method.pooling
        if asked or isinstance(self.method, Scratch):
            return
        self.states = self._read(list(dict.fromkeys((self.reading.pooling, _MEAN))))
        losses: dict[Pooling, float] = {}
        for pooling in self.states:
            losses[pooling] = 0.0
            for part in range(_PARTS):
                rows, held_out = self.task.parts(seed=derive(self.task.seed, "pooling", part))
                weight, bias = self._probe(pooling, rows)
                scores = self.states[pooling][held_out] @ weight.T + bias
                losses[pooling] += self.task.target.mean_loss(scores, held_out)
        self.reading = replace(self.reading, pooling=min(losses, key=losses.__getitem__))

    def fresh(self, rows: Rows) -> WholeModel:
        """Return the untrained model, its head fitted to these rows (except for `scratch`)."""
        torch.default_generator.manual_seed(derive(self.task.seed, "head"))
        model = WholeModel(
            copy.deepcopy(self.model),
            self.task.target.outputs,
            pooling=self.reading.pooling,
            dropout=self.training.dropout,
            orders=num_orders(self.task.pairs),
        )
        model.requires_grad_(requires_grad=True)  # even what the user froze
        if not isinstance(self.method, Scratch):
            self._start_from_probe(model, rows)
        return model

    def optimizer(self, model: WholeModel) -> torch.optim.Optimizer:
        method = self.method
        if isinstance(method, LowRank):
            changes = low_rank_changes(method, model.encoder, self.task.seed)
            parameters = [*changes, *model.classify.parameters()]
            return adamw([{"params": parameters}], learning_rate=self.rate)
        head: list[nn.Module] = [model.classify]
        encoder = model.encoder
        if isinstance(encoder, Bert) and encoder.pooler and self.reading.pooling == "cls":
            head.append(encoder.pooler)
        decay = 1.0 if isinstance(method, Scratch) else method.layer_decay
        groups = layerwise_groups(encoder, head, learning_rate=self.rate, layer_decay=decay)
        return adamw(groups, learning_rate=self.rate)

    def loss(self, model: WholeModel, rows: Rows) -> tuple[Tensor, Tensor]:
        packed = model.batch(self.encoded, rows)
        with quick_products(device_of(model.encoder)):
            scores_NC, states = model(packed)
            total, count = self.task.target.loss(scores_NC.float().cpu(), rows)
        return with_language(self.method, model.encoder, total, count, states, packed), count

    def before_step(self, model: WholeModel, number: int) -> None:
        """Unfreeze the layers that are due at this step."""
        if isinstance(self.method, GradualUnfreeze):
            thaw(model.encoder, number, steps_per_layer=self.method.steps_per_layer)

    def validate(self, model: WholeModel, held_out: Rows) -> Validation:
        with quick_reading():
            scores = whole_model_scores(model, self.encoded, held_out)
        return self.task.validate(scores, held_out)

    def finish(self, model: WholeModel) -> None:
        """Merge low-rank updates, and make all weights trainable again, for further training."""
        merge(model)
        model.requires_grad_(requires_grad=True)

    def chosen(self, model: WholeModel) -> dict[str, Any]:
        del model
        return {"pooling": self.reading.pooling}

    def proof_before(self, model: WholeModel) -> Proof | None:
        """Return the proof that the model starts with its encoder's weights."""
        if isinstance(self.method, Scratch):
            return None
        pretrained = self.encoder.tensors()
        taken = _matching(pretrained, model.encoder)
        return Proof(
            encoder=self.encoder.name,
            tensors_taken=taken,
            tensors=len(pretrained),
            **coverage(self.encoder, self.task.texts, self.ids),
            distance=0.0,
        )

    def proof_after(self, proof: Proof, model: WholeModel) -> Proof:
        """Add to the proof how far training moved the weights."""
        before = self.encoder.tensors()
        after = dict(model.encoder.state_dict())  # type: ignore[attr-defined]
        pairs = [(before[name], _cut(after[name], before[name])) for name in before]
        return replace(proof, distance=distance(*zip(*pairs, strict=True)))

    def fitted(self, model: WholeModel) -> TunedModel:
        """Return the trained model with everything it needs for prediction."""
        tuned = self.encoder.with_model(model.encoder, self.tokenizer)
        return TunedModel(tuned, model, self.reading)

    def _start_from_probe(self, model: WholeModel, rows: Rows) -> None:
        """Set the head to a linear layer fitted to the frozen states of these rows."""
        weight, bias = self._probe(self.reading.pooling, rows)
        with torch.no_grad():
            model.classify.weight.copy_(torch.from_numpy(weight))
            if model.classify.bias is not None:
                model.classify.bias.copy_(torch.from_numpy(bias))

    def _probe(
        self, pooling: Pooling, rows: Rows
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weight and bias of a linear layer fitted to the frozen states of these rows."""
        if pooling not in self.states:
            self.states = self._read([pooling])
        has_bias = not isinstance(self.model, Gpt)  # like its classifier
        return first_head(self.task.target, self.states[pooling][rows], rows, intercept=has_bias)

    def _read(self, poolings: Sequence[Pooling]) -> dict[Pooling, Floats]:
        """Return each text's frozen state for every pooling, from one forward pass."""
        orders = num_orders(self.task.pairs)
        if isinstance(self.model, Gpt):  # the pretrained model lacks the new tokens
            outputs = self.task.target.outputs
            model = WholeModel(self.model, outputs, pooling=_MEAN, dropout=0.0, orders=orders)
            with quick_reading():
                return whole_model_states(model, self.encoded, poolings)
        with quick_reading():
            summaries = text_states(
                self.encoder,
                self.task.texts,
                max_tokens=self.reading.max_tokens,
                pairs=self.task.pairs,
                encoded=self.encoded,
            )
        found: dict[Pooling, Floats] = {}
        for pooling in poolings:
            own = torch.from_numpy(pooled(summaries, pooling))
            if isinstance(self.model, Bert) and pooling == "cls":
                with torch.inference_mode():
                    own = self.model.pool(own.to(device_of(self.model))).cpu()
            found[pooling] = sum_of_orders(own, orders).numpy()
        return found


def _start_of(
    method: WholeModelMethod, encoder: Pretrained, task: Task
) -> tuple[Encoder, Tokenizer, Reading]:
    """Return the model to train, its tokenizer, and how it encodes a text.

    GPT gets start, delimiter and extract tokens, as in the paper (section 3.3, figure 1).

    Raises:
        SettingsError: `max_tokens` leaves GPT no room for a text, or the pooling of a decoder is
            `cls`.
    """
    asked = method.pooling if isinstance(method, FineTune) else None
    pooling = asked or encoder.pooling
    if pooling == "cls" and is_causal(encoder.model):
        raise SettingsError(
            "pooling 'cls': the first token of a decoder sees no other token; use last or mean"
        )
    if not isinstance(encoder, PretrainedGpt):
        reading = Reading(max_tokens=task.max_tokens, pooling=pooling, pairs=task.pairs)
        return encoder.model, encoder.tokenizer, reading
    most = min(task.max_tokens, encoder.model.config.positions)
    if most <= 2:
        raise SettingsError(f"max_tokens must be above 2, got {most}")
    model, tokenizer = encoder.model, encoder.tokenizer
    if not set(_NEW_TOKENS) <= tokenizer.ids.keys():  # a refitted model has them
        fresh = torch.Generator().manual_seed(derive(task.seed, "new tokens"))
        model = with_new_tokens(model, len(_NEW_TOKENS), tokenizer.specials.end, fresh)
        tokenizer = tokenizer.with_tokens(_NEW_TOKENS)
    start, delimiter, extract = range(len(model.tokens.weight))[-len(_NEW_TOKENS) :]
    reading = Reading(
        max_tokens=most,
        pooling=pooling,
        before=(start,),
        after=(extract,),
        between=() if task.pairs is None else (delimiter,),
        pairs=task.pairs,
    )
    return model, tokenizer, reading


def with_language(
    method: WholeModelMethod,
    encoder: Encoder,
    total: Tensor,
    count: Tensor,
    states: Tensor,
    packed: Packed,
) -> Tensor:
    """Return the loss of `count` examples, with the language model loss if a GPT is fine-tuned."""
    if not (isinstance(method, FineTune) and isinstance(encoder, Gpt)):
        return total
    total = method.task_coef * total
    if not method.lm_coef:
        return total
    with quick_products(device_of(encoder)):
        mean = next_token_loss(encoder, states, packed)
    return total + method.lm_coef * count * mean.cpu()


def next_token_loss(model: Gpt, states: Tensor, packed: Packed) -> Tensor:
    """Return the mean loss of predicting the next token in every text, special tokens included.

    [ours] Every token has the same weight; the paper's code averages over each text first.
    """
    here = packed.sequences_BT.ravel() >= 0
    here[packed.last_N] = False  # nothing follows a text's last token
    at = np.flatnonzero(here)
    targets = torch.from_numpy(packed.ids_BT.ravel()[at + 1])
    total = linear_cross_entropy(states[torch.from_numpy(at)], model.tokens.weight, None, targets)
    return total / max(1, len(at))


def low_rank_changes(method: LowRank, encoder: Encoder, seed: int) -> list[nn.Parameter]:
    """Add a method's low-rank updates to an encoder, and return their parameters."""
    fresh = torch.Generator().manual_seed(derive(seed, "low rank"))
    return adapt_attention(
        encoder,  # type: ignore[arg-type]
        rank=method.rank,
        alpha=method.alpha,
        generator=fresh,
    )


class FrozenStart(Start[Task, nn.Sequential, Validation]):
    """A head of one hidden layer on an encoder's frozen states, which are computed once."""

    rule = Rule(rise=lambda _: _HEADS_WARM_UP, least_passes=1, least_gain=_LEAST_GAIN)

    def __init__(
        self, method: Features, encoder: Pretrained, task: Task, progress: Progress
    ) -> None:
        self.encoder, self.task = encoder, task
        self.training, self.rate = filled(method)
        self.lengths = np.ones(len(task), np.int64)
        ids = encoder.ids(task.texts)
        at_once = task.pairs if reads_pairs_at_once(encoder) else None
        encoded, self.truncated = read_inputs(encoder, ids, task.max_tokens, at_once)
        self.pretrained = encoder.tensors()
        known = coverage(encoder, task.texts, ids)
        self.proof = Proof.of_all(encoder.name, self.pretrained, known)
        self.proof.check()
        with quick_reading():
            self.states = frozen_states(
                encoder,
                task.texts,
                max_tokens=task.max_tokens,
                pairs=task.pairs,
                encoded=encoded,
                progress=progress,
            )
        squares = torch.from_numpy(self.states).square()
        self.scale = 1.0 / squares.mean(0).sqrt().clamp(min=1e-6)

    def fresh(self, rows: Rows) -> nn.Sequential:
        del rows
        torch.default_generator.manual_seed(derive(self.task.seed, "head"))
        return classification_head(
            self.states.shape[1],
            self.task.target.outputs,
            hidden=self.training.hidden,
            dropout=self.training.dropout,
        )

    def optimizer(self, model: nn.Sequential) -> torch.optim.Optimizer:
        return adamw(model, learning_rate=self.rate)

    def loss(self, model: nn.Sequential, rows: Rows) -> tuple[Tensor, Tensor]:
        scores_BC = model(self.scale * torch.from_numpy(self.states[rows]))
        return self.task.target.loss(scores_BC, rows)

    def validate(self, model: nn.Sequential, held_out: Rows) -> Validation:
        scores = self.fitted(model).from_states(self.states[held_out])
        return self.task.validate(scores, held_out)

    def proof_before(self, model: nn.Sequential) -> Proof:
        del model
        return self.proof

    def proof_after(self, proof: Proof, model: nn.Sequential) -> Proof:
        """Add to the proof that the encoder did not change."""
        del model
        return proof.after(self.pretrained, self.encoder.tensors())

    def fitted(self, model: nn.Sequential) -> FrozenModel:
        """Return the trained head with everything it needs for prediction."""
        task = self.task
        return FrozenModel(self.encoder, model, self.scale, task.max_tokens, task.pairs)


def _matching(pretrained: dict[str, Tensor], model: Encoder) -> int:
    """Count the tensors of a model that equal the pretrained ones and are not all zero."""
    started = dict(model.state_dict())  # type: ignore[attr-defined]
    return sum(
        bool(tensor.any()) and torch.equal(tensor, _cut(started[name], tensor))
        for name, tensor in pretrained.items()
        if name in started
    )


def _cut(tensor: Tensor, like: Tensor) -> Tensor:
    """Remove the rows of new tokens, which were not pretrained."""
    return tensor[: len(like)] if tensor.ndim == 2 else tensor
