"""What a folder of results came from, so that two experiments never share one."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import MaskSSLError

RECORD = "experiment.json"
RESULTS = ("runs", "logs", "report")


@dataclass(frozen=True)
class Record:
    """The record of a folder: the experiment whose results it holds, and its finished jobs.

    Attributes:
        folder: of the results.
        facts: what makes it this experiment: method, data, seed, configs, code.
        seconds: finished job -> seconds it took.
    """

    folder: Path
    facts: Mapping[str, str]
    seconds: dict[str, float]

    def finished(self, job: str, seconds: float) -> None:
        """Note a job that ended well."""
        self.seconds[job] = seconds
        self._write()

    def _write(self) -> None:
        content = json.dumps(dict(facts=dict(self.facts), seconds=self.seconds), indent=2)
        partial = self.folder / f".{RECORD}.{os.getpid()}"
        partial.write_text(content)
        partial.replace(self.folder / RECORD)


def open_record(folder: str | Path, facts: Mapping[str, str]) -> Record:
    """Begin an experiment in a folder, or go on with the one that it holds.

    Raises:
        MaskSSLError: the folder holds another experiment, or results without a record.
    """
    folder = Path(folder)
    file = folder / RECORD
    remedy = "give another folder by --out, or delete this one"
    if not file.is_file():
        results = [name for name in RESULTS if (folder / name).exists()]
        if results:
            raise MaskSSLError(f"{folder} holds {', '.join(results)} but no {RECORD}; {remedy}")
        folder.mkdir(parents=True, exist_ok=True)
        record = Record(folder, dict(facts), {})
        record._write()
        return record
    try:
        content = json.loads(file.read_text())
        found, seconds = dict(content["facts"]), dict(content["seconds"])
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise MaskSSLError(f"{file} cannot be read ({error!r}); {remedy}") from error
    differing = [
        f"{name}={found.get(name)} (now: {facts.get(name)})"
        for name in [*facts, *(found.keys() - facts.keys())]
        if found.get(name) != facts.get(name)
    ]
    if differing:
        raise MaskSSLError(
            f"{folder} holds the results of another experiment: {', '.join(differing)}; {remedy}"
        )
    return Record(folder, found, seconds)


def digest_of_text(text: str) -> str:
    """A short hash."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def digest_of_files(files: Mapping[str, Path]) -> str:
    """A short hash of names and contents, in any order."""
    parts = [f"{name} {hashlib.sha256(files[name].read_bytes()).hexdigest()}" for name in files]
    return digest_of_text("\n".join(sorted(parts)))


def digest_of_listing(root: Path, files: Mapping[str, Path]) -> str:
    """A short hash of names and sizes below a root: enough to tell one data set from another."""
    parts = [f"{name} {path.stat().st_size}" for name, path in files.items()]
    return digest_of_text("\n".join([str(root), *sorted(parts)]))
