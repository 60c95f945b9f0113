"""The `headstart` command: its subcommands, error messages and exit codes."""

import atexit
import errno
import functools
import gc
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Annotated

import typer

from headstart import __version__
from headstart.cli import (
    adapt,
    compare,
    data,
    evaluate,
    fill_mask,
    fit,
    generate,
    inspect,
    neighbors,
    plan,
    predict,
    pretrain,
    rank,
)
from headstart.cli.terminal import printable, say, tell
from headstart.devices import asleep_while_waiting, is_out_of_memory, others_compute
from headstart.errors import HeadstartError, StorageError

INTERRUPTED, TERMINATED, CLOSED_PIPE, OUR_FAULT = 130, 143, 141, 70  # 128 + the signal's number
_A_MOMENT = 0.01  # seconds, enough for the object to be gone
_OF_DISKS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENAMETOOLONG}

_NO_MEMORY = "error: not enough memory; close other programs, or use smaller sizes or fewer texts"

app = typer.Typer(name="headstart", add_completion=False, rich_markup_mode=None)


class _Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP was received; it is handled in the same way as Ctrl-C.

    SIGHUP means that the terminal was closed.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = signal.Signals(number)


def _version(asked: bool) -> None:
    if asked:
        say(f"headstart {__version__}")
        raise typer.Exit


@app.callback()
def headstart(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Transfer learning for text: pretrain or load encoders, compare methods, save the best model.

    For example:

        headstart compare --quick
    """


app.command()(compare.compare)
app.command()(rank.rank)
app.command()(plan.plan)
app.command()(pretrain.pretrain)
app.command()(adapt.adapt)
app.add_typer(fit.app, name="fit")
app.command()(predict.predict)
app.command()(evaluate.evaluate)
app.command()(inspect.inspect)
app.command()(neighbors.neighbors)
app.command("fill-mask")(fill_mask.fill_mask)
app.command()(generate.generate)
app.add_typer(data.app, name="data")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; an error is one line on standard error.

    Exit codes: 0 success, 2 invalid input, 70 internal error, 73 locked, 74 disk, 75 stopped and
    resumable, 76 non-finite numbers, 141 output pipe closed; 129, 130 and 143 stopped by SIGHUP
    (the terminal was closed), Ctrl-C and SIGTERM.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    if sys.stdout is None:
        return _end(
            StorageError(
                "standard output is closed; redirect it to /dev/null if you do not need it"
            )
        )
    usual = sys.unraisablehook
    try:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # never fail on an encoding
        if "torch" not in sys.modules and others_compute():  # torch reads these on import
            os.environ.update(asleep_while_waiting())
        atexit.register(gc.freeze)  # or a final collection over torch's objects takes half a second
        signal.signal(signal.SIGTERM, _terminate)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # ignored under nohup
            signal.signal(signal.SIGHUP, _terminate)
        sys.unraisablehook = _send_again
        return _run(words)
    except BaseException as error:  # noqa: BLE001 - panics of Rust libraries are not an Exception
        if "--debug" in words:
            for line in "".join(traceback.format_exception(error)).splitlines():
                print(printable(line), file=sys.stderr)
        return _end(_of_storage(error))
    finally:
        sys.unraisablehook = usual


_command = functools.cache(typer.main.get_command)  # building it takes 25 ms


def _run(words: Sequence[str]) -> int:
    try:
        with _command(app).make_context("headstart", list(words) or ["--help"]) as context:
            context.command.invoke(context)
        sys.stdout.flush()  # to notice a closed pipe here
    except typer.Exit as error:
        return error.exit_code
    return 0


def _end(error: BaseException) -> int:
    """Print one line on how the command failed, and return its exit code."""
    match error:
        case SystemExit():
            raise error
        case BrokenPipeError():
            _drop_output()
            return CLOSED_PIPE
        case _Terminated():
            return _told(f"stopped by {error.signal.name}", 128 + error.signal)
        case KeyboardInterrupt():
            return _told("stopped", INTERRUPTED)
        case HeadstartError():
            return _told(f"error: {error}", error.exit_code)
        case typer.TyperException():
            return _told(f"error: {error.format_message()}{_help_hint(error)}", error.exit_code)
    return _told(_NO_MEMORY if is_out_of_memory(error) else _internal(error), OUR_FAULT)


def _told(message: str, code: int) -> int:
    with suppress(OSError):  # if the terminal is gone
        tell(message)
    return code


def _of_storage(error: BaseException) -> BaseException:
    """Return a disk error as a `StorageError`, and any other error unchanged.

    Code that writes files raises `StorageError` itself, so most errors here come from printing.
    """
    if isinstance(error, HeadstartError) or getattr(error, "errno", None) not in _OF_DISKS:
        return error
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()
    place = getattr(error, "filename", None) or "standard input or output"
    return StorageError(f"{place}: {os.strerror(error.errno)}")  # type: ignore[attr-defined]


def _drop_output() -> None:
    """Discard the remaining output, which Python would write when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _internal(error: BaseException) -> str:
    return (
        f"internal error: {type(error).__name__}: {error}; "
        "this is a bug in headstart; rerun with --debug and report the traceback"
    )


def _help_hint(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    end = "" if error.format_message().endswith((".", "?")) else "."
    return f"{end} See {context.command_path} --help." if context else ""


def _send_again(lost: "sys.UnraisableHookArgs") -> None:
    """Resend a signal that arrived while an object was finalized, where exceptions are lost."""
    if not isinstance(lost.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    stop = lost.exc_value
    number = stop.signal if isinstance(stop, _Terminated) else signal.SIGINT
    main_thread = threading.main_thread().ident  # its own signal interrupts what it waits for
    threading.Timer(_A_MOMENT, signal.pthread_kill, [main_thread, number]).start()


def _terminate(number: int, frame: FrameType | None) -> None:
    del frame
    raise _Terminated(number)
