import platform
import subprocess
import sys

import pytest

PAGES_A_STEP = """
import resource, torch
from headstart.devices import reuse_freed_memory
if {reuse}:
    reuse_freed_memory()
torch.set_num_threads(1)
parts = [torch.nn.Linear(64, 1024), torch.nn.GELU(), torch.nn.Linear(1024, 64)] * 4
model, x = torch.nn.Sequential(*parts), torch.randn(2048, 64)
for _ in range(12):
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
