"""Tokenizers of published models: read from any of the usual files, written for `transformers`.

A `tokenizer.json` says everything, but for what the settings beside it change. Older folders have
lists of pieces and merges only, and the rest is known by the kind of model.
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
_SPACE = "\u0120"  # as GPT-2's alphabet of bytes writes it
_CLASSES = {  # of transformers, whose pieces are cut as we cut them
    f"{kind}Tokenizer{fast}"
    for kind in ("Bert", "DistilBert", "Electra", "MPNet", "Roberta", "GPT2", "OpenAIGPT")
    for fast in ("", "Fast")
} | {"PreTrainedTokenizerFast", "TokenizersBackend"}  # which say nothing of how
_CASED_BY_SETTINGS = {"bert", "distilbert", "electra", "mpnet"}  # whatever their file says
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
    """Read the tokenizer of a folder.

    Args:
        folder: A folder of a published model.
        model_type: Such as `bert`; it decides how lists of pieces are meant.
        rows: How many embeddings the model has.

    Raises:
        FormatError: There is none, it is damaged, is of a class whose lists of pieces are not
            read, or has more pieces than the model embeddings.
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
            f"{place}: {tokenizer.vocabulary_size:,} pieces, but the model has embeddings for "
            f"{rows:,}; they do not belong together"
        )
    return tokenizer


def _find_pieces(folder: Path, model_type: str) -> Path:
    """Return the file that lists the pieces."""
    if model_type not in ("gpt2", "openai-gpt", "roberta") and (folder / _WORD_PIECES).is_file():
        return folder / _WORD_PIECES
    for pieces, merges in _PAIRS.items():
        if (folder / pieces).is_file() and (folder / merges).is_file():
            return folder / pieces
    if (folder / _WORD_PIECES).is_file():
        raise FormatError(
            f"{folder / _WORD_PIECES}: a {model_type!r} with word pieces is not read from it; save "
            f"its tokenizer with transformers as {TOKENIZER}"
        )
    names = [TOKENIZER, _WORD_PIECES, *(" with ".join(pair) for pair in _PAIRS.items())]
    raise FormatError(f"{folder}: has no tokenizer; looked for {', '.join(names)}")


def _check_class(folder: Path) -> None:
    """Refuse lists of pieces of a tokenizer that cuts in another way than we would."""
    class_, place = _class_of(folder)
    if class_ is not None and class_ not in _CLASSES:
        raise FormatError(
            f"{place}: the tokenizer is a {class_}, which is read from {TOKENIZER} only"
        )


def _class_of(folder: Path) -> tuple[str | None, Path]:
    """Return the class of `transformers` that a folder names, and where; None if it names none."""
    for name in (TOKENIZER_CONFIG, "config.json"):
        settings = read_json(folder / name) if (folder / name).is_file() else {}
        if isinstance(class_ := settings.get("tokenizer_class"), str):
            return class_, folder / name
    return None, folder


def _of_file(place: Path, model_type: str) -> SubwordTokenizer:
    """Read a `tokenizer.json`, with what `transformers` changes by the settings beside it."""
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
    """Make a tokenizer of the file that lists its pieces, and of those beside it.

    Raises:
        FormatError: It is damaged.
        Exception: The library refuses the pieces; it raises nothing narrower.
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
    """Return the ids that a tokenizer of others puts before a text, between two, and after one."""
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
    """Return whether a tokenizer of others says which tokens are a pair's second text."""
    with library_errors():
        return any(tokenizer.encode("a", "a").type_ids)


def _checked(place: Path, model_type: str) -> SubwordTokenizer:
    """Make a tokenizer; what the library says of bad pieces names the file."""
    try:
        tokenizer = tokenizer_of_pieces(place, model_type)
    except FormatError:
        raise
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        raise FormatError(f"{place}: not a readable vocabulary: {error}") from None
    numbers = sorted(tokenizer.get_vocab().values())
    if not numbers or numbers != list(range(len(numbers))):
        raise FormatError(f"{place}: a piece occurs twice, or numbers have gaps")
    return SubwordTokenizer(tokenizer)


