import os
import platform
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from headstart import devices
from headstart.devices import asleep_while_waiting, others_compute, torch_defaults

PAGES_A_STEP = """
import resource, torch
from headstart.devices import reuse_freed_memory
if {reuse}:
    reuse_freed_memory()
torch.set_num_threads(1)
parts = [torch.nn.Linear(64, 1024), torch.nn.GELU(), torch.nn.Linear(1024, 64)] * 4
model, x = torch.nn.Sequential(*parts), torch.randn(2048, 64)
for _ in range(8):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    model(x).sum().backward()
    model.zero_grad()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages_a_step(*, reuse):
    command = [sys.executable, "-c", PAGES_A_STEP.format(reuse=reuse)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return list(map(int, printed.split()[4:]))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_the_memory_of_a_step_is_reused_by_the_next():
    # The system may take some away at any time.
    assert min(pages_a_step(reuse=True)) < 100 < max(pages_a_step(reuse=False))


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([2, 2, 2], True),
        ([5, 9, 3], True),
        ([1], False),
        ([2, 3, 1], False),  # something that came and went
        (["many"], False),
        ([None], False),
    ],
)
def test_others_compute_where_each_look_finds_more_than_this_process(monkeypatch, seen, expected):
    class Statistics:
        looks = iter(seen)

        def read_text(self):
            if (running := next(self.looks)) is None:
                raise FileNotFoundError
            return f"cpu  10 0 20\nprocesses 7\nprocs_running {running}\nprocs_blocked 4\n"

    monkeypatch.setattr(devices, "_STATISTICS", Statistics())
    assert others_compute() is expected


@pytest.mark.skipif(not devices._STATISTICS.exists(), reason="there is no /proc/stat here")
def test_a_process_at_work_is_seen():
    with subprocess.Popen([sys.executable, "-c", "print(0, flush=True)\nwhile True: pass"],
                          stdout=subprocess.PIPE) as other:  # fmt: skip
        other.stdout.readline()
        seen = any(others_compute() for _ in range(20))
        other.kill()
    assert seen


def test_how_threads_wait_is_the_users_to_say(monkeypatch):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    assert asleep_while_waiting() == {"OMP_WAIT_POLICY": "PASSIVE"}
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "1")
        assert asleep_while_waiting() == {}
        monkeypatch.delenv(name)


COMMAND = """
import headstart.cli.app as app
app.others_compute = lambda: {busy}
app.main(["--version"])
import torch
"""


@pytest.mark.skipif(sys.platform != "linux", reason="another OpenMP than GNU's")
@pytest.mark.parametrize("busy", [True, False])
def test_a_command_beside_others_lets_waiting_threads_sleep(busy):
    set_by_users = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}
    inherited = {name: os.environ[name] for name in os.environ.keys() - set_by_users}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND.format(busy=busy)], capture_output=True, text=True,
        check=True, env=inherited | {"OMP_DISPLAY_ENV": "verbose"},
    )  # fmt: skip
    (spins,) = re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
    assert (spins == "0") is busy


def test_torch_is_as_the_caller_set_it_once_all_threads_have_ended():
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode():
            first, second = torch_defaults(), torch_defaults()
            first.__enter__()
            with ThreadPoolExecutor(1) as other:
                other.submit(second.__enter__).result()
                assert torch.ones(1, requires_grad=True).dtype == torch.float32
                first.__exit__(None, None, None)
                assert torch.get_default_dtype() == torch.float32
                other.submit(second.__exit__, None, None, None).result()
            assert torch.get_default_dtype() == torch.float64
            assert torch.is_inference_mode_enabled()
    finally:
        torch.set_default_dtype(torch.float32)


FORK = """
import os, signal, sys
import headstart.devices
{before}
child = os.fork()
if not child:
    signal.alarm(20)  # what waits for ever ends
    {after}
    os._exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
COMPUTED = "import torch; torch.set_num_threads(2); many = torch.ones(2**20); torch.relu(many)"
AGAIN = "torch.relu(many); assert torch.get_num_threads() == 1"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no process can be forked")
@pytest.mark.parametrize(
    ("before", "after"), [(COMPUTED, AGAIN), ("", "assert 'torch' not in sys.modules")]
)
def test_a_forked_child_computes_by_itself(before, after):
    program = FORK.format(before=before, after=after)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)  # noqa: PLW1510
    assert (done.stdout, done.stderr) == ("3\n", "")
