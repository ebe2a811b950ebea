"""Checkpoints are whole or absent, whenever the process dies and however full the disk is."""

import errno
import hashlib
import io
import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch

from maskssl.checkpoints import hidden_files, writing
from maskssl.checkpoints.errors import DiskFullError
from maskssl.checkpoints.finding import check_checkpoint, newest_valid
from maskssl.checkpoints.writing import (
    Sidecar,
    publish_checkpoint,
    read_sidecar,
    remove_checkpoint,
    write_checkpoint,
    write_text,
)
from tests.killing import killed_after

MODULES = (writing, hidden_files)


def content(step: int, size: int = 1000) -> dict:
    meta = dict(iter=10 * step, epoch=step)
    return dict(meta=meta, state_dict=dict(w=torch.full((size,), float(step))), optimizer={})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def step_of(path: Path | None) -> int:
    return torch.load(path, weights_only=True)["meta"]["epoch"]


def test_a_checkpoint_and_its_checksum(tmp_path):
    path = tmp_path / "new" / "epoch_3.pth"
    write_checkpoint(content(3), path)
    assert names(path.parent) == ["epoch_3.pth", "epoch_3.pth.sha256"]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_sidecar(path) == Sidecar(digest, path.stat().st_size, 30, 3, resumable=True)
    torch.testing.assert_close(torch.load(path)["state_dict"]["w"], torch.full((1000,), 3.0))


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum")
def test_the_checksum_is_of_the_usual_format(tmp_path):
    path = tmp_path / "epoch_3.pth"
    write_checkpoint(content(3), path)
    check = ["sha256sum", "--strict", "--check", "epoch_3.pth.sha256"]
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 0
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 1


def test_weights_alone_are_nothing_to_resume_from(tmp_path):
    write_checkpoint(dict(state_dict={}), tmp_path / "weights.pth")
    facts = read_sidecar(tmp_path / "weights.pth")
    assert (facts.iter, facts.epoch, facts.resumable) == (None, None, False)


@pytest.mark.parametrize("name", ["epoch_2.pth", "epoch_1.pth"], ids=["new", "same name"])
def test_killed_at_any_moment_of_a_save(name, tmp_path):
    """SIGKILL before every single line of the writer: the file before, or the new one."""
    found = []
    for lines in range(1000):
        folder = tmp_path / str(lines)
        write_checkpoint(content(1), folder / "epoch_1.pth")
        killed = killed_after(
            lines, lambda to=folder / name: write_checkpoint(content(2), to), MODULES
        )
        for path in folder.glob("*.pth"):
            assert check_checkpoint(path) is None, f"after {lines} lines"
        found.append(step_of(newest_valid(folder)))
        write_checkpoint(content(3), folder / "epoch_3.pth")
        wanted = {"epoch_1.pth", name, "epoch_3.pth"} & {p.name for p in folder.glob("*.pth")}
        others = set(names(folder)) - wanted - {f"{known}.sha256" for known in wanted}
        assert not others, "the next save removes what the killed one left"
        if not killed:
            break
    assert not killed
    assert lines > 60
    assert found == sorted(found)
    assert set(found) == {1, 2}


def test_killed_in_the_middle_of_the_content(tmp_path, monkeypatch):
    """A run that saves step after step and is killed at some write of torch's, five times."""
    write, saved = writing._Sink.write, 0
    for writes in (1, 23, 50, 79, 110):
        left = [writes]

        def counted(sink, data, left=left):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return write(sink, data)

        monkeypatch.setattr(writing._Sink, "write", counted)
        child = os.fork()
        if child == 0:
            try:
                for step in range(saved + 1, 1000):
                    write_checkpoint(content(step, size=300_000), tmp_path / f"epoch_{step}.pth")
            finally:
                os._exit(1)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        files = list(tmp_path.glob("*.pth"))
        assert [path for path in files if check_checkpoint(path)] == []
        newest = newest_valid(tmp_path)
        assert (step_of(newest) if newest else 0) == len(files) >= saved
        saved = len(files)
    assert saved > 2


def test_content_that_cannot_be_saved_leaves_nothing(tmp_path, monkeypatch):
    def broken_off(content, file):
        file.write(b"PK")
        raise ValueError("nothing of this kind is saved")

    monkeypatch.setattr(torch, "save", broken_off)
    with pytest.raises(ValueError, match="of this kind"):
        write_checkpoint(content(1), tmp_path / "epoch_1.pth")
    assert names(tmp_path) == []


