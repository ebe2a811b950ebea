"""Lists of images to index: a text file, a folder, or tar shards (tar_shards.py)."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..folders import ENDINGS, ImageWalk, is_url
from .image_index import NO_LABEL, ImageIndexError, Progress, Source
from .tar_shards import TarShards

_MAX_LABEL = 2**31 - 1
_REPORT_EVERY = 10_000  # images
_CHUNK = 1 << 20  # bytes of lines read at once


def source_at(path: str, endings: Sequence[str] = ENDINGS) -> Source:
    """The source that a path names: ``*.tar`` shards, a folder, or else a list file.

    Raises:
        ImageIndexError: a URL, which cannot be listed.
    """
    if is_url(path):
        raise ImageIndexError(
            f"{path} is no local path, and what lies behind it cannot be listed; give ann_file, a "
            "local list of its images (lines of path or path label), beside this data_prefix"
        )
    if path.endswith(".tar"):
        return TarShards(path, endings)
    return ImageFolder(path, endings) if os.path.isdir(path) else ListFile(path, endings)


class ListFile:
    """A text file of one image a line, ``path`` or ``path label``, as in mmpretrain.

    Paths may hold spaces. A path is known by its ending: a line that ends like an image is a
    path, and one whose last field is a number behind something that ends like an image is a path
    and its label. Everything else, empty lines between others included, is refused with its
    number. Space around paths and labels does not count. Labels may be absent or ignored; what
    needs them asks the index.

    Args:
        path: the file.
        endings: what paths end with, with the dot, in small letters; case does not count.
    """

    kind = "list file"
    columns: Mapping[str, str] = {}

    def __init__(self, path: str, endings: Sequence[str] = ENDINGS) -> None:
        self.location = path
        self.endings = tuple(endings)
        self._encoded = tuple(ending.encode() for ending in endings)
        self._longest = max(map(len, self._encoded))

    def entries(self, progress: Progress) -> Iterator[tuple[bytes, int]]:
        """Path and label of each line."""
        self._read = self._stamp()
        number = 0
        done = 0
        empty = None
        with open(self.location, "rb") as file:
            # what is appended meanwhile is not followed, and refused by change_since
            while done < self._read[0] and (lines := file.readlines(_CHUNK)):
                for line in lines:
                    number += 1
                    text = line.strip()
                    if empty and text:
                        raise ImageIndexError(f"{self.location}, line {empty}, is empty; remove it")
                    if text:
                        yield self._parsed(text, number)
                    else:
                        empty = empty or number
                done += sum(map(len, lines))
                progress(done / max(done, self._read[0]), number)

    def _parsed(self, text: bytes, number: int) -> tuple[bytes, int]:
        if text[-self._longest :].lower().endswith(self._encoded):
            return text, NO_LABEL
        path, *label = text.rsplit(None, 1)
        if label and path[-self._longest :].lower().endswith(self._encoded):
            if label[0].isdigit() and int(label[0]) <= _MAX_LABEL:
                return path, int(label[0])
            raise ImageIndexError(
                f"{self.location}, line {number}: {label[0].decode(errors='replace')!r} is no "
                f"label; write an integer from 0 to {_MAX_LABEL} behind the path"
            )
        raise ImageIndexError(
            f"{self.location}, line {number}: {text.decode(errors='replace')!r} is neither a path "
            f"nor a path and a label, as nothing in it ends with {', '.join(self.endings)}; "
            "correct the line, or name other endings with extensions (--endings of "
            "maskssl index)"
        )

    def _stamp(self) -> list[int]:
        try:
            stat = os.stat(self.location)
        except OSError as error:
            raise ImageIndexError(
                f"the list file {self.location} cannot be read ({error.strerror}); give the path "
                "of a local file"
            ) from error
        return [stat.st_size, stat.st_mtime_ns]

    def fingerprint(self) -> dict[str, Any]:
        """Size, time and endings."""
        return dict(stamp=self._read, endings=list(self.endings))

    def change_since(self, fingerprint: Mapping[str, Any]) -> str | None:
        """Whether the file has another size or time, or other endings are asked for."""
        size, _ = stamp = self._stamp()
        if fingerprint["endings"] != list(self.endings):
            return "it was built for other endings"
        if stamp == fingerprint["stamp"]:
            return None
        return f"the file was written since ({fingerprint['stamp'][0]:,} bytes, now {size:,})"

    def facts(self) -> dict[str, Any]:
        """No class names, and nothing skipped."""
        return dict(classes=None, notes=[])


class ImageFolder:
    """The images below a folder, as :class:`ImageWalk` finds them.

    The folders directly below it are the classes, sorted by name; images that lie in none have
    no label.

    Args:
        path: the folder.
        endings: what images end with, with the dot, in small letters; case does not count.
    """

    kind = "folder"
    columns: Mapping[str, str] = {}

    def __init__(self, path: str, endings: Sequence[str] = ENDINGS) -> None:
        self.location = path
        self.endings = tuple(endings)

    def entries(self, progress: Progress) -> Iterator[tuple[bytes, int]]:
        """Relative path and class of each image; progress goes by the folders on top."""
        self._walk = ImageWalk(self.location, self.endings)
        top = self._walk.listing()
        self._classes = sorted(name[:-1] for name in top if name.endswith("/"))
        self._empty: list[str] = []
        labels = {name: label for label, name in enumerate(self._classes)}
        found = 0
        for done, name in enumerate(top):
            progress(done / len(top), found)
            before = found
            label = labels.get(name[:-1], NO_LABEL) if name.endswith("/") else NO_LABEL
            for path in self._walk.images(name):
                yield path.encode("utf-8", "surrogateescape"), label
                found += 1
                if found % _REPORT_EVERY == 0:
                    progress(done / len(top), found)
            if found == before:
                self._empty.append(name[:-1])

    def fingerprint(self) -> dict[str, Any]:
        """When entries were last added to or removed from each folder, and the endings."""
        return dict(times=self._walk.times, endings=list(self.endings))

    def change_since(self, fingerprint: Mapping[str, Any]) -> str | None:
        """Whether entries came or went in any folder, or other endings are asked for."""
        if fingerprint["endings"] != list(self.endings):
            return "it was built for other endings"
        for folder, time in fingerprint["times"].items():
            path = os.path.join(self.location, folder)
            try:
                now = os.stat(path).st_mtime_ns
            except OSError as error:
                return f"{path} cannot be read ({error.strerror})"
            if now != time:
                return f"entries of {path} were added or removed since"
        return None

    def facts(self) -> dict[str, Any]:
        """Class names, and what was skipped."""
        notes = self._walk.notes()
        if self._empty:
            shown = ", ".join(self._empty[:5])
            notes.insert(0, f"{len(self._empty):,} of the folders hold no image, e.g. {shown}.")
        return dict(classes=self._classes or None, notes=notes)
