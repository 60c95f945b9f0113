"""How commands end: exit codes, one line for an error, and no traceback unless asked for."""

import errno
import io
import json
import os
import signal
import subprocess
import sys

import pytest

from headstart import __version__, errors
from headstart.cli.app import main

COMMAND = ["data", "check", "data.csv"]


def failing_with(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("headstart.data.labelled.read_labelled", fail)


def run_in_a_process(*words, before="", **options):
    code = f"import sys; from headstart.cli.app import main; {before}\nsys.exit(main(sys.argv[1:]))"
    return subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.PIPE, **options)


@pytest.mark.parametrize(("number", "code"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGHUP", 129)])
def test_a_signal_that_comes_while_an_object_is_removed_is_not_lost(number, code):
    removes = f"""
import signal, time, headstart.cli.app as app
signal.signal(signal.SIGHUP, signal.SIG_DFL)
class Removed:
    def __del__(self):
        signal.raise_signal(signal.{number})
def run(words):
    Removed()
    time.sleep(600)
    return 0
app._run = run"""
    with run_in_a_process(*COMMAND, before=removes) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert b"Traceback" not in err
    assert b"stopped" in err


def test_a_stop_that_comes_before_the_command_begins_is_no_traceback(monkeypatch, capsys):
    def stop():
        raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr("headstart.cli.app.others_compute", stop)
    assert main(COMMAND) == 130
    assert capsys.readouterr().err == "stopped\n"


def test_a_command_ends_without_looking_for_garbage():
    before = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 0))"
    with run_in_a_process("--version", before=before, stdout=subprocess.PIPE) as process:
        out, _ = process.communicate(timeout=60)
    assert out.splitlines()[-1] == b"True"


