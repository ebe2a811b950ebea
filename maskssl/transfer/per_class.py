"""Figures class by class, and what the nearest neighbours take for what."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..evaluation.knn import knn_scores, unit_length
from ..evaluation.metrics import CATEGORY, SCORE, TRUTH, average_precision
from .feature_store import FeatureSet
from .image_set import ImageSet
from .work import Sets

_SMALL = 30  # classes whose confusion is kept whole; of more, as many mistakes of a checkpoint
_FALLBACK = dict(k=20, temperature=0.07)  # where kNN was not measured
_VOTERS = 20  # at least: the share of the votes of fewer says little about confidence


def class_accuracies(ranks: np.ndarray, labels: Tensor, num_classes: int) -> list[float]:
    """Share of the images of each class that are right, mean over fits.

    Args:
        ranks: (S, N) of the true class.
        labels: (N,).
        num_classes: K, each with an image.
    """
    right = (ranks == 0).mean(axis=0)  # (N,)
    truth = labels.numpy()
    sums = np.bincount(truth, weights=right, minlength=num_classes)
    return (sums / np.bincount(truth, minlength=num_classes)).tolist()


def class_ious(areas: np.ndarray) -> list[float | None]:
    """Intersection over union of each class, mean over fits; None for one that never occurs.

    Args:
        areas: (S, N, 2, K) pixels of intersection and union.
    """
    shared, joined = areas.astype(np.float64).sum(axis=1).transpose(1, 0, 2)  # (S, K) each
    ratios = np.divide(shared, joined, out=np.zeros_like(shared), where=joined > 0).mean(axis=0)
    there = joined.any(axis=0)
    return [float(ratio) if seen else None for ratio, seen in zip(ratios, there, strict=True)]


def class_precisions(
    entries: np.ndarray, num_classes: int, figures: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> list[float | None]:
    """AP of each category alone, mean over fits; None for one without an object in the truth.

    Args:
        entries: (S, N, E, …) detections and true objects; the category stands first, -1 for none.
        num_classes: K.
        figures: (N, E, …) and counts (1, N) to the AP (1,) of all categories that are there.
    """
    once = np.ones((1, entries.shape[1]))
    found: list[float | None] = []
    for category in range(num_classes):
        true = (entries[..., CATEGORY] == category) & (entries[..., SCORE] == TRUTH)
        if not true.any():
            found.append(None)
            continue
        alone = entries.copy()
        alone[entries[..., 0] != category, 0] = -1
        found.append(float(np.mean([figures(fit, once)[0] for fit in alone])))
    return found


def add_class_figures(
    report: dict[str, Any],
    outcomes: Mapping[tuple[str, str], np.ndarray],
    sets: Mapping[str, Sets],
) -> None:
    """Add ``per_class``, class -> figure, to every cell of the report.

    Args:
        report: as ``summarise`` gives it.
        outcomes: (checkpoint, row) -> (settings, S, N, …), of the chosen setting first.
        sets: kind of labels -> training and test images.
    """
    for measure in report["measures"]:
        test = sets[measure["labels"]][1]
        for cell in measure["cells"]:
            chosen = outcomes[cell["checkpoint"], measure["name"]][0]
            figures = _class_figures(measure["metric"], chosen, test)
            cell["per_class"] = dict(zip(test.classes, figures, strict=True))


def _class_figures(metric: str, outcomes: np.ndarray, test: ImageSet) -> Sequence[float | None]:
    """Of (S, N, …) outcomes of one setting."""
    if metric == "top-1":
        return class_accuracies(outcomes, test.labels, len(test.classes))
    if metric == "mIoU":
        return class_ious(outcomes)
    return class_precisions(outcomes, len(test.classes), average_precision)


@dataclass(frozen=True)
class Guesses:
    """What the nearest training images say of every test image.

    Attributes:
        said: (N,) class.
        confidence: (N,) its share of the votes.
        feature: 'BLOCK.POOLING'.
        how: in words.
    """

    said: Tensor
    confidence: Tensor
    feature: str
    how: str

    def worst(self, truth: Tensor, count: int) -> list[int]:
        """Places of the wrong ones with the highest confidence, that one first."""
        wrong = (self.said != truth).nonzero()[:, 0]
        order = self.confidence[wrong].argsort(descending=True, stable=True)
        return wrong[order][:count].tolist()


def guesses_of(
    train: FeatureSet, test: FeatureSet, setting: Mapping[str, Any] | None = None
) -> Guesses:
    """Votes by the setting that was chosen for kNN, of 20 neighbours or more.

    Without one: temperature 0.07, mean of the last block's patches.
    """
    last = next(name for name in test.last_block if name.endswith(".mean"))
    setting = setting or dict(_FALLBACK, feature=last)
    feature, k = str(setting["feature"]), min(max(int(setting["k"]), _VOTERS), len(train.labels))
    batches = list(train.rows(feature, train.everything).batches())
    bank = torch.cat([unit_length(features) for features, _ in batches])
    labels = torch.cat([labels for _, labels in batches])
    temperature = float(setting["temperature"])
    found = [
        knn_scores(features, bank, labels, train.num_classes, k, temperature).max(dim=1)
        for features, _ in test.rows(feature, test.everything).batches(1024)
    ]
    block, pooling = feature.split(".")
    return Guesses(
        torch.cat([best.indices for best in found]).cpu(),
        torch.cat([best.values for best in found]).cpu(),
        feature,
        f"{k} nearest training images by the {pooling} of block {block}",
    )


def confusion(truth: Tensor, said: Tensor) -> list[list[int]]:
    """[true, said, count] of all that occurs, the most frequent first."""
    pairs, counts = torch.stack([truth, said], dim=1).unique(dim=0, return_counts=True)
    rows = [[*pair, count] for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True)]
    return sorted(rows, key=lambda row: -row[2])


def most_frequent(
    confusions: Mapping[str, list[list[int]]], num_classes: int
) -> dict[str, list[list[int]]]:
    """All of few classes; of many what any checkpoint mistakes most often, counted for each.

    Args:
        confusions: checkpoint -> ``confusion``.
        num_classes: K.
    """
    if num_classes <= _SMALL:
        return dict(confusions)
    kept = {
        (true, said)
        for rows in confusions.values()
        for true, said, _ in [row for row in rows if row[0] != row[1]][:_SMALL]
    }
    return {
        name: [row for row in rows if (row[0], row[1]) in kept] for name, rows in confusions.items()
    }
