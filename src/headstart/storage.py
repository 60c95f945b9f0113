"""Atomic writes: files and folders are either complete or absent.

A folder is written next to its final location, synced, and renamed when complete, with a manifest
of SHA-256 checksums. A lock names its holder. This module knows nothing about what the folders
contain.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import filelock
import platformdirs

from headstart.errors import ExistsError, FormatError, HeadstartError, LockedError, StorageError

MANIFEST = "manifest.json"
MAX_JSON_BYTES = 256 << 20
_LOCK, _OLD = ".lock", "old"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_ON_NETWORKS = {
    *("nfs", "nfs4", "cifs", "smb3", "afs", "9p", "ceph", "lustre", "gpfs", "beegfs"),
    *("fuse.sshfs", "fuse.glusterfs"),
}
_FILES_AT_ONCE = 2  # hashed in parallel: one waits for the disk while the other is hashed
_COMMA = re.compile(r",\n *")  # never in a string: JSON strings have no line breaks
_NUMBERS = re.compile(r"\[\n *([-+.\dEe]+(?:,\n *[-+.\dEe]+)*)\n *\]")
_LONGEST_NAME = 200  # bytes; most file systems limit names to 255


def cache_folder() -> Path:
    """Return the folder for expensive results: `HEADSTART_CACHE` or the user's cache folder."""
    return Path(os.environ.get("HEADSTART_CACHE") or platformdirs.user_cache_dir("headstart"))


