"""BERT and GPT with their tokenizers: what they read, what they guess, and how they are saved.

A saved folder is one that `transformers` reads, too, and gives the same numbers for.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from headstart.data.in_memory import as_text, as_texts
from headstart.errors import FormatError, SettingsError
from headstart.hub.bundle import Pretrained
from headstart.hub.foreign import bert, openai_gpt
from headstart.hub.foreign.published_tokenizers import (
    TOKENIZER_CONFIG,
    Framed,
    frame_of,
    numbers_segments,
    tokenizer_settings,
)
from headstart.models.bert import Bert
from headstart.models.gpt import Gpt, Sampling, generate
from headstart.models.interface import evaluating
from headstart.storage import fingerprint
from headstart.tokenize.batches import Encoded, inference_batches, pad
from headstart.tokenize.pairs import Frame
from headstart.tokenize.subwords import MASK, SubwordTokenizer

_BATCH_TOKENS = 4096


class PretrainedBert(Pretrained):
    """A BERT, or RoBERTa: ask what a hidden word is.

    `config` holds the sizes, `family` (`bert` or `roberta`) and `pooling`: what stands for a whole
    text, the state of [CLS] (`cls`) or the mean of all states (`mean`). Where a published tokenizer
    reads pairs as its family does not, `between` are the ids between their texts, and
    `pair_segments` is false if the second text is no segment of its own.
    """

    model: Bert
    tokenizer: SubwordTokenizer
    computes_on_gpus = True

    @classmethod
    def of(
        cls,
        model: Bert,
        tokenizer: SubwordTokenizer,
        *,
        lineage: Mapping[str, Any],
        family: bert.Family = "bert",
        pooling: str = "cls",
        settings: Mapping[str, Any] | None = None,
    ) -> Self:
        """Wrap a model with its tokenizer.

        Args:
            model: The encoder.
            tokenizer: Its tokenizer.
            lineage: Where it came from.
            family: Whose positions and names it is saved with.
            pooling: `cls` or `mean`.
            settings: More for `config`.

        Raises:
            FormatError: The tokenizer has no tokens that begin and end a text.
        """
        _frame(tokenizer)
        config = {**asdict(model.config), "family": family, "pooling": pooling, **(settings or {})}
        return cls("bert", model.eval(), tokenizer, config=config, lineage=lineage)

    @property
    def frame(self) -> Frame:
        """`[CLS]` and `[SEP]`; between two texts RoBERTa has two, or what its file says."""
        return _pair_frame(self.tokenizer, self.config)

    @property
    def _positions(self) -> int:
        return self.model.config.positions

    @property
    def _segments(self) -> bool:
        return _has_segments(self.model, self.config)

    def fill_mask(self, text: str, top: int = 5) -> list[tuple[str, float]]:
        """Return the likeliest word pieces at the mask, with their probabilities.

        Args:
            text: A text with one `[MASK]`, or what the tokenizer calls it.
            top: How many.

        Raises:
            DataError: It is no string.
            SettingsError: The text has no mask or several, is too long, or the model came without
                its head for masked tokens.
        """
        text = as_text(text, "the text")
        mask = self.tokenizer.specials.mask
        if mask is None:
            raise SettingsError("this encoder's tokenizer has no token for a mask")
        if type(top) is not int:
            raise SettingsError(f"top must be a whole number, got {top!r}")
        if top < 1:
            raise SettingsError(f"top must be 1 or more, got {top}")
        own = self.tokenizer.vocabulary[mask]
        parts = text.replace(MASK, own).split(own)
        if len(parts) != 2:
            raise SettingsError(
                f"fill_mask wants a text with one {MASK}; this text has {len(parts) - 1}"
            )
        left = parts[0].rstrip() if own == "<mask>" else parts[0]  # it brings its own space
        encoded = self.tokenizer.encode_batch([left, parts[1]])
        cls, sep = _frame(self.tokenizer)
        ids_BT = torch.tensor([[cls, *encoded[0].tolist(), mask, *encoded[1].tolist(), sep]])
        with torch.no_grad(), evaluating(self.model):
            top_layer_BTD = self.model.encode(ids_BT, torch.ones_like(ids_BT).bool())[-1]
            scores_V = self.model.token_scores(top_layer_BTD[:, 1 + len(encoded[0])])[0]
        best = scores_V[: len(self.tokenizer.vocabulary)].topk(
            min(top, len(self.tokenizer.vocabulary))
        )
        chances = (best.values - scores_V.logsumexp(0)).exp().tolist()
        names = [_piece(self.tokenizer, identity) for identity in best.indices.tolist()]
        return list(zip(names, chances, strict=True))

    def _parts(self) -> dict[str, Any]:
        return _portable(self)


class PretrainedGpt(Pretrained):
    """A GPT: let it go on with a text.

    `config` holds the sizes and `pooling`: `last`, the state of a text's last token.
    """

    model: Gpt
    tokenizer: SubwordTokenizer
    computes_on_gpus = True

    @classmethod
    def of(
        cls,
        model: Gpt,
        tokenizer: SubwordTokenizer,
        *,
        lineage: Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
    ) -> Self:
        """Wrap a model with its tokenizer.

        Args:
            model: The decoder.
            tokenizer: Its tokenizer.
            lineage: Where it came from.
            settings: More for `config`.
        """
        config = {**asdict(model.config), "pooling": "last", **(settings or {})}
        return cls("gpt", model.eval(), tokenizer, config=config, lineage=lineage)

    @cached_property
    def _cutting(self) -> str:
        """The hash of how texts are cut, without what a saved file says stands around them."""
        parts = json.loads(self.tokenizer.as_json())
        return fingerprint({**parts, "post_processor": None})

    @property
    def _start(self) -> list[int]:
        end = self.tokenizer.specials.end
        return [] if end is None else [end]

    @property
    def frame(self) -> Frame:
        """The token that ends a text, before each; GPT-1 has none, and padding between a pair's."""
        between = self._start or [openai_gpt.padding_id(self.tokenizer.specials) or 0]
        return Frame(before=self._start, between=between, after=())

    @property
    def _positions(self) -> int:
        return self.model.config.positions

    def inputs(self, texts: Sequence[str] | Encoded, max_tokens: int) -> tuple[Encoded, int]:
        """Return texts in their frame, as `Pretrained.inputs`; an empty one of GPT-1 is padding."""
        encoded, cut = super().inputs(texts, max_tokens)
        if not encoded.lengths.all():
            ids = [encoded[row].tolist() or self.frame.between for row in range(len(encoded))]
            encoded = Encoded.from_lists(ids)
        return encoded, cut

    def generate(
        self,
        prompt: str | Sequence[str],
        *,
        max_new_tokens: int = 40,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        stop: str | Sequence[str] | None = None,
        seed: int = 0,
    ) -> str | list[str]:
        """Go on with a text, or with several at once; return what was added.

        Args:
            prompt: The text or texts.
            max_new_tokens: Tokens to add at most; fewer where the model ends a text itself.
            temperature: Lower is safer, higher is bolder; at 0 the likeliest token is taken.
            top_k: Draw from so many of the likeliest tokens only.
            top_p: Draw from the likeliest tokens that make up this probability only.
            stop: A text ends before any of these.
            seed: Decides what is drawn.

        Raises:
            SettingsError: A prompt is empty or too long, or a setting is impossible.
        """
        if type(max_new_tokens) is not int or max_new_tokens < 1:
            raise SettingsError(
                f"max_new_tokens must be a whole number above 0, got {max_new_tokens!r}"
            )
        if type(seed) is not int:
            raise SettingsError(f"seed must be a whole number, got {seed!r}")
        sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p)
        prompts, stops = _texts("prompt", prompt), _texts("stop", stop or ())
        if not all(stops):
            raise SettingsError("an empty stop would end every text before it begins")
        encoded = self.tokenizer.encode_batch(prompts)
        if not prompts or not encoded.lengths.all():
            raise SettingsError("a prompt is empty; give it at least one token")
        starts = [encoded[row].tolist() for row in range(len(prompts))]
        steps = generate(
            self.model,
            [self._start + start for start in starts],
            max_new_tokens=max_new_tokens,
            sampling=sampling,
            generator=torch.Generator().manual_seed(seed % 2**64),
        )
        added = self._collect(starts, steps, stops)
        return added[0] if isinstance(prompt, str) else added

    def _collect(
        self, starts: list[list[int]], steps: Iterator[Tensor], stops: Sequence[str]
    ) -> list[str]:
        """Gather each text's new tokens until it ends; stop all once every text has."""
        end = self.tokenizer.specials.end
        new: list[list[int]] = [[] for _ in starts]
        done: dict[int, str] = {}
        with torch.no_grad():
            for chosen_B in steps:
                for row, identity in enumerate(chosen_B.tolist()):
                    if row in done:
                        continue
                    if identity != end:
                        new[row].append(identity)
                    text = self._added(starts[row], new[row]) if stops or identity == end else ""
                    places = [at for word in stops if (at := text.find(word)) >= 0]
                    if places or identity == end:
                        done[row] = text[: min(places, default=len(text))]
                if len(done) == len(starts):
                    break
        return [
            done[row] if row in done else self._added(start, new[row])
            for row, start in enumerate(starts)
        ]

    def _added(self, start: list[int], new: list[int]) -> str:
        """Return the text of the new tokens; a space between old and new belongs to them."""
        whole, before = self.tokenizer.decode(start + new), self.tokenizer.decode(start)
        return whole[len(before) :] if whole.startswith(before) else self.tokenizer.decode(new)

    def perplexity(self, texts: Sequence[str]) -> float:
        """Return the exponential of the mean negative log-likelihood of a token.

        Of GPT-1, which has no token to begin with, each text's first token is not counted. What is
        longer than the model's positions is cut.

        Raises:
            DataError: The texts are no list of strings.
            SettingsError: They hold no token to predict.
        """
        encoded, _ = self.inputs(as_texts(texts), self.model.config.positions)
        total, count = 0.0, 0
        for rows in inference_batches(encoded.lengths, max_tokens=_BATCH_TOKENS):
            ids_BT, mask_BT = (torch.from_numpy(array) for array in pad(encoded, rows))
            with torch.no_grad(), evaluating(self.model):
                states_BTD = self.model.encode(ids_BT, mask_BT)[-1]
                wanted = mask_BT[:, 1:]
                scores_NV = self.model.token_scores(states_BTD[:, :-1][wanted])
            next_N = ids_BT[:, 1:][wanted].to(scores_NV.device)
            total += float(F.cross_entropy(scores_NV, next_N, reduction="sum"))
            count += int(wanted.sum())
        if not count:
            raise SettingsError("these texts hold no token to predict")
        return math.exp(total / count)

    def _parts(self) -> dict[str, Any]:
        return _portable(self)


