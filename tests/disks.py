"""Disks that are full, for the tests of what is left then."""

import resource
from contextlib import contextmanager


@contextmanager
def disk_of(size_bytes):
    """A disk on which no file may grow beyond `size_bytes`: the same error path as a full one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
