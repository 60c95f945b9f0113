"""Anything headstart saved, or can read, by its path: one function for encoders and models."""

import math
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.devices import compute_device, torch_defaults
from headstart.errors import FormatError, SettingsError
from headstart.hub.bundle import (
    CONFIG,
    OURS,
    TOKENIZER,
    Pretrained,
    load_tokenizer,
    read_folder,
)
from headstart.hub.foreign import huggingface
from headstart.hub.proof import Proof
from headstart.hub.store import load_encoder
from headstart.progress import SILENT, Progress
from headstart.storage import read_json
from headstart.tasks.taggers import legal_tags
from headstart.tasks.tagging import learnt_scheme, scheme_of
from headstart.transfer import fitted_taggers, folders
from headstart.transfer.estimators import CLASSIFIER, LABEL_TYPE, TextClassifier
from headstart.transfer.fitted import TunedModel
from headstart.transfer.fitted_taggers import TunedTagger
from headstart.transfer.methods import Scratch, from_plain
from headstart.transfer.pairs import (
    PAIR_CLASSIFIER,
    PAIR_REGRESSOR,
    PairClassifier,
    PairEstimator,
    PairRegressor,
)
from headstart.transfer.regressor import REGRESSOR, TextRegressor
from headstart.transfer.token_tagger import TAGGER, TokenTagger

_MOST_BYTES_OF_LABELS = 64 << 20
_Estimator = TextClassifier | TextRegressor | TokenTagger
# What parts that do not belong together raise when a model is made of them.
_UNFIT = (ArithmeticError, AttributeError, IndexError, TypeError, ValueError, RuntimeError)


@torch_defaults()
def load(
    source: str | Path,
    *,
    vectors: Pretrained | str | Path | None = None,
    vocabulary: Collection[str] | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
    device: str = "cpu",
    progress: Progress = SILENT,
) -> Any:  # noqa: ANN401 - a `Pretrained`, or the estimator that was saved there
    r"""Load an encoder or a fitted model: ours, or what others published.

    Args:
        source: A folder of ours or of `transformers`, a file of vectors, or an id on the hub.
        vectors: The word vectors, or their file, that a published CoVe's LSTMs read: `source` is
            then the file of these.
        vocabulary: Read only these words of a file of vectors; `lineage` says how many it holds.
        revision: Branch, tag or commit of a hub id; the main branch if None.
        local_files_only: Take from the hub's cache and ask nobody.
        device: Where it computes: `cpu`, `cuda` for a GPU, or `cuda:1` for the second one. What is
            fitted to an encoder computes where the encoder does.
        progress: Where progress goes.

    Raises:
        FormatError: There is nothing there, or it is not what its format promises.
        SettingsError: There is no such device, or what is loaded computes on the CPU alone, or
            `vocabulary` is given with a folder.
        NetworkError: The hub cannot be reached, or has no such model.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "vectors.txt")
        >>> _ = file.write_text("cat 0.5 -1\ndog 0.25 3\n")
        >>> load(file).words
        ['cat', 'dog']
        >>> load(file, vocabulary=["dog", "emu"]).lineage["coverage"]
        0.5
    """
    place = compute_device(device)
    path = Path(source)
    if vectors is None and huggingface.is_hub_id(source):
        path = huggingface.download(
            str(source), revision=revision, local_files_only=local_files_only, progress=progress
        )
        revision, local_files_only = path.name, True  # an encoder is taken from the cache
    kinds: list[Any] = []
    if path.is_dir() and (path / CONFIG).is_file():
        about = read_json(path / CONFIG)
        kinds = [each.get("kind") for each in (about, about.get(OURS)) if isinstance(each, dict)]
    with torch.random.fork_rng(devices=[]):  # layers draw weights, and then get those of the file
        if any(kind in kinds for kind in _FITTED):
            return _on(place, load_model(path), path)
        encoder = load_encoder(
            source,
            vectors=vectors,
            vocabulary=vocabulary,
            revision=revision,
            local_files_only=local_files_only,
            progress=progress,
        )
    return encoder.to(place)


def _on(place: torch.device, model: _Estimator, path: Path) -> _Estimator:
    """Move the encoder of a model that was just loaded, and the layer that was trained with it.

    Raises:
        SettingsError: It has no encoder that can be moved.
    """
    if place.type == "cpu":
        return model
    fitted: Any = model.model_
    encoder = getattr(fitted, "encoder", getattr(fitted, "features", None))
    if not isinstance(encoder, Pretrained) or not encoder.computes_on_gpus:
        raise SettingsError(
            f"{path}: computes on the cpu alone; {place.type} is for models that replace the "
            "whole model, such as bert and gpt"
        )
    whole = getattr(fitted, "module", None)
    parts: Any = (encoder.model,) if whole is None else (whole.encoder, whole.classify)
    for part in parts:
        part.to(place)
    return model


