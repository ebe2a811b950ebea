"""Lists of images in text files: lines of ``path label``, or CSV with a header."""

import codecs
import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..folders import ENDINGS
from .image_index import MAX_LABEL, NO_LABEL, ImageIndexError, Progress, label_number

_PATHS = ("path", "file", "filename", "file_name", "filepath", "image", "image_path", "img")
_LABELS = ("label", "labels", "class", "class_name", "category", "target")

_CHUNK = 1 << 20  # bytes of lines read at once


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
                    if number == 1:  # Windows' editors mark UTF-8 at the head of a file
                        line = line.removeprefix(codecs.BOM_UTF8)
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
            value = label_number(label[0])
            if value is not None:
                return path, value
            raise ImageIndexError(
                f"{self.location}, line {number}: {label[0][:20].decode(errors='replace')!r} is no "
                f"label; write an integer from 0 to {MAX_LABEL} behind the path"
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


class CsvFile(ListFile):
    """A CSV file whose header names a column of paths and, perhaps, one of labels.

    Names of classes are numbered in their sorted order, as those of folders are.

    Args:
        path: the file, in UTF-8.
        endings: what paths end with.
    """

    kind = "CSV file"

    def __init__(self, path: str, endings: Sequence[str] = ENDINGS) -> None:
        super().__init__(path, endings)
        self._classes: list[str] | None = None

    def entries(self, progress: Progress) -> Iterator[tuple[bytes, int]]:
        """Path and label of each row."""
        self._read = self._stamp()
        labels = self._label_numbers()
        images = 0
        for number, path, label in self._rows():
            if not path.lower().endswith(self.endings):
                raise ImageIndexError(
                    f"{self.location}, line {number}: {path[:80]!r} ends with none of "
                    f"{', '.join(self.endings)}; write the names of files, endings included"
                )
            yield path.encode("utf-8", "surrogateescape"), labels[label]
            images += 1
        progress(1.0, images)

    def _label_numbers(self) -> dict[str | None, int]:
        """Label as written -> number."""
        found: dict[str | None, int] = {}  # -> its first line
        for number, _, label in self._rows():
            found.setdefault(label, number)
        if not found:
            raise ImageIndexError(f"{self.location} lists no image; write rows below its header")
        if None in found:
            return {None: NO_LABEL}
        if "" in found:
            raise ImageIndexError(
                f"{self.location} has rows without a label, the first in line {found['']}; fill "
                "them in"
            )
        if all(label.isdecimal() for label in found if label):
            return {label: self._number(label, line) for label, line in found.items() if label}
        self._classes = sorted(label for label in found if label)
        return {label: number for number, label in enumerate(self._classes)}

    def _number(self, label: str, line: int) -> int:
        number = label_number(label)
        if number is None:
            raise ImageIndexError(
                f"{self.location}, line {line}: {label[:20]!r} is no label; write an integer from "
                f"0 to {MAX_LABEL}, or names"
            )
        return number

    def _rows(self) -> Iterator[tuple[int, str, str | None]]:
        """Line at which a row ends, path and label, '' where empty; None without such a column."""
        with open(
            self.location, encoding="utf-8-sig", errors="surrogateescape", newline=""
        ) as file:
            rows = csv.DictReader(file, skipinitialspace=True)
            try:
                paths, labels = self._columns(rows.fieldnames or ())
                for row in rows:
                    label = (row[labels[0]] or "").strip() if labels else None
                    yield rows.line_num, (row[paths[0]] or "").strip(), label
            except csv.Error as error:  # a quote that is never closed takes in the rest
                raise ImageIndexError(
                    f"{self.location}, line {rows.line_num}: {error}; correct the quotes there, "
                    "or above"
                ) from error

    def _columns(self, names: Sequence[str]) -> tuple[list[str], list[str]]:
        """The column of paths, and that of labels if there is one."""
        header = {name.strip().lower(): name for name in names}
        paths = [header[name] for name in _PATHS if name in header]
        labels = [header[name] for name in _LABELS if name in header]
        if len(paths) != 1 or len(labels) > 1:
            raise ImageIndexError(
                f"{self.location} begins with the columns {', '.join(header) or '(none)'}; "
                f"name one of them path (or {', '.join(_PATHS[1:])}) and one label (or "
                f"{', '.join(_LABELS[1:])})"
            )
        return paths, labels

    def facts(self) -> dict[str, Any]:
        """Names of the classes, if labels are names."""
        return dict(classes=self._classes, notes=[])