def test_version_and_help(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"headstart {__version__}\n"
    assert main([]) == main(["--help"]) == 0
    assert capsys.readouterr().out.count("Commands:") == 2


def test_commands_run_as_a_module():
    command = [sys.executable, "-m", "headstart", "--version"]
    assert subprocess.check_output(command, text=True) == f"headstart {__version__}\n"


@pytest.mark.parametrize(
    "error",
    [
        errors.DataError("a.csv line 3: broken"),
        errors.FormatError("a.bin: cut short"),
        errors.SettingsError("seeds must be above 0"),
        errors.LockedError("runs/x: in use by process 7"),
        errors.StorageError("runs/x: cannot write"),
        errors.InterruptedRunError("stopped; the same command goes on"),
        errors.NonFiniteError("the loss is nan"),
        errors.TransferError("a frozen tensor changed"),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(monkeypatch, capsys, error):
    failing_with(monkeypatch, error)
    assert main(COMMAND) == error.exit_code
    assert capsys.readouterr() == ("", f"error: {error}\n")


def test_an_error_cannot_steer_the_terminal(monkeypatch, capsys):
    failing_with(monkeypatch, errors.DataError("label '\x1b[2J'\nis odd"))
    assert main(COMMAND) == 2
    assert capsys.readouterr().err == "error: label '\\x1b[2J' is odd\n"


def test_a_name_that_no_disk_takes_is_told(capsys):
    name = "x" * 300
    assert main(["inspect", name]) == errors.StorageError.exit_code
    assert capsys.readouterr().err == f"error: {name}: File name too long\n"


class Panic(BaseException):
    """What Rust libraries raise: not an Exception."""


@pytest.mark.parametrize("error", [KeyError("x"), Panic("index out of bounds")])
def test_an_error_nobody_foresaw_is_our_fault(monkeypatch, capsys, error):
    failing_with(monkeypatch, error)
    assert main(COMMAND) == 70
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"internal error: {type(error).__name__}")
    assert len(err.splitlines()) == 1
    assert "--debug" in err


def test_debug_shows_the_traceback_too(monkeypatch, capsys):
    failing_with(monkeypatch, errors.DataError("broken"))
    assert main([*COMMAND, "--debug"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last):")
    assert err.endswith("error: broken\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["cmpare"],
            "error: No such command 'cmpare'. Did you mean 'compare'? See headstart --help.",
        ),
        (
            ["pretrain", "glove", "--out", "x", "--minutes", "one"],
            "error: Invalid value for '--minutes': Input should be a valid number, "
            "unable to parse string as a number. See headstart pretrain --help.",
        ),
        (["data"], "error: Missing command. See headstart data --help."),
        (["data", "check"], "error: Missing argument 'DATA'. See headstart data check --help."),
        (["data", "list", "--jsn"], "error: No such option: --jsn (Possible options: --json)"),
        (
            ["compare", "--seeds", "x"],
            "error: Invalid value for '--seeds': Input should be a valid",
        ),
        (["data", "check", "none.csv"], "error: none.csv: no such file"),
    ],
)
def test_what_was_typed_wrong(capsys, words, message):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(message)
    assert len(err.splitlines()) == 1


def test_control_c(monkeypatch, capsys):
    failing_with(monkeypatch, KeyboardInterrupt())
    assert main(COMMAND) == 130
    assert capsys.readouterr().err == "stopped\n"


WAITS = (
    "import time, headstart.data.labelled as labelled;"
    "labelled.read_labelled = lambda *_, **__: print('ready', flush=True) or time.sleep(60)"
)


def test_sigterm():
    with run_in_a_process(*COMMAND, before=WAITS, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 143
        assert process.stderr.read() == b"stopped by SIGTERM\n"


@pytest.mark.parametrize("ignored", [False, True], ids=["", "as under nohup"])
def test_a_terminal_that_closes(ignored):
    before = (
        f"import signal; signal.signal(signal.SIGHUP, signal.SIG_{'IGN' if ignored else 'DFL'});"
    )
    with run_in_a_process(*COMMAND, before=before + WAITS, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGHUP)
        if ignored:
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == (143 if ignored else 129)
        assert process.stderr.read() == (
            b"stopped by SIGTERM\n" if ignored else b"stopped by SIGHUP\n"
        )


def test_a_message_that_nobody_can_read_leaves_the_exit_code(monkeypatch):
    class Gone(io.StringIO):
        def write(self, text):
            raise OSError(errno.EIO, "Input/output error")

    failing_with(monkeypatch, errors.DataError("broken"))
    monkeypatch.setattr(sys, "stderr", Gone())
    assert main(COMMAND) == 2


def test_a_reader_that_went_away_is_no_error():
    read, write = os.pipe()
    os.close(read)
    with run_in_a_process("data", "list", "--json", stdout=write) as process:
        os.close(write)
        assert process.wait(timeout=60) == 141
        assert process.stderr.read() == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no such device")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_no_fault_of_ours(unbuffered):
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        process = run_in_a_process("data", "list", "--json", stdout=full, env=environment)
    with process:
        assert process.wait(timeout=60) == 74
        expected = b"error: standard input or output: No space left on device\n"
        assert process.stderr.read() == expected


def test_a_failing_disk_is_no_fault_of_ours(monkeypatch, capsys):
    failing_with(monkeypatch, OSError(errno.EIO, "Input/output error", "a.csv"))
    assert main(COMMAND) == 74
    assert capsys.readouterr() == ("", "error: a.csv: Input/output error\n")


def test_closed_standard_output_is_told(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["--version"]) == 74
    assert capsys.readouterr().err.startswith("error: standard output is closed; ")


def test_an_encoding_loses_no_result(tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("text,label\none,naïve\ntwo,naïve\nthree,b\nfour,b\n")
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    with run_in_a_process(
        "data", "check", str(table), stdout=subprocess.PIPE, env=environment
    ) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert b"na\\xefve" in out


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        ("evaluate", "model = 'model'\ndata = 'test.csv'\nunseen-labels = 'refuse'\n"),
        ("inspect", "model = 'words.vec'\n"),
        ("neighbors", "encoder = 'words.vec'\nwords = ['team', 'bank']\nminus = 'coach'\n"),
        ("data check", "data = 'train.csv'\ntest = 'test.csv'\nmax-bad-rows = 1\n"),
    ],
)
def test_a_command_takes_its_settings_from_a_file(run, files, command, settings):
    (files / "run.toml").write_text(settings)
    code, out, _ = run(*command.split(), "--config", "run.toml", "--json")
    assert (code, bool(json.loads(out))) == (0, True)
    code, _, err = run(*command.split(), "--config", "none.toml")
    assert (code, "none.toml: cannot read the settings" in err) == (2, True)
