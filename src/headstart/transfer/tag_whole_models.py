"""Fitting encoders that replace the whole model as taggers: fully, gradually, or with LoRA.

Shapes: N words, D width, K tags.
"""

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from headstart.hub.bundle import Pretrained
from headstart.hub.proof import Proof, distance
from headstart.hub.random_weights import with_random_weights
from headstart.models.interface import device_of
from headstart.progress import Progress
from headstart.seeds import derive
from headstart.tasks.crf import Crf
from headstart.tasks.heads import last_states, lay_out
from headstart.tasks.taggers import WholeTagger, WordStates, decoder_of
from headstart.tokenize.batches import Rows
from headstart.training.optimizers import adamw
from headstart.training.precision import quick_products
from headstart.transfer.features import quick_reading
from headstart.transfer.first_head import first_head
from headstart.transfer.fitted_taggers import TunedTagger, word_states
from headstart.transfer.freezing import layerwise_groups, thaw
from headstart.transfer.low_rank import merge
from headstart.transfer.methods import FineTune, GradualUnfreeze, LowRank, Scratch, filled
from headstart.transfer.neural import Start
from headstart.transfer.stopping import LEAST_PASSES
from headstart.transfer.tag_probe import probe
from headstart.transfer.tag_task import TagTask, window_inputs, word_coverage
from headstart.transfer.tag_training import TAGGERS, WordScores, tag_loss, validate
from headstart.transfer.whole_models import low_rank_changes, with_language

_CRF_RATE = 5e-3  # high, because the CRF starts at zero and the encoder is nearly trained
_PROBE_WORDS = 20_000


class WholeStart(Start[TagTask, WholeTagger, WordScores]):
    """BERT, GPT or another whole model, with a linear layer on each word's first subword."""

    rule = replace(TAGGERS, least_passes=LEAST_PASSES)

    def __init__(
        self,
        method: Scratch | FineTune | GradualUnfreeze | LowRank,
        encoder: Pretrained,
        task: TagTask,
        progress: Progress,
    ) -> None:
        self.method, self.encoder, self.task = method, encoder, task
        self.training, self.rate = filled(method)
        self.given = window_inputs(encoder, task.sentences, task.max_tokens)
        self.lengths = task.targets.lengths
        self.states: WordStates | None = None
        self.model = encoder.model
        if isinstance(method, Scratch):
            self.model = with_random_weights(self.model, task.seed)
        else:
            with quick_reading():
                self.states = word_states(
                    encoder, task.sentences, max_tokens=task.max_tokens, progress=progress
                )

    def fresh(self, rows: Rows) -> WholeTagger:
        """Return the model, its linear layer fitted to frozen states (except for `scratch`)."""
        torch.default_generator.manual_seed(derive(self.task.seed, "head"))
        tagger = WholeTagger(
            copy.deepcopy(self.model),
            decoder_of(self.task.legal, crf=self.task.crf),
            len(self.task.tags),
            dropout=self.training.dropout,
        )
        tagger.requires_grad_(requires_grad=True)  # even what the user froze
        if self.states is not None:
            weight, bias = probe(self.states, self.task, rows, first_head, _PROBE_WORDS)
            with torch.no_grad():
                tagger.classify.weight.copy_(torch.from_numpy(weight))
                tagger.classify.bias.copy_(torch.from_numpy(bias))
        return tagger

    def optimizer(self, model: WholeTagger) -> torch.optim.Optimizer:
        method, encoder = self.method, model.encoder
        if isinstance(method, LowRank):
            changes = low_rank_changes(method, encoder, self.task.seed)
            groups: list[dict[str, Any]] = [
                {"params": [*changes, *model.classify.parameters()], "lr": self.rate}
            ]
        else:
            decay = 1.0 if isinstance(method, Scratch) else method.layer_decay
            groups = layerwise_groups(
                encoder, [model.classify], learning_rate=self.rate, layer_decay=decay
            )
        if isinstance(model.decoder, Crf):
            groups.append({"params": [*model.decoder.parameters()], "lr": _CRF_RATE})
        return adamw(groups, learning_rate=self.rate)

    def loss(self, model: WholeTagger, rows: Rows) -> tuple[Tensor, Tensor]:
        given = self.given
        packed = lay_out(model.encoder, given.encoded, given.windows_of(rows))
        with quick_products(device_of(model.encoder)):
            states = last_states(model.encoder, packed)
            scores_BTK, mask_BT = model.scores_of(states, packed.first_N, given, rows)
        total, count = tag_loss(model, scores_BTK, mask_BT, self.task, rows)
        total = with_language(self.method, model.encoder, total, count, states, packed)
        return total, count

    def before_step(self, model: WholeTagger, number: int) -> None:
        """Unfreeze the layers that are due at this step."""
        if isinstance(self.method, GradualUnfreeze):
            thaw(model.encoder, number, steps_per_layer=self.method.steps_per_layer)

    def validate(self, model: WholeTagger, held_out: Rows) -> WordScores:
        return validate(model, self.given, self.task, held_out)

    def finish(self, model: WholeTagger) -> None:
        """Merge low-rank updates, and make all weights trainable again, for further training."""
        merge(model)
        model.requires_grad_(requires_grad=True)

    def proof_before(self, model: WholeTagger) -> Proof | None:
        """Return the proof that the tagger starts with its encoder's weights."""
        if isinstance(self.method, Scratch):
            return None
        started, pretrained = self._tensors(model), self.encoder.tensors()
        same = [bool(t.any()) and torch.equal(t, started[name]) for name, t in pretrained.items()]
        return Proof(
            encoder=self.encoder.name,
            tensors_taken=sum(same),
            tensors=len(pretrained),
            **word_coverage(self.encoder, self.task.sentences),
            distance=0.0,
        )

    def proof_after(self, proof: Proof, model: WholeTagger) -> Proof:
        """Add to the proof how far training moved the weights."""
        before, after = self.encoder.tensors(), self._tensors(model)
        moved = distance(before.values(), [after[name] for name in before])
        return replace(proof, distance=moved)

    def fitted(self, model: WholeTagger) -> TunedTagger:
        """Return the trained tagger with everything it needs for prediction."""
        tuned = self.encoder.with_model(model.encoder)
        return TunedTagger(tuned, model, self.task.max_tokens)

    @staticmethod
    def _tensors(model: WholeTagger) -> dict[str, Tensor]:
        return dict(model.encoder.state_dict())  # type: ignore[attr-defined]
