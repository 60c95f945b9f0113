"""What all methods share, and what still differs between them and is printed above the scores."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.compare.contestants import Contestant
from headstart.data.labelled import Dataset
from headstart.data.overlap import find_conflicts, find_duplicates, find_leaks
from headstart.hub.bundle import Pretrained
from headstart.transfer.methods import Features, FineTune, Scratch, method_of


def differences(contestants: Sequence[Contestant], encoders: Mapping[str, Pretrained]) -> list[str]:
    """Say in sentences what is not equal between the methods."""
    found = []
    widths = {name: encoder.model.width for name, encoder in encoders.items()}
    if any(one.transfer == "scratch" for one in contestants):
        widths["scratch"] = Scratch().width
    if len(set(widths.values())) > 1:
        each = ", ".join(f"{name} {width}" for name, width in widths.items())
        found.append(f"Widths differ: {each} numbers a word.")
    for name in dict.fromkeys(one.encoder for one in contestants if one.encoder):
        lineage = encoders[name].lineage
        source = next(one.source for one in contestants if one.encoder == name)
        if "words" not in lineage:
            found.append(
                f"{name} was pretrained by others, on text and with a budget of theirs; "
                f"loaded from {Path(source).name}."
            )
        else:
            where = f"before, and loaded from {source}; it saw" if source else "here, on"
            found.append(
                f"{name} was pretrained {where} {lineage['corpus']}: {lineage['words']:,} words, "
                f"{lineage['seconds']:.0f} s."
            )
    linear = [c.name for c in contestants if c.transfer in ("tfidf", "probe")]
    neural = [c.name for c in contestants if c.transfer in ("scratch", "frozen", "finetune")]
    if linear and neural:
        found.append(
            f"The validation part chooses one of four regularization strengths for "
            f"{', '.join(linear)}, and the number of training steps for {', '.join(neural)}; all "
            "are then fitted anew to all the labels given."
        )
    if len(rates := _learning_rates(contestants)) > 1:
        found.append(f"Learning rates differ, each chosen for its transfer: {', '.join(rates)}.")
    return found


def _learning_rates(contestants: Sequence[Contestant]) -> list[str]:
    """Return the rates of each neural transfer, of the classifier and of the vectors below it."""
    rates = []
    for name in dict.fromkeys(one.transfer for one in contestants):
        match method_of(name):
            case Scratch(learning_rate=head, embedding_rate=vectors):
                rates.append(f"{name} {head:g} and {vectors:g} for its vectors")
            case FineTune(learning_rate=head, encoder_rate=vectors):
                rates.append(f"{name} {head:g} and {vectors:g} for its vectors")
            case Features(learning_rate=head):
                rates.append(f"{name} {head:g}")
    return rates


def warnings(train: Dataset, test: Dataset) -> list[str]:
    """Say what in the data could make the scores misleading: repeated, conflicting, leaked rows."""
    found = []
    duplicates, conflicts, leaks = (
        find_duplicates(train),
        find_conflicts(train),
        find_leaks(train, test),
    )
    if duplicates.num_rows:
        found.append(str(duplicates))
    if conflicts.num_texts:
        found.append(str(conflicts))
    if leaks.num_test_rows:
        found.append(str(leaks))
    return found


def data_facts(train: Dataset, test: Dataset) -> dict[str, Any]:
    """Return what a report tells about the labelled data."""
    counts = dict(sorted(Counter(train.labels).items()))
    return {
        "source": train.source,
        "train_rows": len(train),
        "test_rows": len(test),
        "classes": [{"label": label, "count": count} for label, count in counts.items()],
    }
