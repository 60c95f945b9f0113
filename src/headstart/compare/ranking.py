"""Which encoder to try first: how well frozen features suit a task, before any training."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from headstart.compare.reading import MAX_TOKENS
from headstart.compare.rows import read_examples
from headstart.compare.statistics import RESAMPLES, interval
from headstart.compare.tasks import CLASSIFICATION, Columns, ComparedTask, Examples, choose_task
from headstart.data.overlap import first_occurrences, text_key
from headstart.data.splits import nested_subsets
from headstart.data.tagged import TaggedSentences
from headstart.devices import torch_defaults
from headstart.errors import HeadstartError, NonFiniteError, SettingsError
from headstart.hub.bundle import Pretrained
from headstart.hub.foreign.huggingface import as_path
from headstart.hub.store import load_encoder
from headstart.progress import SILENT, Progress
from headstart.seeds import generator
from headstart.settings import plain_arguments, whole_number
from headstart.tasks.classification import encode_labels
from headstart.tasks.pairs import combined
from headstart.tokenize.batches import Rows
from headstart.transfer.layer_features import layer_features, word_layer_features
from headstart.transfer.transferability import Array, Estimate, transferability

Row = Mapping[str, Any]
Source = str | Path | Pretrained

ESTIMATES = {"logme": "LogME", "h_score": "H-score", "probe": "probe"}
LABELS = 200  # enough to tell encoders apart, within seconds
_MOST_WORDS = 2000  # of tagged sentences
_DECIDES = "logme"


@dataclass(frozen=True)
class Ranking:
    """How well the frozen features of some encoders suit a task.

    Attributes:
        results: Everything, as plain values: `rows`, `encoders`, `first`, `sentence`, ..
    """

    results: dict[str, Any]

    def __repr__(self) -> str:
        return f"Ranking(order={self.order!r}, sentence={self.sentence!r})"

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row for each layer of each encoder, by decreasing LogME, with intervals.

        Its columns: `encoder`, `layer` (0: the input layer), `of` (the top layer), `pooling`,
        `seconds`; `logme`, `h_score` and `probe`, each also as `.._low` and `.._high`.
        """
        rows: list[dict[str, Any]] = self.results["rows"]
        return rows

    @property
    def order(self) -> list[str]:
        """The encoders, in the order in which to try them."""
        return [row["encoder"] for row in self.results["encoders"]]

    @property
    def sentence(self) -> str:
        """What to try first, and how certain that is."""
        return str(self.results["sentence"])


