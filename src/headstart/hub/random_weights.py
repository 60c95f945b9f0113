"""The same architecture with random weights: the baseline for a pretrained encoder."""

import copy
from dataclasses import replace
from typing import Any

import torch

from headstart.errors import SettingsError
from headstart.hub.foreign.wrapped import TransformersEncoder
from headstart.models.bert import Bert
from headstart.models.cove import Cove
from headstart.models.elmo import Elmo
from headstart.models.gpt import Gpt
from headstart.models.interface import Encoder, device_of
from headstart.seeds import derive


def with_random_weights(model: Encoder, seed: int) -> Encoder:
    """Return the same architecture with random weights and without pretraining heads.

    CoVe keeps its word vectors; only its LSTMs are random. The state of torch's global random
    generator does not change.

    Raises:
        SettingsError: The model is word vectors or of a class of your own.
    """
    fresh = torch.Generator().manual_seed(derive(seed, "random weights"))
    with torch.random.fork_rng(devices=[]):  # layers initialize from the global generator
        torch.default_generator.manual_seed(fresh.initial_seed())
        return _made_again(model, fresh).to(device_of(model))


def _made_again(
    model: Encoder, fresh: torch.Generator
) -> Bert | Gpt | Elmo | Cove | TransformersEncoder:
    if isinstance(model, Bert):
        pooler = model.pooler is not None
        return Bert(model.config, pooler=pooler, mlm=False, nsp=False, generator=fresh)
    if isinstance(model, Gpt):
        return Gpt(model.config, generator=fresh)
    if isinstance(model, Elmo):
        return Elmo(replace(model.config, vocabulary_size=0), generator=fresh)
    if isinstance(model, Cove):
        sizes = replace(model.config, target_vocabulary=0)
        cove = Cove(replace(sizes, source_vocabulary=1), generator=fresh)
        cove.config, cove.embedding = sizes, model.embedding
        return cove
    if isinstance(model, TransformersEncoder):
        make: Any = type(model.transformer)  # initializes from the global generator
        return TransformersEncoder(make(copy.deepcopy(model.transformer.config)).eval())
    raise SettingsError(
        f"cannot build a {type(model).__name__} with random weights; for this control, finetune "
        "one that you gave random weights"
    )
