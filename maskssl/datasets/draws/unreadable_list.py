"""The file that lists images which could not be read."""

import errno
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

FILE_NAME = "unreadable_images.jsonl"
ASIDE_NAME = "unreadable_images.earlier.jsonl"


class UnreadableList:
    """One JSON line per failed read, appended by all loader processes of all ranks.

    A resumed run replays draws and lists them again: count distinct (epoch, index).
    Every append is one write at the end of the file, which no other process can split on a
    local disk.

    Args:
        folder: where the file is made, e.g. the run's work_dir.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / FILE_NAME
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def append(self, records: Sequence[dict[str, Any]]) -> None:
        """Add records that have at least ``epoch`` and ``index``.

        A disk that takes none stops no training: the log gets the records instead.
        """
        text = "".join(json.dumps(record) + "\n" for record in records)
        try:
            self._write(text.encode())
        except OSError as error:
            print_log(
                f"{self.path} cannot be written ({error.strerror}), so these unreadable images "
                f"will not be counted: {text}",
                logger="current",
                level=logging.ERROR,
            )

    def _write(self, data: bytes) -> None:
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            if os.write(file, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(file)

    def read(self, offset: int = 0) -> tuple[list[tuple[int, int]], int]:
        """The (epoch, index) of every record behind ``offset`` bytes, and where to read on."""
        if not self.path.exists():
            return [], offset
        with open(self.path, "rb") as file:
            file.seek(offset)
            lines, newline, _ = file.read().rpartition(b"\n")
        draws, broken = [], 0
        for line in lines.splitlines():
            try:
                record = json.loads(line)
                draws.append((int(record["epoch"]), int(record["index"])))
            except (ValueError, KeyError, TypeError):
                broken += 1
        if broken:
            print_log(
                f"{broken} lines of {self.path} are damaged and not counted",
                logger="current",
                level=logging.WARNING,
            )
        return draws, offset + len(lines) + len(newline)

    def last_message(self) -> str:
        """What was said of the image listed last; empty without one."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        try:
            return str(json.loads(lines[-1]).get("message", "")) if lines else ""
        except ValueError:  # another process is writing it
            return ""

    def set_aside(self) -> Path | None:
        """Rename the list of an earlier run; returns its new path, None if there was none."""
        if not self.path.exists():
            return None
        return self.path.replace(self.path.with_name(ASIDE_NAME))