@torch_defaults()
@plain_arguments
def rank(  # noqa: PLR0913 - what a user may decide, each by its name
    data: str | Path | Examples,
    *,
    encoders: Source | Sequence[Source] | Mapping[str, Source],
    labels: int = LABELS,
    task: str = CLASSIFICATION.name,
    scheme: str = "auto",
    repair: bool = False,
    pair_columns: Sequence[str] | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    max_bad_rows: int = 0,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Ranking:
    """Rank encoders, and their layers, by how well their frozen features suit the labels.

    Args:
        data: Labeled texts, text pairs or tagged sentences: a file, or in memory a `Dataset`,
            `PairDataset` or `TaggedSentences` (of `headstart.data`).
        encoders: One or several files, folders or Hub ids, also as `NAME=SOURCE`, or loaded
            encoders; or a mapping from names to any of these.
        labels: How many distinct labeled texts, pairs or sentences to use, as a stratified sample;
            all of them if there are fewer.
        task: `classification`, `pair` or `tagging`.
        scheme: For tags: their scheme in `data`, `BIO`, `IOB1`, `BIOES` or `plain`; `auto` detects
            it.
        repair: For tags: whether illegal ones are interpreted as CoNLL's `conlleval` does.
            Otherwise they are rejected.
        pair_columns: The two columns of a pair's texts.
        text_column: The column of the texts, or words.
        label_column: The column of the labels, or tags.
        max_bad_rows: How many malformed or unlabeled rows may be skipped.
        seed: The random seed of the sample and of everything else that is drawn.
        progress: Where progress is reported.

    Returns:
        The ranking.

    Raises:
        DataError: The data cannot be used.
        SettingsError: There is no encoder, two have the same name, or there are too few labels.
        FormatError: An encoder, named in the message, cannot be read.
    """
    started = time.perf_counter()
    labels, seed = whole_number("labels", labels), whole_number("seed", seed)
    sources = _by_name(encoders)
    columns = Columns(text_column, pair_columns, label_column, max_bad_rows, scheme, repair)
    chosen_task, given = read_examples(choose_task(task), data, columns, progress)
    for note in given.notes:
        progress.note(note)
    given = without_copies(chosen_task, given)
    strata = chosen_task.strata(given)
    kinds = len(set(strata))
    if labels < fewest_labels(kinds):
        wording = chosen_task.wording
        raise SettingsError(
            f"{labels} is too few {wording.labels} to tell {kinds} {wording.kinds} apart; use at "
            f"least two for each {wording.kind}, {fewest_labels(kinds)} in all"
        )
    chosen = given
    if labels < len(given):
        chosen = given.select(nested_subsets(strata, [labels], seed=seed)[labels])
    loaded = _load(sources, progress)
    found = rank_encoders(
        loaded, chosen, task=chosen_task, total=len(sources), seed=seed, progress=progress
    )
    return Ranking(
        {
            "data": given.source,
            "task": chosen_task.name,
            "classes": kinds,
            **found,
            "sentence": _sentence(found["encoders"], found["first"][_DECIDES]),
            "sources": {name: str(source) for name, source in sources.items()},
            "seconds": time.perf_counter() - started,
        }
    )


def without_copies(task: ComparedTask, given: Examples) -> Examples:
    """Return the examples without duplicates, which a probe fitted to a copy would get right.

    A text with several labels is kept once with each.
    """
    texts = task.as_texts(given)
    keys = zip(map(text_key, texts.texts), texts.labels, strict=True)
    return given.select(first_occurrences(keys))


def fewest_labels(kinds: int) -> int:
    """Return the minimum number of labels for so many kinds: one of each to fit, one to test."""
    return 2 * kinds


def _by_name(encoders: Source | Sequence[Source] | Mapping[str, Source]) -> dict[str, Source]:
    """Return the sources by their names in the table.

    Raises:
        SettingsError: There are none, or two have the same name.
    """
    if isinstance(encoders, Mapping):
        found = dict(encoders)
    else:
        found = {}
        if isinstance(encoders, str) or not isinstance(encoders, Iterable):
            encoders = [encoders]
        for each in encoders:
            name, source = _named(each)
            if name in found:
                raise SettingsError(
                    f"two encoders are called {name!r}; rename one with NAME=SOURCE"
                )
            found[name] = source
    if not found:
        raise SettingsError("there is no encoder to rank; give one, such as glove.6B.50d.txt")
    return found


def _named(source: Source) -> tuple[str, Source]:
    if isinstance(source, Pretrained):
        return source.name, source
    name, equals, rest = str(source).partition("=")
    if not equals or Path(source).exists():
        return as_path(source).name, source
    if not (name and rest):
        raise SettingsError(
            f"encoder {str(source)!r}: write a name before '=' and a source after it"
        )
    return name, rest


def _load(sources: Mapping[str, Source], progress: Progress) -> Iterator[tuple[str, Pretrained]]:
    """Yield the encoders, each loaded when its turn comes, so only one is in memory."""
    for name, source in sources.items():
        if isinstance(source, Pretrained):
            yield name, source
            continue
        try:
            encoder = load_encoder(source, progress=progress)
        except HeadstartError as error:
            raise type(error)(f"encoder {name!r}: {error}") from None
        yield name, encoder


def rank_encoders(
    encoders: Iterable[tuple[str, Pretrained]],
    given: Examples,
    *,
    task: ComparedTask = CLASSIFICATION,
    total: int,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Estimate how well every layer of some encoders suits the labels of texts, pairs or words.

    The features of a pair are those that a probe combines from both texts, encoded separately. Of
    tagged sentences, at most 2000 words are used, and intervals resample whole sentences.

    Args:
        encoders: Names and encoders.
        given: The texts and labels.
        task: The task of the labels.
        total: The number of encoders.
        seed: The random seed of folds and intervals.
        progress: Where progress is reported.

    Returns:
        As plain values: `labels`, their number; `rows`, one for each layer, and `encoders`, the
        best layer of each by each estimate, both by decreasing LogME; and `first`: by each
        estimate, the encoder to try first, the second, and the probability that the first is
        better.
    """
    words = _some_words(given, seed) if isinstance(given, TaggedSentences) else None
    _, labels_N = encode_labels(given.labels if words is None else words.tags)
    rows: list[dict[str, Any]] = []
    estimates: list[dict[str, Estimate]] = []
    with progress.stage("ranking encoders", total, "encoders") as advance:
        for name, encoder in encoders:
            started = time.perf_counter()
            if words is None:
                texts = task.texts(given.texts)
                layers = layer_features(encoder, texts, max_tokens=MAX_TOKENS, progress=progress)
            else:
                layers = word_layer_features(
                    encoder, given.texts, max_tokens=MAX_TOKENS, progress=progress
                )
            with progress.stage(f"{name}: estimating", len(layers), "layers") as estimated:
                for layer, pooling, features in layers:
                    if not np.isfinite(features).all():
                        raise NonFiniteError(
                            f"encoder {name!r}: layer {layer} outputs infinite values or NaN; its "
                            "weights are corrupted"
                        )
                    x = combined(features, task.pairs) if words is None else features[words.rows]
                    found = transferability(x.astype(np.float64), labels_N, seed=seed)
                    estimates.append(found if words is None else words.by_sentence(found))
                    rows.append({"encoder": name, "layer": layer, "pooling": pooling})
                    estimated(1)
            seconds = time.perf_counter() - started
            for row in rows[-len(layers) :]:
                row |= {"of": layers[-1].layer, "seconds": seconds}
            advance(1)
    draws = {
        name: _add_intervals(
            rows, name, [each[name] for each in estimates], seed, by_word=task.by_word
        )
        for name in ESTIMATES
    }
    best = {name: _best_layers(rows, name) for name in ESTIMATES}
    order = sorted(rows, key=lambda row: -row[_DECIDES])
    names = dict.fromkeys(row["encoder"] for row in order)
    return {
        "labels": len(given),
        "rows": order,
        "encoders": [
            {"encoder": each, **{name: _told(rows[best[name][each]], name) for name in ESTIMATES}}
            for each in names
        ],
        "first": {name: _first(rows, best[name], draws[name]) for name in ESTIMATES},
    }


@dataclass(frozen=True)
class _Words:
    """A sample of the words of some sentences.

    Attributes:
        rows: The words' indices in all sentences, concatenated.
        tags: The tag of each word.
        sentence_N: The index of each word's sentence.
        sentences: The number of sentences.
    """

    rows: Rows
    tags: Sequence[str]
    sentence_N: Rows
    sentences: int

    def by_sentence(self, estimates: Mapping[str, Estimate]) -> dict[str, Estimate]:
        """Return estimates with the contribution of each sentence: the sum over its words."""
        share = self.sentences / len(self.rows)
        found = {}
        for name, (value, added_N) in estimates.items():
            sums = np.bincount(self.sentence_N, added_N, minlength=self.sentences)
            found[name] = Estimate(value, (share * sums).astype(np.float64))
        return found


def _some_words(given: TaggedSentences, seed: int) -> _Words:
    """Return all words, or a stratified sample if there are many."""
    tags = list(chain.from_iterable(given.tags))
    rows = np.arange(len(tags))
    if len(tags) > _MOST_WORDS:
        rows = np.sort(nested_subsets(tags, [_MOST_WORDS], seed=seed)[_MOST_WORDS])
    sentence_N = np.repeat(np.arange(len(given)), list(map(len, given.texts)))[rows]
    return _Words(rows, [tags[row] for row in rows], sentence_N, len(given))


def _add_intervals(
    rows: Sequence[dict[str, Any]],
    name: str,
    estimates: Sequence[Estimate],
    seed: int,
    *,
    by_word: bool,
) -> Array:
    """Add an estimate's value and interval to each row; return its bootstrap draws `[rows, draws]`.

    All rows and estimates use the same draws of texts.
    """
    values = np.array([each.value for each in estimates])
    influence = np.stack([each.influence_N for each in estimates])
    num_texts = influence.shape[1]
    random = generator(seed, "texts")
    times = random.multinomial(num_texts, np.full(num_texts, 1 / num_texts), RESAMPLES)
    draws: Array = values[:, None] + influence @ (times.T / num_texts)
    low, high = np.quantile(draws, [0.025, 0.975], axis=1)
    if name == "probe" and not by_word:  # an accuracy, possibly 1: as in a comparison's table
        right = np.round(values[:, None] + influence)
        _, low, high = interval(right[:, None, :], seed=seed)
    for row, value, lowest, highest in zip(rows, values, low, high, strict=True):
        row |= {name: float(value), f"{name}_low": float(lowest), f"{name}_high": float(highest)}
    return draws


def _best_layers(rows: Sequence[Row], name: str) -> dict[str, int]:
    """Return the row of each encoder's best layer by an estimate, the best encoder first.

    LogME breaks ties between layers and between encoders.
    """
    order = sorted(range(len(rows)), key=lambda at: (-rows[at][name], -rows[at][_DECIDES]))
    best: dict[str, int] = {}
    for at in order:
        best.setdefault(rows[at]["encoder"], at)
    return best


def _told(row: Row, name: str) -> dict[str, Any]:
    """Return one estimate from a row."""
    return {
        "value": row[name],
        "low": row[f"{name}_low"],
        "high": row[f"{name}_high"],
        "layer": row["layer"],
        "of": row["of"],
        "pooling": row["pooling"],
    }


def _first(rows: Sequence[Row], best: Mapping[str, int], draws: Array) -> dict[str, Any]:
    """Return the best encoder by an estimate, the second, and how certain their order is."""
    first, *others = best.values()
    if not others:
        return {"encoder": rows[first]["encoder"], "second": None, "probability": None}
    gains = draws[first] - draws[others[0]]
    return {
        "encoder": rows[first]["encoder"],
        "second": rows[others[0]]["encoder"],
        "probability": float((gains > 0).mean() + (gains == 0).mean() / 2),
    }


def _sentence(encoders: Sequence[Row], first: Row) -> str:
    """Return a sentence that says which encoder to try first."""
    told = encoders[0][_DECIDES]
    name = first["encoder"]
    what = (
        f"{ESTIMATES[_DECIDES]} is highest, {told['value']:.3f} [{told['low']:.3f}, "
        f"{told['high']:.3f}]"
    )
    if told["of"]:
        what += f", at layer {told['layer']} of {told['of']}"
    if first["second"] is None:
        return f"{name}: {what}."
    return (
        f"Try {name} first, as {name}:probe: its {what}, and exceeds that of {first['second']} "
        f"with probability {first['probability']:.2f}."
    )
