"""What a path names: a folder, a list (list_files.py), or tar shards (tar_shards.py)."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..folders import ENDINGS, ImageWalk, is_url
from .image_index import NO_LABEL, ImageIndexError, Progress, Source
from .list_files import CsvFile, ListFile
from .tar_shards import TarShards

_REPORT_EVERY = 10_000  # images


def source_at(path: str, endings: Sequence[str] = ENDINGS) -> Source:
    """The source that a path names: ``*.tar`` shards, a folder, a ``.csv`` or another list file.

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
    if os.path.isdir(path):
        return ImageFolder(path, endings)
    return (CsvFile if path.endswith(".csv") else ListFile)(path, endings)


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
