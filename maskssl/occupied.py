"""A folder that one process at a time writes into: a second one is refused, not mixed in.

A lock (flock), as of files while they are written: it ends with its process, however that ends.
"""

import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmengine.logging import print_log

from .errors import MaskSSLError

FILE = ".maskssl-in-use"
_held: dict[Path, int | None] = {}  # folder -> descriptor of its locked file


def _let_go() -> None:
    """A forked child, as loader processes are, would keep its parent's folders after its death."""
    while _held:
        _, descriptor = _held.popitem()
        if descriptor is not None:
            os.close(descriptor)


os.register_at_fork(after_in_child=_let_go)


@contextmanager
def occupied(folder: str | Path) -> Iterator[None]:
    """Keep a folder for this process, which may do so again meanwhile.

    Where the file system knows no locks, that is said and nothing is kept.

    Args:
        folder: made if it is not there.

    Raises:
        MaskSSLError: another process has it.
    """
    folder = Path(folder).resolve()
    if folder in _held:
        yield
        return
    _held[folder] = _taken(folder)
    try:
        yield
    finally:
        descriptor = _held.pop(folder, None)
        if descriptor is not None:
            (folder / FILE).unlink(missing_ok=True)  # before others get in, who see that it is gone
            os.close(descriptor)


def _taken(folder: Path) -> int | None:
    """The locked file, opened; None where there are no locks."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / FILE
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 1000, 0).decode(errors="replace")
            os.close(descriptor)
            raise MaskSSLError(
                f"{folder} is in use by {holder or 'another process'}; wait for it, end it, or "
                f"give another folder. If it is long gone with its machine, remove {file}"
            ) from None
        except OSError as error:
            os.close(descriptor)
            with suppress(OSError):
                file.unlink()
            print_log(
                f"no lock at {file} ({error.strerror}): nothing keeps a second run out of {folder}",
                logger="current",
                level=logging.WARNING,
            )
            return None
        if file.exists() and os.path.samestat(os.stat(file), os.fstat(descriptor)):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
            return descriptor
        os.close(descriptor)  # its holder has just removed it; the next one is another file
