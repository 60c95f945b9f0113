"""Shared parts of the HTML pages: escaping of user text, styles, and the content security policy.

A page is self-contained. Its content security policy lists the hashes of its own scripts and
styles, so that a browser runs no others, and its template escapes all text from users.
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
    """Return a Jinja environment that escapes text, rejects missing names, shows hidden characters.

    Args:
        folder: The folder of the templates.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # late: rarely needed

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
    """Return a page's style sheet: the shared part, then its own files, which may override it."""
    return colors() + "".join(path.read_text("utf-8") for path in (_FOLDER / "pages.css", *own))


def colors() -> str:
    """Return the style sheet of the colors shared by all pages and plots, light and dark."""
    return (_FOLDER / "colors.css").read_text("utf-8")


def csp_hash(block: str) -> str:
    """Return the content security policy source of an inline script or style: its hash."""
    digest = hashlib.sha256(block.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def visible(text: str) -> str:
    r"""Return `text` with invisible characters and direction overrides written as escapes.

    Example:
        >>> print(visible("a\u202eb\x1b[2J"))
        a\u202eb\x1b[2J
    """
    return text.translate(_SPELLED)


def _shown(value: object) -> object:
    return visible(value) if type(value) is str else value  # our own markup is passed through
