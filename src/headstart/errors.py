"""Every error a caller can meet, in one tree.

Each class is also the built-in a caller would expect, and carries the exit code of commands:
0 done, 2 your input, 70 our fault, 73 locked, 74 disk, 75 stopped and resumable, 76 bad numbers.
A message says what is wrong, where (file, line, column), and what to do, in one line.
"""


def first_line(error: Exception) -> str:
    """Return what another library's error says, as far as it fits into a message of ours."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


class HeadstartError(Exception):
    """Anything headstart refuses to do, or could not do."""

    exit_code = 70


class DataError(HeadstartError, ValueError):
    """A corpus or dataset cannot be used as it is."""

    exit_code = 2


class FormatError(HeadstartError, ValueError):
    """A model, vector or tokenizer file is not what its format promises."""

    exit_code = 2


class SettingsError(HeadstartError, ValueError):
    """An argument, option or configuration file asks for something impossible."""

    exit_code = 2


class MissingExtraError(HeadstartError, ImportError):
    """The call needs an optional dependency that is not installed."""

    exit_code = 2


class NetworkError(HeadstartError, ConnectionError):
    """Something had to be fetched and could not be."""

    exit_code = 2


class TransferError(HeadstartError, RuntimeError):
    """What should have been carried over was not, or what should have stayed frozen changed."""

    exit_code = 70


class MemoryLimitError(HeadstartError, MemoryError):
    """There is too little memory; what was saved before is untouched."""

    exit_code = 70


class LockedError(HeadstartError, RuntimeError):
    """Another process is using the folder."""

    exit_code = 73


class StorageError(HeadstartError, OSError):
    """The disk is full, read-only or failing; the last good state is untouched."""

    exit_code = 74


class ExistsError(HeadstartError, FileExistsError):
    """What would be written exists already; nothing has changed."""

    exit_code = 2


class InterruptedRunError(HeadstartError, RuntimeError):
    """A run was stopped by a signal and can go on from where it was."""

    exit_code = 75


class NonFiniteError(HeadstartError, ArithmeticError):
    """A loss, gradient or weight became infinite or not a number."""

    exit_code = 76
