"""The methods of a comparison, as a user writes them.

The form is `NAME[+adapt][=SOURCE]:TRANSFER`, or one of a few bare names, such as `tfidf`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from headstart.errors import SettingsError
from headstart.hub.bundle import Pretrained, PretrainedWordVectors
from headstart.hub.kinds import PRETRAINABLE
from headstart.hub.language_models import PretrainedBert, PretrainedGpt
from headstart.settings import nearest, suggestion
from headstart.transfer.methods import METHODS, NO_ENCODER
from headstart.transfer.token_states import reads_in_context

ADAPTED = "+adapt"
WORD_VECTORS = ("word2vec", "glove")
IN_CONTEXT = ("cove", "elmo")  # these also replace the embedding layer, not the whole model

_ALONE = tuple(name for name, kind in METHODS.items() if kind in NO_ENCODER)
_OF_EMBEDDINGS = ("probe", "frozen", "finetune")
_WITH_ENCODER = (*(name for name, kind in METHODS.items() if kind not in NO_ENCODER), "scratch")
_OF_PATHS = set("=/\\.")
_UNTRAINED = ("probe", "frozen")  # the encoder's weights do not change


@dataclass(frozen=True)
class Contestant:
    """One method of a comparison.

    Attributes:
        name: The name the user wrote, without the source: `glove:frozen`, `bert+adapt:finetune`.
        encoder: The encoder's name, `glove` or `bert+adapt`; empty if there is none.
        source: The file or folder it is loaded from; empty if it is pretrained on the corpus.
        transfer: The name of the transfer.
    """

    name: str
    encoder: str
    source: str
    transfer: str

    @property
    def base(self) -> str:
        """The encoder's name without `+adapt`."""
        return self.encoder.removesuffix(ADAPTED)

    @property
    def is_adapted(self) -> bool:
        """Whether the encoder's pretraining is continued on the corpus."""
        return self.encoder.endswith(ADAPTED)

    @property
    def trains_encoder(self) -> bool:
        """Whether the encoder's weights, or random ones in their place, are trained on the task."""
        return bool(self.encoder) and self.transfer not in _UNTRAINED

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `scratch`, `word2vec:frozen`, `glove=glove.6B.50d.txt:finetune`, `bert+adapt:lora`.

        Raises:
            SettingsError: The text is not a valid method.
        """
        if not isinstance(text, str):
            raise SettingsError(
                "each of methods must be a string such as 'glove:finetune', got a value of type "
                f"{type(text).__name__}"
            )
        text = text.strip()
        if text in _ALONE:
            return cls(text, "", "", text)
        head, colon, transfer = text.rpartition(":")
        if not colon or transfer not in _WITH_ENCODER:
            raise SettingsError(f"invalid method {text!r}{_advice(text)}")
        name, _, source = head.partition("=")
        base, plus, _ = name.partition("+")
        if not base or ("=" in head and not source):
            raise SettingsError(
                f"invalid method {text!r}: the name or the source is missing; write NAME:TRANSFER "
                "or NAME=SOURCE:TRANSFER"
            )
        if plus and name != base + ADAPTED:
            raise SettingsError(
                f"invalid method {text!r}: only {ADAPTED} can follow the name of an encoder, "
                f"as in {base}{ADAPTED}:{transfer}"
            )
        if not source and base not in PRETRAINABLE:
            meant = nearest(base.lower(), PRETRAINABLE)
            raise SettingsError(
                f"{base!r} cannot be pretrained here ({', '.join(PRETRAINABLE)} can"
                f"{f'; did you mean {meant!r}?' if meant else ''}); "
                f"to load it, write {name}=FILE:{transfer}"
            )
        contestant = cls(f"{name}:{transfer}", name, source, transfer)
        if not source and base in WORD_VECTORS:
            contestant.check_for_embeddings("provides word vectors")
        if not source and base in IN_CONTEXT:
            contestant.check_for_embeddings("encodes words in context")
        return contestant

    def check(self, encoder: Pretrained) -> None:
        """Check that a loaded encoder fits the method.

        Raises:
            SettingsError: It does not.
        """
        if isinstance(encoder, PretrainedWordVectors):
            self.check_for_embeddings("provides word vectors")
        elif reads_in_context(encoder):
            self.check_for_embeddings("encodes words in context")
        elif self.is_adapted and not isinstance(encoder, PretrainedBert | PretrainedGpt):
            raise SettingsError(
                f"{self.name}: only BERT and GPT can be adapted here, and {encoder.name} is "
                f"neither; remove {ADAPTED}"
            )

    def check_for_embeddings(self, what: str) -> None:
        """Check that the method is one for encoders that replace the embedding layer.

        Args:
            what: What the encoder does, for the message.

        Raises:
            SettingsError: The method is for encoders that replace the whole model.
        """
        if self.is_adapted:
            raise SettingsError(
                f"{self.name}: {self.base} {what}, but only BERT and GPT can be adapted here; "
                f"remove {ADAPTED}, or use an encoder such as bert"
            )
        if self.transfer not in _OF_EMBEDDINGS:
            instead = (
                "to train the pipeline without an encoder, use the method scratch"
                if self.transfer == "scratch"
                else f"use one of {', '.join(_OF_EMBEDDINGS)}"
            )
            raise SettingsError(
                f"{self.name}: {self.base} {what} and replaces only the embedding layer, but "
                f"{self.transfer!r} is for encoders that replace the whole model, such as bert; "
                f"{instead}"
            )


def _advice(text: str) -> str:
    """Return which part of an invalid method is wrong, and what may have been meant."""
    head, colon, transfer = text.rpartition(":")
    if colon and head and not _OF_PATHS & set(transfer):
        return f": unknown transfer {transfer!r}{suggestion(transfer, _WITH_ENCODER)}"
    if " " in text and "=" not in text:
        return "; a method has no spaces (in a command, separate methods with commas)"
    base = text.partition("=")[0].removesuffix(ADAPTED)
    if base in PRETRAINABLE or "=" in text:
        transfers = _OF_EMBEDDINGS if base in (*WORD_VECTORS, *IN_CONTEXT) else _WITH_ENCODER
        return f": the transfer is missing; write {text}:finetune, or one of {', '.join(transfers)}"
    meant = nearest(text.lower(), (*_ALONE, *PRETRAINABLE))
    if meant:
        return f"; did you mean {f'{meant}:finetune' if meant in PRETRAINABLE else meant!r}?"
    return (
        f"; write {', '.join(_ALONE)}, or an encoder ({', '.join(PRETRAINABLE)}, or NAME=FILE) and "
        f"a transfer ({', '.join(_WITH_ENCODER)}), such as word2vec:frozen"
    )


def parse_all(texts: Sequence[str]) -> list[Contestant]:
    """Parse all methods of a comparison.

    Raises:
        SettingsError: One is invalid, occurs twice, or gives a name a second source.
    """
    contestants = [Contestant.parse(text) for text in texts]
    if not contestants:
        raise SettingsError("a comparison needs at least one method")
    sources: dict[str, str] = {}
    for position, one in enumerate(contestants):
        if any(one.name == other.name for other in contestants[:position]):
            raise SettingsError(f"the method {one.name!r} is given twice; rename or remove one")
        if one.encoder and sources.setdefault(one.base, one.source) != one.source:
            raise SettingsError(f"{one.base!r} has two sources; give the second another name")
    return contestants
