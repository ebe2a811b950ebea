"""One process at a time in a folder, whatever becomes of it."""

import errno
import os

import pytest

from maskssl import occupied as module
from maskssl.errors import MaskSSLError
from maskssl.occupied import FILE, occupied
from tests.holding import held_elsewhere


def test_another_process_is_refused_by_name_until_it_has_ended(tmp_path):
    with (
        held_elsewhere(tmp_path) as child,
        pytest.raises(MaskSSLError, match=rf"in use by process {child} on .*remove .*{FILE}"),
        occupied(tmp_path),
    ):
        pass
    with occupied(tmp_path):  # it was killed, and its file is still there
        assert (tmp_path / FILE).read_text().startswith(f"process {os.getpid()} on ")
    assert not (tmp_path / FILE).exists()


def test_a_process_may_have_its_folder_twice(tmp_path):
    with occupied(tmp_path / "new"):
        with occupied(tmp_path / "new" / ".." / "new"):
            pass
        assert not lets_others_in(tmp_path / "new")
    with held_elsewhere(tmp_path / "new"):
        pass


def lets_others_in(folder) -> bool:
    """Whether another process gets in."""
    child = os.fork()
    if child == 0:
        try:
            with occupied(folder):
                os._exit(0)
        except MaskSSLError:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def test_forked_children_neither_hold_nor_free_it(tmp_path):
    """As loader processes, which may outlive the run or end before it."""
    with occupied(tmp_path):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        assert not lets_others_in(tmp_path)
        told, stay = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            os.read(stay[0], 1)
            os._exit(0)
    assert lets_others_in(tmp_path)
    os.write(stay[1], b"x")
    os.waitpid(child, 0)
    for descriptor in (*told, *stay):
        os.close(descriptor)


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch):
    said = []

    def no_locks(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    monkeypatch.setattr(module, "print_log", lambda text, **_: said.append(text))
    with occupied(tmp_path):
        assert not list(tmp_path.iterdir())
    (text,) = said
    assert f"nothing keeps a second run out of {tmp_path}" in text and "No locks" in text


def test_a_file_that_its_holder_removes_in_between_is_no_lock(tmp_path, monkeypatch):
    lock, seen = module.fcntl.flock, []

    def late(descriptor, how):
        if not seen:  # between opening and locking, the holder ends and the next one begins
            seen.append((tmp_path / FILE).unlink())
        lock(descriptor, how)

    monkeypatch.setattr("fcntl.flock", late)
    with occupied(tmp_path):
        assert (tmp_path / FILE).read_text()
        assert not lets_others_in(tmp_path)
