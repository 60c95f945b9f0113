"""`headstart fit`: fit a model to a task, with proof of what was transferred."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli.options import (
    Config,
    Debug,
    Device,
    Encoder,
    Json,
    LabelColumn,
    LabelSeparator,
    MaxBadRows,
    Out,
    PairColumns,
    Seed,
    Symmetric,
    TextColumn,
    save_fitted,
)
from headstart.cli.tagging import tagging
from headstart.cli.terminal import figures, say
from headstart.errors import SettingsError

if TYPE_CHECKING:
    from headstart.data.labelled import Labelled
    from headstart.hub.bundle import Pretrained
    from headstart.progress import Progress
    from headstart.transfer.estimators import TextClassifier
    from headstart.transfer.regressor import TextRegressor

Data = Annotated[Path, typer.Argument(metavar="DATA", help="Labeled data.")]
Transfer = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="With an encoder: probe, frozen, finetune, gradual or lora. Without: scratch, tfidf "
        "or majority. auto: finetune with an encoder, scratch without.",
    ),
]
Calibrate = Annotated[
    bool, typer.Option("--calibrate", help="Calibrate the probabilities on held-out labels.")
]

_WITHOUT_CHANCE = ("majority", "tfidf", "probe")  # their results do not depend on initial weights

app = typer.Typer(help="Fit a model to labeled data.")
app.command()(tagging)


@app.callback()
def fit() -> None:
    """Fit a model to labeled data, and show what was transferred."""


@app.command()
def classification(
    context: typer.Context,
    data: Data,
    *,
    out: Out,
    encoder: Encoder = None,
    transfer: Transfer = "auto",
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    label_separator: LabelSeparator = None,
    max_bad_rows: MaxBadRows = 0,
    calibrate: Calibrate = False,
    seed: Seed = 0,
    device: Device = "cpu",
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Fit a text classifier with one or several labels.

    Texts have several labels if the label column holds lists, or with --label-separator.

    For example:

        headstart fit classification train.csv --encoder glove.6B.100d.txt --out runs/topics
    """
    from headstart.cli.bars import Bars
    from headstart.cli.loading import tell_notes
    from headstart.data.label_sets import holds_lists, read_label_sets
    from headstart.data.labelled import check_trainable, read_labelled
    from headstart.data.numbers import note_of_numbers
    from headstart.storage import check_new
    from headstart.transfer.estimators import TextClassifier

    check_new(out)
    bars = Bars()
    columns = {"text_column": text_column, "label_column": label_column}
    reading: dict[str, Any] = {**columns, "max_bad_rows": max_bad_rows, "progress": bars}
    dataset: Labelled[Any, Any]
    if label_separator is not None or holds_lists(data, **columns, max_bad_rows=max_bad_rows):
        dataset = tell_notes(read_label_sets(data, **reading, separator=label_separator), bars)
    else:
        dataset = labelled = tell_notes(read_labelled(data, **reading), bars)
        if note := note_of_numbers(labelled):
            bars.note(note)
        check_trainable(labelled)
    loaded = _load_encoder(encoder, transfer, device, bars)
    model = TextClassifier(loaded, transfer, calibrate=calibrate, random_state=seed)
    _fit(context, model, dataset, out, bars, as_json=as_json)


