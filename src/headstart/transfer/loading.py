"""One function that loads any encoder or fitted model from its path."""

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
# Raised when a model is built from parts that do not belong together.
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
    r"""Load an encoder or a fitted model, saved by headstart or published by others.

    Args:
        source: A folder of headstart or `transformers`, a file of word vectors, or a model id on
            the Hugging Face Hub.
        vectors: Word vectors, or their file, for a published CoVe; `source` is then the file of
            its LSTM weights.
        vocabulary: Load only these words from a file of word vectors. `lineage` records the share
            that the file contains.
        revision: Branch, tag or commit of a Hub id; the main branch if None.
        local_files_only: Use only the hub's local cache, without network access.
        device: `cpu`, `cuda` for a GPU, or `cuda:1` for the second GPU. A model fitted to an
            encoder computes on the encoder's device.
        progress: Receives progress updates.

    Returns:
        A `Pretrained` encoder, or the fitted estimator that was saved, such as a
        `TextClassifier`.

    Raises:
        FormatError: The path does not exist, or its content does not match its format.
        SettingsError: `source` is neither a path nor a Hub id, there is no such device, the model
            can only compute on the CPU, or `vocabulary` is given with a folder.
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
    path = huggingface.as_path(source)
    if vectors is None and huggingface.is_hub_id(source):
        path = huggingface.download(
            str(source), revision=revision, local_files_only=local_files_only, progress=progress
        )
        revision, local_files_only = path.name, True  # load_encoder finds it in the cache
    kinds: list[Any] = []
    if path.is_dir() and (path / CONFIG).is_file():
        about = read_json(path / CONFIG)
        kinds = [each.get("kind") for each in (about, about.get(OURS)) if isinstance(each, dict)]
    with torch.random.fork_rng(devices=[]):  # layers draw random weights before they get the file's
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
    """Move the encoder of a loaded model to a device, with the layer that was trained on it.

    Raises:
        SettingsError: The model has no encoder that can be moved.
    """
    if place.type == "cpu":
        return model
    fitted: Any = model.model_
    encoder = getattr(fitted, "encoder", getattr(fitted, "features", None))
    if not isinstance(encoder, Pretrained) or not encoder.computes_on_gpus:
        raise SettingsError(
            f"{path}: runs on the cpu only; {place.type} is for models that replace the "
            "whole model, such as bert and gpt"
        )
    whole = getattr(fitted, "module", None)
    parts: Any = (encoder.model,) if whole is None else (whole.encoder, whole.classify)
    for part in parts:
        part.to(place)
    return model


def load_model(folder: Path) -> Any:  # noqa: ANN401 - the estimator that was saved there
    """Load an estimator from a folder that its `save` wrote.

    Raises:
        FormatError: Something else wrote the folder, or it is corrupted.
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
            model.encoder = model.model_.encoder  # a new fit uses its architecture
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
    """Run a rebuilt model once; parts that do not fit together raise one of `_UNFIT`."""
    if isinstance(model, TokenTagger):
        model.predict([["a"]])
        return
    outputs = 1 if isinstance(model, TextRegressor) else len(model.classes_)
    texts = ["a", "a"] if isinstance(model, PairEstimator) else ["a"]
    if model.model_.scores(texts).shape != (1, outputs):
        raise ValueError(f"expected {outputs} outputs")


def _classifier(config: Mapping[str, Any]) -> TextClassifier:
    parameters = dict(config["parameters"])
    if parameters["class_weight"] not in (None, "balanced"):
        parameters["class_weight"] = dict(parameters["class_weight"])
    pairs = config["kind"] == PAIR_CLASSIFIER
    model = PairClassifier(**parameters) if pairs else TextClassifier(**parameters)
    if not LABEL_TYPE.fullmatch(config["dtype"]):
        raise ValueError(f"unknown label type {config['dtype']!r:.40}")
    dtype = np.dtype(config["dtype"])
    if dtype.itemsize * len(config["classes"]) > _MOST_BYTES_OF_LABELS:
        raise ValueError(f"labels of {dtype.itemsize:,} bytes each")
    model.classes_ = np.array(config["classes"], dtype)
    model.temperature_ = float(config.get("temperature", 1.0))
    if not 0 < model.temperature_ < math.inf:
        raise ValueError(f"invalid temperature {model.temperature_}")
    model.thresholds_ = None
    if (thresholds := config.get("thresholds")) is not None:
        model.thresholds_ = np.array(thresholds, np.float64)
        if model.thresholds_.shape != model.classes_.shape or np.isnan(model.thresholds_).any():
            raise ValueError(f"invalid list of {len(model.thresholds_)} thresholds")
    return model


def _regressor(config: Mapping[str, Any]) -> TextRegressor:
    pairs = config["kind"] == PAIR_REGRESSOR
    model = (PairRegressor if pairs else TextRegressor)(**config["parameters"])
    model.mean_, model.scale_ = float(config["mean"]), float(config["scale"])
    if not (math.isfinite(model.mean_) and math.isfinite(model.scale_)):
        raise ValueError(f"invalid mean {model.mean_} or scale {model.scale_}")
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
