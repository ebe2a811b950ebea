"""The figure of a test set from what happened on each of its images, for sets drawn anew too.

Outcomes of one fit are an array whose first axis is the images (N). ``counts`` (R, N) says how
often each image is in each of R sets; ones are the test set itself.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from .paired import Pair, compare_pairs, resampled, resamples_for

THRESHOLDS = 10  # IoU of 0.50, 0.55 ... 0.95
RECALLS = np.linspace(0, 1, 101)
CATEGORY, SCORE, MATCHES = 0, 1, slice(2, 2 + THRESHOLDS)  # of an entry, see average_precision
_CELLS = 1 << 24  # of an array held at a time: 128 MiB
TRUTH = -1.0  # in place of a score: the entry is an object of the truth


@dataclass(frozen=True)
class Metric:
    """A figure between 0 and 1.

    Attributes:
        name: in tables.
        figures: (N, …) outcomes and (R, N) counts to (R,).
        resamples: of the bootstrap; more where many models are compared.
        is_mean: of right and wrong per image, so that images can be counted.
    """

    name: str
    figures: Callable[[np.ndarray, np.ndarray], np.ndarray]
    resamples: int = 5000
    is_mean: bool = False

    def seeds(self, outcomes: np.ndarray) -> np.ndarray:
        """(S, N, …) outcomes of S fits -> (S,) on the test set itself."""
        once = np.ones((1, outcomes.shape[1]))
        return np.concatenate([self.figures(fit, once) for fit in outcomes])


def top1(ranks: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Share of images whose true class has rank 0.

    Args:
        ranks: (N,).
        counts: (R, N).
    """
    return counts @ (ranks == 0) / counts.sum(axis=1)


def mean_iou(areas: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean over classes of intersection over union, both summed over images.

    A class that is in no truth and no prediction of a set does not count there.

    Args:
        areas: (N, 2, K) pixels of the intersection and of the union of each class.
        counts: (R, N).
    """
    _, _, classes = areas.shape
    summed = counts @ areas.reshape(len(areas), 2 * classes).astype(np.float64)  # (R, 2 K)
    shared, joined = summed[:, :classes], summed[:, classes:]
    there = joined > 0
    ratios = np.divide(shared, joined, out=np.zeros_like(shared), where=there)
    return ratios.sum(axis=1) / there.sum(axis=1).clip(min=1)


def average_precision(entries: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """COCO's AP: precision at 101 recalls, mean over thresholds of IoU and categories.

    An image's entries are its detections and its true objects: category, score, and at each
    threshold whether the detection meets an object (1), none (0), or one that is ignored (NaN).
    True objects have the score TRUTH; entries of a negative category fill the array.

    Args:
        entries: (N, E, 2 + THRESHOLDS).
        counts: (R, N).
    """
    count, width, _ = entries.shape
    images = np.repeat(np.arange(count), width)
    flat = entries.reshape(count * width, -1)
    used = flat[:, CATEGORY] >= 0
    flat, images = flat[used], images[used]
    order = np.argsort(-flat[:, SCORE], kind="stable")
    flat, images = flat[order], images[order]
    rows = max(1, _CELLS // max(1, len(flat)))
    parts = [counts[start : start + rows] for start in range(0, len(counts), rows)]
    return np.concatenate([_mean_precision(flat, images, part) for part in parts])


def _mean_precision(flat: np.ndarray, images: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """AP (R,) of entries (E, 2 + THRESHOLDS), the surest first, and their images (E,)."""
    total, with_truth = np.zeros(len(counts)), np.zeros(len(counts))
    for category in np.unique(flat[:, CATEGORY]):
        own = flat[:, CATEGORY] == category
        true = own & (flat[:, SCORE] == TRUTH)
        found = own & ~true
        objects = counts[:, images[true]].sum(axis=1)  # (R,)
        weights = counts[:, images[found]]  # (R, D), the surest first
        for column in flat[found][:, MATCHES].T:  # (D,)
            total += _area(weights, column, objects) / THRESHOLDS
        with_truth += objects > 0
    return total / with_truth.clip(min=1)


def _area(weights: np.ndarray, matches: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """AP (R,) of one category at one threshold; 0 where there is no object."""
    seen = ~np.isnan(matches)
    weights, matches = weights[:, seen], matches[seen]
    # precision falls between detections that meet an object, so that it is needed there alone
    rows, hits = len(weights), matches > 0
    right = np.cumsum(weights[:, hits], axis=1)
    total = np.cumsum(weights, axis=1)[:, hits]
    precision = np.divide(right, total, out=np.zeros_like(right), where=total > 0)
    # at each recall the best precision that this or a higher recall has
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    precision = np.concatenate([precision, np.zeros((rows, 1))], axis=1)  # beyond the last
    recall = right / objects.clip(min=1)[:, None]
    places = np.array([np.searchsorted(row, RECALLS) for row in recall]).reshape(rows, -1)
    return np.take_along_axis(precision, places, axis=1).mean(axis=1) * (objects > 0)


METRICS = {
    metric.name: metric
    for metric in (
        Metric("top-1", top1, is_mean=True),
        Metric("mIoU", mean_iou),
        Metric("box AP", average_precision, resamples=500),
        Metric("mask AP", average_precision, resamples=500),
    )
}


def compare(
    outcomes: Mapping[str, np.ndarray], metric: Metric, comparisons: int | None = None
) -> tuple[np.ndarray, list[Pair]]:
    """Models on the same test images, paired.

    Args:
        outcomes: name -> (S, N, …) of S fits.
        metric: of the outcomes.
        comparisons: among which these are corrected; None for the pairs of these models.

    Returns:
        (R, M) figures on resampled images, means over the fits, models in that order; and all
        pairs, see ``compare_pairs``.
    """

    def figures(counts: np.ndarray) -> np.ndarray:
        means = [
            np.mean([metric.figures(fit, counts) for fit in fits], axis=0)
            for fits in outcomes.values()
        ]
        return np.stack(means, axis=1)

    count = next(iter(outcomes.values())).shape[1]
    comparisons = comparisons or math.comb(len(outcomes), 2)
    found = resampled(figures, count, resamples_for(comparisons, metric.resamples))
    seeds = {name: metric.seeds(fits) for name, fits in outcomes.items()}
    right = {name: fits[0] == 0 for name, fits in outcomes.items()} if metric.is_mean else None
    return found, compare_pairs(seeds, found, right)
