"""What is saved is whole or absent: after errors, full disks, sudden ends and other processes."""

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.disks import disk_of

from headstart import storage
from headstart.errors import ExistsError, FormatError, LockedError, StorageError
from headstart.storage import (
    cache_folder,
    check_can_be_folder,
    check_manifest,
    check_new,
    file_sha256,
    file_system,
    fingerprint,
    folder_lock,
    new_folder,
    read_json,
    whole_file,
    working_folder,
    write_json,
    write_text,
)


def save(target, text="weights", **options):
    with new_folder(target, **options) as folder:
        (folder / "part").mkdir()
        (folder / "part" / "a.txt").write_text(text)
        (folder / "b.txt").write_text("more")


def test_a_new_folder_is_whole(tmp_path):
    save(tmp_path / "runs" / "model")
    assert (tmp_path / "runs" / "model" / "part" / "a.txt").read_text() == "weights"
    assert set(check_manifest(tmp_path / "runs" / "model")["sha256"]) == {"b.txt", "part/a.txt"}
    assert os.listdir(tmp_path / "runs") == ["model"]


def test_what_a_link_leads_to_is_replaced_and_not_the_link(tmp_path):
    disk, link = tmp_path / "disk", tmp_path / "model"
    save(disk / "model")
    link.symlink_to(Path("disk", "model"))
    with pytest.raises(ExistsError, match="already exists"):
        save(link)
    save(link, "new weights", overwrite=True)
    assert link.is_symlink()
    assert (disk / "model" / "part" / "a.txt").read_text() == "new weights"
    assert os.listdir(disk) == ["model"]
    assert sorted(os.listdir(tmp_path)) == ["disk", "model"]


def test_a_file_that_may_not_be_so_large_is_no_full_disk(tmp_path):
    def fail():
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    with pytest.raises(StorageError) as error, new_folder(tmp_path / "model", needed=3 << 20):
        fail()
    assert "File too large; 3.0 MiB are needed, " in str(error.value)
    hint = "are free; but the file size is limited; raise `ulimit -f` or choose another folder"
    assert str(error.value).endswith(hint)


def test_files_have_the_modes_of_the_user(tmp_path):
    old = os.umask(0o027)
    try:
        with new_folder(tmp_path / "model") as folder:
            (folder / "a.txt").touch(mode=0o600)
    finally:
        os.umask(old)
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "model" / "a.txt").stat().st_mode & 0o777 == 0o640


def test_an_error_leaves_nothing(tmp_path):
    with pytest.raises(AttributeError), new_folder(tmp_path / "model") as folder:
        (folder / "a.txt").write_text("half").no_such_thing()
    assert os.listdir(tmp_path) == []


def test_an_existing_folder_is_not_touched(tmp_path):
    save(tmp_path / "model", "old")
    with pytest.raises(ExistsError, match="already exists"):
        save(tmp_path / "model", "new")
    assert (tmp_path / "model" / "part" / "a.txt").read_text() == "old"


@pytest.mark.parametrize("place", ["file/model", "file/a/b"])
def test_a_file_is_no_parent_of_a_new_folder(tmp_path, place):
    (tmp_path / "file").write_text("kept")
    check_new(tmp_path / "folder" / "model")
    with pytest.raises(ExistsError, match="file: is a file, not a folder"):
        check_new(tmp_path / place)
    with pytest.raises(ExistsError, match="file: is a file, not a folder"):
        save(tmp_path / place, "new")


def test_where_nothing_can_be_written_is_told_before_the_work(tmp_path, monkeypatch):
    check_new(tmp_path / "runs" / "model")
    check_can_be_folder(tmp_path)
    assert os.listdir(tmp_path) == [], "trying leaves nothing"

    def refuse(dir):
        assert dir == tmp_path, "the nearest parent that there is"
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(storage.tempfile, "TemporaryFile", refuse)
    for check, target in (
        (check_new, tmp_path / "runs" / "model"),
        (check_can_be_folder, tmp_path),
    ):
        with pytest.raises(
            StorageError, match=r"cannot write: Read-only .*; choose a writable folder"
        ):
            check(target)


