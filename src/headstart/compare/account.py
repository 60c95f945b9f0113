"""What a comparison reports besides its scores: settings, facts, proofs and problems."""

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from headstart import __version__
from headstart.compare.cells import Terms
from headstart.compare.contestants import WORD_VECTORS, Contestant
from headstart.compare.encoders import Encoders
from headstart.compare.wording import TEXTS, Wording
from headstart.data.corpora import Corpus
from headstart.hub.bundle import Pretrained
from headstart.storage import fingerprint
from headstart.training.precision import has_fast_bf16
from headstart.transfer.methods import as_plain


def details(terms: Terms, contestants: Sequence[Contestant], made: Encoders) -> dict[str, Any]:
    """Return the settings the user did not type: of methods, and of encoders pretrained here.

    Methods with the same settings share an entry.
    """
    by_settings: dict[str, tuple[list[str], dict[str, Any]]] = {}
    for one in contestants:
        settings = as_plain(terms.method(one))
        del settings["name"]
        if settings:
            key = fingerprint(one.transfer, settings)
            by_settings.setdefault(key, ([], settings))[0].append(one.name)
    encoders = dict.fromkeys(one.encoder for one in contestants if one.encoder)
    here = {one.base for one in contestants if one.encoder and not one.source}
    return {
        **{", ".join(names): settings for names, settings in by_settings.values()},
        **{f"pretrain {name}": made.loaded[name].config for name in encoders if name in here},
        "bfloat16": has_fast_bf16(torch.device("cpu")) and any(terms.widths.values()),
    }


def corpus_facts(
    corpus: Corpus | None, contestants: Sequence[Contestant], encoders: Mapping[str, Pretrained]
) -> dict[str, Any]:
    """Return the unlabeled text that was used, with its size if pretraining counted it.

    Args:
        corpus: The corpus; None if it was not used.
        contestants: The methods.
        encoders: Their encoders, by name.
    """
    facts: dict[str, Any] = {} if corpus is None else {"source": corpus.description}
    cove = encoders.get("cove")
    if cove is not None and "bleu" in cove.lineage:
        told = cove.lineage
        facts["translations"] = {
            "source": told["corpus"],
            "pairs": told["pairs"],
            "bleu": told["bleu"]["beam"],
        }
    for one in contestants:
        if one.base in WORD_VECTORS and not one.source:  # they count words, not subwords
            lineage = encoders[one.encoder].lineage
            return facts | {name: lineage[name] for name in ("documents", "words")}
    return facts


def degenerate(summary: Sequence[Mapping[str, Any]], wording: Wording = TEXTS) -> list[str]:
    """Return a sentence for each method with runs that learned nothing."""
    found: dict[str, list[str]] = {}
    for row in summary:
        if row["degenerate"] and row["method"] != "majority":
            runs = f"{row['degenerate']} run{'s' if row['degenerate'] > 1 else ''}"
            found.setdefault(row["method"], []).append(
                f"{runs} with {row['labels']:,} {wording.labels}"
            )
    return [f"{method} learned nothing in {', '.join(runs)}." for method, runs in found.items()]


def truncated(cells: Sequence[Mapping[str, Any]], example: str = "text") -> list[str]:
    """Return a sentence that names the methods that truncated texts, if any did."""
    cut = [cell for cell in cells if cell["truncated"]]
    if not cut:
        return []
    most = max(cut, key=lambda cell: int(cell["truncated"]))
    methods = ", ".join(dict.fromkeys(cell["method"] for cell in cut))
    return [
        f"Long {example}s were truncated and their ends ignored: one run of {most['method']} "
        f"truncated {most['truncated']:,} of {most['labels']:,} training {example}s. Affected "
        f"methods: {methods}."
    ]


def proofs(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return each method's proof from its first seed at the largest budget it was run with."""
    first = [cell for cell in cells if cell["proof"] and cell["seed"] == 0]
    return {cell["method"]: cell["proof"] for cell in first}  # budgets increase: the last one wins


def layer_weights(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the weight of each encoder layer in the task, by method and label budget.

    Each row holds the mean, minimum and maximum over the seeds, from the lowest layer up.
    """
    found: dict[tuple[str, int], list[list[float]]] = {}
    for cell in cells:
        if "layer_weights" in cell["chosen"]:
            shares = found.setdefault((cell["method"], cell["labels"]), [])
            shares.append(cell["chosen"]["layer_weights"])
    return [
        {
            "method": method,
            "labels": labels,
            "layers": [
                {"mean": sum(layer) / len(layer), "low": min(layer), "high": max(layer)}
                for layer in zip(*shares, strict=True)
            ],
        }
        for (method, labels), shares in found.items()
    ]


def versions() -> dict[str, str]:
    """Return the versions of the software that computed the results."""
    packages = ("torch", "numpy", "scikit-learn", "tokenizers", "numba")
    others = {name: importlib.metadata.version(name) for name in packages}
    return {"headstart": __version__, "python": platform.python_version(), **others}
