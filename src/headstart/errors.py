"""headstart's own errors, in one class hierarchy.

Each class also inherits from the built-in error a caller would expect, and has the exit code of the
commands: 0 success, 2 invalid input, 70 internal error, 73 locked, 74 disk, 75 stopped and
resumable, 76 non-finite numbers. A message is one line: where (file, line, column), what is wrong,
and what to do.
"""


def first_line(error: Exception) -> str:
    """Return the first line of another library's error, for use inside our own message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


class HeadstartError(Exception):
    """The base class of headstart's own errors."""

    exit_code = 70


class DataError(HeadstartError, ValueError):
    """A corpus or dataset cannot be used in its current form."""

    exit_code = 2


class FormatError(HeadstartError, ValueError):
    """A model, vector or tokenizer file does not conform to its format."""

    exit_code = 2


class SettingsError(HeadstartError, ValueError):
    """An argument, option or configuration file has an invalid value."""

    exit_code = 2


class MissingExtraError(HeadstartError, ImportError):
    """The call needs an optional dependency that is not installed."""

    exit_code = 2


class NetworkError(HeadstartError, ConnectionError):
    """A download failed."""

    exit_code = 2


class TransferError(HeadstartError, RuntimeError):
    """Weights that should have been transferred were not, or frozen weights changed."""

    exit_code = 70


class MemoryLimitError(HeadstartError, MemoryError):
    """There is not enough memory; what was already saved is untouched."""

    exit_code = 70


class LockedError(HeadstartError, RuntimeError):
    """Another process is using the folder."""

    exit_code = 73


class StorageError(HeadstartError, OSError):
    """The disk is full, read-only or failing; the last saved state is untouched."""

    exit_code = 74


class ExistsError(HeadstartError, FileExistsError):
    """The output already exists; nothing was changed."""

    exit_code = 2


class InterruptedRunError(HeadstartError, RuntimeError):
    """A run was stopped by a signal and can be resumed from where it stopped."""

    exit_code = 75


class NonFiniteError(HeadstartError, ArithmeticError):
    """A loss, gradient or weight became infinite or NaN."""

    exit_code = 76
