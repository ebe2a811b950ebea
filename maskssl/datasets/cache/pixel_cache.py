"""Decoded images of a data set at a working size, in memory-mapped files.

FOLDER/part-00000.pixels    images one behind the other, (h, w, 3) BGR uint8
FOLDER/part-00000.json      their shapes, what could not be read, length and SHA-256 of the file
FOLDER/cache.json           of which data set, at which size; written last

A part is whole when its json is there. Images are numbered as the index of the data set has them.
"""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from mmengine import fileio
from numpy.typing import NDArray

from ...checkpoints.hidden_files import full_disk_told, hidden, sync_file
from ...checkpoints.shards import sha256_of
from ...checkpoints.writing import write_text
from ...errors import MaskSSLError
from ..decoding import Pixels, StoredImage, resized_crop
from ..transforms.loading import UnreadableImageError, named_where_unreadable

VERSION = 1  # of the files, and of how pixels come into them: another filter is another version
IMAGES_PER_PART = 1024
_HEADER = "cache.json"


class CacheError(MaskSSLError):
    """A cache is not whole, or not of this data set."""


def working_size(path: str, short_side: int) -> Pixels:
    """An image whose shorter side is at most so long, (h, w, 3) BGR.

    Raises:
        UnreadableImageError: it is none.
    """
    with named_where_unreadable(path):
        stored = StoredImage(fileio.get(path))
        height, width = stored.shape
        share = min(1.0, short_side / min(height, width))
        pixels, reduction = stored.decoded(1 / share)
    if share == 1:
        return pixels
    box = (0, 0, width / reduction, height / reduction)
    size = (round(height * share), round(width * share))
    return resized_crop(pixels, box, size, "bicubic")


def write_part(folder: Path, number: int, paths: list[str], short_side: int) -> int:
    """Write one part, unless it is there; it appears whole or not at all.

    Returns:
        Images in it that could not be read.

    Raises:
        DiskFullError: no space.
    """
    name, facts = _part(folder, number), folder / f"part-{number:05d}.json"
    if facts.exists():
        return len(json.loads(facts.read_text())["unreadable"])
    shapes: list[tuple[int, int]] = []
    unreadable: dict[int, str] = {}
    needed = 0
    with full_disk_told(name, lambda: needed), hidden(name) as part:
        with part.open("wb") as file:
            for path in paths:
                try:
                    pixels = working_size(path, short_side)
                except UnreadableImageError as error:
                    unreadable[len(shapes)] = str(error)
                    pixels = np.empty((0, 0, 3), np.uint8)
                shapes.append((pixels.shape[0], pixels.shape[1]))
                needed += pixels.nbytes
                file.write(pixels.tobytes())
        sync_file(part)
        digest = sha256_of(part)
        part.rename(name)
    known = dict(shapes=shapes, unreadable=unreadable, bytes=needed, sha256=digest)
    write_text(json.dumps(known), facts)
    return len(unreadable)


def write_header(folder: Path, data_hash: str, images: int, short_side: int) -> None:
    """State that all parts are there."""
    known = dict(version=VERSION, data_hash=data_hash, images=images, short_side=short_side)
    write_text(json.dumps(known), folder / _HEADER)


def parts_of(images: int) -> list[range]:
    """The numbers of the images in each part."""
    starts = range(0, images, IMAGES_PER_PART)
    return [range(start, min(start + IMAGES_PER_PART, images)) for start in starts]


class PixelCache:
    """Images of a data set by their number, read from memory-mapped files.

    Args:
        folder: that ``maskssl cache`` has written.
        data_hash: of the data set that it must be of; None takes any.

    Raises:
        CacheError: it is not whole, or of another data set.
    """

    def __init__(self, folder: str | Path, data_hash: str | None = None) -> None:
        self.folder = Path(folder)
        self.header = _json(self.folder / _HEADER, "run maskssl cache until it has ended")
        if self.header["version"] != VERSION:
            raise CacheError(
                f"{folder} is a cache of version {self.header['version']}, and {VERSION} is read "
                "here; make it anew"
            )
        if data_hash not in (None, self.header["data_hash"]):
            raise CacheError(
                f"{folder} is a cache of other images, or of another order; make one of this data "
                "set with maskssl cache"
            )
        self._unreadable: dict[int, str] = {}
        shapes = []
        for number in range(len(parts_of(self.header["images"]))):
            known = self._known(number)
            shapes += known["shapes"]
            first = number * IMAGES_PER_PART
            told: Mapping[str, str] = known["unreadable"]
            self._unreadable |= {first + int(place): why for place, why in told.items()}
        self.shapes: NDArray[np.int32] = np.array(shapes, np.int32)  # (N, 2)
        sizes = 3 * self.shapes.prod(axis=1, dtype=np.int64)
        self.starts = np.concatenate([[0], sizes.cumsum()])  # (N + 1,), as if all parts were one
        self._mapped: Callable[[int], Pixels] = lru_cache(None)(self._open)

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, number: int) -> Pixels:
        """Pixels (h, w, 3) BGR of an image, read-only, from the disk as they are touched.

        Raises:
            UnreadableImageError: the image could not be read when the cache was made.
        """
        if number in self._unreadable:
            raise UnreadableImageError(self._unreadable[number])
        part = number // IMAGES_PER_PART
        start, end = self.starts[[number, number + 1]] - self.starts[part * IMAGES_PER_PART]
        return self._mapped(part)[start:end].reshape(*self.shapes[number], 3)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.folder, self.header["data_hash"])  # mapped anew by each process

    def check(self) -> None:
        """Read everything and compare it with its checksums.

        Raises:
            CacheError: names the part that is damaged, and what mends it.
        """
        for number in range(len(parts_of(len(self)))):
            if sha256_of(_part(self.folder, number)) != self._known(number)["sha256"]:
                facts = self.folder / f"part-{number:05d}.json"
                raise CacheError(
                    f"{_part(self.folder, number)} is damaged; remove {facts.name} and run "
                    "maskssl cache again, which writes that part anew"
                )

    def _known(self, number: int) -> dict[str, Any]:
        return _json(self.folder / f"part-{number:05d}.json", "copy the whole folder")

    def _open(self, part: int) -> Pixels:
        path, known = _part(self.folder, part), self._known(part)
        if not path.is_file() or path.stat().st_size != known["bytes"]:
            raise CacheError(f"{path} has not the length of {known['bytes']} bytes that it should")
        if not known["bytes"]:
            return np.empty(0, np.uint8)
        return np.memmap(path, np.uint8, mode="r")


def _part(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}.pixels"


def _json(path: Path, remedy: str) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise CacheError(f"{path} is missing, so the cache is not whole; {remedy}") from error
    except ValueError as error:
        raise CacheError(f"{path} cannot be read ({error}); {remedy}") from error
