"""Seconds and bytes that a step takes, on a device that runs behind Python or on a CPU."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch


class Timing(NamedTuple):
    """Of several runs of a number of steps each.

    Attributes:
        seconds: per step, the median of the runs.
        spread: difference of the slowest and the fastest run over the median.
        memory: bytes that the device held at most, None on a CPU.
    """

    seconds: float
    spread: float
    memory: int | None


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(
    step: Callable[[], Any],
    device: torch.device,
    steps: int = 10,
    runs: int = 3,
    clock: Callable[[], float] = time.perf_counter,
) -> Timing:
    """Time steps after two for warming up; a run ends when the device has finished it."""
    for _ in range(2):
        step()
    synchronise(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = []
    for _ in range(runs):
        start = clock()
        for _ in range(steps):
            step()
        synchronise(device)
        seconds.append((clock() - start) / steps)
    median = statistics.median(seconds)
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return Timing(median, (max(seconds) - min(seconds)) / median, memory)


def timed_in_turn(
    steps_by_name: dict[str, Callable[[], Any]],
    device: torch.device,
    steps: int = 10,
    runs: int = 3,
) -> dict[str, Timing]:
    """Time several functions run by run in turn, so that a slow minute meets all of them."""
    found: dict[str, list[Timing]] = {name: [] for name in steps_by_name}
    for _ in range(runs):
        for name, step in steps_by_name.items():
            found[name].append(timed(step, device, steps, runs=1))
    return {name: _joined(timings) for name, timings in found.items()}


def _joined(timings: list[Timing]) -> Timing:
    seconds = [timing.seconds for timing in timings]
    median = statistics.median(seconds)
    memory = [timing.memory for timing in timings if timing.memory is not None]
    return Timing(median, (max(seconds) - min(seconds)) / median, max(memory, default=None))


class PartClock:
    """Times named parts of steps; on a GPU by events in its stream, which nothing waits for."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._marks: dict[str, list[tuple[Any, Any]]] = defaultdict(list)

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Time what runs inside."""
        start = self._now()
        yield
        self._marks[part].append((start, self._now()))

    def _now(self) -> Any:
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self) -> dict[str, float]:
        """Median of each part, in the order of the first step."""
        synchronise(self.device)
        return {
            part: statistics.median(_elapsed(start, end) for start, end in marks)
            for part, marks in self._marks.items()
        }


def _elapsed(start: Any, end: Any) -> float:
    return end - start if isinstance(start, float) else start.elapsed_time(end) / 1000


def matmul_peak(device: torch.device, dtype: torch.dtype, size: int = 8192) -> float:
    """FLOP/s of a large square matrix product, the best of several runs.

    Args:
        device: to measure.
        dtype: of the matrices.
        size: their side.
    """
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    count = 10
    best = float("inf")
    for _ in range(4):
        synchronise(device)
        start = time.perf_counter()
        for _ in range(count):
            torch.mm(left, right)
        synchronise(device)
        best = min(best, (time.perf_counter() - start) / count)
    return 2 * size**3 / best
