"""What our pages have in common: texts are only texts, and nothing but our own blocks may run.

A page holds everything it needs. Its content security policy names the hashes of its scripts and
styles, so that a browser runs no other; its template escapes all that is not ours.
"""

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = Path(__file__).parent
_CONTROLS = {*range(0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000), 0xFEFF, 0xFFFE, 0xFFFF}
_DIRECTIONS = {0x61C, 0x200B, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2060, 0x2070)}
_SPELLED = {
    code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    for code in (_CONTROLS | _DIRECTIONS) - {ord("\n")}
}


def template_environment(folder: Path) -> "Environment":
    """Return jinja's environment: escapes all, refuses missing names, shows hidden characters.

    Args:
        folder: Where the templates are.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # few commands make pages

    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment


def page_style(*own: Path) -> str:
    """Return the style of a page: what all pages share, then files of its own, which may differ."""
    return colors() + "".join(path.read_text("utf-8") for path in (_FOLDER / "pages.css", *own))


def colors() -> str:
    """Return the style sheet of the colors that all pages and pictures share, light and dark."""
    return (_FOLDER / "colors.css").read_text("utf-8")


def csp_hash(block: str) -> str:
    """Return what a content security policy calls a script or a style that stands in the page."""
    digest = hashlib.sha256(block.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def visible(text: str) -> str:
    r"""Return `text` with characters spelled out that show nothing or turn the writing round.

    Example:
        >>> print(visible("a\u202eb\x1b[2J"))
        a\u202eb\x1b[2J
    """
    return text.translate(_SPELLED)


def _shown(value: object) -> object:
    return visible(value) if type(value) is str else value  # markup of our own passes
