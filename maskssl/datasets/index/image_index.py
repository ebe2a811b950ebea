"""A compact list of images on disk, mapped into memory and shared by all processes of a node.

One file: a preamble, all paths as one run of bytes, then their offsets (int64), labels (int32)
and what else a source has to say per image, then a JSON header. Opening it reads the header
alone, so 14 million images start in milliseconds; pages are read when touched, and the kernel
keeps one copy of them for all ranks and workers.
"""

import json
import mmap
import os
import uuid
from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import MaskSSLError

VERSION = 1
NO_LABEL = -1  # in the labels of images that have none

_MAGIC = b"maskssl images\n\0"
_PREAMBLE = 64  # bytes: magic, position of the header, its length, zeros
_ALIGNMENT = 64

Progress = Callable[[float, int], None]
"""Called with the share that is done, 0 to 1, and the images found so far."""


class ImageIndexError(MaskSSLError):
    """A list of images cannot be read, or its index cannot be written or used."""


class UnusableIndexError(ImageIndexError):
    """An index is cut short or of another version; it may be built anew."""


class Source(Protocol):
    """What an index is built from.

    Attributes:
        kind: in messages and in the index, e.g. 'folder'.
        location: path, or pattern of paths, beside which the index lies.
        columns: further integers per image: name -> 'i' (int32) or 'q' (int64).
    """

    kind: str
    location: str
    columns: Mapping[str, str]

    def entries(self, progress: Progress) -> Iterator[tuple[Any, ...]]:
        """Path as bytes, label or NO_LABEL, then the columns, of each image in order."""

    def fingerprint(self) -> dict[str, Any]:
        """What was read, in JSON's types; valid once ``entries`` is exhausted."""

    def change_since(self, fingerprint: Mapping[str, Any]) -> str | None:
        """What differs from an earlier fingerprint, in words; None when nothing does."""

    def facts(self) -> dict[str, Any]:
        """``classes`` (names in the order of their labels, or None) and ``notes`` (sentences)."""


class ImageIndex:
    """A ready index, mapped into memory. Pickles and copies as its path, never as its content.

    Args:
        path: index file.
        build: id that the file must have; None takes any. A worker that opens the file anew
            thereby refuses one that was replaced under it.

    Attributes:
        header: counts, classes, notes and the source's fingerprint.
        labels: (N,) int32, NO_LABEL where there is none.
        columns: the source's further integers, (N,) each.

    Raises:
        UnusableIndexError: the file is cut short or of another version.
        ImageIndexError: the file is missing, no index at all, or was replaced.
    """

    def __init__(self, path: str | Path, build: str | None = None) -> None:
        self.path = str(Path(path).absolute())
        try:
            with open(self.path, "rb") as file:
                self.header = _read_header(file, self.path)
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise ImageIndexError(
                f"{self.path} cannot be read ({error.strerror}); build it with "
                "tools/index_images.py"
            ) from error
        if build not in (None, self.header["build"]):
            raise ImageIndexError(
                f"{self.path} was built anew while this run reads it; start the run again"
            )
        self.columns = {
            name: np.frombuffer(self._map, dtype, count, offset)
            for name, (dtype, count, offset) in self.header["columns"].items()
        }
        self._offsets: NDArray[np.int64] = self.columns.pop("offsets")
        self.labels: NDArray[np.int32] = self.columns.pop("labels")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.header["build"])

    def __len__(self) -> int:
        return len(self.labels)

    def image_path(self, entry: int) -> str:
        """Path of an entry, 0 to N - 1, as the source has it: relative to its folder."""
        if not 0 <= entry < len(self.labels):
            raise IndexError(f"entry {entry} of an index of {len(self.labels)} images")
        start, stop = _PREAMBLE + self._offsets[entry], _PREAMBLE + self._offsets[entry + 1]
        # names of Linux are bytes; what is no UTF-8 in them survives the way there and back
        return self._map[start:stop].decode("utf-8", "surrogateescape")


def write_index(target: Path, source: Source, progress: Progress) -> None:
    """Index a source into a file, which is there whole or not at all.

    Args:
        target: file to write, or to replace.
        source: what to list.
        progress: told how far it is.

    Raises:
        ImageIndexError: the source is unreadable or empty or changed meanwhile, or the file
            cannot be written.
    """
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}.partial")
    try:
        with open(partial, "wb") as file:
            _write_all(file, source, progress)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as error:
        raise ImageIndexError(
            f"the index of {source.location} cannot be written to {target} ({error.strerror}); "
            "name another place with index_file (--out of tools/index_images.py)"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _write_all(file: BinaryIO, source: Source, progress: Progress) -> None:
    file.write(bytes(_PREAMBLE))
    columns = {"offsets": array("q", [0]), "labels": array("i")}
    columns.update((name, array(code)) for name, code in source.columns.items())
    _, *rest = columns.values()
    add_offset, add_rest = columns["offsets"].append, [column.append for column in rest]
    end = 0
    for path, *values in source.entries(progress):
        file.write(path)
        end += len(path)
        add_offset(end)
        for add, value in zip(add_rest, values, strict=True):
            add(value)
    header = _header(source, np.frombuffer(columns["labels"], np.int32))
    for name, column in columns.items():
        file.write(bytes(-file.tell() % _ALIGNMENT))
        header["columns"][name] = (column.typecode, len(column), file.tell())
        file.write(column)
    text = json.dumps(header).encode()
    position = file.tell()
    file.write(text)
    file.seek(0)
    file.write(_MAGIC + position.to_bytes(8, "little") + len(text).to_bytes(8, "little"))


def _header(source: Source, labels: NDArray[np.int32]) -> dict[str, Any]:
    facts = source.facts()
    if not len(labels):
        raise ImageIndexError(" ".join([f"{source.location} lists no image.", *facts["notes"]]))
    fingerprint = source.fingerprint()
    change = source.change_since(fingerprint)
    if change:
        raise ImageIndexError(
            f"{source.location} changed while it was indexed ({change}); run again when it rests"
        )
    bare = labels == NO_LABEL
    return dict(
        facts,
        version=VERSION,
        build=uuid.uuid4().hex,
        kind=source.kind,
        fingerprint=fingerprint,
        unlabelled=int(bare.sum()),
        first_unlabelled=int(bare.argmax()) if bare.any() else None,
        max_label=int(labels.max()),
        columns={},
    )


def _read_header(file: BinaryIO, path: str) -> dict[str, Any]:
    preamble = file.read(_PREAMBLE)
    if not preamble.startswith(_MAGIC):
        raise ImageIndexError(
            f"{path} is no index of images, and is left as it is; name another index file"
        )
    start = len(_MAGIC)
    position, length = np.frombuffer(preamble, "<u8", 2, start).tolist()
    file.seek(position)
    text = file.read(length)
    if len(text) < length:
        raise UnusableIndexError(f"{path} is cut short")
    header: dict[str, Any] = json.loads(text)
    if header["version"] != VERSION:
        raise UnusableIndexError(
            f"{path} has version {header['version']} of the format, and this is version {VERSION}"
        )
    return header
