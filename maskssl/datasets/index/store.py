"""Find the ready index of a source, or build it once for all processes that ask."""

import fcntl
import hashlib
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.logging import print_log

from ...progress import progress_text
from .image_index import (
    ImageIndex,
    ImageIndexError,
    Progress,
    Source,
    UnusableIndexError,
    write_index,
)

ENDING = ".index"
REPORT_EVERY = 10.0  # seconds


def open_index(
    source: Source,
    index_file: str | Path | None = None,
    progress: Progress | None = None,
    rebuild: bool = False,
) -> ImageIndex:
    """The index of a source: the ready one if it fits the source as it is now, or a new one.

    It lies beside the source, or in the cache folder where that cannot be written. Of all
    processes that ask at once, also on several nodes of one file system if that knows locks, one
    builds and the others wait.

    Args:
        source: what to list.
        index_file: where the index is, or goes; None for the places above.
        progress: told how far building is; None logs it.
        rebuild: build even if a ready one fits.

    Raises:
        ImageIndexError: the source cannot be listed, the index not be written, or
            ``index_file`` is some other file.
    """
    places = index_places(source) if index_file is None else [Path(index_file).absolute()]
    if not rebuild:
        for place in places:
            index = _ready(place, source)
            if index is not None:
                return index
    target = _writable(places)
    with _locked(target):
        index = None if rebuild else _ready(target, source)
        if index is not None:
            return index  # another process was first
        print_log(f"indexing {source.location} into {target}", logger="current")
        start = time.monotonic()
        write_index(target, source, progress or LoggedProgress(source.location))
        index = ImageIndex(target)
    print_log(
        f"indexed {len(index):,} images in {time.monotonic() - start:.1f} s: {target} "
        f"({target.stat().st_size / 1e6:.1f} MB)",
        logger="current",
    )
    for note in index.header["notes"]:
        print_log(f"{source.location}: {note}", logger="current", level=logging.WARNING)
    return index


def index_places(source: Source) -> list[Path]:
    """Where the index of a source may lie, in the order of looking."""
    location = Path(source.location).absolute()
    name = re.sub(r"[^\w.-]", "_", location.name)
    digest = hashlib.sha256(str(location).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    if name != location.name:  # a pattern: two of them may look alike now
        name = f"{name}-{digest}"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "maskssl"
    return [location.with_name(name + ENDING), cache / f"{name}-{digest}{ENDING}"]


def _writable(places: list[Path]) -> Path:
    for place in places[:-1]:
        if os.access(place.parent, os.W_OK):
            return place
        print_log(f"{place.parent} cannot be written, so the index goes to {places[-1]}", "current")
    try:
        places[-1].parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageIndexError(
            f"the folder {places[-1].parent} cannot be made ({error.strerror}); name another "
            "place with index_file (--out of maskssl index)"
        ) from error
    return places[-1]


def _ready(place: Path, source: Source) -> ImageIndex | None:
    """The index at a place if it fits the source; why not is logged."""
    if not place.exists():
        return None
    try:
        index = ImageIndex(place)
        if index.header["kind"] == source.kind:
            reason = source.change_since(index.header["fingerprint"])
        else:
            reason = f"it lists a {index.header['kind']}, not a {source.kind}"
    except UnusableIndexError as error:
        reason = str(error)
    if reason is None:
        return index
    print_log(
        f"the index {place} does not fit {source.location}: {reason}; it is built anew",
        logger="current",
        level=logging.WARNING,
    )
    return None


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Hold the lock file beside a target; without one where the file system knows no locks."""
    path = target.with_name(f".{target.name}.lock")
    try:
        descriptor = _lock(path)
    except OSError as error:
        print_log(
            f"no lock at {path} ({error.strerror}): processes that start together each index",
            logger="current",
            level=logging.WARNING,
        )
        yield
        return
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before others get in, who then see that it is gone
        os.close(descriptor)


def _lock(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print_log(f"waiting for the process that holds {path}", logger="current")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if path.exists() and os.path.samestat(os.stat(path), os.fstat(descriptor)):
                return descriptor
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the holder removed it; the next one is another file


class LoggedProgress:
    """Logs how far it is and how long the rest takes, every ten seconds."""

    def __init__(self, location: str) -> None:
        self.location = location
        self.start = self.last = time.monotonic()

    def __call__(self, share: float, images: int) -> None:
        """Log if it is time."""
        now = time.monotonic()
        if now - self.last < REPORT_EVERY:
            return
        self.last = now
        print_log(
            f"indexing {self.location}: {progress_text(share, images, now - self.start)}",
            logger="current",
        )