def test_a_folder_that_appears_meanwhile_is_not_touched(tmp_path):
    def save_late():
        with new_folder(tmp_path / "model") as folder:
            (folder / "a.txt").write_text("second")
            save(tmp_path / "model", "first")

    with pytest.raises(ExistsError, match="already exists"):
        save_late()
    assert (tmp_path / "model" / "part" / "a.txt").read_text() == "first"
    assert os.listdir(tmp_path) == ["model"]


def test_overwrite_replaces_what_headstart_saved_and_nothing_else(tmp_path):
    (tmp_path / "thesis").mkdir()
    save(tmp_path / "thesis", overwrite=True)  # an empty folder may go
    save(tmp_path / "thesis", overwrite=True)
    (tmp_path / "thesis" / "manifest.json").rename(tmp_path / "manifest.json")
    with pytest.raises(
        ExistsError,
        match=r"thesis: contains 'b\.txt' but no manifest\.json, so headstart did not save it",
    ):
        save(tmp_path / "thesis", overwrite=True)
    with pytest.raises(ExistsError, match=r"manifest\.json: is a file, not a folder"):
        save(tmp_path / "manifest.json", overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["manifest.json", "thesis"]
    assert sorted(os.listdir(tmp_path / "thesis")) == ["b.txt", "part"]


def test_overwrite_replaces_the_whole_folder(tmp_path):
    save(tmp_path / "model", "old")
    with new_folder(tmp_path / "model", overwrite=True) as folder:
        (folder / "only.txt").write_text("new")
    assert sorted(os.listdir(tmp_path / "model")) == ["manifest.json", "only.txt"]
    assert os.listdir(tmp_path) == ["model"]


def test_an_overwrite_that_fails_at_the_last_moment_brings_the_old_folder_back(
    tmp_path, monkeypatch
):
    save(tmp_path / "model", "old")
    rename = os.rename

    def refuse(source, target):
        if source.name == "new":
            raise PermissionError(errno.EACCES, "Permission denied")
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(StorageError, match="Permission denied"):
        save(tmp_path / "model", "new", overwrite=True)
    assert (tmp_path / "model" / "part" / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["model"]


def test_an_overwrite_killed_at_the_last_moment_gives_the_old_folder_back(tmp_path):
    save(tmp_path / "model", "old")
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from headstart.storage import new_folder\n"
        "rename = os.rename\n"
        "def kill(source, target):\n"
        "    if source.name == 'new': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    rename(source, target)\n"
        "os.rename = kill\n"
        "with new_folder(Path(sys.argv[1]), overwrite=True) as folder:\n"
        "    (folder / 'a.txt').write_text('new')\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "model")], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "model").exists()
    with pytest.raises(RuntimeError), new_folder(tmp_path / "model"):
        raise RuntimeError
    assert (tmp_path / "model" / "part" / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["model"]


def test_a_failed_overwrite_keeps_the_old_folder(tmp_path):
    save(tmp_path / "model", "old")
    with disk_of(1000), pytest.raises(StorageError, match="cannot write: File too large"):
        save(tmp_path / "model", "n" * 2000, overwrite=True)
    assert (tmp_path / "model" / "part" / "a.txt").read_text() == "old"
    check_manifest(tmp_path / "model")
    assert os.listdir(tmp_path) == ["model"]


def test_a_full_disk_leaves_nothing_and_says_how_much_is_free(tmp_path):
    with (
        disk_of(1000),
        pytest.raises(StorageError, match=r"model: .*MiB are free; "),
    ):
        save(tmp_path / "model", "n" * 2000)
    assert os.listdir(tmp_path) == []


def test_a_sudden_end_leaves_nothing_under_the_final_name(tmp_path):
    code = (
        "import os, sys; from headstart.storage import new_folder\n"
        "with new_folder(sys.argv[1]) as folder:\n"
        "    (folder / 'a.txt').write_text('half'); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", code, tmp_path / "model"], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "file listed in the manifest is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "corrupted: sha256"),
        (lambda path: path.write_bytes(b"x" + path.read_bytes()[1:]), "corrupted: sha256"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "corrupted: sha256"),
    ],
)
def test_damage_is_named(tmp_path, damage, message):
    save(tmp_path / "model")
    damage(tmp_path / "model" / "part" / "a.txt")
    with pytest.raises(FormatError, match=message) as caught:
        check_manifest(tmp_path / "model")
    assert str(tmp_path / "model" / "part" / "a.txt") in str(caught.value)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ({"sha256": {"../secret": "00"}}, "file outside the folder"),
        ({"sha256": ["a"]}, "missing 'sha256' table"),
        ({}, "missing 'sha256' table"),
    ],
)
def test_a_manifest_that_lies_is_refused(tmp_path, manifest, message):
    (tmp_path / "secret").write_text("x")
    write_json(tmp_path / "model" / "manifest.json", manifest)
    with pytest.raises(FormatError, match=message):
        check_manifest(tmp_path / "model")


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_read_json_refuses_what_is_no_object(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(
        FormatError, match=r"a\.json: (not valid JSON|expected a JSON object, found list)"
    ):
        read_json(path)
    with pytest.raises(FormatError, match="no such file"):
        read_json(tmp_path / "none.json")


def test_write_text_replaces_a_file_or_leaves_it(tmp_path):
    path = tmp_path / "folder" / "a.txt"
    write_text(path, "old")
    with disk_of(1000), pytest.raises(StorageError, match="cannot write"):
        write_text(path, "n" * 2000)
    assert path.read_text() == "old"
    write_text(path, "new\n")
    assert path.read_bytes() == b"new\n"
    assert os.listdir(path.parent) == ["a.txt"]


def test_write_json_refuses_numbers_that_json_has_not(tmp_path):
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert os.listdir(tmp_path) == []


def test_a_folder_in_use_by_another_process(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from headstart.storage import folder_lock\n"
        "with folder_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    arguments = [sys.executable, "-c", code, tmp_path]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match=f"in use by process {holder.pid} on"):
            hold(tmp_path)
        holder.kill()
    hold(tmp_path)  # the lock of a dead process is free at once


def hold(folder):
    with folder_lock(folder):
        pass


def test_fingerprint_depends_on_every_part():
    parts = ["a", 1, {"x": [1.5, None]}, "\ud800", Path("p")]
    assert fingerprint(*parts) == fingerprint(*parts)
    assert len({fingerprint(*parts[:n]) for n in range(6)}) == 6
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})


