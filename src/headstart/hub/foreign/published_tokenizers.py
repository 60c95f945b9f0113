"""Tokenizers of published models: read from any of the usual files, written for `transformers`.

A `tokenizer.json` defines everything, except for what the settings beside it override. Older
folders only have vocabulary and merge files; the rest depends on the kind of model.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from headstart.errors import FormatError
from headstart.hub.foreign.trial import try_reading
from headstart.storage import read_json, write_json
from headstart.tokenize.batches import library_errors
from headstart.tokenize.subwords import SubwordTokenizer
from headstart.tokenize.words import UNKNOWN, read_tokenizer

TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
_WORD_PIECES = "vocab.txt"
_ADDED = "added_tokens.json"
_SPECIAL = "special_tokens_map.json"
_FLAGS = ("special", "normalized", "lstrip", "rstrip", "single_word")
_PAIRS = {
    "vocab.json": "merges.txt",
    "encoder.json": "vocab.bpe",
    "encoder_bpe_40000.json": "vocab_40000.bpe",
}
_BERT_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_BYTE_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>")
_UNK = "<unk>"
_WORD_END = "</w>"
_SPACE = "\u0120"  # in GPT-2's alphabet of bytes
_CLASSES = {  # classes of transformers that tokenize as we do
    f"{kind}Tokenizer{fast}"
    for kind in ("Bert", "DistilBert", "Electra", "MPNet", "Roberta", "GPT2", "OpenAIGPT")
    for fast in ("", "Fast")
} | {"PreTrainedTokenizerFast", "TokenizersBackend"}  # generic classes
_CASED_BY_SETTINGS = {"bert", "distilbert", "electra", "mpnet"}  # settings override their file
_SPACED_BY_SETTINGS = {"gpt2", "roberta"}
_ROLES = {
    "pad_token": "pad",
    "unk_token": "unknown",
    "cls_token": "cls",
    "sep_token": "sep",
    "mask_token": "mask",
    "bos_token": "end",
    "eos_token": "end",
}


def read_published(folder: Path, model_type: str, *, rows: int) -> SubwordTokenizer:
    """Load the tokenizer of a folder.

    Args:
        folder: A folder of a published model.
        model_type: Such as `bert`; it determines how vocabulary files are interpreted.
        rows: The model's number of token embeddings.

    Raises:
        FormatError: The tokenizer is missing or corrupted, its class is not supported without a
            `tokenizer.json`, or it has more tokens than the model has embeddings.
    """
    if (folder / TOKENIZER).is_file():
        place = folder / TOKENIZER
        tokenizer = _of_file(place, model_type)
    else:
        place = _find_pieces(folder, model_type)
        _check_class(folder)
        try_reading("pieces", place, model_type=model_type)
        tokenizer = _checked(place, model_type)
    if tokenizer.vocabulary_size > rows:
        raise FormatError(
            f"{place}: {tokenizer.vocabulary_size:,} tokens, but the model has only {rows:,} token "
            "embeddings; use the tokenizer of this model"
        )
    return tokenizer


def _find_pieces(folder: Path, model_type: str) -> Path:
    """Return the vocabulary file."""
    if model_type not in ("gpt2", "openai-gpt", "roberta") and (folder / _WORD_PIECES).is_file():
        return folder / _WORD_PIECES
    for pieces, merges in _PAIRS.items():
        if (folder / pieces).is_file() and (folder / merges).is_file():
            return folder / pieces
    if (folder / _WORD_PIECES).is_file():
        raise FormatError(
            f"{folder / _WORD_PIECES}: a {model_type!r} with WordPiece cannot be loaded from it; "
            f"save its tokenizer with transformers as {TOKENIZER}"
        )
    names = [TOKENIZER, _WORD_PIECES, *(" with ".join(pair) for pair in _PAIRS.items())]
    raise FormatError(f"{folder}: has no tokenizer; looked for {', '.join(names)}")


def _check_class(folder: Path) -> None:
    """Reject vocabulary files of a class that tokenizes differently from ours."""
    class_, place = _class_of(folder)
    if class_ is not None and class_ not in _CLASSES:
        raise FormatError(
            f"{place}: the tokenizer is a {class_}, which can only be loaded from {TOKENIZER}"
        )


def _class_of(folder: Path) -> tuple[str | None, Path]:
    """Return the tokenizer class that a folder names, or None, and the file that names it."""
    for name in (TOKENIZER_CONFIG, "config.json"):
        settings = read_json(folder / name) if (folder / name).is_file() else {}
        if isinstance(class_ := settings.get("tokenizer_class"), str):
            return class_, folder / name
    return None, folder


def _of_file(place: Path, model_type: str) -> SubwordTokenizer:
    """Load a `tokenizer.json`, and apply the settings beside it as `transformers` does."""
    try_reading("tokenizer", place)
    tokenizer = read_tokenizer(place)
    class_, _ = _class_of(place.parent)
    kind = (class_ or model_type).removesuffix("Fast").removesuffix("Tokenizer").lower()
    settings, normalizer = _tokenizer_settings(place.parent), tokenizer.normalizer
    if kind in _CASED_BY_SETTINGS and isinstance(normalizer, normalizers.BertNormalizer):
        if isinstance(lowercase := settings.get("do_lower_case"), bool):
            normalizer.lowercase = lowercase
        if isinstance(accents := settings.get("strip_accents", ...), bool | None):
            normalizer.strip_accents = accents
        if isinstance(chinese := settings.get("tokenize_chinese_chars"), bool):
            normalizer.handle_chinese_chars = chinese
    spaced = settings.get("add_prefix_space") if kind in _SPACED_BY_SETTINGS else None
    if isinstance(spaced, bool) and isinstance(
        splitter := tokenizer.pre_tokenizer, pre_tokenizers.ByteLevel
    ):
        splitter.add_prefix_space = spaced
    kept = tokenizer.get_added_tokens_decoder()
    added = _added_tokens(place.parent)
    if any(not token.special for identity, token in added.items() if identity not in kept):
        try_reading("pieces", place, model_type=model_type)
        _add_tokens(tokenizer, place.parent)
    return SubwordTokenizer.of(tokenizer, place)


def tokenizer_of_pieces(place: Path, model_type: str) -> tokenizers.Tokenizer:
    """Build a tokenizer from its vocabulary file and the files beside it.

    Raises:
        FormatError: A file is corrupted.
        Exception: The library rejects the vocabulary; it raises nothing more specific.
    """
    if place.name == TOKENIZER:
        tokenizer = read_tokenizer(place)
    elif place.name == _WORD_PIECES:
        tokenizer = _word_pieces(place)
    else:
        tokenizer = _byte_pairs(place, place.with_name(_PAIRS[place.name]), model_type)
    _add_tokens(tokenizer, place.parent)
    return tokenizer


def frame_of(tokenizer: tokenizers.Tokenizer) -> tuple[list[int], list[int], list[int]]:
    """Return the ids that a published tokenizer adds before, between and after texts."""
    with library_errors():
        bare = tokenizer.encode("a", add_special_tokens=False).ids
        whole, pair = tokenizer.encode("a").ids, tokenizer.encode("a", "a").ids
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            before, after = whole[:start], whole[start + len(bare) :]
            between = pair[len(before) + len(bare) : len(pair) - len(bare) - len(after)]
            return before, between, after
    return [], [], []


def numbers_segments(tokenizer: tokenizers.Tokenizer) -> bool:
    """Return whether a published tokenizer sets segment ids for the second text of a pair."""
    with library_errors():
        return any(tokenizer.encode("a", "a").type_ids)


def _checked(place: Path, model_type: str) -> SubwordTokenizer:
    """Build a tokenizer; if the library rejects it, name the file."""
    try:
        tokenizer = tokenizer_of_pieces(place, model_type)
    except FormatError:
        raise
    except Exception as error:  # noqa: BLE001 - the library raises nothing more specific
        raise FormatError(f"{place}: not a readable vocabulary: {error}") from None
    numbers = sorted(tokenizer.get_vocab().values())
    if not numbers or numbers != list(range(len(numbers))):
        raise FormatError(f"{place}: a token occurs twice, or ids have gaps")
    return SubwordTokenizer(tokenizer)


def _word_pieces(place: Path) -> tokenizers.Tokenizer:
    lines = place.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    pieces = {piece: number for number, piece in enumerate(lines)}
    if UNKNOWN not in pieces:
        raise FormatError(f"{place}: has no {UNKNOWN}; is it a WordPiece vocabulary?")
    settings = _tokenizer_settings(place.parent)
    lowercase = settings.get("do_lower_case")
    if not isinstance(lowercase, bool):
        lowercase = not any(p != p.lower() for p in pieces if not p.startswith("["))
    accents = settings.get("strip_accents")
    tokenizer = tokenizers.Tokenizer(models.WordPiece(pieces, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=lowercase,
        strip_accents=accents if isinstance(accents, bool) else None,
        handle_chinese_chars=settings.get("tokenize_chinese_chars") is not False,
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    _add_specials(tokenizer, _BERT_SPECIALS)
    return tokenizer


def _byte_pairs(vocabulary: Path, merges: Path, model_type: str) -> tokenizers.Tokenizer:
    pieces = read_json(vocabulary)
    lines = merges.read_text(encoding="utf-8").split("\n")
    pairs: list[Any] = [
        tuple(line.split(" "))
        for number, line in enumerate(lines)
        if line.strip() and not (number == 0 and line.startswith("#version"))
    ]
    if bad := [pair for pair in pairs if len(pair) != 2]:
        raise FormatError(f"{merges}: a merge must be two tokens, got {' '.join(bad[0])!r}")
    if model_type == "openai-gpt":
        return _words_of_letters(pieces, pairs)
    ends = any(second.endswith(_WORD_END) for _, second in pairs)
    if ends and not any(_SPACE in piece for piece in pieces):
        raise FormatError(
            f"{merges}: words end in {_WORD_END}, so this is not byte-level BPE; the only other "
            "BPE supported is GPT-1's"
        )
    tokenizer = tokenizers.Tokenizer(models.BPE(pieces, pairs))
    spaced = _tokenizer_settings(vocabulary.parent).get("add_prefix_space") is True
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=spaced)
    tokenizer.decoder = decoders.ByteLevel()
    _add_specials(tokenizer, _BYTE_SPECIALS)
    return tokenizer


def _words_of_letters(pieces: dict[str, int], pairs: list[Any]) -> tokenizers.Tokenizer:
    """Build GPT-1's tokenizer: lowercased words whose last token ends in `</w>`."""
    tokenizer = tokenizers.Tokenizer(
        models.BPE(pieces, pairs, unk_token=_UNK, end_of_word_suffix=_WORD_END)
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.BPEDecoder(suffix=_WORD_END)
    _add_specials(tokenizer, (_UNK,))
    return tokenizer


def _add_specials(tokenizer: tokenizers.Tokenizer, names: Collection[str]) -> None:
    known = tokenizer.get_vocab()
    tokenizer.add_special_tokens(
        [
            tokenizers.AddedToken(name, special=True, normalized=False, lstrip=name == "<mask>")
            for name in sorted(names, key=lambda name: known.get(name, 0))
            if name in known
        ]
    )


def _add_tokens(tokenizer: tokenizers.Tokenizer, folder: Path) -> None:
    """Add the tokens that were added after the vocabulary was learned, in the order of ids."""
    added = _added_tokens(folder)
    known = tokenizer.get_vocab()
    size = len(known)
    for identity, token in sorted(added.items()):
        if token.content not in known:
            known[token.content], size = size, size + 1
        if known[token.content] != identity:
            raise FormatError(
                f"{folder}: the added token {token.content!r:.60} should have id {identity}, but "
                f"would get id {known[token.content]}"
            )
    kept = tokenizer.get_added_tokens_decoder()  # the special tokens that are added already
    new = [token for identity, token in sorted(added.items()) if identity not in kept]
    for special, tokens in groupby(new, key=lambda token: token.special):
        add = tokenizer.add_special_tokens if special else tokenizer.add_tokens
        add(list(tokens))


def _added_tokens(folder: Path) -> dict[int, tokenizers.AddedToken]:
    """Return the tokens that a folder adds to its vocabulary, by id."""
    settings = _tokenizer_settings(folder)
    added: dict[int, tokenizers.AddedToken] = {}
    place, decoder = folder / TOKENIZER_CONFIG, settings.get("added_tokens_decoder")
    for identity, about in decoder.items() if isinstance(decoder, dict) else ():
        content = about.get("content") if isinstance(about, dict) else None
        if not (identity.isdecimal() and isinstance(content, str) and content):
            raise FormatError(f"{place}: {identity!r:.60} in 'added_tokens_decoder' is not a token")
        flags = {name: about.get(name) is True for name in _FLAGS}
        added[int(identity)] = tokenizers.AddedToken(content, **flags)
    place = folder / _ADDED
    if place.is_file():
        special = _special_names(folder)
        for name, number in read_json(place).items():
            if type(number) is not int or not name:
                raise FormatError(f"{place}: {name!r:.60} is not a token with an id")
            is_special = name in special
            token = tokenizers.AddedToken(name, special=is_special, normalized=not is_special)
            added.setdefault(number, token)
    return added


def _special_names(folder: Path) -> set[str]:
    """Return the special tokens in `special_tokens_map.json`: strings, objects, or lists."""
    path = folder / _SPECIAL
    values = list(read_json(path).values()) if path.is_file() else []
    for value in list(values):
        values += value if isinstance(value, list) else []
    named = [value.get("content") if isinstance(value, dict) else value for value in values]
    return {name for name in named if isinstance(name, str)}


def _tokenizer_settings(folder: Path) -> dict[str, Any]:
    path = folder / TOKENIZER_CONFIG
    return read_json(path) if path.is_file() else {}


class Framed:
    """A tokenizer whose saved file makes `transformers` add the same special tokens.

    Args:
        tokenizer: The tokenizer.
        before: Ids before a text.
        after: Ids after a text.
        between: Ids between the texts of a pair; `after` if None.
        segments: Whether the second text of a pair is a segment of its own.
    """

    def __init__(
        self,
        tokenizer: SubwordTokenizer,
        *,
        before: Sequence[int],
        after: Sequence[int],
        between: Sequence[int] | None = None,
        segments: bool = True,
    ) -> None:
        self.tokenizer = tokenizer
        self.before = list(before)
        self.after = list(after)
        self.between = list(after if between is None else between)
        self.second = int(segments)

    def save(self, path: str | Path) -> None:
        """Write `tokenizer.json`."""
        self.tokenizer.save(path)
        tokenizer = read_tokenizer(path)
        pieces = self.tokenizer.vocabulary

        def template(ids: Sequence[int], kind: int) -> list[str]:
            return [f"{pieces[identity]}:{kind}" for identity in ids]

        single = [*template(self.before, 0), "$A:0", *template(self.after, 0)]
        pair = [*template(self.before, 0), "$A:0", *template(self.between, 0)]
        pair += [f"$B:{self.second}", *template(self.after, self.second)]
        around = sorted({*self.before, *self.after, *self.between})
        tokenizer.post_processor = processors.TemplateProcessing(
            single=single,
            pair=pair,
            special_tokens=[(pieces[identity], identity) for identity in around],
        )
        parts = json.loads(tokenizer.to_str())
        byte_level = (parts.get("pre_tokenizer") or {}).get("type") == "ByteLevel"
        if byte_level:  # exclude the space from offsets, as transformers does
            own = parts["post_processor"]
            trim = {
                "type": "ByteLevel",
                "add_prefix_space": True,
                "trim_offsets": True,
                "use_regex": True,
            }
            parts["post_processor"] = {"type": "Sequence", "processors": [trim, own]}
        write_json(Path(path), parts)


def tokenizer_settings(
    tokenizer: SubwordTokenizer,
    *,
    max_tokens: int,
    pad: int | None,
    segments: bool = False,
) -> Mapping[str, Any]:
    """Return the `tokenizer_config.json` with which `transformers` produces the same ids.

    Args:
        tokenizer: The tokenizer.
        max_tokens: Maximum number of ids per text, special tokens included.
        pad: The padding id.
        segments: Whether the model needs segment ids.
    """
    pieces = tokenizer.vocabulary
    found = {role: getattr(tokenizer.specials, ours) for role, ours in _ROLES.items()}
    if pad is not None:
        found["pad_token"] = pad
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    normalizer = tokenizer.backend.normalizer
    bert = isinstance(normalizer, normalizers.BertNormalizer)
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_tokens,
        "padding_side": "right",
        "truncation_side": "right",
        "clean_up_tokenization_spaces": False,
        "model_input_names": inputs if segments else [inputs[0], inputs[2]],
        # `BertTokenizerFast` trusts this more than the file of the tokenizer.
        **({"strip_accents": normalizer.strip_accents} if bert else {}),
        **{role: pieces[identity] for role, identity in found.items() if identity is not None},
    }
