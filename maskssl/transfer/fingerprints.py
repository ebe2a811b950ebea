"""What has a result already, of which inputs: skipped if they are the same, refused if not."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..datasets.folders import image_files
from ..errors import MaskSSLError

FILE = "record.json"
SPENT = "spent.json"
PACKAGE = Path(__file__).resolve().parents[1]
Facts = Mapping[str, str]


@dataclass
class Record:
    """Finished jobs of a folder.

    Attributes:
        folder: of the results.
        jobs: name -> its facts and seconds.
        writes: False in all processes but one.
        spent: name -> seconds of what has ended for a job that has not: it outlives a call that is
            broken off.
    """

    folder: Path
    jobs: dict[str, dict[str, Any]]
    writes: bool = True
    spent: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> dict[str, float]:
        """Job -> seconds it took."""
        return {job: entry["seconds"] for job, entry in self.jobs.items()}

    def is_done(self, job: str, facts: Facts) -> bool:
        """Whether a job has a result of these facts.

        Args:
            job: its name.
            facts: all of them, or those that are known so far.

        Raises:
            MaskSSLError: it has one of others.
        """
        if job not in self.jobs:
            return False
        found = self.jobs[job]["facts"]
        differing = [
            f"{name}={found.get(name)} (now: {value})"
            for name, value in facts.items()
            if found.get(name) != value
        ]
        if differing:
            raise MaskSSLError(
                f"{self.folder} holds a stale result of '{job}', of {', '.join(differing)}; give "
                f"another folder by --out, or delete the entry from {self.folder / FILE} to "
                "measure it anew"
            )
        return True

    def finished(self, job: str, facts: Facts, seconds: float, parts: str | None = None) -> None:
        """Note a job whose result is whole.

        Args:
            job: its name.
            facts: what made it.
            seconds: it took, without its parts.
            parts: how their names begin, as ``spend`` was told them.
        """
        own = [] if parts is None else [name for name in self.spent if name.startswith(parts)]
        seconds += sum(self.spent[name] for name in own)
        self.jobs[job] = dict(facts=dict(facts), seconds=seconds)
        self._write(FILE, self.jobs)
        for name in own:
            del self.spent[name]
        if own:
            self._write(SPENT, self.spent)

    def spend(self, part: str, seconds: float) -> None:
        """Note what a part of a job took; one that went on took the sum."""
        self.spent[part] = self.spent.get(part, 0.0) + seconds
        self._write(SPENT, self.spent)

    def _write(self, file: str, content: Mapping[str, Any]) -> None:
        if self.writes:
            partial = self.folder / f".{file}.{os.getpid()}"
            partial.write_text(json.dumps(content, indent=1))
            partial.replace(self.folder / file)


def open_record(folder: Path, writes: bool = True) -> Record:
    """The record of a folder, empty where there is none.

    Raises:
        MaskSSLError: it cannot be read, or there are results without one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, spent = folder / FILE, _spent(folder / SPENT)
    if not file.is_file():
        if (folder / "outcomes").exists():
            raise MaskSSLError(
                f"{folder} holds outcomes but no {FILE}; give another folder by --out, or delete "
                "this one"
            )
        return Record(folder, {}, writes, spent)
    try:
        jobs = json.loads(file.read_text())
        for entry in jobs.values():
            dict(entry["facts"]), float(entry["seconds"])
    except (json.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise MaskSSLError(f"{file} cannot be read ({error!r}); delete {folder}") from error
    return Record(folder, jobs, writes, spent)


def _spent(file: Path) -> dict[str, float]:
    try:
        found = json.loads(file.read_text()) if file.is_file() else {}
        return {str(name): float(seconds) for name, seconds in found.items()}
    except (json.JSONDecodeError, TypeError, ValueError, AttributeError) as error:
        raise MaskSSLError(
            f"{file} cannot be read ({error!r}); delete it: the seconds that it tells are lost, no "
            "result is"
        ) from error


def pictures_below(root: Path) -> tuple[int, str]:
    """How many pictures lie below a folder, and a digest of their names and sizes."""
    found = [f"{path.relative_to(root)} {path.stat().st_size}" for path in image_files(root)]
    return len(found), digest_of_text(repr(found))


def digest_of_text(text: str) -> str:
    """A short hash."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def digest_of_code() -> str:
    """A short hash of this package's files."""
    files = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    parts = [f"{name} {hashlib.sha256(files[name].read_bytes()).hexdigest()}" for name in files]
    return digest_of_text("\n".join(sorted(parts)))
