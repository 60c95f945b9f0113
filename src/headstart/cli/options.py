"""The options that commands share, and the settings file that can replace them."""

import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar, cast

import typer

from headstart.cli.terminal import one_line, print_json, say
from headstart.errors import SettingsError
from headstart.settings import (
    Setting,
    join_commas,
    line_of,
    read_settings,
    settings_toml,
    split_commas,
)

if TYPE_CHECKING:
    from headstart.transfer.estimators import TextClassifier
    from headstart.transfer.regressor import TextRegressor
    from headstart.transfer.token_tagger import TokenTagger

Item = TypeVar("Item")
_NOT_IN_A_FILE = {"config", "as_json", "debug"}


def _read_config(context: typer.Context, _: typer.CallbackParam, path: Path | None) -> Path | None:
    """Make the file's settings the command's defaults, each validated as if typed."""
    if path is None:
        return None
    options = {
        name: option
        for option in context.command.params
        if option.name not in _NOT_IN_A_FILE
        for name in (option.name, *(each.strip("-").replace("-", "_") for each in option.opts))
    }
    context.default_map = {}
    for name, value in read_settings(path, known=options).items():
        option = options[name]
        typed = _as_typed(value, repeatable=option.multiple or option.nargs == -1)
        try:
            if isinstance(value, bool) is not getattr(option, "is_flag", False):
                raise typer.BadParameter(f"{value!r} is not valid for this option")
            option.process_value(context, typed)
        except typer.TyperException as error:
            place = f"{path} line {line_of(path.read_text('utf-8-sig'), name)}"
            raise SettingsError(f"{place}: {name!r}: {error.message or 'needs a value'}") from None
        context.default_map[option.name] = typed
    return path


def _as_typed(value: Setting, *, repeatable: bool) -> str | bool | list[str]:
    """Return a setting in the form it would have on the command line."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str | int | float):
        return [str(value)] if repeatable else str(value)
    items = [str(item) for item in value]
    return items if repeatable else join_commas(items)


def save_settings(context: typer.Context, folder: Path) -> None:
    """Write the command's settings to `settings.toml` in the result folder."""
    from headstart.storage import write_text

    names = (option.name for option in context.command.params)
    asked = {
        name: _plain(context.params.get(name))
        for name in names
        if name not in {*_NOT_IN_A_FILE, "out"}
    }
    path = folder / "settings.toml"
    head = f"# Rerun: {context.command_path} --config {path} --out ANOTHER\n"
    write_text(path, one_line(head) + "\n" + settings_toml(asked))


def save_fitted(
    context: typer.Context,
    model: "TextClassifier | TextRegressor | TokenTagger",
    folder: Path,
    *,
    as_json: bool,
) -> None:
    """Save a fitted model and the command's settings; print its proof, or everything as JSON."""
    model.save(folder)
    save_settings(context, folder)
    proof = model.proof_
    if as_json:
        transferred = proof.as_dict() if proof else None
        print_json({"folder": str(folder), "proof": transferred, "report": model.fit_report_})
    elif proof:
        say(*str(proof).splitlines())


def _plain(value: object) -> Setting | None:
    if isinstance(value, list | tuple):
        return [str(item) if isinstance(item, Path) else item for item in value]
    return str(value) if isinstance(value, Path) else cast("Setting | None", value)


def comma_list(kind: Callable[[str], Item]) -> Callable[[str], Sequence[Item]]:
    """Return a parser of comma-separated values, such as `50,200,1000`."""

    def parse(text: str) -> Sequence[Item]:
        try:
            return [kind(item) for item in split_commas(text)]
        except ValueError:
            raise typer.BadParameter(f"{text!r} is not a list such as 50,200,1000") from None

    return parse


def read_more_settings(given: Sequence[str] | None) -> dict[str, object]:
    """Return the settings given as NAME=VALUE; a value is parsed as TOML, or kept as text.

    Raises:
        SettingsError: A setting does not have this form.
    """
    settings: dict[str, object] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not (name.strip() and equals and value.strip()):
            raise SettingsError(f"--set needs NAME=VALUE, such as nsp=false, got {text!r}")
        try:
            settings[name.strip().replace("-", "_")] = tomllib.loads(f"x = {value}")["x"]
        except tomllib.TOMLDecodeError:
            settings[name.strip().replace("-", "_")] = value.strip()
    return settings


_TIMES = {"k": 1e3, "m": 1e6, "b": 1e9}