def _word_pieces(place: Path) -> tokenizers.Tokenizer:
    lines = place.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    pieces = {piece: number for number, piece in enumerate(lines)}
    if UNKNOWN not in pieces:
        raise FormatError(f"{place}: has no {UNKNOWN}; is it a list of word pieces?")
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
        raise FormatError(f"{merges}: a merge is two pieces, not {' '.join(bad[0])!r}")
    if model_type == "openai-gpt":
        return _words_of_letters(pieces, pairs)
    ends = any(second.endswith(_WORD_END) for _, second in pairs)
    if ends and not any(_SPACE in piece for piece in pieces):
        raise FormatError(
            f"{merges}: its words end in {_WORD_END}, so that it is no byte-level BPE; that of "
            "another kind than GPT-1's is not read"
        )
    tokenizer = tokenizers.Tokenizer(models.BPE(pieces, pairs))
    spaced = _tokenizer_settings(vocabulary.parent).get("add_prefix_space") is True
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=spaced)
    tokenizer.decoder = decoders.ByteLevel()
    _add_specials(tokenizer, _BYTE_SPECIALS)
    return tokenizer


def _words_of_letters(pieces: dict[str, int], pairs: list[Any]) -> tokenizers.Tokenizer:
    """GPT-1's: lower-cased words whose last piece ends in `</w>`."""
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
    """Add what was added to a tokenizer after its pieces were learned, in the order of the ids."""
    added = _added_tokens(folder)
    known = tokenizer.get_vocab()
    size = len(known)
    for identity, token in sorted(added.items()):
        if token.content not in known:
            known[token.content], size = size, size + 1
        if known[token.content] != identity:
            raise FormatError(
                f"{folder}: the added token {token.content!r:.60} has the number {identity}, and "
                f"would be number {known[token.content]} of the pieces"
            )
    kept = tokenizer.get_added_tokens_decoder()  # the special tokens that every such list has
    new = [token for identity, token in sorted(added.items()) if identity not in kept]
    for special, tokens in groupby(new, key=lambda token: token.special):
        add = tokenizer.add_special_tokens if special else tokenizer.add_tokens
        add(list(tokens))


def _added_tokens(folder: Path) -> dict[int, tokenizers.AddedToken]:
    """Return the tokens that a folder of lists of pieces adds to them, by their ids."""
    settings = _tokenizer_settings(folder)
    added: dict[int, tokenizers.AddedToken] = {}
    place, decoder = folder / TOKENIZER_CONFIG, settings.get("added_tokens_decoder")
    for identity, about in decoder.items() if isinstance(decoder, dict) else ():
        content = about.get("content") if isinstance(about, dict) else None
        if not (identity.isdecimal() and isinstance(content, str) and content):
            raise FormatError(f"{place}: {identity!r:.60} of 'added_tokens_decoder' is no token")
        flags = {name: about.get(name) is True for name in _FLAGS}
        added[int(identity)] = tokenizers.AddedToken(content, **flags)
    place = folder / _ADDED
    if place.is_file():
        special = _special_names(folder)
        for name, number in read_json(place).items():
            if type(number) is not int or not name:
                raise FormatError(f"{place}: {name!r:.60} is no token with its number")
            is_special = name in special
            token = tokenizers.AddedToken(name, special=is_special, normalized=not is_special)
            added.setdefault(number, token)
    return added


def _special_names(folder: Path) -> set[str]:
    """Return the special tokens that `special_tokens_map.json` names: texts, tables, and lists."""
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
    """A tokenizer that is saved so that `transformers` puts the same tokens around a text.

    Args:
        tokenizer: The tokenizer.
        before: Ids that begin a text.
        after: Ids that end it.
        between: Ids between the texts of a pair, where they are more than `after`.
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
        if byte_level:  # spans of bytes then begin after the space, as those of transformers do
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
    """Return the `tokenizer_config.json` with which `transformers` gives the same ids.

    Args:
        tokenizer: The tokenizer.
        max_tokens: The longest text, special tokens included.
        pad: The id that fills rows up.
        segments: Whether the model wants the segment of each token.
    """
    pieces = tokenizer.vocabulary
    found = {role: getattr(tokenizer.specials, ours) for role, ours in _ROLES.items()}
    if pad is not None:
        found["pad_token"] = pad
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_tokens,
        "padding_side": "right",
        "truncation_side": "right",
        "clean_up_tokenization_spaces": False,
        "model_input_names": inputs if segments else [inputs[0], inputs[2]],
        **{role: pieces[identity] for role, identity in found.items() if identity is not None},
    }
