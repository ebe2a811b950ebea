"""How far jobs are by their logs, and how long a queue of them still takes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# the position that mmengine's log lines give: '[3][40/63]' or '[ 40/300]'
_POSITION = re.compile(r"\((?:train|val|test)\)\s+(\[[^a-zA-Z]*\])")
# that of a validation is not the end of its training
_ETA = re.compile(r"\((?:train|test)\).*?\beta: (?:(\d+) days?, )?(\d+):(\d\d):(\d\d)")
_TAIL = 8192  # bytes of a log, some ten lines
_LEAST = 0.05  # of a job's expected length, left of one that takes longer than that


@dataclass(frozen=True)
class Underway:
    """A job that runs.

    Attributes:
        expected: seconds.
        active: seconds since it began.
        eta: seconds left by its own log; None where it has not said yet.
    """

    expected: float
    active: float
    eta: float | None = None


def tail(log: Path) -> str:
    """The last lines of a log."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL))
        return file.read().decode(errors="replace")


def position(lines: str) -> str:
    """Epoch and iteration of the last line that has them."""
    found = _POSITION.findall(lines)
    return found[-1].replace(" ", "") if found else "starting"


def eta(lines: str) -> float | None:
    """Seconds left of a training or a test, by the last line that has them."""
    found = _ETA.findall(lines)
    if not found:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found[-1])
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def time_left(
    waiting: Sequence[float],
    running: Sequence[Underway],
    done: Sequence[tuple[float, float]],
    lanes: int,
) -> float:
    """Seconds until a queue is empty.

    Args:
        waiting: expected seconds of each job that has not begun.
        running: the jobs under way.
        done: expected and real seconds of each that has ended; with what those under way say of
            themselves, they correct the expectations.
        lanes: jobs that run at a time.
    """
    known = [
        *done,
        *((one.expected, one.active + one.eta) for one in running if one.eta is not None),
    ]
    expected = sum(first for first, _ in known)
    pace = sum(real for _, real in known) / expected if expected else 1.0
    left = [
        max(one.expected * pace - one.active, _LEAST * one.expected) if one.eta is None else one.eta
        for one in running
    ]
    left += [seconds * pace for seconds in waiting]
    return max([sum(left) / lanes, *left], default=0.0)