def _tokens(text: str) -> int:
    """Parse a number of tokens, such as 50000000 or 50M."""
    last = text[-1:].lower()
    try:
        return round(float(text[:-1]) * _TIMES[last]) if last in _TIMES else int(text)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is not a number such as 50000000 or 50M") from None


Method = Annotated[
    str, typer.Argument(metavar="METHOD", help="word2vec, glove, cove, elmo, gpt or bert.")
]
CORPUS = typer.Option(
    "--corpus", metavar="PATH", help="Text: file, folder, glob or hf:NAME; may be repeated."
)
Corpus = Annotated[list[Path] | None, CORPUS]
Size = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="SIZE",
        help="tiny, mini, small, medium or base. Default: small for word2vec and glove, else mini.",
    ),
]
Epochs = Annotated[
    float | None,
    typer.Option(
        "--epochs",
        metavar="N",
        help="Epochs over the corpus.",
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        "--minutes",
        metavar="N",
        help="Minutes of training, used in full even on a small corpus.",
    ),
]
Tokens = Annotated[
    int | None,
    typer.Option(
        "--tokens", metavar="N", parser=_tokens, help="Tokens to train on, such as 5000000 or 5M."
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        min=1,
        help="Threads; with 1, results are reproducible. Default: all cores.",
    ),
]
MoreSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Setting of the method, such as nsp=false or learning_rate=5e-4; may be repeated.",
    ),
]
Track = Annotated[
    Path | None,
    typer.Option(
        "--track", metavar="DIR", help="Write TensorBoard logs (needs the extra 'track')."
    ),
]
SaveMinutes = Annotated[
    float, typer.Option("--save-minutes", metavar="N", help="Minutes between checkpoints.")
]
SkipBadBatches = Annotated[
    int,
    typer.Option(
        "--skip-bad-batches",
        metavar="N",
        min=0,
        help="Skip up to N batches whose loss is not finite or far above previous ones.",
    ),
]
AllowDrift = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-drift",
        metavar="KEY",
        help="Setting that may differ from that of the resumed run, such as budget.minutes; may be "
        "repeated.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder to save the model in.")]
Encoder = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="Encoder, for transfers that use one: saved folder, published file or Hub id.",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        is_eager=True,
        callback=_read_config,
        help="TOML file with any of these options; the command line takes precedence.",
    ),
]


def text_column(of: str) -> typer.models.OptionInfo:
    """Return the option that names the column of a text."""
    return typer.Option("--text-column", metavar="NAME", help=f"Column of {of}.")


TextColumn = Annotated[str | None, text_column("the text")]
TextOrWordColumn = Annotated[str | None, text_column("the text, or of the words for taggers")]
CorpusColumn = Annotated[str | None, text_column("the text in tables of the corpus")]
DataOrCorpusColumn = Annotated[
    str | None, text_column("the text, also in a --corpus, or of the words for taggers")
]
PairColumns = Annotated[
    Sequence[str] | None,
    typer.Option(
        "--pair-columns",
        metavar="A,B",
        parser=comma_list(str),
        help="Columns of the two texts of a pair.",
    ),
]
Symmetric = Annotated[
    bool,
    typer.Option(
        "--symmetric", help="The order of the two texts does not matter, as in paraphrases."
    ),
]
LabelColumn = Annotated[
    str | None,
    typer.Option("--label-column", metavar="NAME", help="Column of the label, or of the tags."),
]
MaxBadRows = Annotated[
    int,
    typer.Option(
        "--max-bad-rows",
        metavar="N",
        min=0,
        help="Skip and report up to N unreadable or unlabeled rows per file; more are an error.",
    ),
]
LabelSeparator = Annotated[
    str | None,
    typer.Option(
        "--label-separator",
        metavar="TEXT",
        help="Separator between several labels of a text in CSV, such as |.",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        help="cpu, cuda (GPU) or cuda:N; GPUs are for gpt, bert, and models fitted to them.",
    ),
]
Scheme = Annotated[
    str,
    typer.Option(
        "--scheme",
        metavar="NAME",
        help="Tag scheme: BIO, IOB1, BIOES or plain; auto: detect it.",
    ),
]
Repair = Annotated[bool, typer.Option("--repair", help="Interpret illegal tags as conlleval does.")]
Bf16 = Annotated[
    bool, typer.Option("--bf16", help="Use bfloat16: faster, with errors of about 0.1%.")
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Random seed.")]
