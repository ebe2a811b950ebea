"""Write a checkpoint whole or not at all.

A file is written under a hidden name in its folder, synced, and renamed. Beside it lies
NAME.sha256, which ``sha256sum -c`` checks; its first line, a comment to that tool, says how
far training had come. A checkpoint without such a file is still good: see ``finding``.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from io import FileIO
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.logging import print_log

from .errors import DiskFullError
from .hidden_files import discard, full_disk_told, hidden, sync_folder
from .plain import plain_content
from .shards import KEY, orphans, sha256_of, shards_folder


@dataclass(frozen=True)
class Sidecar:
    """What NAME.sha256 says of NAME.

    Attributes:
        sha256: of the whole file, hexadecimal.
        bytes: length of the file.
        iter: iterations done; None where the content does not say.
        epoch: epochs finished; likewise.
        resumable: the optimizer's state is in it.
        shards: the folder that holds its tensors, if they are not in it.
    """

    sha256: str
    bytes: int
    iter: int | None
    epoch: int | None
    resumable: bool
    shards: str | None = None


def is_local(path: str, backend_args: dict[str, Any] | None = None) -> bool:
    """Whether mmengine would write a path to this machine's file system."""
    return isinstance(get_file_backend(path, backend_args=backend_args), LocalBackend)


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
    path = Path(path)
    former, shards = read_sidecar(path), content.get(KEY, {}).get("folder")
    try:
        _write_pair(content, path, lambda facts: path)
    except (OSError, DiskFullError):
        if shards is not None:  # of no use without the file
            discard(shards_folder(path, shards))
        raise
    _remove_shards(path, former, unless=shards)


def publish_checkpoint(content: dict[str, Any], path: str | Path) -> Path:
    """Save a checkpoint as ``epoch_3-0123abcd.pth``, by the first digits of its SHA-256.

    torch.hub compares them when it downloads such a file (check_hash).

    Args:
        content: as for ``write_checkpoint``, without shards.
        path: e.g. ``epoch_3.pth``.

    Returns:
        Where it is.
    """
    path = Path(path)
    return _write_pair(
        content,
        path.with_stem(f"{path.stem}-published"),
        lambda facts: path.with_stem(f"{path.stem}-{facts.sha256[:8]}"),
    )


def write_missing_checksum(path: str | Path, content: dict[str, Any]) -> bool:
    """Give a whole checkpoint the NAME.sha256 that it lacks or that cannot be read.

    Args:
        path: of the checkpoint, which was read whole.
        content: of it; tensors may be missing.

    Returns:
        Whether it was written; a full disk is told, and the file stays good without.
    """
    path = Path(path)
    facts = _facts(content, sha256_of(path), path.stat().st_size)
    try:
        write_text(_sidecar_text(facts, path.name), sidecar_of(path))
    except DiskFullError as error:
        print_log(str(error), "current", logging.WARNING)
        return False
    return True


def told_plain(content: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint's content as tensors and plain values; what is neither is left out and told."""
    left_out: dict[str, str] = {}
    content = plain_content(content, left_out)
    if left_out:
        told = ", ".join(f"{path} ({kind})" for path, kind in left_out.items())
        print_log(
            f"a checkpoint holds tensors and plain values alone, and is saved without {told}; keep "
            "numbers, text, lists or dicts there",
            "current",
            logging.WARNING,
        )
    return content


def _write_pair(content: dict[str, Any], path: Path, named: Callable[[Sidecar], Path]) -> Path:
    content = told_plain(content)
    with (
        full_disk_told(path, lambda: _size(content)),
        hidden(path) as part,
        hidden(sidecar_of(path)) as sidecar_part,
    ):
        # Both are on the disk before any final name is touched: no space, no harm.
        facts = _write_content(content, part)
        path = named(facts)
        sidecar = sidecar_of(path)
        _write_synced(_sidecar_text(facts, path.name), sidecar_part)
        if sidecar.exists():  # it would speak against the new file
            sidecar.unlink()
            sync_folder(path.parent)
        os.replace(part, path)
        os.replace(sidecar_part, sidecar)
        sync_folder(path.parent)
    return path


def write_text(text: str, path: str | Path) -> None:
    """Replace a small text file whole or not at all.

    Raises:
        DiskFullError: no space; the file that was there before stays as it was.
    """
    path = Path(path)
    with full_disk_told(path, lambda: len(text.encode())), hidden(path) as part:
        _write_synced(text, part)
        os.replace(part, path)
        sync_folder(path.parent)


def remove_checkpoint(path: str | Path) -> None:
    """Remove a checkpoint, its sidecar and its shards; what is missing is no error."""
    path = Path(path)
    former = read_sidecar(path)
    # the sidecar first: left alone, it would speak against the next file of that name
    sidecar_of(path).unlink(missing_ok=True)
    discard(path)
    _remove_shards(path, former)


def remove_orphans(folder: str | Path) -> None:
    """Remove shards that no checkpoint names: the run that wrote them died before it could."""
    for path in orphans(folder, _named):
        discard(path)
        print_log(f"removed {path}, which no checkpoint speaks of", "current")


def _named(path: Path) -> str | None:
    facts = read_sidecar(path)
    return None if facts is None else facts.shards or ""


def _remove_shards(path: Path, former: Sidecar | None, unless: str | None = None) -> None:
    if former is not None and former.shards is not None and former.shards != unless:
        discard(shards_folder(path, former.shards))


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
        print_log(f"{sidecar} cannot be read ({error}) and is not used", "current", logging.WARNING)
        return None


class _Sink:
    """What torch.save writes to: hashed and counted on the way to a file, or to nowhere."""

    def __init__(self, file: FileIO | None = None) -> None:
        self.file = file
        self.hash = hashlib.sha256()
        self.bytes = 0
        self.error: OSError | None = None

    def write(self, data: bytes | memoryview) -> int:
        size = memoryview(data).nbytes
        if self.file is not None:
            try:
                _write_all(data, self.file)
            except OSError as error:
                self.error = error
                raise
            self.hash.update(data)
        self.bytes += size
        return size

    def flush(self) -> None:
        pass


def _write_all(data: bytes | memoryview, file: FileIO) -> None:
    left = memoryview(data).cast("B")
    while left:  # the system takes 2 GiB at once at most
        left = left[file.write(left) :]


def _write_content(content: dict[str, Any], path: Path) -> Sidecar:
    # without a buffer, whose content a process forked meanwhile would write once more
    with path.open("wb", buffering=0) as file:
        sink = _Sink(file)
        try:
            torch.save(content, sink)
        except RuntimeError as error:
            if sink.error is None:
                raise
            # torch's archive writer speaks of a position, not of the disk
            raise sink.error from error
        os.fsync(file.fileno())
    return _facts(content, sink.hash.hexdigest(), sink.bytes)


def _facts(content: dict[str, Any], sha256: str, size: int) -> Sidecar:
    return Sidecar(
        sha256=sha256,
        bytes=size,
        iter=_count(content, "iter"),
        epoch=_count(content, "epoch"),
        resumable="optimizer" in content,
        shards=content[KEY]["folder"] if KEY in content else None,
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