def portable_tokenizer(
    model: Bert | Gpt,
    tokenizer: SubwordTokenizer,
    *,
    config: Mapping[str, Any] | None = None,
    max_tokens: int | None = None,
) -> tuple[Framed, dict[str, Mapping[str, Any]]]:
    """Return what writes `tokenizer.json`, and the JSON files to write beside it.

    With them `AutoTokenizer` gives the ids that `inputs` gives.

    Args:
        model: The encoder.
        tokenizer: Its tokenizer.
        config: What `Pretrained.config` says; of a BERT, how it reads pairs.
        max_tokens: Ids of a text, special tokens included; all of the model's positions if None.
    """
    config = config or {}
    positions = model.config.positions
    specials = tokenizer.specials
    if isinstance(model, Gpt):
        start = [] if specials.end is None else [specials.end]
        framed = Framed(tokenizer, before=start, after=[], between=start)
        padding = openai_gpt.padding_id(specials)
        segments = False
    else:
        frame = _pair_frame(tokenizer, config)
        framed = Framed(
            tokenizer,
            before=frame.before,
            after=frame.after,
            between=frame.between,
            segments=config.get("pair_segments", True),
        )
        padding, segments = specials.pad, _has_segments(model, config)
    settings = tokenizer_settings(
        tokenizer,
        max_tokens=min(positions, max_tokens or positions),
        pad=padding,
        segments=segments,
    )
    return framed, {TOKENIZER_CONFIG: settings}


