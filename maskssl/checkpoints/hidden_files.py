"""Files that take their name once they are complete, and the remains of those that never did.

While a file is written it has a hidden name of its own and is locked (flock) by the process that
writes it. A lock ends with its process, however that ends. So what is not locked, and was begun
under this kernel, nobody writes any more, whatever host names and process numbers containers
have. Of files begun elsewhere the lock may be unknown here; they go when nothing was written
to them for an hour.
"""

import errno
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.logging import print_log

from .errors import DiskFullError

_FULL = (errno.ENOSPC, errno.EDQUOT)
# .NAME.KERNEL.TOKEN.maskssl-part; of old, .NAME.HOST.PID.maskssl-part
_PART = re.compile(r"\..+\.(?P<kernel>[^.]+)\.[^.]+\.maskssl-part")
_STALE_SECONDS = 3600
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_held: set[int] = set()  # descriptors whose files this process has locked


def _let_go() -> None:
    """A forked child, as loader processes are, would keep its parent's locks after its death."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_let_go)


def sync_file(path: Path) -> None:
    """Bring the content of a file to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems sync no folders
            raise
    finally:
        os.close(descriptor)


def is_full(error: OSError) -> bool:
    """Whether the disk, or a quota on it, has no space left."""
    return error.errno in _FULL


@contextmanager
def full_disk_told(path: Path, needed: Callable[[], int]) -> Iterator[None]:
    """Name a full disk what it is.

    Args:
        path: what is being saved.
        needed: its size in bytes, asked for when the disk is full.

    Raises:
        DiskFullError: in place of the OSError that says so.
    """
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        free = shutil.disk_usage(folder).free
        why = "the quota is used up" if error.errno == errno.EDQUOT else "the disk is full"
        raise DiskFullError(
            f"{path} was not saved, {why}: {needed()} bytes are needed and {free} are free. Remove "
            "files there, keep fewer checkpoints (max_keep_ckpts of the checkpoint hook), or save "
            "on another disk (out_dir)"
        ) from error


@contextmanager
def hidden(path: Path, is_folder: bool = False) -> Iterator[Path]:
    """An empty file or folder under a hidden name beside ``path``, locked meanwhile.

    Who has completed it renames it; what still has its hidden name in the end is removed.
    Remains of processes that were killed are removed first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part, descriptor = _begun(path, is_folder)
    try:
        # by the clock that sets the times of files here, which may be another machine's
        remove_leftovers(path.parent, now=part.stat().st_mtime)
        yield part
    finally:
        discard(part)
        _held.discard(descriptor)
        os.close(descriptor)


def discard(path: Path) -> None:
    """Remove a file or a folder; what is missing is no error."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path, now: float) -> None:
    """Remove what processes that were killed while saving have left in a folder.

    Args:
        folder: where checkpoints are written.
        now: seconds since 1970 by the clock of its file system.
    """
    for path in folder.glob(".*.maskssl-part"):
        found = _PART.fullmatch(path.name)
        if found and _removed(path, found["kernel"], now):
            print_log(f"removed {path}, left behind by a save that was cut off", "current")


def _begun(path: Path, is_folder: bool) -> tuple[Path, int]:
    while True:
        name = f".{path.name}.{_kernel() or 'unknown'}.{secrets.token_hex(4)}.maskssl-part"
        part = path.with_name(name)
        if is_folder:
            part.mkdir()
        flags = os.O_RDONLY if is_folder else os.O_RDWR | os.O_CREAT | os.O_EXCL
        try:
            descriptor = os.open(part, flags, 0o666)
        except FileNotFoundError:
            continue
        _held.add(descriptor)
        _locked(descriptor, wait=True)
        if part.exists():
            return part, descriptor
        _held.discard(descriptor)
        os.close(descriptor)  # before it was locked, it was taken for a leftover


def _removed(path: Path, kernel: str, now: float) -> bool:
    """Remove a hidden file if no process can be writing it."""
    try:
        descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    except (FileNotFoundError, PermissionError):
        return False  # it was just renamed; or it is another user's
    try:
        free = _locked(descriptor, wait=False)
        if free is False:
            return False
        if not (free and kernel == _kernel()) and now - _last_written(path) < _STALE_SECONDS:
            return False
        discard(path)  # under the lock, so that one who has just begun it notices
        return True
    except FileNotFoundError:
        return False
    finally:
        os.close(descriptor)


def _last_written(path: Path) -> float:
    return max(part.stat().st_mtime for part in [path, *path.glob("*")])


def _locked(descriptor: int, wait: bool) -> bool | None:
    """Lock a file: whether that was done; None where the file system knows no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _kernel() -> str | None:
    """What tells this boot of this machine from all others; containers share it."""
    try:
        return _BOOT_ID.read_text().strip().replace("-", "")[:12]
    except OSError:
        return None
