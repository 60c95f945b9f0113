"""Files and folders that are whole or absent.

A folder is written beside its final name, synced, and renamed when complete, with a manifest of
SHA-256 sums; a lock names its holder. Nothing here knows what the folders mean.
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
_FILES_AT_ONCE = 2  # that are hashed: one waits for the disk while the other is summed
_COMMA = re.compile(r",\n *")  # outside of a string, which has no line break in JSON
_NUMBERS = re.compile(r"\[\n *([-+.\dEe]+(?:,\n *[-+.\dEe]+)*)\n *\]")
_LONGEST_NAME = 200  # bytes; most file systems know no name above 255


def cache_folder() -> Path:
    """Return where expensive results are kept: `HEADSTART_CACHE` or the user's cache folder."""
    return Path(os.environ.get("HEADSTART_CACHE") or platformdirs.user_cache_dir("headstart"))


def fingerprint(*parts: object) -> str:
    """Return 16 hexadecimal digits that change when any part does (parts: anything JSON holds)."""
    text = json.dumps(parts, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """Return the file's SHA-256 as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def disk_errors(target: Path, *, needed: int = 0) -> Iterator[None]:
    """Turn the system's disk errors into a `StorageError` that says what to do.

    Args:
        target: What is written.
        needed: Its bytes, if they are known, for the message.
    """
    try:
        yield
    except HeadstartError:  # some are an OSError too, and none is the disk's
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            wanted = f"{_mib(needed)} are needed and " if needed else ""
            free = f"{wanted}{_mib(free_bytes(target))} are free there"
            what = "free some space or choose another folder"
            if error.errno == errno.EFBIG:
                what = "but no file may be so large: see `ulimit -f`, or choose another folder"
            hint = f"{free}; {what}"
        elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            hint = "choose a folder you may write to"
        else:
            hint = "nothing was changed there"
        raise StorageError(f"{target}: cannot write: {reason}; {hint}") from error


@contextmanager
def numbered_disk_errors() -> Iterator[None]:
    """Turn the disk errors of libraries in Rust, numbered in their text only, into Python's."""
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
    """Check that what would be replaced is a folder saved by `new_folder`, or an empty one.

    Raises:
        ExistsError: It holds something else.
    """
    if target.is_file():
        raise ExistsError(f"{target}: is a file, and no folder to overwrite; remove it first")
    if target.is_dir() and not (target / MANIFEST).is_file():
        with disk_errors(target):
            found = min(os.listdir(target), default=None)
        if found is not None:
            raise ExistsError(
                f"{target}: holds {found!r} and no {MANIFEST}, so that headstart did not save it; "
                "choose another folder or remove it first"
            )


def check_new(target: Path) -> None:
    """Check that nothing is there yet, before the work whose result shall be.

    Raises:
        ExistsError: Something is, or a file is where one of its parents shall be.
        StorageError: Nothing can be written there.
    """
    with disk_errors(target):
        there = target.exists()
    if there:
        raise ExistsError(f"{target}: exists already; choose another folder or remove it first")
    check_can_be_folder(target)


def check_can_be_folder(target: Path) -> None:
    """Check that a folder can be made, or written to: by a nameless file, which is gone at once.

    Raises:
        ExistsError: A file is where the folder, or one of its parents, shall be.
        StorageError: Nothing can be written in the nearest of them that there is.
    """
    nearest = next(filter(os.path.exists, (target, *target.parents)), target)
    if os.path.exists(nearest) and not nearest.is_dir():
        raise ExistsError(
            f"{nearest}: is a file, where a folder shall be; choose another or remove it first"
        )
    with disk_errors(target), tempfile.TemporaryFile(dir=nearest):
        pass


@contextmanager
def new_folder(target: Path, *, overwrite: bool = False, needed: int = 0) -> Iterator[Path]:
    """Yield an empty folder beside `target`; rename it to `target` once the block ends well.

    The block's files get a manifest with their SHA-256 sums. If the block fails, nothing is left.

    Args:
        target: The folder to be.
        overwrite: Replace one that exists and was made so, too; a link to one stays a link.
        needed: The bytes that it will take, if they are known, for errors.

    Raises:
        ExistsError: `target` exists and `overwrite` is false, or it holds what headstart did not
            save.
        StorageError: The disk refuses.
    """
    target = Path(target).absolute()
    if overwrite and target.is_symlink():  # what it leads to is replaced, and not the link
        target = target.resolve()
    check = _check_ours if overwrite else check_new
    check(target)
    with disk_errors(target, needed=needed), _beside(target) as folder:
        folder.mkdir()
        yield folder
        files = _files(folder)
        for file in files:  # libraries differ in the modes they write; ours is the user's
            file.chmod(0o666 & ~_umask())
        with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
            sums = list(pool.map(_sum_and_sync, files))
        names = [str(file.relative_to(folder)) for file in files]
        write_json(folder / MANIFEST, {"sha256": dict(zip(names, sums, strict=True))})
        for path in (*_folders(folder), folder):
            _sync(path)
        old = folder.with_name(_OLD)
        check(target)  # again: another process may have been quicker
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
    """Yield a path on the target's disk for what shall take its name.

    It lies in a hidden folder beside the target. Those that killed processes left there go first,
    and give back what they were about to replace.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    mark = fingerprint(target.name, socket.gethostname())
    short = len(os.fsencode(target.name)) <= _LONGEST_NAME
    beginning = f".{target.name}.{mark}" if short else f".{mark}"
    with _own_folder(target.parent, beginning, target) as folder:
        yield folder / "new"


@contextmanager
def _own_folder(place: Path, beginning: str, target: Path | None = None) -> Iterator[Path]:
    """Yield a folder in `place` that is removed, with all it holds, as the block ends.

    Its process holds a lock in it: a folder of the same beginning whose lock is free was left by a
    process that was killed, and is removed first. On a disk without locks all of them stay.

    Args:
        place: A folder.
        beginning: The name's prefix. It includes the host: locks of other machines may be
            invisible.
        target: What the folder is beside, if it is.
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
    with suppress(OSError):  # its process lives, or another one removes it
        held = _hold(folder, wait=False)
        if target is not None and not target.exists() and (folder / _OLD).exists():
            os.rename(folder / _OLD, target)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _make_held(place: Path, beginning: str) -> tuple[Path, int | None]:
    """Make a folder and hold it; None for the lock on a disk that knows none."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{beginning}.", dir=place))
        try:
            return folder, _hold(folder, wait=True)
        except FileNotFoundError:  # another process was quicker, and took it for abandoned
            continue
        except OSError:
            return folder, None


def _hold(folder: Path, *, wait: bool) -> int:
    """Lock a folder until the descriptor is closed, or the process ends.

    Raises:
        OSError: Another process holds it and we do not wait, or it is gone, or cannot be locked.
    """
    lock = folder / _LOCK
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        lock.stat()  # who held it may have removed it
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
    """Check every file of a saved folder against its manifest and return the manifest.

    Raises:
        FormatError: The manifest is missing, or a file is missing, changed or truncated.
    """
    if not (folder / MANIFEST).exists():
        best = folder / "best"
        hint = f"; do you mean {best}?" if (best / MANIFEST).exists() else ""
        raise FormatError(f"{folder / MANIFEST}: no such file: the folder is no model{hint}")
    manifest = read_json(folder / MANIFEST)
    sums = manifest.get("sha256")
    if not isinstance(sums, dict):
        raise FormatError(
            f"{folder / MANIFEST}: has no 'sha256' table; the folder is not headstart's"
        )
    for name in sums:
        file = folder / name
        if not name.isprintable():
            raise FormatError(f"{folder / MANIFEST}: names a file as nobody does: {name!r:.80}")
        path = Path(os.path.normpath(name))  # by name: in the hub's cache, files are links
        if path.is_absolute() or path.parts[:1] == ("..",):
            raise FormatError(f"{folder / MANIFEST}: names a file outside its folder: {name!r}")
        if not os.path.isfile(file):  # which a name too long, or with a NUL, is not
            raise FormatError(
                f"{file}: missing, though the manifest lists it; save the model again"
            )
    with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
        found = list(pool.map(file_sha256, [folder / name for name in sums]))
    for (name, expected), actual in zip(sums.items(), found, strict=True):
        if actual != expected:
            file = folder / name
            raise FormatError(
                f"{file}: damaged: sha256 {actual[:12]}.., expected {str(expected)[:12]}.."
            )
    return manifest


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file beside `path` that takes its name once the block ends well."""
    with whole_file(path) as partial, partial.open("wb") as file:
        yield file


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Yield a path beside `target`; what is written there takes its name once the block ends well.

    For what writes to paths; `new_file` is for what writes bytes.
    """
    with disk_errors(target), _beside(target) as partial:
        yield partial
        _sync(partial)
        os.replace(partial, target)
        _sync(target.parent)


def write_text(path: Path, text: str) -> None:
    """Write `text` so that `path` holds either its old content or all of the new."""
    with new_file(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: object) -> None:
    """Write `value` as JSON, whole or not at all; numbers must be finite.

    A list of numbers, such as thousands of answers, is one line.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    text = _NUMBERS.sub(lambda found: f"[{re.sub(_COMMA, ', ', found[1])}]", text)
    write_text(path, text + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        FormatError: The file is missing, too large, not JSON, or not an object.
    """
    if path.exists() and not path.is_file():  # a pipe would keep us waiting
        raise FormatError(f"{path}: not a file")
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise FormatError(f"{path}: more than {MAX_JSON_BYTES >> 20} MiB of JSON; not read")
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FormatError(f"{path}: no such file") from None
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror}") from None
    except FormatError:  # a ValueError, and said already
        raise
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise FormatError(f"{path}: holds a JSON {type(value).__name__}, expected an object")
    return value


@contextmanager
def working_folder() -> Iterator[Path]:
    """Yield an empty folder in the cache that is removed, with all it holds, as the block ends.

    A process that was killed leaves its own behind: the next one on its machine removes it.

    Raises:
        StorageError: The disk refuses.
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
    """Hold `folder` for this process while the block runs.

    Args:
        folder: The folder, which is made if there is none.
        wait: Wait until it is free.
        note: Is told if the folder is on a network, where a lock may not count for other machines.

    Raises:
        LockedError: Another process holds it; the message names it, its host and since when.
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
                f"{folder}: is on a network ({kind}), where its lock may not keep other machines "
                "out; let only one of them write there"
            )
        with disk_errors(folder):
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()} since {since}")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def file_system(path: Path) -> str | None:
    """Return the type of the file system that a path is on; None where the system does not say."""
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
