"""A compact list of images on disk, mapped into memory and shared by all processes of a node.

One file of NumPy arrays in the .npy format, one behind the other: a header in JSON's bytes, all
paths as one run of bytes, their offsets (int64), labels (int32) and what else a source has to
say per image. Opening it reads the heads of the arrays alone, so 14 million images start in
milliseconds; pages are read when touched, and the kernel keeps one copy of them for all ranks
and workers.
"""

import json
import math
import os
import uuid
from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ...errors import MaskSSLError

VERSION = 2
NO_LABEL = -1  # in the labels of images that have none
MAX_LABEL = 2**31 - 1

_VERSION_1 = b"maskssl images\n\0"  # how files of the first version begin
_FORMAT = "maskssl images"  # in the header, so that no other array is taken for an index

Progress = Callable[[float, int], None]
"""Called with the share that is done, 0 to 1, and the images found so far."""


class ImageIndexError(MaskSSLError):
    """A list of images cannot be read, or its index cannot be written or used."""


class UnusableIndexError(ImageIndexError):
    """An index is cut short or of another version; it may be built anew."""


def label_number(text: str | bytes) -> int | None:
    """A label as written in digits; None for what is no number from 0 to ``MAX_LABEL``."""
    digits = text if isinstance(text, str) else text.decode("ascii", "replace")
    if not digits.isdecimal():
        return None
    digits = digits.lstrip("0") or "0"
    # counted first, as Python refuses to read thousands of digits
    if len(digits) > len(str(MAX_LABEL)) or int(digits) > MAX_LABEL:
        return None
    return int(digits)


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
                try:
                    arrays = {name: _mapped(file, self.path) for name in self.header["arrays"]}
                except ValueError as error:  # NumPy's, in the head of one
                    raise UnusableIndexError(f"{self.path} is cut short") from error
        except OSError as error:
            raise ImageIndexError(
                f"{self.path} cannot be read ({error.strerror}); build it with maskssl index"
            ) from error
        if build not in (None, self.header["build"]):
            raise ImageIndexError(
                f"{self.path} was built anew while this run reads it; start the run again"
            )
        self._paths: NDArray[np.uint8] = arrays.pop("paths")
        self._offsets: NDArray[np.int64] = arrays.pop("offsets")
        self.labels: NDArray[np.int32] = arrays.pop("labels")
        self.columns = arrays

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.header["build"])

    def __len__(self) -> int:
        return len(self.labels)

    def image_path(self, entry: int) -> str:
        """Path of an entry, 0 to N - 1, as the source has it: relative to its folder."""
        if not 0 <= entry < len(self.labels):
            raise IndexError(f"entry {entry} of an index of {len(self.labels)} images")
        start, stop = self._offsets[entry], self._offsets[entry + 1]
        # names of Linux are bytes; what is no UTF-8 in them survives the way there and back
        return self._paths[start:stop].tobytes().decode("utf-8", "surrogateescape")


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
            "name another place with index_file (--out of maskssl index)"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _write_all(file: BinaryIO, source: Source, progress: Progress) -> None:
    paths = bytearray()
    codes = {"offsets": "q", "labels": "i", **source.columns}
    columns = {name: array(code) for name, code in codes.items()}
    columns["offsets"].append(0)
    add_offset, *add_rest = [column.append for column in columns.values()]
    for path, *values in source.entries(progress):
        paths += path
        add_offset(len(paths))
        for add, value in zip(add_rest, values, strict=True):
            add(value)
    arrays: dict[str, NDArray[Any]] = {"paths": np.frombuffer(paths, np.uint8)}
    arrays.update((name, np.frombuffer(column, codes[name])) for name, column in columns.items())
    header = dict(_header(source, arrays["labels"]), arrays=list(arrays))
    for content in (np.frombuffer(json.dumps(header).encode(), np.uint8), *arrays.values()):
        npy.write_array(file, content, version=(1, 0))


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
        format=_FORMAT,
        version=VERSION,
        build=uuid.uuid4().hex,
        kind=source.kind,
        fingerprint=fingerprint,
        unlabelled=int(bare.sum()),
        first_unlabelled=int(bare.argmax()) if bare.any() else None,
        max_label=int(labels.max()),
    )


def _read_header(file: BinaryIO, path: str) -> dict[str, Any]:
    if file.read(len(_VERSION_1)) == _VERSION_1:
        raise UnusableIndexError(f"{path} has version 1 of the format, and this is {VERSION}")
    file.seek(0)
    try:
        header = json.loads(_mapped(file, path).tobytes())
    except ValueError:
        header = None
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise ImageIndexError(
            f"{path} is no index of images, and is left as it is; name another index file"
        )
    if header["version"] != VERSION:
        raise UnusableIndexError(
            f"{path} has version {header['version']} of the format, and this is {VERSION}"
        )
    return header


def _mapped(file: BinaryIO, path: str) -> NDArray[Any]:
    """The array that begins where the file stands, mapped; the file then stands behind it."""
    npy.read_magic(file)
    shape, _, dtype = npy.read_array_header_1_0(file)
    start, size = file.tell(), dtype.itemsize * math.prod(shape)
    if start + size > os.fstat(file.fileno()).st_size:
        raise UnusableIndexError(f"{path} is cut short")
    array = np.memmap(file, dtype, "r", start, shape)
    file.seek(start + size)
    # a plain view: np.memmap's own __getitem__ costs ten times the reading
    return array.view(np.ndarray)
