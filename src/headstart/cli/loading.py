"""What commands are given: data, with what was guessed said; models that can do the job."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headstart.data.label_sets import read_label_sets
from headstart.data.labelled import Dataset, Labelled, read_labelled
from headstart.data.numbers import read_numbers, read_pair_numbers
from headstart.data.pairs import PairDataset, read_labelled_pairs
from headstart.data.parallel import Pair
from headstart.errors import SettingsError
from headstart.hub.bundle import Pretrained, PretrainedWordVectors
from headstart.progress import Progress
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.loading import load
from headstart.transfer.regressor import TextRegressor
from headstart.transfer.token_tagger import TokenTagger


def load_dataset(
    path: Path, *, text_column: str | None, label_column: str | None, progress: Progress
) -> Dataset:
    """Read labelled data, and say what was guessed about their columns."""
    dataset = read_labelled(
        path, text_column=text_column, label_column=label_column, progress=progress
    )
    _tell_notes(dataset, progress)
    return dataset


def load_label_sets(
    path: Path,
    *,
    text_column: str | None,
    label_column: str | None,
    separator: str | None,
    progress: Progress,
) -> Labelled[str, list[str]]:
    """Read texts with several labels each, and say what was guessed about their columns."""
    dataset = read_label_sets(
        path,
        text_column=text_column,
        label_column=label_column,
        separator=separator,
        progress=progress,
    )
    _tell_notes(dataset, progress)
    return dataset


def load_numbers(
    path: Path, *, text_column: str | None, label_column: str | None, progress: Progress
) -> Labelled[str, float]:
    """Read texts with a number each, and say what was guessed about their columns."""
    dataset = read_numbers(
        path, text_column=text_column, label_column=label_column, progress=progress
    )
    _tell_notes(dataset, progress)
    return dataset


def load_pairs(
    path: Path,
    *,
    pair_columns: Sequence[str] | None,
    label_column: str | None,
    progress: Progress,
) -> PairDataset:
    """Read labelled pairs, and say what was guessed about their columns, and what is odd."""
    dataset = read_labelled_pairs(
        path, pair_columns=pair_columns, label_column=label_column, progress=progress
    )
    _tell_notes(dataset, progress)
    return dataset


def load_pair_numbers(
    path: Path,
    *,
    pair_columns: Sequence[str] | None,
    label_column: str | None,
    progress: Progress,
) -> Labelled[Pair, float]:
    """Read pairs with a number each, and say what was guessed about their columns."""
    dataset = read_pair_numbers(
        path, pair_columns=pair_columns, label_column=label_column, progress=progress
    )
    _tell_notes(dataset, progress)
    return dataset


def _tell_notes(dataset: Labelled[Any, Any], progress: Progress) -> None:
    for note in dataset.notes:
        progress.note(note)


def load_model(path: Path, *, progress: Progress) -> TextClassifier | TextRegressor | TokenTagger:
    """Load a fitted model.

    Raises:
        SettingsError: There is an encoder, which has no task yet.
    """
    model = load(path, progress=progress)
    if not isinstance(model, Pretrained):
        return model
    raise SettingsError(
        f"{path}: is an encoder, and knows no labels; fit it to some first, with "
        f"headstart fit classification DATA --encoder {path} --out DIR"
    )


def check_separator(path: Path, model: TextClassifier | TextRegressor, asked: str | None) -> None:
    """Refuse a separator of labels for a model that gives no text several.

    Raises:
        SettingsError: There is one.
    """
    several = isinstance(model, TextClassifier) and model.thresholds_ is not None
    if asked is not None and not several:
        raise SettingsError(f"{path}: gives no text several labels; leave --label-separator out")


def load_word_vectors(path: Path, *, progress: Progress) -> PretrainedWordVectors:
    """Load word vectors: an encoder's, or those inside a fitted model.

    Raises:
        SettingsError: There are none.
    """
    model = load(path, progress=progress)
    vectors = word_vectors(model)
    if vectors is None:
        raise SettingsError(f"{path}: has no word vectors; give an encoder that has, or its file")
    return vectors


def word_vectors(
    model: Pretrained | TextClassifier | TextRegressor | TokenTagger,
) -> PretrainedWordVectors | None:
    """Return the word vectors of a model, or None if it has none."""
    if isinstance(model, TokenTagger):
        return None
    inside = model if isinstance(model, Pretrained) else model.fitted_vectors()
    return inside if isinstance(inside, PretrainedWordVectors) else None
