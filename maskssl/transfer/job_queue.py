"""Run commands side by side, in the order of their needs, with progress and time left."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import MaskSSLError

# the position that mmengine's log lines give: '[3][40/63]' or '[ 40/300]'
_POSITION = re.compile(r"\((?:train|val|test)\)\s+(\[[^a-zA-Z]*\])")


class JobError(MaskSSLError):
    """A command failed; the message shows the end of its log."""


@dataclass
class Job:
    """A command and what it waits for.

    Attributes:
        name: unique.
        command: argument list.
        log: file that takes its output.
        seconds: expected length, for the time left.
        after: names of jobs that must have finished.
        environment: added to the process's own.
    """

    name: str
    command: Sequence[str]
    log: Path
    seconds: float = 60.0
    after: Sequence[str] = ()
    environment: dict[str, str] = field(default_factory=dict)


@dataclass
class _Running:
    job: Job
    process: subprocess.Popen[bytes]
    begun: float


def run_jobs(
    jobs: Sequence[Job],
    slots: int,
    report: Callable[[str], None],
    interval: float = 10.0,
) -> dict[str, float]:
    """Run all jobs, at most ``slots`` at a time; earlier ones in the list go first.

    Args:
        jobs: in order of preference.
        slots: processes side by side.
        report: takes one line of progress.
        interval: seconds between two lines.

    Returns:
        Seconds that each job took.

    Raises:
        JobError: a job failed or waits for one that does not exist; the others are stopped.
    """
    _check_needs(jobs)
    waiting, took = list(jobs), dict[str, float]()
    running: list[_Running] = []
    begun, said = time.monotonic(), 0.0
    try:
        while waiting or running:
            for job in [job for job in waiting if set(job.after) <= took.keys()]:
                if len(running) < slots:
                    waiting.remove(job)
                    running.append(_start(job))
            time.sleep(0.2)
            for item in list(running):
                if item.process.poll() is None:
                    continue
                running.remove(item)
                if item.process.returncode:
                    raise JobError(_failure(item))
                took[item.job.name] = time.monotonic() - item.begun
                left = _time_left(jobs, took, running, slots)
                report(
                    f"[{_clock(begun)}] {item.job.name} done in {took[item.job.name]:.0f} s "
                    f"({len(took)}/{len(jobs)}, about {_minutes(left)} left)"
                )
            if running and time.monotonic() - said > interval:
                said = time.monotonic()
                states = ", ".join(f"{item.job.name} {_position(item.job.log)}" for item in running)
                left = _time_left(jobs, took, running, slots)
                report(f"[{_clock(begun)}] {states}; about {_minutes(left)} left")
    finally:
        for item in running:
            item.process.terminate()
        for item in running:
            item.process.wait()
    return took


def _check_needs(jobs: Sequence[Job]) -> None:
    seen: set[str] = set()
    for job in jobs:
        unmet = set(job.after) - seen
        if unmet:
            raise JobError(f"job {job.name!r} waits for {sorted(unmet)}, listed nowhere before it")
        seen.add(job.name)


def _start(job: Job) -> _Running:
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with job.log.open("wb") as log:
        process = subprocess.Popen(
            list(job.command),
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **job.environment},
        )
    return _Running(job, process, time.monotonic())


def _failure(item: _Running) -> str:
    tail = "\n  ".join(item.job.log.read_text(errors="replace").splitlines()[-15:])
    return (
        f"{item.job.name} failed with exit code {item.process.returncode}; its log {item.job.log} "
        f"ends:\n  {tail}"
    )


def _position(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        found = _POSITION.findall(file.read().decode(errors="replace"))
    return found[-1].replace(" ", "") if found else "starting"


def _time_left(
    jobs: Sequence[Job], took: dict[str, float], running: Sequence[_Running], slots: int
) -> float:
    """Expected seconds of what is not done, corrected by how the finished jobs compare."""
    expected = sum(job.seconds for job in jobs if job.name in took)
    pace = sum(took.values()) / expected if expected else 1.0
    now = time.monotonic()
    active = {item.job.name: now - item.begun for item in running}
    left = [
        max(job.seconds * pace - active.get(job.name, 0.0), 0.05 * job.seconds)
        for job in jobs
        if job.name not in took
    ]
    return max([sum(left) / slots, *left], default=0.0)


def _clock(begun: float) -> str:
    seconds = int(time.monotonic() - begun)
    return f"{seconds // 60:02d}:{seconds % 60:02d}"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def tool_command(tool: str, *arguments: str) -> list[str]:
    """A command of maskssl under this Python, wherever it is installed."""
    return [sys.executable, "-m", "maskssl", tool, *arguments]