@pytest.mark.parametrize("size", [10, 1_000_000])  # told when synced; told to torch's writer
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_costs_no_older_checkpoint(size, tmp_path, monkeypatch):
    path = tmp_path / "epoch_1.pth"
    write_checkpoint(content(1), path)
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    full = tmp_path / "full"
    full.symlink_to("/dev/full")

    @contextmanager
    def hidden(_):
        yield full

    monkeypatch.setattr(writing, "hidden", hidden)
    with pytest.raises(DiskFullError, match="the disk is full") as raised:
        write_checkpoint(content(2, size), path)
    monkeypatch.undo()
    full.unlink()
    write_checkpoint(content(2, size), tmp_path / "elsewhere" / "epoch_1.pth")
    needed = (tmp_path / "elsewhere" / "epoch_1.pth").stat().st_size
    assert f"{path} was not saved" in str(raised.value)
    assert f"{needed} bytes are needed" in str(raised.value)
    shutil.rmtree(tmp_path / "elsewhere")
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before


@pytest.mark.parametrize("room", [0, 100, 4500])  # bytes
def test_a_full_disk_that_torch_gives_another_name(room, tmp_path, monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            if self.tell() + memoryview(data).nbytes > room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    opened = Path.open

    def limited(path, *args, **kwargs):
        return Full() if path.name.endswith("part") else opened(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", limited)
    with pytest.raises(DiskFullError, match="the disk is full"):
        write_checkpoint(content(2), tmp_path / "epoch_1.pth")


@pytest.mark.parametrize("call", [1, 2])  # the checkpoint's own sync; its sidecar's
@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        (errno.ENOSPC, DiskFullError, r"disk is full: \d+ bytes are needed and \d+ are free"),
        (errno.EDQUOT, DiskFullError, "quota is used up: .*max_keep_ckpts.*out_dir"),
        (errno.EIO, OSError, "Input/output error"),
    ],
)
def test_a_failing_sync_changes_nothing(code, error, words, call, tmp_path, monkeypatch):
    write_checkpoint(content(1), tmp_path / "epoch_1.pth")
    calls = []

    def fail(_):
        calls.append(1)
        if len(calls) == call:
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(error, match=words):
        write_checkpoint(content(2), tmp_path / "epoch_1.pth")
    assert len(calls) == call
    assert names(tmp_path) == ["epoch_1.pth", "epoch_1.pth.sha256"]
    assert check_checkpoint(tmp_path / "epoch_1.pth") is None
    assert step_of(tmp_path / "epoch_1.pth") == 1


def test_a_text_is_replaced_whole(tmp_path, monkeypatch):
    pointer = tmp_path / "last_checkpoint"
    write_text("epoch_1.pth", pointer)
    found = []
    for lines in range(200):
        write_text("epoch_1.pth", pointer)
        killed = killed_after(lines, lambda: write_text("epoch_2.pth", pointer), MODULES)
        found.append(pointer.read_text())
        if not killed:
            break
    assert set(found) == {"epoch_1.pth", "epoch_2.pth"}
    assert names(tmp_path) == ["last_checkpoint"]
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(DiskFullError, match="last_checkpoint was not saved"):
        write_text("epoch_3.pth", pointer)
    assert pointer.read_text() == "epoch_2.pth"
    assert names(tmp_path) == ["last_checkpoint"]


