"""Images in folders: the one walk by which they are looked at, checked, counted and loaded."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import MaskSSLError

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".webp", ".tif", ".tiff")

_JUNK = frozenset({"__MACOSX", "@eaDir", "lost+found", "Thumbs.db", "desktop.ini"})
_SPLITS = {
    "train": frozenset({"train", "training", "trn"}),
    "val": frozenset({"val", "valid", "validation", "dev"}),
    "test": frozenset({"test", "testing", "tst"}),
}
_NUM_SHOWN = 3  # examples in a note


class FolderError(MaskSSLError):
    """A folder cannot be walked, or holds something else than what it is named for."""


class ImageWalk:
    """The images below a folder at any depth, in the order of their relative paths.

    Links to files and folders are followed. Hidden entries and what systems leave behind
    (``__MACOSX``, ``Thumbs.db``) are skipped, as are files that do not end like images.

    Args:
        folder: where to begin.
        endings: what images end with, with the dot, in small letters; case does not count.

    Attributes:
        times: walked folder, '' or relative with '/' behind -> when entries last came or went, ns.
    """

    def __init__(self, folder: str | Path, endings: Sequence[str] = ENDINGS) -> None:
        self.folder = str(folder)
        self.endings = tuple(endings)
        self.times: dict[str, int] = {}
        self._skipped: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    def listing(self, folder: str = "") -> list[str]:
        """Images and folders directly in a folder, sorted as whole paths are.

        Args:
            folder: '' for the first, or a relative path with '/' behind, as listings give it.

        Raises:
            FolderError: it cannot be read.
        """
        path = os.path.join(self.folder, folder)
        names = []
        try:
            self.times[folder] = os.stat(path).st_mtime_ns
            with os.scandir(path) as entries:
                for entry in entries:
                    if is_hidden(entry.name):
                        self._skip("hidden", folder + entry.name)
                    elif entry.is_dir():
                        names.append(entry.name + "/")
                    elif not entry.name.lower().endswith(self.endings):
                        self._skip("other", folder + entry.name)
                    elif entry.is_file():
                        names.append(entry.name)
                    else:
                        self._skip("lost", folder + entry.name)
        except OSError as error:
            raise FolderError(
                f"the folder {path} cannot be read ({error.strerror}); give the path of a local "
                "folder that you may read"
            ) from error
        return sorted(names)

    def images(self, path: str = "") -> Iterator[str]:
        """Relative paths of the images at or below one of a listing's names.

        Raises:
            FolderError: a folder cannot be read, or links to one above it.
        """
        yield from self._below(path, ())

    def _below(self, path: str, inside: tuple[tuple[int, int], ...]) -> Iterator[str]:
        if path and not path.endswith("/"):
            yield path
            return
        names = self.listing(path)
        stat = os.stat(os.path.join(self.folder, path))
        if (stat.st_dev, stat.st_ino) in inside:
            raise FolderError(f"{self.folder}/{path} links to a folder above it; remove the link")
        for name in names:
            yield from self._below(path + name, (*inside, (stat.st_dev, stat.st_ino)))

    def _skip(self, reason: str, path: str) -> None:
        self._counts[reason] = self._counts.get(reason, 0) + 1
        shown = self._skipped.setdefault(reason, [])
        if len(shown) < _NUM_SHOWN:
            shown.append(path)

    def notes(self) -> list[str]:
        """What was skipped so far, a sentence for each reason."""
        reasons = {
            "hidden": "hidden entries are skipped",
            "other": f"files end with none of {', '.join(self.endings)}, and are skipped",
            "lost": "links lead to no file, and are skipped",
        }
        notes = [
            f"{self._counts[reason]:,} {what}, e.g. {', '.join(self._skipped[reason])}."
            for reason, what in reasons.items()
            if reason in self._counts
        ]
        if any(name.endswith(".tar") for name in self._skipped.get("other", [])):
            shards = Path(self.folder) / "*.tar"
            notes.append(f"Tar shards are named by a pattern that ends with .tar, e.g. {shards}.")
        return notes


def is_url(path: str) -> bool:
    """Whether mmengine's fileio finds a path by its scheme, ``s3://bucket``, not on the disk."""
    return "://" in path


def is_hidden(name: str) -> bool:
    """Whether an entry of a folder is passed over whatever it is."""
    return name.startswith(".") or name in _JUNK


def image_files(path: str | Path) -> Iterator[Path]:
    """Images below a folder at any depth, sorted, or the path itself when it is a file."""
    path = Path(path)
    if path.is_file():
        yield path
    else:
        yield from (path / name for name in ImageWalk(path).images())


def holds_images(folder: Path) -> bool:
    """Whether a folder holds an image at any depth; stops at the first."""
    return next(image_files(folder), None) is not None


def subfolders(folder: str | Path) -> list[str]:
    """Names of the folders in a folder that are not hidden, sorted: the classes of an ImageFolder.

    Raises:
        FolderError: the folder cannot be read.
    """
    return sorted(name[:-1] for name in ImageWalk(folder).listing() if name.endswith("/"))


def split_of(name: str) -> str | None:
    """'train', 'val' or 'test' if a folder is named for a split: ``Training``, ``seg_train``."""
    words = set(re.findall(r"[a-z]+", name.lower()))
    found = [split for split, names in _SPLITS.items() if words & names]
    return found[0] if len(found) == 1 else None


def split_folders(folder: str | Path) -> dict[str, Path]:
    """The splits of a data set as it was unpacked: 'train', 'val', 'test' -> folder.

    A folder that holds nothing but one folder is passed through, as archives nest them
    (``flowers/flowers/train``, ``seg_train/seg_train/CLASS``). Empty if there is no train folder
    beside a val or test folder, as a lone folder ``train`` may well be a class of vehicles.

    Raises:
        FolderError: a folder cannot be read, or two are named for one split.
    """
    top = innermost(folder)
    named: dict[str, list[str]] = {}
    for name in subfolders(top):
        if split := split_of(name):
            named.setdefault(split, []).append(name)
    if "train" not in named or len(named) < 2:
        return {}
    for split, names in named.items():
        if len(names) > 1:
            raise FolderError(
                f"{top} has {len(names)} folders named for {split}: {', '.join(names)}; keep one "
                "there, or name the folders to use in the config"
            )
    return {split: innermost(top / named[split][0], split) for split in _SPLITS if split in named}


def innermost(folder: str | Path, split: str | None = None) -> Path:
    """The folder, or what is in it as long as that is one folder and no image.

    Args:
        folder: where to begin.
        split: pass only through folders of this split's name, as another one is a class.
    """
    folder = Path(folder)
    while len(names := ImageWalk(folder).listing()) == 1 and names[0].endswith("/"):
        if split and split_of(names[0]) != split:
            break
        folder = folder / names[0][:-1]
    return folder


def text_in(path: Path) -> str:
    """The content of a text file.

    Raises:
        MaskSSLError: the text is not UTF-8.
    """
    try:
        return path.read_text("utf-8-sig")  # Windows' editors mark UTF-8 at the head of a file
    except UnicodeDecodeError as error:
        raise MaskSSLError(f"{path} is no text in UTF-8 ({error}); save it as UTF-8") from error


def names_in(path: Path) -> list[str]:
    """Names in a text file, one a line, without empty ones.

    Raises:
        MaskSSLError: the text is not UTF-8.
    """
    return [name.strip() for name in text_in(path).splitlines() if name.strip()]