def test_file_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a").startswith("ba7816bf")


def test_the_cache_is_where_one_says(monkeypatch, tmp_path):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("HEADSTART_CACHE")
    assert cache_folder().name == "headstart"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    return tmp_path / "work"


def folders(place):
    return [path for path in place.iterdir() if path.is_dir()]


def test_a_working_folder_is_gone_after_its_use_and_after_an_error(cache):
    def work():
        with working_folder() as folder:
            (folder / "a").mkdir()
            (folder / "a" / "file").write_text("x")
            assert folders(cache) == [folder]
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert folders(cache) == []


def test_a_working_folder_of_a_dead_process_goes_and_that_of_a_living_one_stays(cache):
    code = (
        "import time; from headstart.storage import working_folder\n"
        "with working_folder() as folder:\n"
        "    (folder / 'corpus').write_bytes(bytes(9)); print(folder, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        left = Path(other.stdout.readline().strip())
        stranger = cache / f"{socket.gethostname()}.net.abc"  # of a host with a longer name
        stranger.mkdir()
        with working_folder() as mine:
            assert set(folders(cache)) == {left, mine, stranger}
            assert (left / "corpus").exists()
        other.kill()
        other.wait()
        assert left.exists()
    with working_folder() as mine:
        assert set(folders(cache)) == {mine, stranger}  # whose locks this machine may not see


@pytest.mark.parametrize("name", ["out.csv", "n" * 255])
def test_a_whole_file_is_synced_before_it_gets_its_name(name, tmp_path, monkeypatch):
    events, target = [], tmp_path / name
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (events.append("sync"), sync(file)))
    monkeypatch.setattr(os, "replace", lambda *names: (events.append("name"), replace(*names)))

    def write(text, then=None):
        with whole_file(target) as partial:
            partial.write_text(text)
            if then is not None:
                raise then

    write("rows")
    assert events == ["sync", "name", "sync"]
    assert target.read_text() == "rows"
    with pytest.raises(KeyError):
        write("half", then=KeyError)
    assert (os.listdir(tmp_path), target.read_text()) == ([name], "rows")


