"""The tasks that can be compared, and what a comparison must know about each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from headstart.compare.scoring import Score, score_classes, score_spans, score_words
from headstart.compare.sentences import check_known_tags, check_taggable, kinds, strata
from headstart.compare.wording import PAIRS, SPANS, TEXTS, WORDS, Wording
from headstart.data.contamination import Examples as Examples
from headstart.data.labelled import Dataset, check_known_labels, check_trainable, read_labelled
from headstart.data.pairs import PairDataset, read_labelled_pairs
from headstart.data.parallel import Pair
from headstart.data.tables import file_format, table_columns
from headstart.data.tagged import TaggedSentences, read_tagged
from headstart.data.unseen_labels import UnseenLabels
from headstart.errors import DataError, SettingsError
from headstart.progress import Progress
from headstart.tasks.pairs import Pairs
from headstart.tasks.tagging import Scheme, choose_scheme
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.methods import Method, with_defaults
from headstart.transfer.pairs import PairClassifier
from headstart.transfer.tagging import tagging_defaults
from headstart.transfer.token_tagger import TokenTagger


class Columns(NamedTuple):
    """How to read labeled data: its columns, how many bad rows may be skipped, and its tags."""

    text: str | None = None
    pair: Sequence[str] | None = None
    label: str | None = None
    max_bad_rows: int = 0
    scheme: str = "auto"
    repair: bool = False


ANY = Columns()


@dataclass(frozen=True, kw_only=True)
class ComparedTask:
    """A task in a comparison.

    Attributes:
        name: The name of the task: `classification`, ..
        metric: The name of the score.
        wording: The terms that a report uses for the task.
        pairs: How the two texts of an example are related, if it has two.
        by_word: Whether every word has a label, instead of the whole text.
        dataset: The type of labeled examples.
        read: Reads labeled examples from a file.
        check: Raises if labeled examples cannot be trained on.
        check_test: Raises if test examples cannot be scored, such as for labels that are not in the
            training examples, or returns notes of those labels that count as errors.
        kinds: What is counted in examples: classes, types of spans, ..
        strata: The stratum of each example, for sampling.
        estimator: The class of model that is fitted.
        settings: Further settings of the estimator, besides an encoder and a method.
        defaults: Fills in the settings that a method leaves open.
        validation: The score in an estimator's report by which methods are selected.
        score: Scores answers on the test examples.
        texts: All texts of some examples, as an encoder gets them.
        unfit: The methods that cannot be used for this task, and why.
    """

    name: str
    metric: str
    wording: Wording
    pairs: Pairs = None
    by_word: bool = False
    dataset: type[Examples]
    read: Callable[[str | Path, Columns, Progress], Examples]
    check: Callable[[Any], None] = check_trainable
    check_test: Callable[[Any, Any, UnseenLabels], tuple[str, ...]]
    kinds: Callable[[Any], list[str]]
    strata: Callable[[Any], list[str]]
    estimator: type[TextClassifier | TokenTagger]
    settings: Mapping[str, Any] = field(default_factory=dict)
    defaults: Callable[..., Method] = with_defaults
    validation: str = "validation_accuracy"
    score: Score = score_classes
    texts: Callable[[Sequence[Any]], list[str]]
    unfit: Mapping[str, str] = field(default_factory=dict)

    def as_texts(self, examples: Examples) -> Dataset:
        """Return each example as one text, the form in which it is searched for."""
        if isinstance(examples, PairDataset):
            return examples.as_texts(symmetric=self.pairs == "symmetric")
        return examples.as_texts()


def _read_texts(path: str | Path, columns: Columns, progress: Progress) -> Dataset:
    _refuse_pairs(columns)
    if columns.text is None:
        there = set(table_columns(Path(path), columns.max_bad_rows))
        for task, theirs in ((PAIR, ("text_a", "text_b")), (TAGGING, ("tokens", "tags"))):
            if "text" not in there and there.issuperset(theirs):
                raise DataError(
                    f"{path}: columns {theirs[0]!r} and {theirs[1]!r} are those of {task.name} "
                    f"data; compare with task={task.name!r} (--task {task.name}), or name one "
                    "column with text_column (--text-column)"
                )
    return read_labelled(
        path,
        text_column=columns.text,
        label_column=columns.label,
        max_bad_rows=columns.max_bad_rows,
        progress=progress,
    )


def _read_pairs(path: str | Path, columns: Columns, progress: Progress) -> PairDataset:
    if columns.text is not None:
        raise SettingsError(
            "a pair has two texts; name both columns with pair_columns (--pair-columns)"
        )
    return read_labelled_pairs(
        path,
        pair_columns=columns.pair,
        label_column=columns.label,
        max_bad_rows=columns.max_bad_rows,
        progress=progress,
    )


def _read_sentences(path: str | Path, columns: Columns, progress: Progress) -> TaggedSentences:
    _refuse_pairs(columns)
    if file_format(Path(path)) == "csv":
        raise DataError(
            f"{path}: a CSV table cannot be used for tagging; use columns of words and tags as in "
            "CoNLL, or JSONL or Parquet with tokens and tags"
        )
    return read_tagged(
        path,
        word_column=columns.text,
        tag_column=columns.label,
        max_bad_rows=columns.max_bad_rows,
        progress=progress,
    )


def _refuse_pairs(columns: Columns) -> None:
    if columns.pair is not None:
        raise SettingsError(
            "pair columns are only for pairs; compare with task='pair' (--task pair)"
        )


def _check_labels(
    test: Dataset | PairDataset, train: Dataset | PairDataset, unseen_labels: UnseenLabels
) -> tuple[str, ...]:
    return check_known_labels(test, train.classes, unseen_labels)


def _labels(examples: Dataset | PairDataset) -> list[str]:
    return examples.labels


def sides(pairs: Sequence[Pair]) -> list[str]:
    """Return all first texts, followed by all second texts."""
    return [first for first, _ in pairs] + [second for _, second in pairs]


def _joined(sentences: Sequence[Sequence[str]]) -> list[str]:
    return list(map(" ".join, sentences))


CLASSIFICATION = ComparedTask(
    name="classification",
    metric="accuracy",
    wording=TEXTS,
    dataset=Dataset,
    read=_read_texts,
    check_test=_check_labels,
    kinds=_labels,
    strata=_labels,
    estimator=TextClassifier,
    texts=list,
)
PAIR = ComparedTask(
    name="pair",
    metric="accuracy",
    wording=PAIRS,
    pairs="ordered",
    dataset=PairDataset,
    read=_read_pairs,
    check_test=_check_labels,
    kinds=_labels,
    strata=_labels,
    estimator=PairClassifier,
    defaults=partial(with_defaults, pairs=True),
    texts=sides,
)
SYMMETRIC = replace(PAIR, pairs="symmetric", settings={"symmetric": True})


def tagging(scheme: Scheme, *, repair: bool = False) -> ComparedTask:
    """Return the task of tagging, with spans in a tagging scheme, or with plain tags.

    With `repair`, illegal tags are accepted.
    """
    plain = scheme == "plain"
    return ComparedTask(
        name="tagging",
        metric="token accuracy" if plain else "span F1",
        wording=WORDS if plain else SPANS,
        by_word=True,
        dataset=TaggedSentences,
        read=_read_sentences,
        check=partial(check_taggable, scheme=scheme, repair=repair),
        check_test=partial(check_known_tags, scheme=scheme, repair=repair),
        kinds=partial(kinds, plain=plain),
        strata=partial(strata, plain=plain),
        estimator=TokenTagger,
        settings={"scheme": scheme},
        defaults=tagging_defaults,
        validation="validation_score",
        score=score_words if plain else score_spans,
        texts=_joined,
        unfit={"tfidf": "counts the words of a text, and cannot tag words"},
    )


TAGGING = tagging("IOB2")
TASKS = {task.name: task for task in (CLASSIFICATION, PAIR, TAGGING)}


def choose_task(
    task: str | None,
    demo: str | None = None,
    *,
    has_data: bool = True,
    symmetric: bool = False,
) -> ComparedTask:
    """Return the requested task, by its name or that of its demo.

    Raises:
        SettingsError: There is no such task, or the arguments contradict each other.
    """
    if demo is not None and has_data:
        raise SettingsError("a demo has its own data; give data or a demo, not both")
    if None not in (task, demo) and task != demo:
        raise SettingsError(f"the demo {demo!r} is not for the task {task!r}; leave one out")
    name = task or demo or CLASSIFICATION.name
    if name not in TASKS:
        raise SettingsError(f"unknown task {name!r}; choose from {', '.join(TASKS)}")
    if symmetric and name != PAIR.name:
        raise SettingsError(
            f"symmetric is only for pairs, but the task is {name!r}; leave symmetric out"
        )
    return SYMMETRIC if symmetric else TASKS[name]


def settled(task: ComparedTask, given: Examples, columns: Columns = ANY) -> ComparedTask:
    """Return the task as determined by the data, which show whether tags are spans or plain.

    Raises:
        SettingsError: The requested scheme does not exist.
    """
    if isinstance(given, TaggedSentences):
        return tagging(choose_scheme(columns.scheme, given.tags), repair=columns.repair)
    return task
