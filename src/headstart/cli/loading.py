"""Loading of data and models for the commands, with notes and checks."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from headstart.data.labelled import LabelledRows
from headstart.data.tables import file_format
from headstart.devices import compute_device
from headstart.errors import SettingsError
from headstart.hub import store
from headstart.hub.bundle import CONFIG, Pretrained, PretrainedWordVectors
from headstart.progress import Progress
from headstart.training import precision
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.features import quick_reading
from headstart.transfer.loading import load
from headstart.transfer.pairs import PairEstimator
from headstart.transfer.regressor import TextRegressor
from headstart.transfer.token_tagger import TokenTagger


def tell_notes(dataset: LabelledRows, progress: Progress) -> LabelledRows:
    """Print the notes on labeled data: what was guessed, is unusual, or was left out."""
    for note in dataset.notes:
        progress.note(note)
    return dataset


def load_model(
    path: Path, *, device: str = "cpu", progress: Progress
) -> TextClassifier | TextRegressor | TokenTagger:
    """Load a fitted model.

    Raises:
        SettingsError: It is an encoder, which has no task yet, or a table, or the device does not
            exist.
    """
    if path.is_file() and file_format(path) not in {None, "text"}:
        if path.name == CONFIG:
            raise SettingsError(f"{path}: is a file of a model; give its folder")
        raise SettingsError(f"{path}: is data, not a model; the model comes first, then the data")
    model = load(path, device=device, progress=progress)
    if not isinstance(model, Pretrained):
        return model
    raise SettingsError(
        f"{path}: is an encoder, not a fitted model; fit one first, for example: "
        f"headstart fit classification DATA --encoder {path} --out DIR"
    )


def reading(*, bf16: bool, device: str, progress: Progress) -> AbstractContextManager[None]:
    """Return a context that encodes in bfloat16 if asked; note where the device is not fast at it.

    Args:
        bf16: Whether it is asked for.
        device: A device that exists.
        progress: Receives the note.
    """
    if bf16 and not precision.has_fast_bf16(compute_device(device)):
        progress.note("the device has no hardware support for bfloat16; --bf16 is ignored")
    return quick_reading() if bf16 else nullcontext()


def load_encoder(source: str | None, *, device: str, progress: Progress) -> Pretrained | None:
    """Load the encoder for a fit onto its device; None without an encoder.

    Raises:
        SettingsError: The device does not exist, or is not the CPU and there is no encoder.
    """
    place = compute_device(device)
    if source is not None:
        return store.load_encoder(source, progress=progress).to(place)
    if place.type != "cpu":
        raise SettingsError(
            f"--device {device} needs an encoder; without one, only the cpu is used"
        )
    return None


def check_columns(
    path: Path,
    model: TextClassifier | TextRegressor | TokenTagger,
    text: str | None,
    pair: Sequence[str] | None,
    separator: str | None,
) -> None:
    """Reject column options and a label separator that do not apply to the model.

    Raises:
        SettingsError: One does not apply.
    """
    if isinstance(model, PairEstimator):
        if text is not None:
            raise SettingsError(
                "the model takes pairs of texts; use --pair-columns instead of --text-column"
            )
    elif pair is not None:
        what = "words" if isinstance(model, TokenTagger) else "single texts"
        raise SettingsError(f"the model takes {what}; use --text-column instead of --pair-columns")
    several = isinstance(model, TextClassifier) and model.thresholds_ is not None
    if separator is not None and not several:
        raise SettingsError(
            f"{path}: does not predict several labels per text; remove --label-separator"
        )


def load_word_vectors(path: Path, *, progress: Progress) -> PretrainedWordVectors:
    """Load the word vectors of an encoder or of a fitted model.

    Raises:
        SettingsError: It has none.
    """
    model = load(path, progress=progress)
    vectors = word_vectors(model)
    if vectors is None:
        raise SettingsError(
            f"{path}: has no word vectors; choose a word2vec or GloVe encoder, or a file of vectors"
        )
    return vectors


def word_vectors(
    model: Pretrained | TextClassifier | TextRegressor | TokenTagger,
) -> PretrainedWordVectors | None:
    """Return the word vectors of a model, or None if it has none."""
    if isinstance(model, TokenTagger):
        return None
    inside = model if isinstance(model, Pretrained) else model.fitted_vectors()
    return inside if isinstance(inside, PretrainedWordVectors) else None