WRITERS = {
    "whole_file": "with storage.whole_file(target) as it: it.write_text('half'); wait()",
    "new_file": "with storage.new_file(target) as it: it.write(b'half'); it.flush(); wait()",
    "new_folder": "with storage.new_folder(target) as it: (it / 'a').write_text('half'); wait()",
}


@contextmanager
def writing(how, target):
    """A process that is amid writing `target`, and is killed in the end."""
    code = (
        "import sys, time; from pathlib import Path; from headstart import storage\n"
        "def wait(): print('writing', flush=True); time.sleep(60)\n"
        f"target = Path(sys.argv[1])\n{WRITERS[how]}"
    )
    command = [sys.executable, "-c", code, target]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "writing\n"
            yield
        finally:
            process.kill()


@pytest.mark.parametrize("name", ["out.csv", "n" * 255])
@pytest.mark.parametrize("how", WRITERS)
def test_A3_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(how, name, tmp_path):
    target = tmp_path / name
    other = tmp_path / f".{name[:200]}.0123456789abcdef.stranger"  # of another machine
    other.mkdir()
    with writing(how, target):
        begun = [path for path in tmp_path.iterdir() if path != other]
        write_text(target, "ours")
        assert sorted(tmp_path.iterdir()) == sorted([target, other, *begun])
        assert (begun[0] / "new").exists()
    assert begun[0].exists()
    with writing(how, tmp_path / "another"):
        write_text(target, "again")
        assert not begun[0].exists()
        assert len(os.listdir(tmp_path)) == 3
    assert other.exists()
    assert target.read_text() == "again"


def test_A3_two_may_write_one_target_in_one_process(tmp_path):
    with whole_file(tmp_path / "a") as one, whole_file(tmp_path / "a") as two:
        one.write_text("one")
        two.write_text("two")
    assert (tmp_path / "a").read_text() == "one"
    assert os.listdir(tmp_path) == ["a"]


def test_A3_a_folder_that_another_process_clears_before_it_is_held(tmp_path, monkeypatch):
    """It is empty and unlocked for a moment, and looks as if it were left behind."""
    flock, taken = fcntl.flock, []

    def late(descriptor, how):
        if not taken:
            taken.append(next(tmp_path.glob(".a.*")))
            storage._remove_if_abandoned(taken[0], None)
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    write_text(tmp_path / "a", "whole")
    assert not taken[0].exists()
    assert (tmp_path / "a").read_text() == "whole"
    assert os.listdir(tmp_path) == ["a"]


def test_A3_a_disk_without_locks_is_written_to_and_nothing_is_cleared(tmp_path, monkeypatch):
    with writing("new_file", tmp_path / "a"):
        pass
    left = next(tmp_path.glob(".a.*"))

    def refuse(descriptor, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    write_text(tmp_path / "a", "whole")
    assert sorted(tmp_path.iterdir()) == [left, tmp_path / "a"]


@pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="the system does not say")
def test_the_file_system_of_a_path(tmp_path):
    assert file_system(Path("/proc")) == "proc"
    assert file_system(tmp_path / "gone") is None


def test_numbers_of_a_list_stand_in_a_line(tmp_path):
    value = {"correct": [1, 0, -1.5e-9], "none": [], "text": "[\n 1,\n 2 ]", "names": ["1", "2"],
             "inside": [[1, 2], [3]]}  # fmt: skip
    storage.write_json(tmp_path / "a.json", value)
    assert storage.read_json(tmp_path / "a.json") == value
    lines = (tmp_path / "a.json").read_text().splitlines()
    assert '  "correct": [1, 0, -1.5e-09],' in lines
    assert len(lines) == 13


def test_json_that_is_too_large_is_told_once(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "MAX_JSON_BYTES", 1 << 20)
    path = tmp_path / "a.json"
    path.write_text(" " * (1 << 20) + "{}")
    with pytest.raises(FormatError) as error:
        storage.read_json(path)
    assert str(error.value) == f"{path}: JSON file is larger than 1 MiB"
