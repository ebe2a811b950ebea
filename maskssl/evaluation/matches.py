"""Which detections of an image meet which objects, by COCO's rules: entries for AP."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from .metrics import THRESHOLDS, TRUTH


def coco_entries(
    truth: Any, found: Sequence[dict[str, Any]], images: Sequence[int], kind: str
) -> np.ndarray:
    """Match by pycocotools, at IoU of 0.50 to 0.95 and at most 100 detections an image.

    Args:
        truth: pycocotools' COCO.
        found: results as COCO's files have them: image_id, category_id, score, and bbox or
            segmentation.
        images: ids, in the order of the outcomes.
        kind: 'bbox' or 'segm'.

    Returns:
        (N, E, 2 + THRESHOLDS) fp32, see ``average_precision``.
    """
    from pycocotools.cocoeval import COCOeval

    entries: dict[int, list[list[float]]] = {image: [] for image in images}
    with contextlib.redirect_stdout(io.StringIO()):  # it prints how far it is
        truth = _numbered(truth)
        # loadRes takes no empty list
        results = truth.loadRes([dict(one) for one in found]) if found else type(truth)()
        evaluation = COCOeval(truth, results, kind)
        evaluation.params.areaRng = evaluation.params.areaRng[:1]  # all sizes
        evaluation.params.imgIds = list(images)
        evaluation.evaluate()
    # in the order of the file, by which everything else names them
    place = {category: index for index, category in enumerate(truth.getCatIds())}
    for result in filter(None, evaluation.evalImgs):
        own, category = entries[result["image_id"]], place[result["category_id"]]
        ignored = result["dtIgnore"].astype(bool)  # (T, D)
        met = np.where(ignored, np.nan, result["dtMatches"] > 0)
        for score, column in zip(result["dtScores"], met.T, strict=True):
            own.append([category, score, *column])
        true = int((~result["gtIgnore"].astype(bool)).sum())
        own += [[category, TRUTH, *[0.0] * THRESHOLDS]] * true
    longest = max(1, max(map(len, entries.values())))
    array = np.full((len(images), longest, 2 + THRESHOLDS), -1, dtype=np.float32)
    for index, image in enumerate(images):
        if entries[image]:
            array[index, : len(entries[image])] = entries[image]
    return array


def _numbered(truth: Any) -> Any:
    """The truth with annotations numbered from 1: COCOeval takes the id 0 for 'meets none'."""
    own = type(truth)()
    objects = [dict(one, id=at) for at, one in enumerate(truth.dataset["annotations"], start=1)]
    own.dataset = dict(truth.dataset, annotations=objects)
    own.createIndex()
    return own
