"""How the shared pipeline uses a CoVe or ELMo, and how the two are trained together.

Shapes: L layers, D width.
"""

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.hub.bundle import Pretrained
from headstart.models.cove import Cove
from headstart.tasks.pairs import Pairs
from headstart.tasks.pipelines import ScalarMix, TextPipeline, task_shape
from headstart.training.optimizers import Adam
from headstart.transfer.methods import Features, FineTune, Layers, Scratch


def trainable(model: Any) -> Any:  # noqa: ANN401 - an encoder and a module
    """Return a copy of a model with all weights trainable, even those that the user froze."""
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
    """Return an untrained shared pipeline on the encoder's layers that `layers` selects."""
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
    """Return the pipeline settings that select an encoder's layers according to `layers`."""
    number, _ = task_shape(model)
    mixes = [
        ScalarMix(number, layer_norm=layers.layer_norm) if wanted and number > 1 else None
        for wanted in (True, layers.output)
    ]
    words = isinstance(model, Cove) and not layers.word_vectors
    skip = model.config.vector_width if words else 0
    return {"mix": mixes[0], "output_mix": mixes[1], "skip": skip}


def layer_scales(encoder: Pretrained, values: NDArray[np.float16]) -> Tensor:
    """Return the factors that scale each layer to a root mean square of 1 `[L, D]`.

    CoVe's states and the word vectors concatenated with them get separate factors.
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


def optimizer_of(method: Scratch | Features | FineTune, pipeline: TextPipeline) -> Adam:
    """Return the optimizer of a pipeline's parameters, and of the encoder's unless it is frozen.

    CoVe's word vectors stay fixed, as they were when it was pretrained on translation.
    """
    own = [p for name, p in pipeline.named_parameters() if not name.startswith("encoder.")]
    groups: list[dict[str, Any]] = [{"params": own, "lr": method.learning_rate}]
    if not isinstance(method, Features):
        encoder = pipeline.encoder
        if isinstance(encoder, Cove):
            encoder.embedding.requires_grad_(requires_grad=False)
        parameters = [p for layer in encoder.layer_groups() for p in layer.parameters()]
        rate = method.embedding_rate if isinstance(method, Scratch) else method.encoder_rate
        groups.append({"params": [p for p in parameters if p.requires_grad], "lr": rate})
    return Adam(groups, fused=True)
