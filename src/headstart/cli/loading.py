"""What commands are given: data, with what was guessed said; models that can do the job."""

from collections.abc import Sequence
from pathlib import Path

from headstart.data.labelled import LabelledRows
from headstart.devices import compute_device
from headstart.errors import SettingsError
from headstart.hub import store
from headstart.hub.bundle import Pretrained, PretrainedWordVectors
from headstart.progress import Progress
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.loading import load
from headstart.transfer.pairs import PairEstimator
from headstart.transfer.regressor import TextRegressor
from headstart.transfer.token_tagger import TokenTagger


def tell_notes(dataset: LabelledRows, progress: Progress) -> LabelledRows:
    """Say what was guessed in reading labelled data, what is odd, and what was left out."""
    for note in dataset.notes:
        progress.note(note)
    return dataset


def load_model(
    path: Path, *, device: str = "cpu", progress: Progress
) -> TextClassifier | TextRegressor | TokenTagger:
    """Load a fitted model.

    Raises:
        SettingsError: There is an encoder, which has no task yet; or no such device.
    """
    model = load(path, device=device, progress=progress)
    if not isinstance(model, Pretrained):
        return model
    raise SettingsError(
        f"{path}: is an encoder, and knows no labels; fit it to some first, with "
        f"headstart fit classification DATA --encoder {path} --out DIR"
    )


def load_encoder(source: str | None, *, device: str, progress: Progress) -> Pretrained | None:
    """Load the encoder that a model is to be fitted to, where it shall compute; None without one.

    Raises:
        SettingsError: There is no such device, or nothing that could compute there.
    """
    place = compute_device(device)
    if source is not None:
        return store.load_encoder(source, progress=progress).to(place)
    if place.type != "cpu":
        raise SettingsError(f"without an encoder all is computed on the cpu, not on {device}")
    return None


def check_columns(
    path: Path,
    model: TextClassifier | TextRegressor | TokenTagger,
    text: str | None,
    pair: Sequence[str] | None,
    separator: str | None,
) -> None:
    """Refuse columns that a model does not read, and a separator of labels that it does not give.

    Raises:
        SettingsError: There are some.
    """
    if isinstance(model, PairEstimator):
        if text is not None:
            raise SettingsError("the model takes pairs of texts; name both of their columns")
    elif pair is not None:
        what = "words" if isinstance(model, TokenTagger) else "single texts"
        raise SettingsError(f"the model takes {what}; name their one column")
    several = isinstance(model, TextClassifier) and model.thresholds_ is not None
    if separator is not None and not several:
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
