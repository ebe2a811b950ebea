"""Write a checkpoint whole or not at all.

A file is written under a hidden name in its folder, synced, and renamed. Beside it lies
NAME.sha256, which ``sha256sum -c`` checks; its first line, a comment to that tool, says how
far training had come. A checkpoint without such a file is still good: see ``finding``.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, BinaryIO

import torch
from mmengine.logging import print_log

WARNING = 30  # logging.WARNING
_FULL = (errno.ENOSPC, errno.EDQUOT)
# .NAME.HOST.PID.maskssl-part
_LEFTOVER = re.compile(r"\..+\.(?P<host>[^.]+)\.(?P<pid>\d+)\.maskssl-part")
_STALE_SECONDS = 3600  # without a byte written on another host, whose processes are unknown here


class DiskFullError(ValueError):
    """A file could not be written for want of space; nothing of it is left."""


@dataclass(frozen=True)
class Sidecar:
    """What NAME.sha256 says of NAME.

    Attributes:
        sha256: of the whole file, hexadecimal.
        bytes: length of the file.
        iter: iterations done; None where the content does not say.
        epoch: epochs finished; likewise.
        resumable: the optimizer's state is in it.
    """

    sha256: str
    bytes: int
    iter: int | None
    epoch: int | None
    resumable: bool


def write_checkpoint(content: dict[str, Any], path: str | Path) -> None:
    """Save a checkpoint so that a kill at any moment leaves the old file or the new one.

    One process saves one file at a time. Remains of dead processes are removed first.

    Args:
        content: as for torch.save; 'meta' may hold 'iter' and 'epoch'.
        path: final name; its folder is made when missing.

    Raises:
        DiskFullError: no space; the file that was there before stays as it was.
        OSError: any other failure of the file system; likewise.
    """
    path, sidecar = Path(path), sidecar_of(path)
    hidden, hidden_sidecar = _hidden(path), _hidden(sidecar)
    with _nothing_left(path, lambda: _size(content), hidden, hidden_sidecar):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path.parent)
        # Both are on the disk before any final name is touched: no space, no harm.
        facts = _write_content(content, hidden)
        _write_synced(_sidecar_text(facts, path.name), hidden_sidecar)
        if sidecar.exists():  # it would speak against the new file
            sidecar.unlink()
            _sync_folder(path.parent)
        os.replace(hidden, path)
        os.replace(hidden_sidecar, sidecar)
        _sync_folder(path.parent)


def write_text(text: str, path: str | Path) -> None:
    """Replace a small text file whole or not at all.

    Raises:
        DiskFullError: no space; the file that was there before stays as it was.
    """
    path = Path(path)
    hidden = _hidden(path)
    with _nothing_left(path, lambda: len(text.encode()), hidden):
        _remove_leftovers(path.parent)
        _write_synced(text, hidden)
        os.replace(hidden, path)
        _sync_folder(path.parent)


def remove_checkpoint(path: str | Path) -> None:
    """Remove a checkpoint, file or folder, and its sidecar; what is missing is no error."""
    # the sidecar first: left alone, it would speak against the next file of that name
    sidecar_of(path).unlink(missing_ok=True)
    if Path(path).is_dir():
        shutil.rmtree(path)
    else:
        Path(path).unlink(missing_ok=True)


def sidecar_of(path: str | Path) -> Path:
    """Where the checksum of a checkpoint lies."""
    return Path(f"{path}.sha256")


def read_sidecar(path: str | Path) -> Sidecar | None:
    """What is known of a checkpoint without opening it.

    Args:
        path: of the checkpoint.

    Returns:
        None when there is no sidecar, or none that can be read, which is logged.
    """
    sidecar = sidecar_of(path)
    try:
        facts, checksum = sidecar.read_text().splitlines()
        return Sidecar(sha256=checksum.split()[0], **json.loads(facts.removeprefix("#")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, IndexError) as error:
        print_log(f"{sidecar} cannot be read ({error}) and is not used", "current", WARNING)
        return None


class _Sink:
    """What torch.save writes to: hashed and counted on the way to a file, or to nowhere."""

    def __init__(self, file: BinaryIO | None = None) -> None:
        self.file = file
        self.hash = hashlib.sha256()
        self.bytes = 0
        self.error: OSError | None = None

    def write(self, data: bytes | memoryview) -> int:
        size = memoryview(data).nbytes
        if self.file is not None:
            try:
                self.file.write(data)
            except OSError as error:
                self.error = error
                raise
            self.hash.update(data)
        self.bytes += size
        return size

    def flush(self) -> None:
        pass


def _write_content(content: dict[str, Any], path: Path) -> Sidecar:
    with path.open("wb") as file:
        sink = _Sink(file)
        try:
            torch.save(content, sink)
        except RuntimeError as error:
            if sink.error is None:
                raise
            # torch's archive writer speaks of a position, not of the disk
            raise sink.error from error
        file.flush()
        os.fsync(file.fileno())
    return Sidecar(
        sha256=sink.hash.hexdigest(),
        bytes=sink.bytes,
        iter=_count(content, "iter"),
        epoch=_count(content, "epoch"),
        resumable="optimizer" in content,
    )


def _count(content: dict[str, Any], unit: str) -> int | None:
    meta = content.get("meta")
    value = meta.get(unit) if isinstance(meta, dict) else None
    return int(value) if isinstance(value, Integral) else None


def _size(content: dict[str, Any]) -> int:
    sink = _Sink()
    torch.save(content, sink)
    return sink.bytes


def _sidecar_text(facts: Sidecar, name: str) -> str:
    known = {key: value for key, value in vars(facts).items() if key != "sha256"}
    return f"# {json.dumps(known)}\n{facts.sha256}  {name}\n"


def _write_synced(text: str, path: Path) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems sync no folders
            raise
    finally:
        os.close(descriptor)


@contextmanager
def _nothing_left(path: Path, needed: Callable[[], int], *hidden: Path) -> Iterator[None]:
    """Remove hidden files whatever happens, and name a full disk what it is."""
    try:
        yield
    except OSError as error:
        _discard(hidden)
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
        _discard(hidden)


def _discard(hidden: tuple[Path, ...]) -> None:
    for path in hidden:
        path.unlink(missing_ok=True)


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}.{_host()}.{os.getpid()}.maskssl-part")


def _host() -> str:
    return socket.gethostname().replace(".", "-")


def _remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed while saving have left in a folder."""
    for path in folder.glob(".*.maskssl-part"):
        found = _LEFTOVER.fullmatch(path.name)
        if found and not _in_use(path, found["host"], int(found["pid"])):
            path.unlink(missing_ok=True)
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
