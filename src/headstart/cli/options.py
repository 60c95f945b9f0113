"""The options that commands share, and the file that stands for any of them."""

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
    """Make the file's settings the command's defaults, each checked as if it had been typed."""
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
        typed = _as_typed(value, repeatable=option.multiple)
        try:
            if isinstance(value, bool) is not getattr(option, "is_flag", False):
                raise typer.BadParameter(f"{value!r} is not what this option takes")
            option.process_value(context, typed)
        except typer.TyperException as error:
            place = f"{path} line {line_of(path.read_text('utf-8-sig'), name)}"
            raise SettingsError(f"{place}: {name!r}: {error.message}") from None
        context.default_map[option.name] = typed
    return path


def _as_typed(value: Setting, *, repeatable: bool) -> str | bool | list[str]:
    """Return a setting as the command line would have given it."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str | int | float):
        return [str(value)] if repeatable else str(value)
    items = [str(item) for item in value]
    return items if repeatable else join_commas(items)


def save_settings(context: typer.Context, folder: Path) -> None:
    """Write what the command was asked for to `settings.toml` beside its result."""
    from headstart.storage import write_text

    names = (option.name for option in context.command.params)
    asked = {
        name: _plain(context.params.get(name))
        for name in names
        if name not in {*_NOT_IN_A_FILE, "out"}
    }
    path = folder / "settings.toml"
    head = f"# Again: {context.command_path} --config {path} --out ANOTHER\n"
    write_text(path, one_line(head) + "\n" + settings_toml(asked))


def save_fitted(
    context: typer.Context,
    model: "TextClassifier | TextRegressor | TokenTagger",
    folder: Path,
    *,
    as_json: bool,
) -> None:
    """Save what was fitted with the command's settings, and show its proof or, as JSON, all."""
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
    """Return the parser of values written with commas between them: `50,200,1000`."""

    def parse(text: str) -> Sequence[Item]:
        try:
            return [kind(item) for item in split_commas(text)]
        except ValueError:
            raise typer.BadParameter(f"{text!r} is not a list such as 50,200,1000") from None

    return parse


def read_more_settings(given: Sequence[str] | None) -> dict[str, object]:
    """Return the settings written as NAME=VALUE; a value is read as TOML reads it, or is text.

    Raises:
        SettingsError: One is not written so.
    """
    settings: dict[str, object] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not (name.strip() and equals and value.strip()):
            raise SettingsError(f"--set wants NAME=VALUE, such as nsp=false, not {text!r}")
        try:
            settings[name.strip().replace("-", "_")] = tomllib.loads(f"x = {value}")["x"]
        except tomllib.TOMLDecodeError:
            settings[name.strip().replace("-", "_")] = value.strip()
    return settings


_TIMES = {"k": 1e3, "m": 1e6, "b": 1e9}


def _tokens(text: str) -> int:
    """Read a number of tokens: 50000000, or 50M."""
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
        help="tiny, mini, small, medium or base; for word2vec and glove small, else mini.",
    ),
]
Epochs = Annotated[
    float | None,
    typer.Option(
        "--epochs",
        metavar="N",
        help="Passes over the corpus; where no limit is given, of word2vec 5, of glove 25.",
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        "--minutes",
        metavar="N",
        help="Minutes of training, all of them on a small text, too; where no limit is given, 20 "
        "for cove and models.",
    ),
]
Tokens = Annotated[
    int | None,
    typer.Option(
        "--tokens", metavar="N", parser=_tokens, help="Tokens to read, such as 5000000 or 5M."
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", metavar="N", min=1, help="Threads; with 1 the result is always the same."
    ),
]
MoreSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A setting of the method, such as nsp=false or learning_rate=5e-4; may be repeated.",
    ),
]
Track = Annotated[
    Path | None,
    typer.Option("--track", metavar="DIR", help="Write TensorBoard's files (extra 'track')."),
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
        help="Leave out so many batches whose loss is not finite, or far above the others'.",
    ),
]
AllowDrift = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-drift",
        metavar="KEY",
        help="What may differ from the run that goes on: budget.minutes, ..; may be repeated.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Where the model is saved.")]
Encoder = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="Saved encoder, published file or id on the hub, for methods that use one.",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        is_eager=True,
        callback=_read_config,
        help="TOML file with any of these options; what is typed wins.",
    ),
]
TextColumn = Annotated[
    str | None,
    typer.Option(
        "--text-column",
        metavar="NAME",
        help="Column that holds the text, also of a --corpus, or the words.",
    ),
]
PairColumns = Annotated[
    Sequence[str] | None,
    typer.Option(
        "--pair-columns",
        metavar="A,B",
        parser=comma_list(str),
        help="Columns that hold the two texts of a pair.",
    ),
]
Symmetric = Annotated[
    bool, typer.Option("--symmetric", help="Neither text of a pair comes first, as in paraphrases.")
]
LabelColumn = Annotated[
    str | None,
    typer.Option(
        "--label-column", metavar="NAME", help="Column that holds the label, or the tags."
    ),
]
MaxBadRows = Annotated[
    int,
    typer.Option(
        "--max-bad-rows",
        metavar="N",
        min=0,
        help="Leave out, and report, so many rows of a file that cannot be read or have no label; "
        "one more stops.",
    ),
]
LabelSeparator = Annotated[
    str | None,
    typer.Option(
        "--label-separator",
        metavar="TEXT",
        help="What stands between several labels of a text in CSV, such as |.",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        help="cpu, cuda for a GPU, or cuda:1; for gpt, bert, and what is fitted to such models.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Where randomness starts.")]
