"""CoVe with its tokenizers: contextual states of words, and translations.

A saved folder contains the encoder with its decoder, the source words (`tokenizer.json`), the
target subwords (`target.json`), and the report of its pretraining (`report.html`).
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.data.in_memory import as_sentences, as_texts
from headstart.devices import torch_defaults
from headstart.errors import FormatError, SettingsError
from headstart.hub.bundle import (
    CONFIG,
    CURVE,
    TOKENIZER,
    WEIGHTS,
    Pretrained,
    Tokenizer,
)
from headstart.hub.cards import card
from headstart.hub.translation_report import render_translation_report
from headstart.models.blank import blank_weights
from headstart.models.cove import Cove, CoveConfig
from headstart.models.interface import Encoder, evaluating
from headstart.pretrain.translation import end_token, translate
from headstart.settings import plain_arguments
from headstart.tokenize.batches import inference_batches, pad
from headstart.tokenize.subwords import SubwordTokenizer
from headstart.tokenize.words import WordTokenizer
from headstart.training.precision import quick_products

KIND = "cove"
TARGET = "target.json"
TRANSLATIONS = "translations"  # lineage field with the translations of held-out sentences
_REPORT = "report.html"
_SIZES = tuple(field.name for field in fields(CoveConfig))


@dataclass(frozen=True)
class Translated:
    """A translation with its attention weights.

    Attributes:
        text: The translation.
        source: The source words.
        target: The target subwords, and `""` for the end.
        attention: Attention weight of each target subword on each source word `[target, source]`.
        score: Mean log-probability of the subwords.
    """

    text: str
    source: list[str]
    target: list[str]
    attention: NDArray[np.float32]
    score: float


class PretrainedCove(Pretrained):
    """A CoVe; gives each word states that depend on its sentence, and translates.

    `config` contains the sizes. The published CoVe has no decoder and cannot translate.

    Attributes:
        target: Tokenizer of the target sentences; None without a decoder.
    """

    model: Cove
    tokenizer: WordTokenizer

    def __init__(
        self,
        kind: str,
        model: Encoder,
        tokenizer: Tokenizer,
        *,
        config: Mapping[str, Any],
        lineage: Mapping[str, Any],
        target: SubwordTokenizer | None = None,
    ) -> None:
        super().__init__(kind, model, tokenizer, config=config, lineage=lineage)
        self.target = target

    @classmethod
    def of(
        cls,
        model: Cove,
        tokenizer: WordTokenizer,
        target: SubwordTokenizer | None,
        *,
        lineage: Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
    ) -> Self:
        """Combine a model with its tokenizers.

        Args:
            model: The encoder, with or without its decoder.
            tokenizer: Tokenizer of the source sentences.
            target: Tokenizer of the target sentences; None without a decoder.
            lineage: Where it came from.
            settings: Further entries of `config`.
        """
        config = {**asdict(model.config), "pooling": "mean", **(settings or {})}
        return cls(KIND, model.eval(), tokenizer, config=config, lineage=lineage, target=target)

    @classmethod
    def from_folder(
        cls, folder: Path, about: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> Self:
        """Build a CoVe from what `read_folder` returned; see `Pretrained.from_folder`.

        Raises:
            FormatError: The parts do not match.
        """
        try:
            sizes = CoveConfig(**{name: about["config"][name] for name in _SIZES})
        except (KeyError, SettingsError) as error:
            raise FormatError(f"{folder / CONFIG}: invalid sizes of a CoVe: {error}") from None
        _check_shapes(folder, sizes, tensors)
        model = Cove(sizes, generator=torch.Generator())
        model.load_state_dict(dict(tensors))
        tokenizer = WordTokenizer.load(folder / TOKENIZER)
        target = SubwordTokenizer.load(folder / TARGET) if sizes.target_vocabulary else None
        for what, pieces, expected in (
            (TOKENIZER, tokenizer.vocabulary, sizes.source_vocabulary),
            (TARGET, target.vocabulary if target else [], sizes.target_vocabulary),
        ):
            if len(pieces) != expected:
                raise FormatError(
                    f"{folder / what}: {len(pieces):,} entries, but the weights have {expected:,}"
                )
        return cls(model=model.eval(), tokenizer=tokenizer, target=target, **about)

    def with_model(self, model: Encoder, tokenizer: Tokenizer | None = None) -> Self:
        """Return a copy of this encoder with another model, and optionally another tokenizer."""
        other = super().with_model(model, tokenizer)
        other.target = self.target
        return other

    @torch_defaults()
    def word_states(
        self, sentences: Sequence[Sequence[str]], *, bf16: bool = False
    ) -> list[NDArray[np.float32]]:
        """Return the hidden states of every word, `[2 layers, words, width]` per sentence.

        In float32, a sentence's states do not depend on the other sentences, bit for bit. The
        paper's features are the word vectors concatenated with the upper layer:
        `np.concatenate([vectors, states[-1]], 1)`, with `vectors` from `word_vectors`.

        Args:
            sentences: Lists of words. Words without a vector get the unknown word's.
            bf16: Whether to compute matrix products in bfloat16 if the processor supports it;
                faster but less precise.

        Raises:
            DataError: `sentences` is not a list of lists of words.
        """
        encoded = self.tokenizer.encode_words(as_sentences(sentences))
        states = [np.zeros((2, 0, self.model.width), np.float32)] * len(encoded)
        precision = quick_products(torch.device("cpu")) if bf16 else nullcontext()
        with torch.inference_mode(), evaluating(self.model), precision:
            for rows in inference_batches(encoded.lengths, max_tokens=2048):
                ids_BS, mask_BS = pad(encoded, rows)
                layers = self.model.encode(torch.from_numpy(ids_BS), torch.from_numpy(mask_BS))
                both_LBSD = torch.stack(layers).float().numpy()
                for place, row in enumerate(rows.tolist()):
                    states[row] = both_LBSD[:, place, : len(encoded[row])].copy()
        return states

    def word_vectors(self, sentences: Sequence[Sequence[str]]) -> list[NDArray[np.float32]]:
        """Return the encoder's input word vectors, `[words, vector width]` per sentence.

        Raises:
            DataError: `sentences` is not a list of lists of words.
        """
        encoded = self.tokenizer.encode_words(as_sentences(sentences))
        matrix = self.model.embedding.weight.detach().numpy()
        return [matrix[encoded[row]] for row in range(len(encoded))]

    @plain_arguments
    def translate(self, text: str | Sequence[str], *, beam: int = 1) -> str | list[str]:
        """Translate a sentence, or several at once.

        Args:
            text: A sentence, or a list of sentences.
            beam: Beam size; 1 means greedy decoding.

        Returns:
            A string for one sentence, a list of strings for a list.

        Raises:
            DataError: A sentence is not a string.
            SettingsError: `beam` is below 1, or this CoVe has no decoder.
        """
        texts = [text] if isinstance(text, str) else list(text)
        written = [each.text for each in self.align(texts, beam=beam)]
        return written[0] if isinstance(text, str) else written

    @torch_defaults()
    @plain_arguments
    def align(self, texts: Sequence[str], *, beam: int = 1) -> list[Translated]:
        """Translate sentences and return the translations with their attention weights.

        Raises:
            DataError: `texts` is not a list of strings.
            SettingsError: `beam` is below 1, or this CoVe has no decoder.
        """
        texts = as_texts(texts)
        self.model.translator()
        target = self.target
        if target is None:
            raise SettingsError("this CoVe has no tokenizer for its decoder; it cannot translate")
        sources = self.tokenizer.encode_batch(texts)
        with evaluating(self.model):
            found = translate(self.model, sources, end=end_token(target), beam=beam)
        return [
            Translated(
                target.decode(each.tokens),
                self.tokenizer.words(text),
                [target.decode([token]).strip() for token in each.tokens] + [""],
                each.attention_TS.float().numpy(),
                each.score,
            )
            for text, each in zip(texts, found, strict=True)
        ]

    def card(self, title: str) -> str:
        """Return the model card in Markdown."""
        what = (
            "A pretrained encoder of kind **cove**, made with headstart: the encoder of a "
            "translation model."
        )
        facts = {"width": self.model.width, **self.config, **self.lineage}
        facts |= {CURVE: None, TRANSLATIONS: None}
        return card(title, what, facts, f"encoder = hs.load({title!r})")

    def _parts(self) -> dict[str, Any]:
        files = {} if self.target is None else {TARGET: self.target.as_json()}
        if self.lineage.get(CURVE):
            files[_REPORT] = render_translation_report(self.name, self.config, self.lineage)
        return {**super()._parts(), "files": files}


def _check_shapes(folder: Path, sizes: CoveConfig, tensors: Mapping[str, Tensor]) -> None:
    """Check the tensors before allocating memory for the sizes that the file claims."""
    try:
        with blank_weights():
            expected = {name: tensor.shape for name, tensor in Cove(sizes).state_dict().items()}
    except RuntimeError as error:
        raise FormatError(f"{folder / CONFIG}: invalid sizes of a CoVe: {error}") from None
    for name in sorted(expected.keys() | tensors.keys()):
        if name not in expected:
            raise FormatError(f"{folder / WEIGHTS}: unexpected tensor {name!r}")
        found = list(tensors[name].shape) if name in tensors else "none"
        if found != list(expected[name]):
            raise FormatError(
                f"{folder / WEIGHTS}: tensor {name!r} has shape {found}, "
                f"expected {list(expected[name])}"
            )
