"""Tar shards as webdataset writes them, read in any order.

Members ``KEY.jpg`` and ``KEY.cls`` that follow each other are an image and its label. The
headers are walked once; afterwards an image is one read at a known place, so shards are a list
of images like any other: shuffled over all of them, divided among ranks and workers by the
sampler, and resumed at any step. webdataset's own pipeline is a stream per worker instead: it
shuffles within a buffer, divides shards and not images, and has no place to resume at but the
start of a shard. What it is better at, reading shards over a network in one go, is not done
here: shards lie in a file system.
"""

import os
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from glob import glob
from typing import Any, BinaryIO

from ..folders import ENDINGS
from .image_index import (
    MAX_LABEL,
    NO_LABEL,
    ImageIndex,
    ImageIndexError,
    Progress,
    label_number,
)
from .tar_members import member_uri

_BLOCK = 512  # bytes; headers and contents of a tar begin at multiples of it
_REPORT_EVERY = 1_000  # members
# the key ends at the first dot of the last part; webdataset keeps notes of its own in __*__
_KEY = re.compile(r"((?:.*/)?[^./]+)\.([^/]*)", re.DOTALL)
_META = re.compile(r"__[^/]*__($|/)")


class TarShards:
    """The images of tar shards, in the order of the shards and of the members.

    Args:
        pattern: path that ends with .tar; ``*`` takes what is there, in the order of names, and
            ``{000..146}`` demands every one of these.
        endings: of images, with the dot, in small letters; case does not count.

    Raises:
        ImageIndexError: no file, or one of a ``{a..b}``, is there.
    """

    kind = "set of tar shards"
    columns: Mapping[str, str] = {"shards": "i", "starts": "q", "sizes": "q"}

    def __init__(self, pattern: str, endings: Sequence[str] = ENDINGS) -> None:
        self.location = pattern
        self.endings = tuple(endings)
        self.shards = _expanded(pattern)

    def image_uri(self, index: ImageIndex, entry: int) -> str:
        """What mmengine's fileio reads the image of an entry by."""
        columns = index.columns
        shard = self.shards[columns["shards"][entry]]
        start, size = int(columns["starts"][entry]), int(columns["sizes"][entry])
        return member_uri(shard, start, size, index.image_path(entry))

    def entries(self, progress: Progress) -> Iterator[tuple[bytes, int, int, int, int]]:
        """Name, label, shard, first byte and bytes of each image."""
        self._stamps = [_stamp(shard) for shard in self.shards]
        self._others = self._imageless = 0
        self._an_other = ""
        total, before, found = sum(size for size, _ in self._stamps) or 1, 0, 0
        for number, shard in enumerate(self.shards):
            for image, label in self._samples(shard):
                name = image.name.encode("utf-8", "surrogateescape")
                yield name, label, number, image.offset_data, image.size
                found += 1
                if found % _REPORT_EVERY == 0:
                    progress((before + image.offset_data) / total, found)
            before += self._stamps[number][0]
            progress(before / total, found)

    def _samples(self, shard: str) -> Iterator[tuple[tarfile.TarInfo, int]]:
        """Image and label of each run of members with one key."""
        with open(shard, "rb") as file:
            key, image, label = "", None, NO_LABEL
            for member in _members(file, shard):
                match = _KEY.fullmatch(member.name)
                if match is None or _META.match(member.name):
                    self._note_other(member.name)
                    continue
                if match[1] != key:
                    if image is not None:
                        yield image, label
                    self._imageless += key != "" and image is None
                    key, image, label = match[1], None, NO_LABEL
                suffix = match[2].lower()
                if suffix == "cls":
                    label = _label(file, member, shard)
                elif f".{suffix}" not in self.endings:
                    self._note_other(member.name)
                elif image is not None:
                    raise ImageIndexError(
                        f"{shard} has two images of the key {key!r}: {image.name} and "
                        f"{member.name}; leave one of their endings out of extensions (--endings "
                        "of maskssl index), or give them keys of their own"
                    )
                else:
                    image = _plain(member, shard)
            if image is not None:
                yield image, label
            self._imageless += key != "" and image is None

    def _note_other(self, name: str) -> None:
        self._others += 1
        self._an_other = self._an_other or name

    def fingerprint(self) -> dict[str, Any]:
        """Name, size and time of each shard, and the endings."""
        names = [os.path.basename(shard) for shard in self.shards]
        return dict(names=names, stamps=self._stamps, endings=list(self.endings))

    def change_since(self, fingerprint: Mapping[str, Any]) -> str | None:
        """Whether shards came, went or were written, or other endings are asked for."""
        if fingerprint["endings"] != list(self.endings):
            return "it was built for other endings"
        names = [os.path.basename(shard) for shard in self.shards]
        if names != fingerprint["names"]:
            return (
                f"it was built for {len(fingerprint['names'])} shards, not for these {len(names)}"
            )
        for shard, stamp in zip(self.shards, fingerprint["stamps"], strict=True):
            if _stamp(shard) != stamp:
                return f"{shard} was written since"
        return None

    def facts(self) -> dict[str, Any]:
        """No class names; what holds no image."""
        notes = []
        if self._imageless:
            notes.append(f"{self._imageless:,} keys have no image, and are skipped.")
        if self._others:
            notes.append(
                f"{self._others:,} members are neither image nor .cls, and are skipped, e.g. "
                f"{self._an_other}."
            )
        return dict(classes=None, notes=notes)


