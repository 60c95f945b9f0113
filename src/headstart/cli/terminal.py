"""Output: results as text, tables or JSON on standard output; notes and errors on standard error.

Labels and texts come from untrusted files, so control characters in them are escaped.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Literal

_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_FIGURES = {
    "accuracy": "accuracy",
    "micro_f1": "micro-F1",
    "macro_f1": "macro-F1",
    "subset_accuracy": "subset accuracy",
    "calibration_error": "calibration error",
    "r2": "R^2",
    "pearson": "Pearson",
    "spearman": "Spearman",
    "rmse": "RMSE",
}
_NEVER_CUT = 100_000  # columns: a wide table wraps in a window but is not truncated in a file


def printable(text: str) -> str:
    r"""Return `text` with terminal control characters written as escapes (`\x1b`)."""
    return _STEERING.sub(lambda match: ascii(match[0])[1:-1], text)


def shown_label(label: str) -> str:
    """Return a label for a table; quoted if it has leading or trailing white space."""
    return label if label == label.strip() else repr(label)


def one_line(text: str) -> str:
    """Return a message on one line, as errors are printed."""
    return printable(re.sub(r"\s*\n\s*", " ", text.strip()))


def say(*lines: str) -> None:
    """Print lines of a result."""
    for line in lines:
        print(printable(line))


def tell(message: str) -> None:
    """Print one line on standard error: a note or an error."""
    print(one_line(message), file=sys.stderr, flush=True)


def figures(scores: Mapping[str, object]) -> str:
    """Return the summary scores of a model on one line."""
    return ", ".join(f"{name} {scores[key]:.3f}" for key, name in _FIGURES.items() if key in scores)


def print_json(value: object) -> None:
    """Print one JSON document; its text reads back exactly.

    Characters that control a terminal, or that it cannot show, are written as escapes.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    text = re.sub(rf"(?!\n){_STEERING.pattern}", lambda match: f"\\u{ord(match[0]):04x}", text)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2, allow_nan=False)
    print(text)


def print_table(rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows with the same keys as a table, with the keys as header and numbers right-aligned.

    Prints nothing if there are no rows.
    """
    if not rows:
        return
    from rich.console import Console  # late: rich takes 0.1 s to import
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for name, value in rows[0].items():
        side: Literal["left", "right"] = "left" if isinstance(value, str) else "right"
        table.add_column(Text(printable(name)), justify=side, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(printable(_cell(value))) for value in row.values()))
    Console(width=_NEVER_CUT).print(table)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
