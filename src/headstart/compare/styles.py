"""How a report shows methods and texts, the same in every picture and table.

A method's encoder chooses its tone, a color of `tones.css`; its transfer chooses dash and symbol.
"""

from collections.abc import Iterable
from typing import NamedTuple

from headstart.compare.contestants import ADAPTED
from headstart.hub.kinds import PRETRAINABLE

TONES = ("scratch", "majority", "tfidf", *PRETRAINABLE)
SPARE_TONES = 3  # for encoders of other names, in turn

_SHAPES = {  # transfer: dash, symbol
    "probe": ("dot", "square"),
    "frozen": ("dash", "diamond"),
    "finetune": ("solid", "circle"),
    "gradual": ("dashdot", "triangle-up"),
    "lora": ("longdash", "triangle-down"),
    "scratch": ("longdashdot", "cross"),
}


class Style(NamedTuple):
    """How a method is drawn."""

    tone: str
    dash: str
    symbol: str


def split_method(method: str) -> tuple[str, str | None]:
    """Split "glove=vectors.txt:frozen" into encoder and transfer; baselines have no transfer."""
    encoder, _, transfer = method.rpartition(":")
    return (encoder, transfer) if encoder and transfer in _SHAPES else (method, None)


def family(method: str) -> str:
    """Return the encoder that a method belongs to: one that was adapted, to what it was before."""
    name, equals, source = split_method(method)[0].partition("=")
    return name.removesuffix(ADAPTED) + equals + source


def styles(methods: Iterable[str]) -> dict[str, Style]:
    """Return each method's style; encoders of unknown or repeated names share the spare tones."""
    tones: dict[str, int] = {}
    result = {}
    for method in methods:
        encoder, transfer = split_method(method)
        if encoder not in tones:
            name = encoder.partition("=")[0]
            known = TONES.index(name) if name in TONES else None
            spare = len(TONES) + sum(tone >= len(TONES) for tone in tones.values()) % SPARE_TONES
            tones[encoder] = spare if known is None or known in tones.values() else known
        dash, symbol = _SHAPES[transfer] if transfer else ("solid", "circle")
        result[method] = Style(f"tone-{tones[encoder]}", dash, symbol)
    return result


def shortened(method: str, *, most: int) -> str:
    """Return a method's name with its middle left out if it has more than `most` letters."""
    kept = (most - 1) // 2
    return method if len(method) <= most else f"{method[:kept]}…{method[-kept:]}"