def load_model(folder: Path) -> Any:  # noqa: ANN401 - the estimator that was saved there
    """Read a folder that an estimator's `save` wrote.

    Raises:
        FormatError: The folder is another's, or was damaged.
    """
    config, tensors = read_folder(folder)
    tokenizer_file = folder / TOKENIZER
    tokenizer = load_tokenizer(tokenizer_file) if tokenizer_file.exists() else None
    try:
        model = _FITTED[config["kind"]](config)
        model.method_ = model.transfer = from_plain(config["method"])
        parts = config["model"], tensors, tokenizer, folder
        if isinstance(model, TokenTagger):
            legal = legal_tags(model.tags_, learnt_scheme(model.scheme_))
            model.model_ = fitted_taggers.rebuild(*parts, legal)
        else:
            model.model_ = folders.rebuild(*parts, config.get("transformers"))
        if isinstance(model.transfer, Scratch) and isinstance(
            model.model_, TunedModel | TunedTagger
        ):
            model.encoder = model.model_.encoder  # whose architecture is fitted again
        model.fit_report_ = config["report"]
        proof = config["proof"]
        model.proof_ = Proof(**{**proof, "unknown": tuple(proof["unknown"])}) if proof else None
        _try(model)
    except KeyError as error:
        raise FormatError(f"{folder}: {error} is missing from its files") from None
    except _UNFIT as error:
        raise FormatError(f"{folder / CONFIG}: does not fit the weights: {error}") from None
    return model


def _try(model: _Estimator) -> None:
    """Let a model that was put together answer once; what does not fit raises one of `_UNFIT`."""
    if isinstance(model, TokenTagger):
        model.predict([["a"]])
        return
    outputs = 1 if isinstance(model, TextRegressor) else len(model.classes_)
    texts = ["a", "a"] if isinstance(model, PairEstimator) else ["a"]
    if model.model_.scores(texts).shape != (1, outputs):
        raise ValueError(f"{outputs} outputs")


def _classifier(config: Mapping[str, Any]) -> TextClassifier:
    parameters = dict(config["parameters"])
    if parameters["class_weight"] not in (None, "balanced"):
        parameters["class_weight"] = dict(parameters["class_weight"])
    pairs = config["kind"] == PAIR_CLASSIFIER
    model = PairClassifier(**parameters) if pairs else TextClassifier(**parameters)
    if not LABEL_TYPE.fullmatch(config["dtype"]):
        raise ValueError(f"labels of type {config['dtype']!r:.40}")
    dtype = np.dtype(config["dtype"])
    if dtype.itemsize * len(config["classes"]) > _MOST_BYTES_OF_LABELS:
        raise ValueError(f"labels of {dtype.itemsize:,} bytes each")
    model.classes_ = np.array(config["classes"], dtype)
    model.temperature_ = float(config.get("temperature", 1.0))
    if not 0 < model.temperature_ < math.inf:
        raise ValueError(f"a temperature of {model.temperature_}")
    model.thresholds_ = None
    if (thresholds := config.get("thresholds")) is not None:
        model.thresholds_ = np.array(thresholds, np.float64)
        if model.thresholds_.shape != model.classes_.shape or np.isnan(model.thresholds_).any():
            raise ValueError(f"{len(model.thresholds_)} thresholds")
    return model


def _regressor(config: Mapping[str, Any]) -> TextRegressor:
    pairs = config["kind"] == PAIR_REGRESSOR
    model = (PairRegressor if pairs else TextRegressor)(**config["parameters"])
    model.mean_, model.scale_ = float(config["mean"]), float(config["scale"])
    if not (math.isfinite(model.mean_) and math.isfinite(model.scale_)):
        raise ValueError(f"a mean of {model.mean_} and a scale of {model.scale_}")
    return model


def _tagger(config: Mapping[str, Any]) -> TokenTagger:
    model = TokenTagger(**config["parameters"])
    model.scheme_, model.tags_ = scheme_of(config["scheme"]), list(config["tags"])
    model.classes_ = list(config["classes"])
    return model


_FITTED: dict[str, Callable[[Mapping[str, Any]], _Estimator]] = {
    CLASSIFIER: _classifier,
    PAIR_CLASSIFIER: _classifier,
    REGRESSOR: _regressor,
    PAIR_REGRESSOR: _regressor,
    TAGGER: _tagger,
}
