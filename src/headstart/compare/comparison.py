"""The results of a comparison: its numbers, headline and files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headstart.compare.head_start import HeadStart
from headstart.compare.picture import learning_curves_svg
from headstart.compare.report import render_report
from headstart.storage import write_json, write_text


@dataclass(frozen=True)
class Comparison:
    """The results of a comparison, the same as in its folder's `results.json`.

    Attributes:
        results: Everything, as plain values: `cells`, `summary`, `best`, `headline`, ..
        folder: The folder with the results, the report, the cells and the winner.
    """

    results: dict[str, Any]
    folder: Path

    def __repr__(self) -> str:
        winner, folder = self.best["method"], str(self.folder)
        return f"Comparison(headline={self.headline!r}, {winner=}, {folder=})"

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row for each method and label budget: mean, interval, difference, head start.

        Among its columns are `method`, `labels`, `mean`, `low`, `high`; against scratch
        `vs_scratch`, `vs_low`, `vs_high`, `p`, and `head_start` with its interval. `clean_mean`
        and its interval cover only the test rows that were not seen before the test.
        """
        rows: list[dict[str, Any]] = self.results["summary"]
        return rows

    @property
    def head_starts(self) -> dict[tuple[str, int], HeadStart | None]:
        """The head start at each `(method, labels)`; None for scratch, or if it was not run.

        A head start has a `factor`, and its interval from `low` to `high`; `str()` prints them.
        """
        return {(row["method"], row["labels"]): HeadStart.of(row) for row in self.table}

    @property
    def headline(self) -> str:
        """The sentence to read first."""
        return str(self.results["headline"]["sentence"])

    @property
    def best(self) -> dict[str, Any]:
        """The winner: `method`, `labels`, `why`, `fitted_labels` and its model `folder`."""
        best: dict[str, Any] = self.results["best"]
        return best

    def save_report(self, path: str | Path) -> Path:
        """Write the report as one HTML file that works offline, and return its path."""
        write_text(Path(path), render_report(self.results))
        return Path(path)


def write_comparison(found: Comparison) -> None:
    """Write the results to their folder: JSON, a table of the cells, the report and the picture."""
    results, folder = found.results, found.folder
    write_json(folder / "results.json", results)
    dropped = ("correct", "total", "types", "proof", "chosen", "spent")
    flat = [{k: v for k, v in cell.items() if k not in dropped} for cell in results["cells"]]
    pq.write_table(pa.Table.from_pylist(flat), folder / "results.parquet")
    found.save_report(folder / "report.html")
    picture = learning_curves_svg(
        results["summary"],
        metric=results["metric"],
        labels=results["wording"]["labels"],
        left_out=results["left_out"],
    )
    write_text(folder / "learning_curves.svg", picture)
