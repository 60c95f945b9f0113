"""BERT and GPT with their tokenizers: model input, predictions, and saving.

`transformers` can also load a saved folder, and computes the same outputs.
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
from headstart.devices import torch_defaults
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
from headstart.settings import plain_arguments, whole_number
from headstart.storage import fingerprint
from headstart.tokenize.batches import Encoded, inference_batches, pad
from headstart.tokenize.pairs import Frame
from headstart.tokenize.subwords import MASK, SubwordTokenizer

_BATCH_TOKENS = 4096


class PretrainedBert(Pretrained):
    """A BERT or RoBERTa; predicts masked tokens.

    `config` contains the sizes, `family` (`bert` or `roberta`) and `pooling`: a text's vector is
    the hidden state of [CLS] (`cls`) or the mean of all hidden states (`mean`). Two fields are set
    if a published tokenizer encodes pairs differently from its family: `between`, the ids between
    the two texts, and `pair_segments`, false if the second text is not a segment of its own.
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
        """Combine a model with its tokenizer.

        Args:
            model: The encoder.
            tokenizer: Its tokenizer.
            lineage: Where it came from.
            family: The family whose positions and tensor names it is saved with.
            pooling: `cls` or `mean`.
            settings: Further entries of `config`.

        Raises:
            FormatError: The tokenizer has no [CLS] or no [SEP] token.
        """
        _frame(tokenizer)
        config = {**asdict(model.config), "family": family, "pooling": pooling, **(settings or {})}
        return cls("bert", model.eval(), tokenizer, config=config, lineage=lineage)

    @property
    def frame(self) -> Frame:
        """`[CLS]` and `[SEP]`; between the texts of a pair, RoBERTa has two `[SEP]`.

        A published tokenizer may define other ids between them.
        """
        return _pair_frame(self.tokenizer, self.config)

    @property
    def _positions(self) -> int:
        return self.model.config.positions

    @property
    def _segments(self) -> bool:
        return _has_segments(self.model, self.config)

    @torch_defaults()
    @plain_arguments
    def fill_mask(self, text: str, top: int = 5) -> list[tuple[str, float]]:
        """Return the most probable subwords at the mask, with their probabilities.

        Args:
            text: A text with exactly one `[MASK]`, or the tokenizer's own mask token.
            top: Number of predictions.

        Returns:
            Pairs of subword and probability, most probable first.

        Raises:
            DataError: The text is not a string.
            SettingsError: The text has no mask or several, is too long, or the model has no
                masked-token head.
        """
        text = as_text(text, "the text")
        mask = self.tokenizer.specials.mask
        if mask is None:
            raise SettingsError("this encoder's tokenizer has no mask token")
        if whole_number("top", top) < 1:
            raise SettingsError(f"top must be 1 or more, got {top}")
        own = self.tokenizer.vocabulary[mask]
        parts = text.replace(MASK, own).split(own)
        if len(parts) != 2:
            raise SettingsError(
                f"fill_mask needs a text with one {MASK}; this text has {len(parts) - 1}"
            )
        left = parts[0].rstrip() if own == "<mask>" else parts[0]  # <mask> includes the space
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
    """A GPT; continues texts.

    `config` contains the sizes and `pooling`, which is `last`: a text's vector is the hidden state
    of its last token.
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
        """Combine a model with its tokenizer.

        Args:
            model: The decoder.
            tokenizer: Its tokenizer.
            lineage: Where it came from.
            settings: Further entries of `config`.
        """
        config = {**asdict(model.config), "pooling": "last", **(settings or {})}
        return cls("gpt", model.eval(), tokenizer, config=config, lineage=lineage)

    @cached_property
    def _cutting(self) -> str:
        """Hash of the tokenizer without its post-processor, which a saved file may add."""
        parts = json.loads(self.tokenizer.as_json())
        return fingerprint({**parts, "post_processor": None})

    @property
    def _start(self) -> list[int]:
        end = self.tokenizer.specials.end
        return [] if end is None else [end]

    @property
    def frame(self) -> Frame:
        """The end-of-text token before each text; GPT-1 has none, so pairs are split by padding."""
        between = self._start or [openai_gpt.padding_id(self.tokenizer.specials) or 0]
        return Frame(before=self._start, between=between, after=())

    @property
    def _positions(self) -> int:
        return self.model.config.positions

    def inputs(self, texts: Sequence[str] | Encoded, max_tokens: int) -> tuple[Encoded, int]:
        """Return texts as model input; an empty text becomes padding for GPT-1."""
        encoded, cut = super().inputs(texts, max_tokens)
        if not encoded.lengths.all():
            ids = [encoded[row].tolist() or self.frame.between for row in range(len(encoded))]
            encoded = Encoded.from_lists(ids)
        return encoded, cut

    @torch_defaults()
    @plain_arguments
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
        """Continue a text, or several at once, and return only the new text.

        Args:
            prompt: A text, or a list of texts.
            max_new_tokens: Maximum number of tokens to generate; fewer if the model ends the text.
            temperature: Sampling temperature; 0 takes the most probable token (greedy decoding).
            top_k: Sample only from the `top_k` most probable tokens.
            top_p: Sample only from the most probable tokens whose probabilities sum to `top_p`.
            stop: A string, or several. A text ends before the first occurrence of any of them.
            seed: Seed of the sampling.

        Returns:
            A string for one prompt, a list of strings for a list.

        Raises:
            SettingsError: A prompt is empty or too long, or a setting is invalid.
        """
        if type(max_new_tokens) is not int or max_new_tokens < 1:
            raise SettingsError(
                f"max_new_tokens must be a whole number above 0, got {max_new_tokens!r}"
            )
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
            generator=torch.Generator().manual_seed(whole_number("seed", seed) % 2**64),
        )
        added = self._collect(starts, steps, stops)
        return added[0] if isinstance(prompt, str) else added

    def _collect(
        self, starts: list[list[int]], steps: Iterator[Tensor], stops: Sequence[str]
    ) -> list[str]:
        """Collect each text's new tokens until every text has ended."""
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
        """Return the text of the new tokens, including a space before them."""
        whole, before = self.tokenizer.decode(start + new), self.tokenizer.decode(start)
        return whole[len(before) :] if whole.startswith(before) else self.tokenizer.decode(new)

    @torch_defaults()
    def perplexity(self, texts: Sequence[str]) -> float:
        """Return the perplexity: the exponential of the mean negative log-likelihood per token.

        GPT-1 has no start token, so the first token of each text is not counted. Texts longer than
        the model's maximum sequence length are truncated.

        Raises:
            DataError: `texts` is not a list of strings.
            SettingsError: The texts contain no token to predict.
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
            raise SettingsError("these texts contain no token to predict")
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
    """Return the object that writes `tokenizer.json`, and the JSON files to write beside it.

    From these files, `AutoTokenizer` produces the same ids as `inputs`.

    Args:
        model: The encoder.
        tokenizer: Its tokenizer.
        config: The `Pretrained.config`; it defines how a BERT encodes pairs.
        max_tokens: Maximum number of ids per text, special tokens included; None means the model's
            maximum sequence length.
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
    """Return `config.json` and tensors from which `transformers` computes the same logits.

    Args:
        model: The encoder.
        tokenizer: Its tokenizer.
        family: Whether a `Bert` is saved as BERT or RoBERTa.
        classifier: Weight `[C, D]` and bias `[C]` on `model.pool` of [CLS], or on GPT's last hidden
            state. For GPT, the bias must be None or zero.
        classes: The names of the C classes.

    Raises:
        SettingsError: `transformers` cannot represent this model.
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
    """Return the encoder and its classifier; the inverse of `to_transformers`.

    Args:
        config: The `config.json` of `transformers`.
        tensors: The weights, under the names `transformers` uses.
        place: The folder, for error messages.

    Raises:
        FormatError: Configuration and tensors do not match, no tensor belongs to the model, or
            there is no classifier.
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
    """Return arguments of `write_folder` for a folder that `transformers` can load too."""
    family = encoder.config.get("family", "bert")
    config, tensors = to_transformers(encoder.model, encoder.tokenizer, family=family)
    tokenizer, files = portable_tokenizer(encoder.model, encoder.tokenizer, config=encoder.config)
    return {"tensors": tensors, "tokenizer": tokenizer, "transformers": config, "files": files}


