"""Run jobs side by side, in the order in which they are listed, with progress and time left.

Each job is a child of one warmed process (multiprocessing's fork server), which has imported
all that the jobs need: a child starts in milliseconds instead of seconds of imports, and has a
log, random states and registries of its own.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import forkserver
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from ..errors import MaskSSLError
from ..progress import ProgressLine, duration
from .time_left import Underway, eta, position, tail, time_left

_LAST_LINES = 15
_PATIENCE = 20.0  # seconds that a job may take to stop when told to


class JobError(MaskSSLError):
    """A job failed; the message shows the end of its log."""


@dataclass(frozen=True)
class Job:
    """A function to call in a process of its own.

    Attributes:
        name: unique.
        target: 'module:function'; imported in the job's process alone.
        arguments: of the target; pickled.
        log: file that takes all output.
        seconds: expected length, for the time left.
    """

    name: str
    target: str
    arguments: tuple[Any, ...]
    log: Path
    seconds: float = 60.0


@dataclass(frozen=True)
class Lanes:
    """Where jobs run.

    Attributes:
        environments: one per job that runs at a time, set in its process alone.
        warmed: modules that the fork server imports.
        environment: of the fork server, so of all jobs, from before its imports on. One that
            runs already keeps its own.
        threads: that torch takes in each job; None leaves what the fork server's imports took.
    """

    environments: Sequence[Mapping[str, str]]
    warmed: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    threads: int | None = None


@dataclass
class _Running:
    job: Job
    lane: int
    process: ForkServerProcess
    begun: float


def warm(lanes: Lanes) -> None:
    """Let the fork server import now what jobs need, while this process does something else."""
    forkserver.set_forkserver_preload(list(lanes.warmed))
    with _environment(lanes.environment):
        forkserver.ensure_running()


def run_jobs(
    jobs: Sequence[Job],
    lanes: Lanes,
    line: ProgressLine,
    finished: Callable[[str, float], None] = lambda name, seconds: None,
    failed: Callable[[str, JobError], None] | None = None,
) -> dict[str, float]:
    """Run all jobs, at most one in each lane; earlier ones in the list go first.

    Args:
        jobs: in order of preference.
        lanes: where they run.
        line: shows how far they are.
        finished: called with the name and the seconds of each job that ended well.
        failed: called with the name of a job that failed, and why; the others go on. None: the
            first one ends all.

    Returns:
        Seconds that each job took.

    Raises:
        JobError: a job failed, and nobody is to be told; the others are stopped.
    """
    context = multiprocessing.get_context("forkserver")
    warm(lanes)
    waiting, took = list(jobs), dict[str, float]()
    running, ended = list[_Running](), list[tuple[float, float]]()
    begun = time.monotonic()
    try:
        while waiting or running:
            free = set(range(len(lanes.environments))) - {item.lane for item in running}
            for lane, job in zip(sorted(free), list(waiting), strict=False):
                waiting.remove(job)
                running.append(_start(job, lane, lanes, context))
            wait([item.process.sentinel for item in running], 0.5)
            for item in [item for item in running if item.process.exitcode is not None]:
                running.remove(item)
                if item.process.exitcode:
                    error = JobError(_failure(item))
                    if failed is None:
                        raise error
                    failed(item.job.name, error)
                    jobs = [job for job in jobs if job is not item.job]
                    continue
                took[item.job.name] = seconds = time.monotonic() - item.begun
                ended.append((item.job.seconds, seconds))
                finished(item.job.name, seconds)
                left = _time_left(waiting, running, ended, lanes)
                line.say(
                    f"[{_clock(begun)}] {item.job.name} done in {seconds:.0f} s "
                    f"({len(took)}/{len(jobs)}, about {left} left)"
                )
            logs = {item.job.name: tail(item.job.log) for item in running}
            states = ", ".join(f"{name} {position(lines)}" for name, lines in logs.items())
            left = _time_left(waiting, running, ended, lanes)
            line.show(f"[{_clock(begun)}] {states}; about {left} left")
    finally:
        line.clear()
        _stop(running)
    return took


def _start(job: Job, lane: int, lanes: Lanes, context: Any) -> _Running:
    job.log.parent.mkdir(parents=True, exist_ok=True)
    job.log.write_bytes(b"")
    environment = dict(lanes.environments[lane])
    arguments = (job.target, job.arguments, str(job.log), environment, lanes.threads)
    process = context.Process(target=_in_child, args=arguments, name=job.name)
    process.start()
    return _Running(job, lane, process, time.monotonic())


def _in_child(
    target: str,
    arguments: tuple[Any, ...],
    log: str,
    environment: Mapping[str, str],
    threads: int | None,
) -> None:
    """What a job's process does: all output goes to its log, down to that of C code."""
    threading.Thread(target=_end_with_the_command, daemon=True).start()
    os.environ.update(environment)
    if threads and "torch" in sys.modules:  # its import has read OMP_NUM_THREADS in the server
        sys.modules["torch"].set_num_threads(threads)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    try:
        module, function = target.split(":")
        getattr(import_module(module), function)(*arguments)
    except MaskSSLError as error:
        sys.exit(f"{type(error).__name__}: {error}")


def _end_with_the_command() -> None:
    """Stop this job, as ``_stop`` does, when the process that queued it has been killed.

    Else the job would write on into its folder beside the one that goes on there.
    """
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _stop(running: Sequence[_Running]) -> None:
    for item in running:
        item.process.terminate()
    for item in running:
        item.process.join(_PATIENCE)
        if item.process.exitcode is None:
            item.process.kill()
            item.process.join()


def _failure(item: _Running) -> str:
    code = item.process.exitcode or 0
    how = f"was ended by signal {-code}" if code < 0 else f"failed with exit code {code}"
    lines = item.job.log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
    tail = "\n  ".join(lines) or "(nothing was written)"
    return f"{item.job.name} {how}; its log {item.job.log} ends:\n  {tail}"


def _time_left(
    waiting: Sequence[Job],
    running: Sequence[_Running],
    ended: Sequence[tuple[float, float]],
    lanes: Lanes,
) -> str:
    now = time.monotonic()
    under_way = [
        Underway(item.job.seconds, now - item.begun, eta(tail(item.job.log))) for item in running
    ]
    expected = [job.seconds for job in waiting]
    return duration(time_left(expected, under_way, ended, len(lanes.environments)))


def _clock(begun: float) -> str:
    seconds = int(time.monotonic() - begun)
    return f"{seconds // 60:02d}:{seconds % 60:02d}"
