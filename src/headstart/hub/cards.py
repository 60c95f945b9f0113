"""The model card in every saved folder: what it is, where it came from, how to use it."""

from collections.abc import Mapping, Sized
from typing import Any

from headstart.pages import visible

_CARD = """# {title}

{what}

| | |
|---|---|
{rows}

```python
import headstart as hs

{use}
```

Weights are in `model.safetensors`, everything else in JSON. `manifest.json` has the SHA-256 of
every file; loading checks them.
"""


# Characters that are markup in Markdown, in HTML, or (pipes) in a Markdown table.
_MEANING = str.maketrans({each: f"\\{each}" for each in "\\`*[]|~"} | {
    "&": "&amp;", "<": "&lt;", ">": "&gt;",
})  # fmt: skip


def card(title: str, what: str, facts: Mapping[str, Any], use: str) -> str:
    """Return a model card in Markdown, without empty facts.

    Title and facts may come from untrusted files, so they are escaped. `what` and `use` are
    trusted.
    """
    rows = "\n".join(
        f"| {_text(name.replace('_', ' '))} | {_cell(value)} |"
        for name, value in facts.items()
        if value is not None and (not isinstance(value, Sized) or len(value))
    )
    return _CARD.format(title=_text(title), what=what, rows=rows, use=use)


def _cell(value: object) -> str:
    if isinstance(value, Mapping):
        return _text(", ".join(f"{name} {_short(item)}" for name, item in value.items()))
    if isinstance(value, list | tuple):
        return _text(", ".join(map(_short, value)))
    return _text(_short(value))


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _text(value: str) -> str:
    return visible(" ".join(value.translate(_MEANING).split()))