def to_transformers(
    model: Bert | Gpt,
    tokenizer: SubwordTokenizer,
    *,
    family: bert.Family = "bert",
    classifier: tuple[Tensor, Tensor | None] | None = None,
    classes: Sequence[str] = (),
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the `config.json` and the tensors with which `transformers` gives the same logits.

    Args:
        model: The encoder.
        tokenizer: Its tokenizer.
        family: Whether a `Bert` is saved as BERT or RoBERTa.
        classifier: Weight `[C, D]` and bias `[C]` on `model.pool` of [CLS], or on GPT's last state;
            on GPT it has no bias: None, or zeros.
        classes: The names of the C classes.

    Raises:
        SettingsError: `transformers` has no such model.
    """
    if isinstance(model, Gpt):
        return openai_gpt.to_transformers(
            model, specials=tokenizer.specials, classifier=classifier, classes=classes
        )
    return bert.to_transformers(
        model, specials=tokenizer.specials, family=family, classifier=classifier, classes=classes
    )


def classifier_from_transformers(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, place: str
) -> tuple[Bert | Gpt, tuple[Tensor, Tensor]]:
    """Return the encoder and the classifier on it; undoes `to_transformers`.

    Args:
        config: The `config.json` of `transformers`.
        tensors: The weights, under the names that it has for them.
        place: The folder, for errors.

    Raises:
        FormatError: Configuration and tensors do not fit one another, or there is no classifier.
        TransferError: No tensor belongs to the model.
    """
    model: Bert | Gpt
    if openai_gpt.family_of(config) is not None:
        model, classifier, _ = openai_gpt.classifier_from_transformers(config, tensors, place=place)
    elif bert.family_of(config) is not None:
        model, classifier, _ = bert.classifier_from_transformers(config, tensors, place=place)
    else:
        raise FormatError(f"{place}: {config.get('model_type')!r} is neither BERT nor GPT")
    return model, classifier


def _portable(encoder: PretrainedBert | PretrainedGpt) -> dict[str, Any]:
    """Return what `write_folder` takes to save an encoder so that `transformers` reads it, too."""
    family = encoder.config.get("family", "bert")
    config, tensors = to_transformers(encoder.model, encoder.tokenizer, family=family)
    tokenizer, files = portable_tokenizer(encoder.model, encoder.tokenizer, config=encoder.config)
    return {"tensors": tensors, "tokenizer": tokenizer, "transformers": config, "files": files}


def _frame(tokenizer: SubwordTokenizer) -> tuple[int, int]:
    """Return the ids that begin and end a text."""
    cls, sep = tokenizer.specials.cls, tokenizer.specials.sep
    if cls is None or sep is None:
        raise FormatError("the tokenizer of a BERT needs [CLS] and [SEP], or <s> and </s>")
    return cls, sep


def told_of_pairs(model: Bert, tokenizer: SubwordTokenizer, family: bert.Family) -> dict[str, Any]:
    """Return what a published tokenizer says of pairs that its family's usual one does not.

    Args:
        model: The encoder.
        tokenizer: Its tokenizer; one made of lists of pieces says nothing.
        family: Whose tokenizer it should be.

    Raises:
        FormatError: The tokenizer has no tokens that begin and end a text.
    """
    before, between, after = frame_of(tokenizer.backend)
    usual = _pair_frame(tokenizer, {"family": family})
    if (before, after) != (usual.before, usual.after):
        return {}
    told: dict[str, Any] = {} if between == usual.between else {"between": between}
    if model.config.segments > 1 and not numbers_segments(tokenizer.backend):
        told["pair_segments"] = False
    return told


def _pair_frame(tokenizer: SubwordTokenizer, config: Mapping[str, Any]) -> Frame:
    cls, sep = _frame(tokenizer)
    usual = [sep, sep] if config.get("family") == "roberta" else [sep]
    return Frame(before=[cls], between=config.get("between", usual), after=[sep])


def _has_segments(model: Bert, config: Mapping[str, Any]) -> bool:
    return model.config.segments > 1 and config.get("pair_segments", True)


def _texts(what: str, given: str | Sequence[str]) -> list[str]:
    """Return a text, or several, as a list of such as can be read."""
    try:
        texts = [given] if isinstance(given, str) else list(given)
        for text in texts:
            text.encode()
    except (TypeError, AttributeError):
        raise SettingsError(f"{what} must be a string, or a list of them") from None
    except UnicodeEncodeError:
        raise SettingsError(f"{what} holds half of a surrogate pair; mend or drop it") from None
    return texts


def _piece(tokenizer: SubwordTokenizer, identity: int) -> str:
    return tokenizer.decode([identity]).strip() or tokenizer.vocabulary[identity]
