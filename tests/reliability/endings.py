"""How a file may end what reads it: made by code of a child that does so, whatever the file."""

import subprocess
import sys

from headstart.hub.foreign import trial

ENDINGS = {
    "os.kill(os.getpid(), signal.SIGSEGV)": "was killed by SIGSEGV",
    "os.abort()": "was killed by SIGABRT",
    "panic('at', 7)": "panicked: ('at', 7); ",
    "limit() or bytearray(8 << 30)": "needs more than 4 GiB of memory",
    "sum(iter(int, 1))": "needs more than 1 s",
}  # what is done, and what is told


def end_readers(monkeypatch, ending):
    """Let the children of this test end so, after a second at most."""
    code = (
        "import os, signal\nfrom headstart.hub.foreign import trial\n"
        "class PanicException(BaseException): pass\n"
        "def panic(*words): raise PanicException(*words)\n"
        f"def read(path, limit, **about): {ending}\n"
        "trial._READERS = dict.fromkeys(trial._READERS, read)\ntrial._child()"
    )
    real = subprocess.run
    monkeypatch.setattr(trial, "MOST_SECONDS", 1)
    monkeypatch.setattr(
        subprocess, "run", lambda command, **how: real([sys.executable, "-P", "-c", code], **how)
    )
