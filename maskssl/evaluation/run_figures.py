"""What a run's log comes to: first, last and best values, length and speed."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from .run_logs import LogError, RunLog

# What is shown where --keys says nothing, in this order; validation metrics follow.
DEFAULT_KEYS = re.compile(r"loss.*|feature_error|lr|momentum|grad_norm|img_per_s|spread.*")
BOOKKEEPING = frozenset(("step", "iter", "epoch", "time", "data_time"))
LOWER_IS_BETTER = re.compile(r"loss|error|wait|time|skipped")
NEITHER_IS_BETTER = re.compile(r"lr|momentum|grad_norm|scale|spread|memory")


@dataclass(frozen=True)
class Figures:
    """One key of one run.

    Attributes:
        run: label.
        key: as logged.
        first: value.
        last: value.
        best: lowest or highest, of the finite ones; None where neither is better.
        best_at: iteration of the best.
        lines: how many lines hold the key.
    """

    run: str
    key: str
    first: float
    last: float
    best: float | None
    best_at: int | None
    lines: int


@dataclass(frozen=True)
class Pace:
    """How long a run took.

    Attributes:
        run: label.
        iterations: the last one logged.
        seconds: of training, as its lines tell; without start-up and validation.
        img_per_s: mean over these seconds; None where it was not logged.
    """

    run: str
    iterations: int
    seconds: float
    img_per_s: float | None


def shown_keys(runs: Sequence[RunLog], asked: Sequence[str] | None = None) -> list[str]:
    """The keys to compare.

    Args:
        runs: their logs.
        asked: keys; None shows losses, lr, momentum, gradient norm, speed and all
            validation metrics, as far as some run has them.

    Raises:
        LogError: no run has logged a key that was asked for.
    """
    present: dict[str, None] = {}
    metrics: dict[str, None] = {}
    for run in runs:
        for line in run.lines:
            keys = [key for key in line.values if key not in BOOKKEEPING]
            present.update(dict.fromkeys(keys))
            if not line.training:
                metrics.update(dict.fromkeys(keys))
    if asked:
        everything = {*present, *BOOKKEEPING}
        missing = [key for key in asked if key not in everything]
        if missing:
            raise LogError(
                f"no run has logged {', '.join(missing)}; there are {', '.join(sorted(present))}"
            )
        return list(dict.fromkeys(asked))
    patterns = DEFAULT_KEYS.pattern.split("|")
    found = [key for pattern in patterns for key in present if re.fullmatch(pattern, key)]
    return list(dict.fromkeys([*found, *metrics]))


def figures_of(run: RunLog, key: str) -> Figures | None:
    """First, last and best value of a key, or None where the run did not log it."""
    points = run.series(key)
    if not points:
        return None
    best: tuple[int, float] | None = None
    finite = [point for point in points if math.isfinite(point[1])]
    if finite and not NEITHER_IS_BETTER.search(key):
        choose = min if LOWER_IS_BETTER.search(key) else max
        best = choose(finite, key=lambda point: point[1])
    at, value = best or (None, None)
    return Figures(run.label, key, points[0][1], points[-1][1], value, at, len(points))


def pace_of(run: RunLog) -> Pace:
    """Length and speed of a run."""
    steps = run.timed()
    counted = [(seconds, rate) for seconds, rate in steps if rate is not None]
    span = sum(seconds for seconds, _ in counted)
    rate = sum(seconds * rate for seconds, rate in counted) / span if span else None
    last = max((line.iteration for line in run.lines), default=0)
    return Pace(run.label, last, sum(seconds for seconds, _ in steps), rate)
