"""Read what runs have logged: the JSON lines of a work dir, resumed runs joined."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import MaskSSLError


class LogError(MaskSSLError):
    """A run has left no log that can be read."""


@dataclass(frozen=True)
class Line:
    """One line of a log.

    Attributes:
        iteration: steps done when it was written. A validation by epoch does not say it;
            it gets that of the training line before, at most one log interval too low.
        training: of training, not of a validation.
        values: key -> figure.
    """

    iteration: int
    training: bool
    values: dict[str, float]


@dataclass
class RunLog:
    """The log of one run.

    Attributes:
        label: what tables and legends call it.
        lines: in the order of the run.
        notes: what was joined, replaced or dropped while reading.
    """

    label: str
    lines: list[Line]
    notes: list[str] = field(default_factory=list)

    def series(self, key: str) -> list[tuple[int, float]]:
        """Iteration and value of each line with the key, in order."""
        return [(line.iteration, line.values[key]) for line in self.lines if key in line.values]

    def finite_series(self, key: str) -> list[tuple[int, float]]:
        """``series`` without the steps that were skipped for their NaN, which no JSON can hold."""
        return [point for point in self.series(key) if math.isfinite(point[1])]

    def timed(self) -> list[tuple[float, float | None]]:
        """Seconds and images per second (or None) of the steps behind each training line."""
        steps, before = [], 0
        for line in self.lines:
            if line.training and "time" in line.values:
                seconds = line.values["time"] * (line.iteration - before)
                steps.append((seconds, line.values.get("img_per_s")))
                before = line.iteration
        return steps


def read_run(work_dir: str | Path, label: str | None = None) -> RunLog:
    """Read WORK_DIR/*/vis_data/scalars.json, one folder per start of the run.

    A resumed run has several folders. They are joined by iteration and the later folder
    wins: what an earlier one holds from the later's first training line on is left out.

    Args:
        work_dir: of the run.
        label: default the work dir's name.

    Raises:
        LogError: nothing was logged there, or a line cannot be read.
    """
    files = sorted(Path(work_dir).glob("*/vis_data/scalars.json"))
    run = RunLog(label or Path(work_dir).resolve().name, [])
    for file in files:
        entries = _entries(file, run.notes)
        first = min((entry["iter"] for entry in entries if "iter" in entry), default=None)
        if first is not None:
            kept = [line for line in run.lines if line.iteration < first]
            if len(kept) < len(run.lines):
                run.notes.append(
                    f"{len(run.lines) - len(kept)} lines from iteration {first:.0f} on are "
                    f"replaced by those of {file.parts[-3]}, which resumed"
                )
            run.lines = kept
        _append(run.lines, entries)
    if not run.lines:
        raise LogError(
            f"no run has logged into {work_dir}: there is no line in */vis_data/scalars.json "
            "below it; give the work dir of a run that has trained"
        )
    if len(files) > 1:
        run.notes.insert(0, f"joined from {len(files)} starts")
    return run


def _entries(file: Path, notes: list[str]) -> list[dict[str, float]]:
    """The lines of a file, figures only."""
    texts = [text for text in file.read_text().splitlines() if text.strip()]
    entries = []
    for number, text in enumerate(texts, start=1):
        try:
            entry = json.loads(text)
        except json.JSONDecodeError as error:
            if number == len(texts):  # killed while it wrote
                notes.append(f"the last line of {file.parts[-3]} is incomplete and left out")
                break
            raise LogError(f"{file}, line {number}, is no JSON ({error}); repair it") from error
        entries.append({k: v for k, v in entry.items() if isinstance(v, (int, float))})
    return entries


def _append(lines: list[Line], entries: Sequence[dict[str, float]]) -> None:
    last = next((line for line in reversed(lines) if line.training), None)
    for entry in entries:
        training = "iter" in entry
        step = int(entry.get("step", 0))
        if training:
            iteration = int(entry["iter"])
        elif last is None:
            iteration = step
        else:  # a run that counts epochs gives the epoch as the step of its validations
            iteration = last.iteration if "epoch" in last.values else max(step, last.iteration)
        line = Line(iteration, training, entry)
        lines.append(line)
        last = line if training else last
