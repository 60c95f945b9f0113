"""How a report draws and names methods, the same in every plot and table.

A method's encoder determines its tone, a color of `tones.css`; its transfer determines dash and
symbol.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from headstart.compare.contestants import ADAPTED
from headstart.hub.kinds import PRETRAINABLE

TONES = ("scratch", "majority", "tfidf", *PRETRAINABLE)
SPARE_TONES = 3  # for encoders with other names
_FOR_OTHERS = (*range(len(TONES), len(TONES) + SPARE_TONES), 5, 6, 7, 8, 4, 3)  # known names' last

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
    """Return the encoder that a method belongs to; an adapted one belongs to the original."""
    name, equals, source = split_method(method)[0].partition("=")
    return name.removesuffix(ADAPTED) + equals + source


def styles(methods: Iterable[str]) -> dict[str, Style]:
    """Return each method's style, which depends only on it and on the methods before it.

    Encoders with unknown or repeated names get unused tones. If there are none left, they share
    one, and the later encoder gets open symbols.
    """
    tones: dict[str, int] = {}
    kinds: dict[str, str] = {}
    result = {}
    for method in methods:
        encoder, transfer = split_method(method)
        if encoder not in tones:
            name = encoder.partition("=")[0]
            given = Counter(tones.values())
            known = TONES.index(name) if name in TONES else None
            spare = min(_FOR_OTHERS, key=lambda tone: given[tone])
            tones[encoder] = tone = spare if known is None or known in given else known
            kinds[encoder] = "-open" if tone in given else ""
        dash, symbol = _SHAPES[transfer] if transfer else ("solid", "circle")
        result[method] = Style(f"tone-{tones[encoder]}", dash, symbol + kinds[encoder])
    return result


def shortened(method: str, *, most: int) -> str:
    """Return a method's name, with its middle left out if it has more than `most` characters."""
    kept = (most - 1) // 2
    return method if len(method) <= most else f"{method[:kept]}…{method[-kept:]}"
