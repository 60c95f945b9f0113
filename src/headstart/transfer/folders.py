"""Saving and restoring fitted models: the parts of a folder, and how to rebuild the model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from headstart.hub.bundle import ENCODER, Pretrained, PretrainedWordVectors, Tokenizer
from headstart.hub.foreign.published_tokenizers import Framed
from headstart.hub.language_models import (
    PretrainedBert,
    PretrainedGpt,
    classifier_from_transformers,
    portable_tokenizer,
    to_transformers,
)
from headstart.hub.store import load_encoder
from headstart.models.bert import Bert
from headstart.models.blank import blank_weights
from headstart.models.word_vectors import WordVectors
from headstart.tasks.heads import WholeModel, classification_head
from headstart.tasks.pairs import num_orders
from headstart.tasks.pipelines import TextPipeline
from headstart.tokenize.subwords import SubwordTokenizer
from headstart.transfer.contextual import new_pipeline
from headstart.transfer.fitted import (
    ConstantModel,
    ContextualModel,
    Fitted,
    FrozenModel,
    LinearModel,
    NeuralModel,
    Reading,
    TunedModel,
    tfidf_vectorizer,
)
from headstart.transfer.methods import Layers


def folder_parts(model: Fitted, classes: Sequence[str], *, several: bool = False) -> dict[str, Any]:
    """Return the arguments of `write_folder` that save a model: tensors, tokenizer, encoder etc.

    A fine-tuned BERT or GPT becomes a folder that `transformers` can open, with the same logits,
    if `transformers` has such a model: BERT with [CLS] and its pooler, GPT with the last token.
    All other models except those on word vectors save their encoder in a subfolder.

    Args:
        model: The model.
        classes: Names of the outputs; empty if the outputs are not logits of classes.
        several: Whether a text may have several of the classes.
    """
    encoder = getattr(model, "encoder", None) or getattr(model, "features", None)
    if not isinstance(encoder, Pretrained) or isinstance(encoder.model, WordVectors):
        return {"tensors": model.tensors(), "tokenizer": model.tokenizer}
    if not (classes and isinstance(model, TunedModel) and model.is_portable):
        own = {name: t for name, t in model.tensors().items() if not name.startswith("encoder.")}
        return {"tensors": own, "tokenizer": None, "encoder": encoder}
    head, tokenizer = model.module.classify, encoder.tokenizer
    family = encoder.config.get("family", "bert")
    config, tensors = to_transformers(
        encoder.model,  # type: ignore[arg-type]
        tokenizer,  # type: ignore[arg-type]
        family=family,
        classifier=(head.weight, head.bias),
        classes=classes,
    )
    if several:
        config["problem_type"] = "multi_label_classification"
    reading = model.reading
    framed, files = portable_tokenizer(
        encoder.model,  # type: ignore[arg-type]
        tokenizer,  # type: ignore[arg-type]
        config=encoder.config,
        max_tokens=reading.max_tokens,
    )
    if reading.before or reading.after:
        framed = Framed(
            tokenizer,  # type: ignore[arg-type]
            before=reading.before,
            after=reading.after,
            between=reading.between or None,
        )
    return {"tensors": tensors, "tokenizer": framed, "files": files, "transformers": config}


def rebuild(
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    tokenizer: Tokenizer | None,
    folder: Path,
    transformers: Mapping[str, Any] | None = None,
) -> Fitted:
    """Restore a fitted model from the results of `config()` and `folder_parts()`.

    Args:
        config: The result of `config()`.
        tensors: The folder's tensors.
        tokenizer: The folder's tokenizer.
        folder: The folder, which may contain an encoder.
        transformers: The `transformers` config that the model was saved with.

    Raises:
        KeyError, ValueError, RuntimeError: The parts do not belong together.
        FormatError: The encoder's folder is corrupted.
    """
    form = config["form"]
    if form == "constant":
        return ConstantModel(tensors["scores"].numpy(), pairs=config["pairs"])
    if form == "pipeline" and tokenizer is not None:
        return _rebuild_pipeline(config, tensors, tokenizer)
    if form == "whole model":
        return _rebuild_tuned(config, tensors, tokenizer, folder, transformers)
    if form == "head on frozen states":
        return _rebuild_frozen(config, tensors, folder)
    if form == "pipeline on an encoder":
        return _rebuild_contextual(config, tensors, folder)
    if form in {"linear on tf-idf", "linear on an encoder"}:
        return _rebuild_linear(config, tensors, tokenizer, folder)
    raise ValueError(f"unknown form of model {form!r}")


def _rebuild_linear(
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    tokenizer: Tokenizer | None,
    folder: Path,
) -> LinearModel:
    weight, bias = tensors["weight"].numpy(), tensors["bias"].numpy()
    if config["form"] == "linear on tf-idf":
        vectorizer = tfidf_vectorizer(config["terms"])
        vectorizer.idf_ = tensors["idf"].numpy()
        return LinearModel(vectorizer, weight, bias, pairs=config["pairs"])
    scale, pooling = float(config["scale"]), str(config["pooling"])
    if tokenizer is None:
        encoder = load_encoder(folder / ENCODER)
    else:
        vectors = _word_vectors(tensors, tokenizer)
        about = config["encoder"]
        encoder = PretrainedWordVectors(
            about["kind"], vectors, tokenizer, config=about["config"], lineage=about["lineage"]
        )
    max_tokens, pairs = int(config["max_tokens"]), config["pairs"]
    return LinearModel(encoder, weight, bias, scale, pooling, max_tokens, pairs)


def _rebuild_pipeline(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], tokenizer: Tokenizer
) -> NeuralModel:
    encoder = _word_vectors(tensors, tokenizer)
    with blank_weights():  # all numbers come from `tensors`
        pipeline = TextPipeline(
            encoder,
            len(tensors["classify.bias"]),
            hidden=int(config["hidden"]),
            dropout=0.0,
            scale=1.0,
            pairs=config["pairs"],
        )
    pipeline.load_state_dict(tensors, assign=True)
    return NeuralModel(tokenizer, pipeline.eval(), int(config["max_tokens"]))


def _rebuild_contextual(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], folder: Path
) -> ContextualModel:
    encoder, layers = load_encoder(folder / ENCODER), Layers(**config["layers"])
    with blank_weights():  # all numbers come from `tensors`
        pipeline = new_pipeline(
            encoder.model,
            len(tensors["classify.bias"]),
            layers,
            hidden=int(config["hidden"]),
            dropout=0.0,
            scale=tensors["scale"],
            pairs=config["pairs"],
        )
    own = {name for name in pipeline.state_dict() if not name.startswith("encoder.")}
    if own != set(tensors):
        raise ValueError(f"expected the tensors {sorted(own)}, found {sorted(tensors)}")
    pipeline.load_state_dict(dict(tensors), strict=False, assign=True)
    return ContextualModel(
        encoder, pipeline.eval(), layers, int(config["max_tokens"]), frozen=bool(config["frozen"])
    )


def _rebuild_tuned(
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    tokenizer: Tokenizer | None,
    folder: Path,
    transformers: Mapping[str, Any] | None,
) -> TunedModel:
    about, told = config["reading"], config["encoder"]
    reading = Reading(
        max_tokens=int(about["max_tokens"]),
        pooling=about["pooling"],
        before=tuple(about["before"]),
        after=tuple(about["after"]),
        between=tuple(about["between"]),
        pairs=about["pairs"],
    )
    if transformers is None:
        encoder = load_encoder(folder / ENCODER)
        head = tensors["classify.weight"], tensors.get("classify.bias")
    else:
        if not isinstance(tokenizer, SubwordTokenizer):
            raise ValueError("the tokenizer is missing")
        model, head = classifier_from_transformers(transformers, tensors, place=str(folder))
        kind = PretrainedBert if isinstance(model, Bert) else PretrainedGpt
        if kind is PretrainedGpt:
            tokenizer = tokenizer.ending_in(transformers.get("eos_token_id"))
        facts = {"config": told["config"], "lineage": told["lineage"]}
        encoder = kind(told["kind"], model.eval(), tokenizer, **facts)
    module = WholeModel(
        encoder.model,
        len(head[0]),
        pooling=reading.pooling,
        dropout=0.0,
        orders=num_orders(reading.pairs),
    )
    with torch.no_grad():
        module.classify.weight.copy_(head[0])
        if module.classify.bias is not None and head[1] is not None:
            module.classify.bias.copy_(head[1])
    return TunedModel(encoder, module.eval(), reading)


def _rebuild_frozen(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], folder: Path
) -> FrozenModel:
    head = classification_head(
        tensors["head.1.weight"].shape[1],
        len(tensors["head.4.bias"]),
        hidden=len(tensors["head.1.bias"]),
        dropout=0.0,
    )
    head.load_state_dict(
        {name.removeprefix("head."): t for name, t in tensors.items() if name.startswith("head.")}
    )
    encoder = load_encoder(folder / ENCODER)
    max_tokens, pairs = int(config["max_tokens"]), config["pairs"]
    return FrozenModel(encoder, head.eval(), tensors["scale"], max_tokens, pairs)


def _word_vectors(tensors: Mapping[str, Tensor], tokenizer: Tokenizer) -> WordVectors:
    weight = tensors["encoder.embedding.weight"]
    if len(weight) != tokenizer.vocabulary_size:
        raise ValueError(f"{tokenizer.vocabulary_size:,} words but {len(weight):,} vectors")
    return WordVectors.from_matrix(weight)
