"""Who takes part in a comparison: methods as a user writes them, `NAME[=SOURCE][:TRANSFER]`."""

from dataclasses import dataclass
from typing import Self

from headstart.errors import SettingsError
from headstart.hub.kinds import PRETRAINABLE
from headstart.transfer.methods import METHODS, NO_ENCODER

_ALONE = tuple(name for name, kind in METHODS.items() if kind in NO_ENCODER)
_WITH_ENCODER = tuple(name for name, kind in METHODS.items() if kind not in NO_ENCODER)


@dataclass(frozen=True)
class Contestant:
    """One line of a comparison.

    Attributes:
        name: As the user wrote it, without the source: `glove:frozen`.
        encoder: The encoder's name, empty where there is none.
        source: The file or folder it is loaded from; empty if it is pretrained on the corpus.
        transfer: The name of the method.
    """

    name: str
    encoder: str
    source: str
    transfer: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `scratch`, `word2vec:frozen`, or `glove=glove.6B.50d.txt:finetune`.

        Raises:
            SettingsError: It is none of these.
        """
        text = text.strip()
        if text in _ALONE:
            return cls(text, "", "", text)
        head, colon, transfer = text.rpartition(":")
        if not colon or transfer not in _WITH_ENCODER:
            raise SettingsError(
                f"cannot read the method {text!r}; write {', '.join(_ALONE)}, or an encoder and "
                f"how it is transferred, such as word2vec:frozen ({', '.join(_WITH_ENCODER)})"
            )
        name, _, source = head.partition("=")
        if not name or ("=" in head and not source):
            raise SettingsError(f"the method {text!r} lacks a name or a source around its '='")
        if not source and name not in PRETRAINABLE:
            raise SettingsError(
                f"{name!r} cannot be pretrained here ({', '.join(PRETRAINABLE)} can); "
                f"to load it, write {name}=FILE:{transfer}"
            )
        return cls(f"{name}:{transfer}", name, source, transfer)


def parse_all(texts: list[str]) -> list[Contestant]:
    """Read all methods of a comparison.

    Raises:
        SettingsError: One cannot be read, occurs twice, or gives a name a second source.
    """
    contestants = [Contestant.parse(text) for text in texts]
    if not contestants:
        raise SettingsError("a comparison needs at least one method")
    sources: dict[str, str] = {}
    for position, one in enumerate(contestants):
        if any(one.name == other.name for other in contestants[:position]):
            raise SettingsError(f"the method {one.name!r} is given twice; name one differently")
        if one.encoder and sources.setdefault(one.encoder, one.source) != one.source:
            raise SettingsError(f"{one.encoder!r} has two sources; give the second another name")
    return contestants