def no_space(_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def age(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


@contextmanager
def writing_elsewhere(path, is_folder=False):
    """Another process that has begun a file, or a folder, and is not done; yields what it writes.

    As in another container, with whatever host name and process number.
    """
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with hidden_files.hidden(path, is_folder) as part:
                os.write(ready[1], str(part).encode())
                os.read(go[0], 1)
        finally:
            os._exit(0)
    try:
        yield child, Path(os.read(ready[0], 1000).decode())
    finally:
        os.write(go[1], b"x")
        with suppress(ChildProcessError):
            os.waitpid(child, 0)


@pytest.mark.parametrize("is_folder", [False, True])
@pytest.mark.parametrize("kernel", ["ours", "another"])
def test_what_is_being_written_is_nobodys_leftover(kernel, is_folder, tmp_path, monkeypatch):
    """However old it is; once its process has died it goes."""
    if kernel == "another":
        monkeypatch.setattr(hidden_files, "_BOOT_ID", tmp_path / "none")
    said = []
    with writing_elsewhere(tmp_path / "epoch_1.pth", is_folder) as (child, part):
        age(part, 7200)
        monkeypatch.undo()
        monkeypatch.setattr(hidden_files, "print_log", lambda text, *_: said.append(text))
        write_checkpoint(content(2), tmp_path / "epoch_2.pth")
        assert part.exists() and not said
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert part.exists()
        write_checkpoint(content(3), tmp_path / "epoch_3.pth")
        assert not part.exists()
        assert said == [f"removed {part}, left behind by a save that was cut off"]


def test_a_forked_child_holds_no_lock_of_its_parent(tmp_path):
    """A loader process, forked while the file was written, may outlive the run for a while."""
    told, stay = os.pipe(), os.pipe()
    run = os.fork()
    if run == 0:
        with hidden_files.hidden(tmp_path / "epoch_1.pth") as part:
            if os.fork() == 0:
                os.write(told[1], str(part).encode())
                os.read(stay[0], 1)
                os._exit(0)
            os.read(stay[0], 1)
        os._exit(0)
    part = Path(os.read(told[0], 1000).decode())
    os.kill(run, signal.SIGKILL)
    os.waitpid(run, 0)
    write_checkpoint(content(2), tmp_path / "epoch_2.pth")
    os.write(stay[1], b"x")
    assert not part.exists()


def test_two_processes_write_the_same_file(tmp_path):
    """Both do, under hidden names of their own; the last one to end has the name."""
    path = tmp_path / "epoch_1.pth"
    with writing_elsewhere(path) as (_, part):
        write_checkpoint(content(1), path)
        assert part.exists() and step_of(path) == 1


def test_what_may_be_written_elsewhere_is_left_for_an_hour(tmp_path, monkeypatch):
    """By another machine, or in the names of a former release; or with no locks here."""
    for name in (".epoch_1.pth.ffff00001111.0a0a0a0a", ".epoch_1.pth.some-host.77"):
        for seconds, suffix in ((3500, "young"), (3700, "old")):
            part = tmp_path / f"{suffix}{name}.maskssl-part"
            part = part.with_name(f".{suffix}{name}.maskssl-part")
            part.touch()
            age(part, seconds)
    others = [".epoch_1.pth", ".maskssl-part", "epoch_1.pth.tmp", ".x.maskssl-part"]
    for name in others:
        (tmp_path / name).touch()
    write_checkpoint(content(2), tmp_path / "epoch_2.pth")
    kept = {name for name in names(tmp_path) if not name.startswith("epoch_2.pth")}
    young = {name for name in kept if "young" in name}
    assert len(young) == 2 and kept - young == set(others)

    def no_locks(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    ours = [tmp_path / f".{name}.{hidden_files._kernel()}.00.maskssl-part" for name in "ab"]
    for part, seconds in zip(ours, (3500, 3700), strict=True):
        part.touch()
        age(part, seconds)
    monkeypatch.setattr("fcntl.flock", no_locks)
    write_checkpoint(content(3), tmp_path / "epoch_3.pth")
    assert [part.exists() for part in ours] == [True, False]


def test_who_is_taken_for_dead_before_the_lock_begins_anew(tmp_path, monkeypatch):
    lock, seen = hidden_files._locked, []

    def late(descriptor, wait):
        part = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if wait and not seen:  # between its creation and its lock, another process tidies up
            seen.append(part)
            part.unlink()
        return lock(descriptor, wait)

    monkeypatch.setattr(hidden_files, "_locked", late)
    write_checkpoint(content(1), tmp_path / "epoch_1.pth")
    assert seen and names(tmp_path) == ["epoch_1.pth", "epoch_1.pth.sha256"]


def test_a_published_file_is_named_by_its_checksum(tmp_path):
    path = publish_checkpoint(dict(state_dict={}), tmp_path / "epoch_1.pth")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert names(tmp_path) == [f"epoch_1-{digest[:8]}.pth", f"epoch_1-{digest[:8]}.pth.sha256"]
    assert check_checkpoint(path) is None


def test_a_checkpoint_is_removed_with_its_checksum(tmp_path):
    write_checkpoint(content(1), tmp_path / "epoch_1.pth")
    write_checkpoint(content(1), tmp_path / "epoch_10.pth")
    (tmp_path / "folder").mkdir()
    for name in ("epoch_1.pth", "folder", "nothing"):
        remove_checkpoint(tmp_path / name)
    assert names(tmp_path) == ["epoch_10.pth", "epoch_10.pth.sha256"]


def test_a_synced_folder_is_closed(tmp_path):
    before = os.listdir("/proc/self/fd")
    hidden_files.sync_folder(tmp_path)
    assert os.listdir("/proc/self/fd") == before