def fingerprint(*parts: object) -> str:
    """Return 16 hexadecimal digits that change when any part does; parts are JSON-like values."""
    text = json.dumps(parts, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def disk_errors(target: Path, *, needed: int = 0) -> Iterator[None]:
    """Turn the system's disk errors into a `StorageError` that says what to do.

    Args:
        target: The file or folder that is written.
        needed: Its size in bytes, for the message; 0 if unknown.
    """
    try:
        yield
    except HeadstartError:  # some are also an OSError, but not from the disk
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            wanted = f"{_mib(needed)} are needed, " if needed else ""
            free = f"{wanted}{_mib(free_bytes(target))} are free"
            what = "free some space or choose another folder"
            if error.errno == errno.EFBIG:
                what = "but the file size is limited; raise `ulimit -f` or choose another folder"
            hint = f"{free}; {what}"
        elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            hint = "choose a writable folder"
        else:
            hint = "nothing was changed"
        raise StorageError(f"{target}: cannot write: {reason}; {hint}") from error


@contextmanager
def numbered_disk_errors() -> Iterator[None]:
    """Turn disk errors of Rust libraries, whose number is only in the message, into `OSError`."""
    try:
        yield
    except Exception as error:
        if (number := re.search(r"\(os error (\d+)\)", str(error))) is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from None


def free_bytes(target: Path) -> int:
    """Return how many bytes are free on the disk where `target` is, or will be."""
    path = target.absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sum_and_sync(file: Path) -> str:
    digest = file_sha256(file)
    _sync(file)
    return digest


def _check_ours(target: Path) -> None:
    """Check that the folder to be replaced was saved by `new_folder`, or is empty.

    Raises:
        ExistsError: It is a file, or a folder with other content.
    """
    if target.is_file():
        raise ExistsError(f"{target}: is a file, not a folder; remove it first")
    if target.is_dir() and not (target / MANIFEST).is_file():
        with disk_errors(target):
            found = min(os.listdir(target), default=None)
        if found is not None:
            raise ExistsError(
                f"{target}: contains {found!r} but no {MANIFEST}, so headstart did not save it; "
                "choose another folder or remove it first"
            )


def check_new(target: Path) -> None:
    """Check that nothing exists at `target` yet and that it can be written, before the work starts.

    Raises:
        ExistsError: It exists already, or one of its parents is a file.
        StorageError: It cannot be written.
    """
    with disk_errors(target):
        there = target.exists()
    if there:
        raise ExistsError(f"{target}: already exists; choose another folder or remove it first")
    check_can_be_folder(target)


def check_can_be_folder(target: Path) -> None:
    """Check that a folder can be created or written to, by writing a temporary file.

    Raises:
        ExistsError: The target, or one of its parents, is a file.
        StorageError: The nearest existing parent is not writable.
    """
    nearest = next(filter(os.path.exists, (target, *target.parents)), target)
    if os.path.exists(nearest) and not nearest.is_dir():
        raise ExistsError(
            f"{nearest}: is a file, not a folder; choose another path or remove it first"
        )
    with disk_errors(target), tempfile.TemporaryFile(dir=nearest):
        pass


@contextmanager
def new_folder(target: Path, *, overwrite: bool = False, needed: int = 0) -> Iterator[Path]:
    """Yield an empty folder next to `target`; rename it to `target` when the block succeeds.

    A manifest with SHA-256 checksums of the block's files is added. If the block fails, nothing is
    left behind.

    Args:
        target: The final folder.
        overwrite: Replace an existing folder that headstart saved, or an empty one. A symbolic link
            stays a link.
        needed: The size in bytes, for error messages; 0 if unknown.

    Raises:
        ExistsError: `target` exists and `overwrite` is false, or headstart did not save its
            content.
        StorageError: The folder cannot be written.
    """
    target = Path(target).absolute()
    if overwrite and target.is_symlink():  # replace the folder it points to, not the link
        target = target.resolve()
    check = _check_ours if overwrite else check_new
    check(target)
    with disk_errors(target, needed=needed), _beside(target) as folder:
        folder.mkdir()
        yield folder
        files = _files(folder)
        for file in files:  # libraries set different modes; apply the user's umask
            file.chmod(0o666 & ~_umask())
        with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
            sums = list(pool.map(_sum_and_sync, files))
        names = [str(file.relative_to(folder)) for file in files]
        write_json(folder / MANIFEST, {"sha256": dict(zip(names, sums, strict=True))})
        for path in (*_folders(folder), folder):
            _sync(path)
        old = folder.with_name(_OLD)
        check(target)  # again: another process may have created it meanwhile
        try:
            if overwrite and target.exists():
                os.rename(target, old)
            os.rename(folder, target)
        except BaseException:
            if old.exists() and not target.exists():
                os.rename(old, target)
            raise
        _sync(target.parent)


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Yield a temporary path on the target's disk, to be renamed to the target.

    It is in a hidden folder next to the target. Hidden folders that killed processes left there are
    removed first, and a target that they had moved aside is restored.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    mark = fingerprint(target.name, socket.gethostname())
    short = len(os.fsencode(target.name)) <= _LONGEST_NAME
    beginning = f".{target.name}.{mark}" if short else f".{mark}"
    with _own_folder(target.parent, beginning, target) as folder:
        yield folder / "new"


@contextmanager
def _own_folder(place: Path, beginning: str, target: Path | None = None) -> Iterator[Path]:
    """Yield a new folder in `place` that is removed with its content when the block ends.

    The process holds a lock in it. A folder with the same prefix whose lock is free was left by a
    killed process, and is removed first. On a disk without file locks, such folders stay.

    Args:
        place: The parent folder.
        beginning: The prefix of the name. It includes the host, because locks held by other
            machines may be invisible.
        target: The path that the folder's content will replace, if any.
    """
    for name in os.listdir(place):
        if name.rpartition(".")[0] == beginning:
            _remove_if_abandoned(place / name, target)
    folder, held = _make_held(place, beginning)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if held is not None:
            os.close(held)


def _remove_if_abandoned(folder: Path, target: Path | None) -> None:
    with suppress(OSError):  # its process is alive, or another one is removing it
        held = _hold(folder, wait=False)
        if target is not None and not target.exists() and (folder / _OLD).exists():
            os.rename(folder / _OLD, target)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _make_held(place: Path, beginning: str) -> tuple[Path, int | None]:
    """Create a folder and lock it; the lock is None on a disk without file locks."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{beginning}.", dir=place))
        try:
            return folder, _hold(folder, wait=True)
        except FileNotFoundError:  # another process took it for abandoned and removed it
            continue
        except OSError:
            return folder, None


def _hold(folder: Path, *, wait: bool) -> int:
    """Lock a folder until the descriptor is closed or the process ends.

    Raises:
        OSError: Another process holds the lock and `wait` is false, or the folder is gone or cannot
            be locked.
    """
    lock = folder / _LOCK
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        lock.stat()  # its previous holder may have removed it
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and file.name != MANIFEST)


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_dir()]


def check_manifest(folder: Path) -> Mapping[str, Any]:
    """Check every file of a saved folder against its manifest, and return the manifest.

    Raises:
        FormatError: The manifest is missing or invalid, or a file is missing, changed or truncated.
    """
    if not (folder / MANIFEST).exists():
        best = folder / "best"
        hint = f"; did you mean {best}?" if (best / MANIFEST).exists() else ""
        raise FormatError(
            f"{folder / MANIFEST}: no such file; the folder is not a saved model{hint}"
        )
    manifest = read_json(folder / MANIFEST)
    sums = manifest.get("sha256")
    if not isinstance(sums, dict):
        raise FormatError(
            f"{folder / MANIFEST}: missing 'sha256' table; headstart did not save this folder"
        )
    for name in sums:
        file = folder / name
        if not name.isprintable():
            raise FormatError(
                f"{folder / MANIFEST}: file name with unprintable characters: {name!r:.80}"
            )
        path = Path(os.path.normpath(name))  # not resolved: files in the hub's cache are links
        if path.is_absolute() or path.parts[:1] == ("..",):
            raise FormatError(f"{folder / MANIFEST}: file outside the folder: {name!r}")
        if not os.path.isfile(file):  # false if a name is too long or has a NUL
            raise FormatError(
                f"{file}: file listed in the manifest is missing; save the model again"
            )
    with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
        found = list(pool.map(file_sha256, [folder / name for name in sums]))
    for (name, expected), actual in zip(sums.items(), found, strict=True):
        if actual != expected:
            file = folder / name
            raise FormatError(
                f"{file}: corrupted: sha256 {actual[:12]}.., expected {str(expected)[:12]}.."
            )
    return manifest


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a binary file that is renamed to `path` when the block succeeds."""
    with whole_file(path) as partial, partial.open("wb") as file:
        yield file


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path, which is renamed to `target` when the block succeeds.

    For code that writes to a path; `new_file` is for code that writes to an open file.
    """
    with disk_errors(target), _beside(target) as partial:
        yield partial
        _sync(partial)
        os.replace(partial, target)
        _sync(target.parent)


def write_text(path: Path, text: str) -> None:
    """Write `text` atomically: `path` holds either its old content or all of the new."""
    with new_file(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: object) -> None:
    """Write `value` as JSON atomically; numbers must be finite.

    A list of numbers, such as thousands of predictions, is written on one line.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    text = _NUMBERS.sub(lambda found: f"[{re.sub(_COMMA, ', ', found[1])}]", text)
    write_text(path, text + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        FormatError: The file is missing, too large, not JSON, or not an object.
    """
    if path.exists() and not path.is_file():  # reading a pipe would block
        raise FormatError(f"{path}: not a file")
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise FormatError(f"{path}: JSON file is larger than {MAX_JSON_BYTES >> 20} MiB")
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FormatError(f"{path}: no such file") from None
    except OSError as error:
        raise FormatError(f"{path}: cannot read: {error.strerror}") from None
    except FormatError:  # a ValueError with its own message
        raise
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise FormatError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


@contextmanager
def working_folder() -> Iterator[Path]:
    """Yield an empty folder in the cache that is removed with its content when the block ends.

    A killed process leaves its folder behind; the next process on the same machine removes it.

    Raises:
        StorageError: The folder cannot be written.
    """
    place = cache_folder() / "work"
    with ExitStack() as stack:
        with disk_errors(place):
            place.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(_own_folder(place, socket.gethostname()))
        yield folder


@contextmanager
def folder_lock(
    folder: Path, *, wait: bool = False, note: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Lock `folder` for this process while the block runs.

    Args:
        folder: The folder; created if missing.
        wait: Wait until the lock is free.
        note: Called with a warning if the folder is on a network file system, where a lock may not
            keep other machines out.

    Raises:
        LockedError: Another process holds the lock; the message gives its ID and host, and since
            when it has held the lock.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / _LOCK)
        holder = folder / f"{_LOCK}.holder"
        try:
            lock.acquire(timeout=-1 if wait else 0)
        except filelock.Timeout:
            who = holder.read_text() if holder.exists() else "another process"
            raise LockedError(
                f"{folder}: in use by {who}; wait for it, stop it, or choose another folder"
            ) from None
    try:
        if note is not None and (kind := file_system(folder)) in _ON_NETWORKS:
            note(
                f"{folder}: on a network file system ({kind}), where the lock may not keep other "
                "machines out; write there from one machine only"
            )
        with disk_errors(folder):
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()} since {since}")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def file_system(path: Path) -> str | None:
    """Return the type of the file system of a path, or None if the system does not report it."""
    try:
        device = path.stat().st_dev
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return None
    number = f"{os.major(device)}:{os.minor(device)}"
    for mount in mounts:
        place, _, kind = mount.partition(" - ")
        if place.split(" ")[2] == number:
            return kind.split(" ")[0]
    return None
