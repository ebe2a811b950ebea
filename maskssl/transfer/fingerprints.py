"""What has a result already, of which inputs: skipped if they are the same, refused if not."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MaskSSLError

FILE = "record.json"
PACKAGE = Path(__file__).resolve().parents[1]
Facts = Mapping[str, str]


@dataclass
class Record:
    """Finished jobs of a folder.

    Attributes:
        folder: of the results.
        jobs: name -> its facts and seconds.
        writes: False in all processes but one.
    """

    folder: Path
    jobs: dict[str, dict[str, Any]]
    writes: bool = True

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

    def finished(self, job: str, facts: Facts, seconds: float) -> None:
        """Note a job whose result is whole."""
        self.jobs[job] = dict(facts=dict(facts), seconds=seconds)
        if self.writes:
            partial = self.folder / f".{FILE}.{os.getpid()}"
            partial.write_text(json.dumps(self.jobs, indent=1))
            partial.replace(self.folder / FILE)


def open_record(folder: Path, writes: bool = True) -> Record:
    """The record of a folder, empty where there is none.

    Raises:
        MaskSSLError: it cannot be read, or there are results without one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / FILE
    if not file.is_file():
        if (folder / "outcomes").exists():
            raise MaskSSLError(
                f"{folder} holds outcomes but no {FILE}; give another folder by --out, or delete "
                "this one"
            )
        return Record(folder, {}, writes)
    try:
        jobs = json.loads(file.read_text())
        for entry in jobs.values():
            dict(entry["facts"]), float(entry["seconds"])
    except (json.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise MaskSSLError(f"{file} cannot be read ({error!r}); delete {folder}") from error
    return Record(folder, jobs, writes)


def digest_of_text(text: str) -> str:
    """A short hash."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def digest_of_code() -> str:
    """A short hash of this package's files."""
    files = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    parts = [f"{name} {hashlib.sha256(files[name].read_bytes()).hexdigest()}" for name in files]
    return digest_of_text("\n".join(sorted(parts)))
