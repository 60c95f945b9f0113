"""What a person or a program reads: text, tables and JSON on standard output, the rest on error.

Labels and texts come from files nobody has checked, so nothing of theirs may steer the terminal.
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
    "subset_accuracy": "all labels right",
    "calibration_error": "calibration error",
    "r2": "R^2",
    "pearson": "Pearson",
    "spearman": "Spearman",
    "rmse": "RMSE",
}
_NEVER_CUT = 100_000  # columns: a wide table wraps in the window and stays whole in a file


def printable(text: str) -> str:
    r"""Return `text` with what would steer a terminal written as an escape (`\x1b`)."""
    return _STEERING.sub(lambda match: ascii(match[0])[1:-1], text)


def shown_label(label: str) -> str:
    """Return a label for a table; in quotes if white space, which nobody sees there, is around."""
    return label if label == label.strip() else repr(label)


def one_line(text: str) -> str:
    """Return a message as the one line an error is."""
    return printable(re.sub(r"\s*\n\s*", " ", text.strip()))


def say(*lines: str) -> None:
    """Print lines of a result."""
    for line in lines:
        print(printable(line))


def tell(message: str) -> None:
    """Print one line beside the result: a note or an error."""
    print(one_line(message), file=sys.stderr, flush=True)


def figures(scores: Mapping[str, object]) -> str:
    """Return those of the scores that sum a model up, on one line."""
    return ", ".join(f"{name} {scores[key]:.3f}" for key, name in _FIGURES.items() if key in scores)


def print_json(value: object) -> None:
    """Print one JSON document; text stays as it is, so that it reads back exactly."""
    print(json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False))


def print_table(rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows of the same keys as a table: the keys as its head, numbers to the right.

    Of no rows nothing is printed.
    """
    if not rows:
        return
    from rich.console import Console  # rich takes a tenth of a second, which --help should not pay
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
