"""How the methods still differ, and what in the data may mislead: printed above the scores."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from headstart.compare.contestants import ADAPTED, Contestant
from headstart.compare.reading import num_weights
from headstart.compare.tasks import ComparedTask, Examples
from headstart.data.contamination import SeenRows
from headstart.data.labelled import Dataset
from headstart.data.overlap import find_repeats, text_key
from headstart.data.unspaced import note_unspaced
from headstart.hub.bundle import Pretrained
from headstart.transfer.fitting import whole_model_width
from headstart.transfer.methods import (
    FEW_LABELS,
    Features,
    FineTune,
    GradualUnfreeze,
    LowRank,
    Method,
    Scratch,
)


def differences(
    methods: Mapping[Contestant, Method],
    encoders: Mapping[str, Pretrained],
    *,
    labels: int = 0,
) -> list[str]:
    """Return a sentence for each remaining difference between the methods.

    Args:
        methods: Each contestant's method, with every setting filled in.
        encoders: The encoders, by name; those that no method uses are ignored.
        labels: The largest number of labels that a method is given.
    """
    found = []
    encoders = {name: each for name, each in encoders.items() if _used(name, methods)}
    whole = {name: each for name, each in encoders.items() if whole_model_width(each)}
    shared = [one for one in methods if one.encoder and one.encoder not in whole]
    widths = {one.encoder: encoders[one.encoder].model.width for one in shared}
    if any(one.transfer == "scratch" and not one.encoder for one in methods):
        widths["scratch"] = Scratch().width
    if len(set(widths.values())) > 1:
        each = ", ".join(f"{name} {width}" for name, width in widths.items())
        found.append(f"Widths differ (numbers per word): {each}.")
    if whole:
        sizes = {name: _size(encoder) for name, encoder in whole.items()}
        one = len(sizes) == 1
        each = ", ".join(size if one else f"{name} {size}" for name, size in sizes.items())
        small = "; word vectors and scratch share one small pipeline" if widths else ""
        found.append(
            f"{_listed(sizes)} replace{'s' if one else ''} the whole model (number of weights: "
            f"{each}){small}."
        )
    found += [_origin(name, encoders[name], methods) for name in encoders]
    linear = [c.name for c in methods if c.transfer in ("tfidf", "probe")]
    neural = [c.name for c in methods if c.transfer not in ("majority", "tfidf", "probe")]
    if linear and neural:
        found.append(
            f"The validation set selects one of four regularization strengths for "
            f"{', '.join(linear)}, and the number of training steps for {', '.join(neural)}; all "
            "are then refitted on all the labels they are given."
        )
    if len(rates := _learning_rates(methods)) > 1:
        found.append(f"Learning rates differ, each chosen for its transfer: {', '.join(rates)}.")
    pipeline = {"scratch", "frozen", "finetune"}
    if labels > FEW_LABELS and any(
        one.transfer in pipeline and one.encoder not in whole for one in methods
    ):
        found.append(
            f"With more than {FEW_LABELS} labels, the shared pipeline's learning rates fall with "
            "the square root of the number of labels: that of the word vectors for scratch, that "
            "of the LSTM and the classifier for frozen and finetune."
        )
    return found


def _used(name: str, methods: Iterable[Contestant]) -> bool:
    return any(one.encoder == name or (one.is_adapted and one.base == name) for one in methods)


def _origin(name: str, encoder: Pretrained, methods: Iterable[Contestant]) -> str:
    """Return where an encoder comes from, what text it saw, and for how long."""
    lineage = encoder.lineage
    source = next(one.source for one in methods if name in (one.encoder, one.base))
    if "words" not in lineage:
        return (
            f"{name} was pretrained by others, on their own text and budget, and loaded from "
            f"{Path(source).name}."
        )
    saw = f"{lineage['corpus']}: {lineage['words']:,} words, {lineage['seconds']:.0f} s"
    if name.endswith(ADAPTED):
        return f"{name} is {name.removesuffix(ADAPTED)} pretrained further here, on {saw}."
    where = f"earlier and loaded from {source}; it saw" if source else "here, on"
    return f"{name} was pretrained {where} {saw}."


def _size(encoder: Pretrained) -> str:
    return f"{num_weights(encoder) / 1e6:.1f} million"


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _learning_rates(methods: Mapping[Contestant, Method]) -> list[str]:
    """Return each neural transfer's rates, for the classifier and for the layers below it."""
    rates: dict[str, list[str]] = {}
    for one, method in methods.items():
        match method:
            case Scratch(learning_rate=head, embedding_rate=vectors) if not one.encoder:
                rate = f"{head:g} (word vectors: {vectors:g})"
            case FineTune(learning_rate=head, encoder_rate=vectors) if vectors is not None:
                rate = f"{head:g} (encoder: {vectors:g})"
            case FineTune() | GradualUnfreeze():
                rate = f"{method.learning_rate:g} at the top layer"
            case Scratch() | Features() | LowRank():
                rate = f"{method.learning_rate:g}"
            case _:
                continue
        rates.setdefault(rate, []).append(one.name)
    return [f"{', '.join(names)} {rate}" for rate, names in rates.items()]


def warnings(train: Dataset, seen: SeenRows) -> list[str]:
    """Return warnings about rows that could make scores misleading: repeated, conflicting, seen."""
    duplicates, conflicts = find_repeats(train)
    overlap = seen.overlap
    counts: list[tuple[int, object]] = [
        (duplicates.num_rows, duplicates),
        (conflicts.num_texts, conflicts),
        (seen.leaks.num_test_rows, seen.leaks),
        (seen.near_leaks.num_test_rows, seen.near_leaks),
        (overlap.num_rows + overlap.num_short_rows if overlap else 0, overlap),
    ]
    found = [str(finding) for count, finding in counts if count]
    found += note_unspaced(train.texts)
    if not seen.num_clean:
        found.append("No test row is clean: all scores are on rows that were seen before the test.")
    return found


def shared_texts(task: ComparedTask, train: Examples, test: Examples, seen: SeenRows) -> list[str]:
    """Return how many test pairs are not training pairs but share one text, or both, with some."""
    if task.pairs is None:
        return []
    known, leaked = set(map(text_key, task.texts(train.texts))), set(seen.leaks.test_indices)
    shared = sum(
        row not in leaked and any(text_key(text) in known for text in pair)
        for row, pair in enumerate(test.texts)
    )
    return [f"test pairs that share a text with other training pairs: {shared:,}"] if shared else []


def data_facts(task: ComparedTask, train: Examples, test: Examples) -> dict[str, Any]:
    """Return the report's facts about the labeled data."""
    counts = dict(sorted(Counter(task.kinds(train)).items()))
    return {
        "source": train.source,
        "train_rows": len(train),
        "test_rows": len(test),
        "classes": [{"label": label, "count": count} for label, count in counts.items()],
    }
