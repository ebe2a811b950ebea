"""Files that take their name once they are complete, and the remains of those that never did."""

import errno
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.logging import print_log

from .errors import DiskFullError

_FULL = (errno.ENOSPC, errno.EDQUOT)
# .NAME.HOST.PID.maskssl-part
_LEFTOVER = re.compile(r"\..+\.(?P<host>[^.]+)\.(?P<pid>\d+)\.maskssl-part")
_STALE_SECONDS = 3600  # without a byte written on another host, whose processes are unknown here


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


@contextmanager
def nothing_left(path: Path, needed: Callable[[], int], *hidden: Path) -> Iterator[None]:
    """Remove hidden files and folders whatever happens, and name a full disk what it is."""
    try:
        yield
    except OSError as error:
        _discard_all(hidden)
        if error.errno not in _FULL:
            raise
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        free = shutil.disk_usage(folder).free
        why = "the quota is used up" if error.errno == errno.EDQUOT else "the disk is full"
        raise DiskFullError(
            f"{path} was not saved, {why}: {needed()} bytes are needed and {free} are free. Remove "
            "files there, keep fewer checkpoints (max_keep_ckpts of the checkpoint hook), or save "
            "on another disk (out_dir)"
        ) from error
    finally:
        _discard_all(hidden)


def _discard_all(hidden: tuple[Path, ...]) -> None:
    for path in hidden:
        discard(path)


def discard(path: Path) -> None:
    """Remove a file or a folder; what is missing is no error."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def hidden_name(path: Path) -> Path:
    """What a file or folder is called until it is complete."""
    return path.with_name(f".{path.name}.{_host()}.{os.getpid()}.maskssl-part")


def _host() -> str:
    return socket.gethostname().replace(".", "-")


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed while saving have left in a folder."""
    for path in folder.glob(".*.maskssl-part"):
        found = _LEFTOVER.fullmatch(path.name)
        if found and not _in_use(path, found["host"], int(found["pid"])):
            discard(path)
            print_log(f"removed {path}, left behind by a save that was cut off", "current")


def _in_use(path: Path, host: str, pid: int) -> bool:
    if host != _host():
        try:
            return time.time() - path.stat().st_mtime < _STALE_SECONDS
        except FileNotFoundError:
            return True  # its owner has just renamed it
    # A file with this process's own id is of an earlier one: a container counts from 1 again.
    return pid != os.getpid() and _alive(pid)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
