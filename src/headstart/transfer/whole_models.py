"""Fitting pretrained models that replace the whole model: all of it, parts of it, or only a head.

The rule is every neural method's: a validation part of the labels finds the number of steps, then
the model is trained anew on all of them. Shapes: N texts, T tokens, D width, C outputs.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from headstart.errors import SettingsError
from headstart.hub.bundle import Pretrained, Tokenizer
from headstart.hub.foreign.wrapped import TransformersEncoder
from headstart.hub.language_models import PretrainedGpt
from headstart.hub.proof import Proof, distance
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
from headstart.tokenize.batches import Packed, Rows, endless_batches
from headstart.tokenize.pairs import padded_lengths
from headstart.training.loop import streams_restored, train
from headstart.training.optimizers import adamw
from headstart.training.precision import quick_products
from headstart.training.schedules import warm_up, warm_up_then_decay
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
from headstart.transfer.stopping import (
    Validation,
    least_passes,
    most_steps,
    search_steps,
    steps_between_looks,
)
from headstart.transfer.task import Fit, Task, coverage

WholeModelMethod = Scratch | FineTune | GradualUnfreeze | LowRank
_WARM_UP_SHARE = 0.1
_MEAN: Pooling = "mean"
_JITTER = 0.2  # of lengths, by which texts are dealt into batches
_PARTS = 5  # of the labels, by which the pooling is chosen
_LEAST_GAIN = 0.005  # nats of validation loss: a step of a whole model costs more than others
_NEW_TOKENS = ("<start>", "<delimiter>", "<extract>")


def fit_whole_model(
    method: WholeModelMethod | Features, encoder: Pretrained, task: Task, progress: Progress
) -> Fit:
    """Train a whole model on the task, or a head on its frozen states.

    Raises:
        TransferError: Nothing was transferred, or a frozen part changed.
        NonFiniteError: Training diverged.
    """
    if isinstance(method, Features):
        return _fit_head(method, encoder, task, progress)
    with streams_restored(device_of(encoder.model)):
        start = _Start(method, encoder, task)
        rows, held_out = task.parts()
        start.choose_pooling()
        training = start.training
        training = replace(training, max_steps=most_steps(training, len(rows)))
        first_rise = max(1, round(_WARM_UP_SHARE * training.min_steps))
        trained = start.fresh(rows)
        validation_loss = _validate(trained, start, held_out)
        steps = _train(
            start,
            trained,
            rows,
            steps=training.max_steps,
            schedule=lambda step: warm_up(step, first_rise),
        )
        best_step, validation = search_steps(
            steps,
            validation_loss,
            training,
            every=steps_between_looks(training, len(rows)),
            least_gain=_LEAST_GAIN,
            progress=progress,
        )
        found = round(best_step * len(task) / len(rows))
        num_steps = max(training.min_steps, found, least_passes(training, len(task)))
        everything = np.arange(len(task))
        final = start.fresh(everything)
        proof = None if isinstance(method, Scratch) else start.proof_before(final)
        if proof is not None:
            proof.check()
        rise = max(1, round(_WARM_UP_SHARE * num_steps))
        with progress.stage("fitting on all labels", num_steps, "steps") as advance:
            for _ in _train(
                start,
                final,
                everything,
                steps=num_steps,
                schedule=lambda step: warm_up_then_decay(step, num_steps, rise),
            ):
                advance(1)
        merge(final)
        final.requires_grad_(requires_grad=True)
        if proof is not None:
            proof = start.proof_after(proof, final)
            proof.check()
    return Fit(
        model=start.fitted(final.eval()),
        chosen={"steps": num_steps, "pooling": start.reading.pooling},
        truncated=start.truncated,
        proof=proof,
        validation=validation,
    )


class _Start:
    """What every training of one fit starts from: the texts as ids, the weights, the head."""

    def __init__(self, method: WholeModelMethod, encoder: Pretrained, task: Task) -> None:
        self.method, self.encoder, self.task = method, encoder, task
        self.training, self.rate = filled(method)
        self.model, self.tokenizer, self.reading = _start_of(method, encoder, task)
        if isinstance(method, Scratch):
            self.model = with_random_weights(self.model, task.seed)
        self.ids = encoder.ids(task.texts)
        self.encoded, self.truncated = self.reading.encode(encoder, self.ids)
        self.states: dict[Pooling, Floats] = {}

    def choose_pooling(self) -> None:
        """Let parts of the labels choose what stands for a text, unless the method says it.

        A model that was pretrained for minutes has learned little about [CLS], or about what to
        keep in its last token's state; the mean of all states is then the better summary. One
        validation part of a few texts would choose by chance, so several are drawn.
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
        """Return the model before training on these rows."""
        torch.default_generator.manual_seed(derive(self.task.seed, "head"))
        model = WholeModel(
            copy.deepcopy(self.model),
            self.task.target.outputs,
            pooling=self.reading.pooling,
            dropout=self.training.dropout,
            orders=num_orders(self.task.pairs),
        )
        model.requires_grad_(requires_grad=True)  # whatever its user froze: all of it is trained
        if not isinstance(self.method, Scratch):
            self._start_from_probe(model, rows)
        return model

    def proof_before(self, model: WholeModel) -> Proof:
        """Compare the weights a model starts with to those of the encoder they come from."""
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
        """Say how far training moved the weights."""
        before = self.encoder.tensors()
        after = dict(model.encoder.state_dict())  # type: ignore[attr-defined]
        pairs = [(before[name], _cut(after[name], before[name])) for name in before]
        return replace(proof, distance=distance(*zip(*pairs, strict=True)))

    def fitted(self, model: WholeModel) -> TunedModel:
        """Return the trained model with what it needs to read texts."""
        tuned = self.encoder.with_model(model.encoder, self.tokenizer)
        return TunedModel(tuned, model, self.reading)

    def _start_from_probe(self, model: WholeModel, rows: Rows) -> None:
        """Set the head to a linear layer on the frozen states of these rows."""
        weight, bias = self._probe(self.reading.pooling, rows)
        with torch.no_grad():
            model.classify.weight.copy_(torch.from_numpy(weight))
            if model.classify.bias is not None:
                model.classify.bias.copy_(torch.from_numpy(bias))

    def _probe(
        self, pooling: Pooling, rows: Rows
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weight and bias of a linear layer on the frozen states of these rows."""
        if pooling not in self.states:
            self.states = self._read([pooling])
        has_bias = not isinstance(self.model, Gpt)  # as its classifier
        return first_head(self.task.target, self.states[pooling][rows], rows, intercept=has_bias)

    def _read(self, poolings: Sequence[Pooling]) -> dict[Pooling, Floats]:
        """Return what could stand for each text, frozen, from a single reading."""
        orders = num_orders(self.task.pairs)
        if isinstance(self.model, Gpt):  # its new tokens are no part of what was pretrained
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
    """Return the model to train, its tokenizer, and how it reads a text.

    GPT gets start, delimiter and extract tokens, as in the paper (section 3.3, figure 1).

    Raises:
        SettingsError: GPT has no room for a text, or a decoder's first token is to stand for one.
    """
    asked = method.pooling if isinstance(method, FineTune) else None
    pooling = asked or encoder.pooling
    if pooling == "cls" and is_causal(encoder.model):
        raise SettingsError("a decoder's first token has read nothing of a text; pool last or mean")
    if not isinstance(encoder, PretrainedGpt):
        reading = Reading(max_tokens=task.max_tokens, pooling=pooling, pairs=task.pairs)
        return encoder.model, encoder.tokenizer, reading
    most = min(task.max_tokens, encoder.model.config.positions)
    if most <= 2:
        raise SettingsError(f"max_tokens must be above 2, got {most}")
    model, tokenizer = encoder.model, encoder.tokenizer
    if not set(_NEW_TOKENS) <= tokenizer.ids.keys():  # what was fitted, and is again, has them
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


def with_random_weights(model: Encoder, seed: int) -> Encoder:
    """Return the same architecture with weights nobody has trained."""
    fresh = torch.Generator().manual_seed(derive(seed, "random weights"))
    if isinstance(model, Bert):
        bert = Bert(
            model.config, pooler=model.pooler is not None, mlm=False, nsp=False, generator=fresh
        )
        return bert.to(device_of(model))
    if isinstance(model, Gpt):
        return Gpt(model.config, generator=fresh).to(device_of(model))
    if not isinstance(model, TransformersEncoder):
        raise TypeError(f"a {type(model).__name__} does not replace the whole model")
    make: Any = type(model.transformer)
    with torch.random.fork_rng(devices=[]):  # which `transformers` draws from
        torch.default_generator.manual_seed(fresh.initial_seed())
        again = TransformersEncoder(make(copy.deepcopy(model.transformer.config)).eval())
    return again.to(device_of(model))


def _validate(model: WholeModel, start: _Start, held_out: Rows) -> Callable[[], Validation]:
    def validate() -> Validation:
        with quick_reading():
            scores = whole_model_scores(model, start.encoded, held_out)
        return start.task.validate(scores, held_out)

    return validate


def _train(
    start: _Start,
    model: WholeModel,
    rows: Rows,
    *,
    steps: int,
    schedule: Callable[[int], float],
) -> Iterator[int]:
    """Train the model on `rows`, yielding the number of each step."""
    method, task = start.method, start.task

    def compute_loss(batch: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        model.train()
        packed = model.batch(start.encoded, batch)
        with quick_products(device_of(model.encoder)):
            scores_NC, states = model(packed)
            total, count = task.target.loss(scores_NC.float().cpu(), batch)
        return with_language(method, model.encoder, total, count, states, packed), count

    optimizer = adamw(_parameter_groups(start, model), learning_rate=start.rate)
    lengths = padded_lengths(start.encoded, sides=model.orders)[rows]
    batches = endless_batches(  # packed rows are full whoever shares them
        np.ones_like(lengths) if packs(model.encoder) else lengths,
        batch_size=start.training.batch_size,
        seed=task.seed,
        jitter=_JITTER,
    )
    limited = ([rows[next(batches)]] for _ in range(steps))
    if isinstance(method, GradualUnfreeze):
        thaw(model.encoder, 1, steps_per_layer=method.steps_per_layer)
    for step in train(limited, compute_loss, optimizer, schedule=schedule, seed=task.seed):
        yield step.number
        if isinstance(method, GradualUnfreeze):
            thaw(model.encoder, step.number + 1, steps_per_layer=method.steps_per_layer)


def with_language(
    method: WholeModelMethod,
    encoder: Encoder,
    total: Tensor,
    count: Tensor,
    states: Tensor,
    packed: Packed,
) -> Tensor:
    """Return a task's loss of `count` examples with GPT's own beside it, where it is fine-tuned."""
    if not (isinstance(method, FineTune) and isinstance(encoder, Gpt)):
        return total
    total = method.task_coef * total
    if not method.lm_coef:
        return total
    with quick_products(device_of(encoder)):
        mean = next_token_loss(encoder, states, packed)
    return total + method.lm_coef * count * mean.cpu()


def next_token_loss(model: Gpt, states: Tensor, packed: Packed) -> Tensor:
    """Return the mean loss of every text's next tokens, special ones included.

    [ours] Each token counts the same; the paper's program takes the mean of each text first.
    """
    here = packed.sequences_BT.ravel() >= 0
    here[packed.last_N] = False  # nothing follows a text's last token
    at = np.flatnonzero(here)
    targets = torch.from_numpy(packed.ids_BT.ravel()[at + 1])
    total = linear_cross_entropy(states[torch.from_numpy(at)], model.tokens.weight, None, targets)
    return total / max(1, len(at))


def _parameter_groups(start: _Start, model: WholeModel) -> list[dict[str, object]]:
    method = start.method
    if isinstance(method, LowRank):
        changes = low_rank_changes(method, model.encoder, start.task.seed)
        return [{"params": [*changes, *model.classify.parameters()]}]
    head: list[nn.Module] = [model.classify]
    if isinstance(model.encoder, Bert) and model.encoder.pooler and start.reading.pooling == "cls":
        head.append(model.encoder.pooler)
    decay = 1.0 if isinstance(method, Scratch) else method.layer_decay
    return layerwise_groups(model.encoder, head, learning_rate=start.rate, layer_decay=decay)


def low_rank_changes(method: LowRank, encoder: Encoder, seed: int) -> list[nn.Parameter]:
    """Put a method's low-rank changes on an encoder, and return them."""
    fresh = torch.Generator().manual_seed(derive(seed, "low rank"))
    return adapt_attention(
        encoder,  # type: ignore[arg-type]
        rank=method.rank,
        alpha=method.alpha,
        generator=fresh,
    )


def _fit_head(method: Features, encoder: Pretrained, task: Task, progress: Progress) -> Fit:
    """Train a head on an encoder's frozen states, which are computed once."""
    training, rate = filled(method)
    frozen = encoder.tensors()
    at_once = task.pairs if reads_pairs_at_once(encoder) else None
    ids = encoder.ids(task.texts)
    encoded, truncated = read_inputs(encoder, ids, task.max_tokens, at_once)
    proof = Proof.of_all(encoder.name, frozen, coverage(encoder, task.texts, ids))
    proof.check()
    with quick_reading():
        found = frozen_states(
            encoder,
            task.texts,
            max_tokens=task.max_tokens,
            pairs=task.pairs,
            encoded=encoded,
            progress=progress,
        )
    states = torch.from_numpy(found)
    scale = 1.0 / states.square().mean(0).sqrt().clamp(min=1e-6)

    def fresh() -> FrozenModel:
        torch.default_generator.manual_seed(derive(task.seed, "head"))
        head = classification_head(
            states.shape[1],
            task.target.outputs,
            hidden=training.hidden,
            dropout=training.dropout,
        )
        return FrozenModel(encoder, head, scale, task.max_tokens, task.pairs)

    def steps(
        model: FrozenModel, rows: Rows, count: int, schedule: Callable[[int], float]
    ) -> Iterator[int]:
        def compute_loss(batch: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
            model.head.train()
            scores_BC = model.head(scale * states[torch.from_numpy(batch)])
            return task.target.loss(scores_BC, batch)

        batches = endless_batches(
            np.ones(len(rows), np.int64),
            batch_size=training.batch_size,
            seed=task.seed,
        )
        limited = ([rows[next(batches)]] for _ in range(count))
        optimizer = adamw(model.head, learning_rate=rate)
        for step in train(limited, compute_loss, optimizer, schedule=schedule, seed=task.seed):
            yield step.number

    rows, held_out = task.parts()
    with torch.random.fork_rng(devices=[]):
        trial = fresh()

        def validate() -> Validation:
            return task.validate(trial.from_states(found[held_out]), held_out)

        best_step, validation = search_steps(
            steps(trial, rows, training.max_steps, lambda step: warm_up(step, 10)),
            validate,
            training,
            every=steps_between_looks(training, len(rows)),
            least_gain=_LEAST_GAIN,
            progress=progress,
        )
        best = round(best_step * len(task) / len(rows))
        num_steps = max(training.min_steps, best, least_passes(training, len(task), passes=1))
        model = fresh()
        everything = np.arange(len(task))
        for _ in steps(
            model, everything, num_steps, lambda step: warm_up_then_decay(step, num_steps, 10)
        ):
            pass
    model.head.eval()
    proof = proof.after(frozen, encoder.tensors())
    proof.check()
    return Fit(
        model=model,
        chosen={"steps": num_steps},
        truncated=truncated,
        proof=proof,
        validation=validation,
    )


def _matching(pretrained: dict[str, Tensor], model: Encoder) -> int:
    """Count the tensors of a model that equal the pretrained ones and are not all zero."""
    started = dict(model.state_dict())  # type: ignore[attr-defined]
    return sum(
        bool(tensor.any()) and torch.equal(tensor, _cut(started[name], tensor))
        for name, tensor in pretrained.items()
        if name in started
    )


def _cut(tensor: Tensor, like: Tensor) -> Tensor:
    """Leave out the rows of new tokens, which were not pretrained."""
    return tensor[: len(like)] if tensor.ndim == 2 else tensor