def _expanded(pattern: str) -> list[str]:
    numbers = re.search(r"\{(\d+)\.\.(\d+)\}", pattern)
    if numbers:
        first, last = numbers.groups()
        shards = [
            f"{pattern[: numbers.start()]}{number:0{len(first)}d}{pattern[numbers.end() :]}"
            for number in range(int(first), int(last) + 1)
        ]
    else:
        shards = [pattern] if os.path.exists(pattern) else sorted(glob(pattern))
    missing = [shard for shard in shards if not os.path.isfile(shard)]
    if missing or not shards:
        what = f"{len(missing)} of {len(shards)} tar shards are" if shards else "no tar shard is"
        raise ImageIndexError(
            f"{what} at {missing[0] if missing else pattern}; give a path of local files, with * "
            "or one {first..last} where they differ"
        )
    return shards


def _stamp(shard: str) -> list[int]:
    stat = os.stat(shard)
    return [stat.st_size, stat.st_mtime_ns]


def _members(file: BinaryIO, shard: str) -> Iterator[tarfile.TarInfo]:
    """Members that are no folders, to the last; tarfile itself would stop at damage in silence.

    Raises:
        ImageIndexError: the shard is compressed, empty, cut short, damaged or followed by another.
    """
    end = 0
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            while (member := tar.next()) is not None:
                # it would keep all members, and a shard may have millions
                tar.members.clear()  # type: ignore[attr-defined]
                end = member.offset_data + -(-member.size // _BLOCK) * _BLOCK
                if not member.isdir():
                    yield member
    except tarfile.TarError as error:
        raise ImageIndexError(
            f"{shard} is no whole, uncompressed tar: {error} behind byte {end:,}; write it anew, "
            "without compression"
        ) from error
    file.seek(end)
    rest = file.read(1 << 20)
    if len(rest) < _BLOCK or rest.strip(b"\0"):
        what = "is cut short" if len(rest) < _BLOCK else "has something that is no tar header"
        raise ImageIndexError(f"{shard} {what} behind byte {end:,}; write it anew")


def _plain(member: tarfile.TarInfo, shard: str) -> tarfile.TarInfo:
    if not member.isreg() or member.issparse():
        raise ImageIndexError(
            f"{member.name} in {shard} is a link or sparse, so its bytes lie elsewhere; write the "
            "shard anew with whole files"
        )
    return member


def _label(file: BinaryIO, member: tarfile.TarInfo, shard: str) -> int:
    text = os.pread(file.fileno(), _plain(member, shard).size, member.offset_data).strip()
    number = label_number(text)
    if number is None:
        raise ImageIndexError(
            f"{member.name} in {shard} holds {text[:20]!r}, which is no label; write an integer "
            f"from 0 to {MAX_LABEL}"
        )
    return number
