"""Load an encoder from a folder that `transformers` can read, whoever saved it.

The folder's `model_type` determines the class. A folder saved by headstart has a field of its own
with further data.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.errors import FormatError
from headstart.hub.bundle import FORMAT, OURS, Pretrained
from headstart.hub.foreign import bert, openai_gpt
from headstart.hub.foreign.huggingface import CONFIG, read_config, read_weights
from headstart.hub.foreign.published_tokenizers import read_published
from headstart.hub.foreign.sentence_folders import left_out, read_pooling
from headstart.hub.foreign.tensor_names import Report
from headstart.hub.foreign.wrapped import TransformersEncoder, load_wrapped, reads_sparsely
from headstart.hub.language_models import PretrainedBert, PretrainedGpt, told_of_pairs
from headstart.hub.wrapped_models import PretrainedTransformer, read_wrapped_tokenizer
from headstart.models.interface import Pooling
from headstart.progress import SILENT, Progress
from headstart.storage import MANIFEST, check_manifest

_KINDS = ("bert", "gpt", "hf")


def load_published(
    folder: Path, *, lineage: Mapping[str, Any], progress: Progress = SILENT
) -> Pretrained:
    """Load the encoder of a folder that has a `config.json` of `transformers`.

    Args:
        folder: The folder.
        lineage: Where it came from. A folder saved by headstart has its own lineage, used instead.
        progress: Receives progress updates.

    Raises:
        FormatError: A file is missing or corrupted, the parts do not match, or nothing in the
            weight files belongs to the model.
        MissingExtraError: headstart has no class for it, and `transformers` is not installed.
    """
    config = read_config(folder)
    about = _about(folder, config)
    with progress.stage(f"reading {folder.name}"):
        encoder, report = _read(folder, config)
    if about is not None:
        encoder.config, encoder.lineage = dict(about["config"]), dict(about["lineage"])
        return encoder
    encoder.lineage = {
        **lineage,
        "format": f"transformers {config['model_type']}",
        "loaded": report.as_dict(),
    }
    if report.missing or report.unexpected:
        progress.note(f"{folder.name}: {report}")
    if notes := _notes(folder, config, encoder.config["positions"]):
        encoder.lineage["notes"] = notes
    for note in notes:
        progress.note(f"{folder.name}: {note}")
    return encoder


def _notes(folder: Path, config: Mapping[str, Any], positions: int | None) -> list[str]:
    """Return how headstart uses the encoder differently from its publishers."""
    notes = left_out(folder, positions)
    if reads_sparsely(config):
        notes.append("attends to all tokens, although its configuration says block_sparse")
    return notes


def _read(folder: Path, config: Mapping[str, Any]) -> tuple[Pretrained, Report]:
    kind, place = config["model_type"], str(folder)
    if (bert_family := bert.family_of(config)) is not None:
        bert.read_config(config, place=str(folder / CONFIG))  # fail before reading the weights
        model, report = bert.from_transformers(config, read_weights(folder), place=place)
        tokenizer = read_published(folder, kind, rows=model.config.vocabulary_size)
        pooling = read_pooling(folder) or "cls"
        try:
            told = told_of_pairs(model, tokenizer, bert_family)
            about: dict[str, Any] = {"family": bert_family, "pooling": pooling, "settings": told}
            return PretrainedBert.of(model, tokenizer, lineage={}, **about), report
        except FormatError as error:
            raise FormatError(f"{folder}: {error}") from None
    if openai_gpt.family_of(config) is not None:
        openai_gpt.read_config(config, place=str(folder / CONFIG))
        decoder, report = openai_gpt.from_transformers(config, read_weights(folder), place=place)
        tokenizer = read_published(folder, kind, rows=decoder.config.vocabulary_size)
        tokenizer = tokenizer.ending_in(config.get("eos_token_id"))
        return PretrainedGpt.of(decoder, tokenizer, lineage={}), report
    wrapped, report = load_wrapped(folder, config)
    tokenizer, frame = read_wrapped_tokenizer(folder, kind, rows=wrapped.rows)
    if frame["pair_segments"] or not wrapped.takes_segments:
        del frame["pair_segments"]
    about = {
        "model_type": kind,
        "vocabulary_size": wrapped.rows,
        "width": wrapped.width,
        "layers": len(wrapped.layer_groups()) - 1,
        "positions": wrapped.positions,
        "pooling": read_pooling(folder) or _pooling(wrapped, frame),
        **frame,
    }
    return PretrainedTransformer("hf", wrapped, tokenizer, config=about, lineage={}), report


def _pooling(encoder: TransformersEncoder, frame: Mapping[str, Any]) -> Pooling:
    """Return the default pooling; for a decoder, the same as for our GPT."""
    if encoder.is_causal:
        return "last"
    return "cls" if frame["before"] else "mean"


def _about(folder: Path, config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Check and return headstart's data in a folder; None if headstart was not the last writer."""
    about = config.get(OURS)
    if not isinstance(about, dict) or not (folder / MANIFEST).is_file():
        return None
    check_manifest(folder)
    if about.get("format") != FORMAT:
        raise FormatError(f"{folder / CONFIG}: format {about.get('format')!r}, expected {FORMAT}")
    kind = about.get("kind")
    if kind not in _KINDS:
        hint = "; load it with headstart.load" if str(kind).endswith("classifier") else ""
        raise FormatError(f"{folder}: contains a {kind!r}, which is not an encoder{hint}")
    for name in ("config", "lineage"):
        if not isinstance(about.get(name), dict):
            raise FormatError(f"{folder / CONFIG}: {name!r} is missing")
    return about
