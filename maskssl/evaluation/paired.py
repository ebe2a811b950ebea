"""Which of several models is better on the same test images, and what that test can show."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

import numpy as np

RESAMPLES = 5000
LEVEL = 0.05
_PER_COMPARISON = 80  # resamples, so that the smallest p, corrected, is half of LEVEL
POWER = 0.8
_COUNTS = 1 << 24  # resampled counts held at a time: 128 MiB


@dataclass(frozen=True)
class Pair:
    """Two models on the same images.

    Attributes:
        first: name.
        second: name.
        difference: mean of first minus mean of second.
        interval: of the difference, 95 %, by the paired bootstrap.
        p: two-sided, of no difference, by the same resamples.
        p_holm: p corrected for the number of pairs.
        only_first: images that the first alone has right; None where images are not right or wrong.
        only_second: images that the second alone has right.
        p_mcnemar: exact two-sided McNemar of these two counts.
        by_seed: the difference of each seed; where the numbers of seeds differ, of each of the
            first with each of the second.
        detectable: smallest true difference that these images would show in 80 of 100 cases, at
            5 % corrected for the number of pairs, given how often the two models' answers differ.
    """

    first: str
    second: str
    difference: float
    interval: tuple[float, float]
    p: float
    p_holm: float
    only_first: int | None
    only_second: int | None
    p_mcnemar: float | None
    by_seed: tuple[float, ...]
    detectable: float

    @property
    def seeds_agree(self) -> bool:
        """Whether the first is better under every seed: a few drawn images may favour either."""
        return all(difference > 0 for difference in self.by_seed)

    @property
    def told_apart(self) -> bool:
        """Whether the difference is more than the draw of the test images, and no seed's alone."""
        return self.p_holm < LEVEL and self.seeds_agree


def resampled(
    figures: Callable[[np.ndarray], np.ndarray],
    count: int,
    resamples: int = RESAMPLES,
) -> np.ndarray:
    """Figures on test images that are drawn anew, with replacement, the same for all models.

    Args:
        figures: (r, N) how often each image is drawn -> (r, M) figures of the models.
        count: N.
        resamples: R.

    Returns:
        (R, M).
    """
    generator = np.random.default_rng(0)
    at_once = max(1, _COUNTS // count)
    found = []
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        drawn = generator.multinomial(count, np.full(count, 1 / count), size=size)
        found.append(figures(drawn.astype(np.float64)))
    return np.concatenate(found)


def resamples_for(comparisons: int, least: int = RESAMPLES) -> int:
    """Resamples by which each of so many comparisons can be told, corrected for their number.

    The smallest p of R resamples is 2 / (R + 1).
    """
    return max(least, _PER_COMPARISON * comparisons)


def interval_of(means: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of resampled means (R,)."""
    low, high = np.quantile(means, (LEVEL / 2, 1 - LEVEL / 2))
    return float(low), float(high)


def bootstrap_p(differences: np.ndarray) -> float:
    """Two-sided p of no difference, from resampled differences (R,)."""
    below = (differences <= 0).sum() + 1
    above = (differences >= 0).sum() + 1
    return float(min(1.0, 2 * min(below, above) / (len(differences) + 1)))


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Exact two-sided McNemar: were the images that one model alone has right fair coins?"""
    total, fewer = only_first + only_second, min(only_first, only_second)
    if not total:
        return 1.0
    logs = [
        math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1)
        for k in range(fewer + 1)
    ]
    tail = sum(math.exp(log - total * math.log(2)) for log in logs)
    return min(1.0, 2 * tail)


def holm(values: Sequence[float]) -> list[float]:
    """p-values corrected for their number, by Holm's steps down."""
    order = sorted(range(len(values)), key=values.__getitem__)
    corrected = [0.0] * len(values)
    highest = 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - place) * values[index]))
        corrected[index] = highest
    return corrected


def detectable_difference(deviation: float, comparisons: int = 1) -> float:
    """Smallest true difference that a test of level 5 % finds in 80 % of draws.

    Args:
        deviation: of the two models' difference over draws of test images.
        comparisons: among which the test is corrected, by the first of Holm's steps.
    """
    normal = NormalDist()
    found = normal.inv_cdf(1 - LEVEL / comparisons / 2) + normal.inv_cdf(POWER)
    return float(found * deviation)


def compare_pairs(
    seeds: Mapping[str, np.ndarray],
    figures: np.ndarray,
    right: Mapping[str, np.ndarray] | None = None,
) -> list[Pair]:
    """Every pair of models, the better one first.

    Args:
        seeds: name -> (S,) figures of S seeds; differences are of their means.
        figures: (R, M) of ``resampled``, means over the seeds, models in that order.
        right: name -> (N,) which images one fit has right, for McNemar; it knows no halves, and
            so no means over seeds.
    """
    column = {name: figures[:, place] for place, name in enumerate(seeds)}
    names = sorted(seeds, key=lambda name: -seeds[name].mean())
    couples = list(combinations(names, 2))
    # of equal models 0, and not 1e-17
    gaps = [(column[first] - column[second]).round(12) for first, second in couples]
    values = [bootstrap_p(gap) for gap in gaps]
    pairs = []
    for (first, second), gap, p, p_holm in zip(couples, gaps, values, holm(values), strict=True):
        one, other = seeds[first], seeds[second]
        alone = _alone(right[first], right[second]) if right else None
        pairs.append(
            Pair(
                first,
                second,
                float(one.mean() - other.mean()),
                interval_of(gap),
                p,
                p_holm,
                alone[0] if alone else None,
                alone[1] if alone else None,
                mcnemar_p(*alone) if alone else None,
                tuple(map(float, _by_seed(one, other))),
                detectable_difference(gap.std(), len(couples)),
            )
        )
    return pairs


def _by_seed(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return one - other if len(one) == len(other) else (one[:, None] - other).ravel()


def _alone(one: np.ndarray, other: np.ndarray) -> tuple[int, int]:
    """Images that each of two alone has right."""
    return int((one & ~other).sum()), int((other & ~one).sum())


def shared_ranks(names: Sequence[str], pairs: Sequence[Pair]) -> dict[str, int]:
    """Name -> 1 + how many models are better beyond doubt; those not told apart share a rank."""
    return {
        name: 1 + sum(pair.told_apart and pair.second == name for pair in pairs) for name in names
    }
