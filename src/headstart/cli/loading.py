"""What commands are given: data, with what was guessed said; models that can do the job."""

from pathlib import Path

from headstart.data.labelled import Dataset, read_labelled
from headstart.errors import SettingsError
from headstart.hub.bundle import Pretrained, PretrainedWordVectors
from headstart.progress import Progress
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.loading import load


def load_dataset(
    path: Path, *, text_column: str | None, label_column: str | None, progress: Progress
) -> Dataset:
    """Read labelled data, and say what was guessed about their columns."""
    dataset = read_labelled(
        path, text_column=text_column, label_column=label_column, progress=progress
    )
    for note in dataset.notes:
        progress.note(note)
    return dataset


def load_classifier(path: Path, *, progress: Progress) -> TextClassifier:
    """Load a fitted model.

    Raises:
        SettingsError: There is an encoder, which has no task yet.
    """
    model = load(path, progress=progress)
    if isinstance(model, TextClassifier):
        return model
    raise SettingsError(
        f"{path}: is an encoder, and knows no labels; fit it to some first, with "
        f"headstart fit classification DATA --encoder {path} --out DIR"
    )


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


def word_vectors(model: Pretrained | TextClassifier) -> PretrainedWordVectors | None:
    """Return the word vectors of a model, or None if it has none."""
    inside = model.fitted_vectors() if isinstance(model, TextClassifier) else model
    return inside if isinstance(inside, PretrainedWordVectors) else None