@app.command()
def regression(
    context: typer.Context,
    data: Data,
    *,
    out: Out,
    encoder: Encoder = None,
    transfer: Transfer = "auto",
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    max_bad_rows: MaxBadRows = 0,
    seed: Seed = 0,
    device: Device = "cpu",
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Fit a model that predicts a number for each text.

    For example:

        headstart fit regression train.csv --encoder glove.6B.100d.txt --out runs/stars
    """
    from headstart.cli.bars import Bars
    from headstart.cli.loading import tell_notes
    from headstart.data.numbers import read_numbers
    from headstart.storage import check_new
    from headstart.transfer.regressor import TextRegressor

    check_new(out)
    bars = Bars()
    dataset = read_numbers(
        data,
        text_column=text_column,
        label_column=label_column,
        max_bad_rows=max_bad_rows,
        progress=bars,
    )
    tell_notes(dataset, bars)
    loaded = _load_encoder(encoder, transfer, device, bars)
    model = TextRegressor(loaded, transfer, random_state=seed)
    _fit(context, model, dataset, out, bars, as_json=as_json)


@app.command()
def pair(
    context: typer.Context,
    data: Data,
    *,
    out: Out,
    encoder: Encoder = None,
    transfer: Transfer = "auto",
    symmetric: Symmetric = False,
    numbers: Annotated[
        bool, typer.Option("--numbers", help="Labels are numbers, such as similarities.")
    ] = False,
    pair_columns: PairColumns = None,
    label_column: LabelColumn = None,
    max_bad_rows: MaxBadRows = 0,
    calibrate: Calibrate = False,
    seed: Seed = 0,
    device: Device = "cpu",
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Fit a classifier or regressor of text pairs.

    For entailment, paraphrases, or questions with answers. With --numbers the model predicts a
    number for each pair, such as how similar the two texts are.

    For example:

        headstart fit pair train.csv --encoder glove.6B.100d.txt --out runs/pairs

        headstart fit pair sts.csv --numbers --encoder runs/bert --symmetric --out runs/similarity
    """
    from headstart.cli.bars import Bars
    from headstart.cli.loading import tell_notes
    from headstart.data.labelled import check_trainable
    from headstart.data.numbers import note_of_numbers, read_pair_numbers
    from headstart.data.pairs import read_labelled_pairs
    from headstart.storage import check_new
    from headstart.transfer.pairs import PairClassifier, PairRegressor

    if numbers and calibrate:
        raise SettingsError("numbers have no probabilities to calibrate; remove --calibrate")
    check_new(out)
    bars = Bars()
    reading: dict[str, Any] = {
        "pair_columns": pair_columns,
        "label_column": label_column,
        "max_bad_rows": max_bad_rows,
        "progress": bars,
    }
    dataset: Labelled[Any, Any]
    if numbers:
        dataset = tell_notes(read_pair_numbers(data, **reading), bars)
    else:
        dataset = labelled = tell_notes(read_labelled_pairs(data, **reading), bars)
        if note := note_of_numbers(labelled):
            bars.note(note)
        check_trainable(labelled)
    loaded = _load_encoder(encoder, transfer, device, bars)
    settings: dict[str, Any] = {"symmetric": symmetric, "random_state": seed}
    model = (
        PairRegressor(loaded, transfer, **settings)
        if numbers
        else PairClassifier(loaded, transfer, calibrate=calibrate, **settings)
    )
    _fit(context, model, dataset, out, bars, as_json=as_json)


def _load_encoder(
    source: str | None, transfer: str, device: str, progress: "Progress"
) -> "Pretrained | None":
    """Load the encoder onto the device; reject an encoder that the transfer does not use."""
    from headstart.cli.loading import load_encoder
    from headstart.transfer.fitting import whole_model_width
    from headstart.transfer.methods import NO_ENCODER, name_of

    loaded = load_encoder(source, device=device, progress=progress)
    alone = {name_of(kind()) for kind in NO_ENCODER}
    if whole_model_width(loaded):
        alone.remove("scratch")  # trains the same architecture from random weights
    if loaded is not None and transfer in alone:
        raise SettingsError(
            f"the transfer {transfer!r} uses no encoder; remove --encoder or --transfer"
        )
    return loaded


def _fit(
    context: typer.Context,
    model: "TextClassifier | TextRegressor",
    dataset: "Labelled[Any, Any]",
    out: Path,
    progress: "Progress",
    *,
    as_json: bool,
) -> None:
    """Fit a model, save it with the command's settings, and print its report."""
    from headstart.data.unspaced import note_unspaced
    from headstart.transfer.methods import name_of

    if _reads_words(model):
        for note in note_unspaced(dataset.texts):
            progress.note(note)
    model.fit(dataset.texts, dataset.labels, progress=progress)
    save_fitted(context, model, out, as_json=as_json)
    if as_json:
        return
    report = model.fit_report_
    if report["truncated"]:
        say(f"truncated      {report['truncated']:,} inputs longer than the model's maximum length")
    scores = {name.removeprefix("validation_"): value for name, value in report.items()}
    say(f"validation     {figures(scores)} on held-out labels")
    if report.get("validation_classes") == 1:
        hint = "" if name_of(model.method_) in _WITHOUT_CHANCE else "; try another seed"
        say(f"               every text got the same class: it learned nothing{hint}")
    if temperature := report.get("temperature"):
        before, after = (report[f"validation_calibration_error{when}"] for when in ("_before", ""))
        say(f"temperature    {temperature:.3f}: calibration error {before:.3f} -> {after:.3f}")
    say(f"model          {out}")


def _reads_words(model: "TextClassifier | TextRegressor") -> bool:
    """Return whether texts are tokenized into words, not subwords."""
    from headstart.hub.bundle import Pretrained
    from headstart.tokenize.words import WordTokenizer

    if isinstance(model.encoder, Pretrained):
        return isinstance(model.encoder.tokenizer, WordTokenizer)
    return model.transfer != "majority"