def _frame(tokenizer: SubwordTokenizer) -> tuple[int, int]:
    """Return the ids of [CLS] and [SEP]."""
    cls, sep = tokenizer.specials.cls, tokenizer.specials.sep
    if cls is None or sep is None:
        raise FormatError("the tokenizer of a BERT needs [CLS] and [SEP], or <s> and </s>")
    return cls, sep


def told_of_pairs(model: Bert, tokenizer: SubwordTokenizer, family: bert.Family) -> dict[str, Any]:
    """Return how a published tokenizer encodes pairs, where that differs from its family's usual.

    Args:
        model: The encoder.
        tokenizer: Its tokenizer. One built from lists of subwords does not define pairs.
        family: The family the tokenizer belongs to.

    Raises:
        FormatError: The tokenizer has no [CLS] or no [SEP] token.
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
    """Return a text, or several, as a list of valid strings."""
    try:
        texts = [given] if isinstance(given, str) else list(given)
        for text in texts:
            text.encode()
    except (TypeError, AttributeError):
        raise SettingsError(f"{what} must be a string, or a list of them") from None
    except UnicodeEncodeError:
        raise SettingsError(f"{what} contains an unpaired surrogate; fix or remove it") from None
    return texts


def _piece(tokenizer: SubwordTokenizer, identity: int) -> str:
    return tokenizer.decode([identity]).strip() or tokenizer.vocabulary[identity]
