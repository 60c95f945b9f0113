"""Encoders that headstart has no class of its own for, run through `transformers`."""

import importlib.util
from pathlib import Path
from typing import Any

from headstart.errors import FormatError
from headstart.hub.bundle import (
    CONFIG,
    FORMAT,
    OURS,
    TOKENIZER,
    Pretrained,
)
from headstart.hub.foreign.published_tokenizers import (
    TOKENIZER_CONFIG,
    Framed,
    frame_of,
    numbers_segments,
    read_published,
    tokenizer_settings,
)
from headstart.hub.foreign.trial import try_reading
from headstart.hub.foreign.wrapped import TransformersEncoder, import_transformers, quiet
from headstart.storage import new_folder, numbered_disk_errors, read_json, write_json, write_text
from headstart.tokenize.pairs import Frame
from headstart.tokenize.subwords import SubwordTokenizer


class PretrainedTransformer(Pretrained):
    """An encoder that runs through the `transformers` library.

    `config` contains the special tokens' ids around a text, `before` and `after`, those `between`
    the texts of a pair, and the maximum sequence length, `positions`. `pair_segments` is present,
    and false, if the model has segment embeddings but its tokenizer sets no segment ids.
    """

    model: TransformersEncoder
    tokenizer: SubwordTokenizer
    computes_on_gpus = True

    @property
    def _segments(self) -> bool:
        return self.model.takes_segments and self.config.get("pair_segments", True)

    @property
    def frame(self) -> Frame:
        """The special tokens' ids around a text, and between the two texts of a pair."""
        return Frame(**{name: self.config[name] for name in ("before", "between", "after")})

    @property
    def _positions(self) -> int | None:
        positions: int | None = self.config["positions"]
        return positions

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Save the encoder as a folder that `transformers` can load too, atomically.

        Raises:
            ExistsError: The folder exists and `overwrite` is false.
            StorageError: The folder cannot be written.
        """
        folder = Path(folder)
        transformers = import_transformers(f"saving {self.name}")
        transformer: Any = self.model.transformer
        settings = tokenizer_settings(
            self.tokenizer,
            max_tokens=self.config["positions"] or 1 << 30,
            pad=self.tokenizer.specials.pad,
            segments=self._segments,
        )
        with new_folder(folder, overwrite=overwrite) as new:
            with quiet(transformers), numbered_disk_errors():
                transformer.save_pretrained(new)
            about = {"format": FORMAT, **self.about()}
            write_json(new / CONFIG, {**read_json(new / CONFIG), OURS: about})
            segments = self.config.get("pair_segments", True)
            Framed(self.tokenizer, **vars(self.frame), segments=segments).save(new / TOKENIZER)
            write_json(new / TOKENIZER_CONFIG, settings)
            write_text(new / "README.md", self.card(folder.name))
        return folder


def read_wrapped_tokenizer(
    folder: Path, model_type: str, *, rows: int
) -> tuple[SubwordTokenizer, dict[str, Any]]:
    """Return the tokenizer, and the ids it adds `before` and `after` a text and `between` two.

    `pair_segments` is whether it sets different segment ids for the texts of a pair.

    If the folder has no `tokenizer.json`, `transformers` may be able to build the tokenizer.

    Raises:
        FormatError: The tokenizer is missing, corrupted, or does not match the model.
    """
    if (folder / TOKENIZER).is_file():
        tokenizer = read_published(folder, model_type, rows=rows)
        return tokenizer, _named(tokenizer.backend)
    made, reason = _made_by_transformers(folder, rows)
    if made is not None:
        return SubwordTokenizer(made), _named(made)
    try:
        tokenizer = read_published(folder, model_type, rows=rows)
    except FormatError as error:
        raise FormatError(f"{error}; transformers: {reason}") from None
    cls, sep = tokenizer.specials.cls, tokenizer.specials.sep
    if cls is None or sep is None:
        return tokenizer, {"before": [], "between": [], "after": [], "pair_segments": True}
    frame = {"before": [cls], "between": [sep], "after": [sep]}
    return tokenizer, {**frame, "pair_segments": True}


def _made_by_transformers(folder: Path, rows: int) -> tuple[Any, str]:
    """Return the Rust tokenizer that `transformers` builds, or None and the reason.

    Raises:
        FormatError: It has only special tokens, as when its vocabulary file is missing.
    """
    transformers = import_transformers(f"{folder}: its tokenizer")
    try_reading("transformers", folder)
    with quiet(transformers):
        try:
            made = transformers.AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # noqa: BLE001 - our own reader may still succeed
            return None, _reason(folder, error)
    tokenizer = getattr(made, "backend_tokenizer", None)
    if tokenizer is None:
        return None, f"its {type(made).__name__} cannot be saved as a {TOKENIZER}"
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    if not any(_has_letters(piece) for piece in tokenizer.get_vocab() if piece not in special):
        others = set(made.vocab_files_names.values()) - {TOKENIZER, TOKENIZER_CONFIG}
        files = " or ".join(filter(None, (TOKENIZER, " with ".join(sorted(others, reverse=True)))))
        raise FormatError(
            f"{folder}: the tokenizer has only special tokens; a {type(made).__name__} needs "
            f"{files} in the folder"
        )
    if (size := tokenizer.get_vocab_size()) > rows:
        return None, f"{size:,} tokens, but the model has only {rows:,} token embeddings"
    return tokenizer, ""


def _has_letters(piece: str) -> bool:
    return any(map(str.isalnum, piece))


def _reason(folder: Path, error: Exception) -> str:
    """Return the first line of the error; add a hint if sentencepiece is needed and missing."""
    reason = (str(error).strip() or repr(error)).splitlines()[0].rstrip(".")
    models = sorted(folder.glob("*.model"))
    if models and importlib.util.find_spec("sentencepiece") is None:
        reason += f"; {models[0].name} needs sentencepiece: pip install sentencepiece"
    return reason


def _named(tokenizer: Any) -> dict[str, Any]:  # noqa: ANN401 - a Rust class
    before, between, after = frame_of(tokenizer)
    pair_segments = numbers_segments(tokenizer)
    return {
        "before": before, "between": between, "after": after, "pair_segments": pair_segments,
    }  # fmt: skip
