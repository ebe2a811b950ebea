"""What a segmentor or a detector predicts, beside the truth: a sheet of the first pictures."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner
from numpy.typing import NDArray
from PIL import Image

from ..visualization.overlays import Marks, marks_of_map, overlay
from ..visualization.sheets import grid_of

MIN_SCORE = 0.5  # of a detection that is drawn
_SIDE = 192
_TITLES = ("picture", "truth", "prediction")


class PredictionSheet(Hook):
    """Draws the pictures of a test as they come; writes one sheet at its end.

    Args:
        path: PNG to write.
        most: pictures that are drawn, the first ones; None for all.
    """

    def __init__(self, path: Path, most: int | None = None) -> None:
        self.path, self.most = path, most
        self.rows: list[list[Image.Image]] = []

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Draw each sample: the picture, its truth, and what was predicted."""
        names = runner.test_dataloader.dataset.metainfo["classes"]
        room = None if self.most is None else self.most - len(self.rows)
        for sample in list(outputs or ())[:room]:
            with Image.open(sample.img_path) as file:
                pixels = np.asarray(file.convert("RGB"))
            self.rows.append(compared(pixels, sample, names))

    def after_test_epoch(self, runner: Runner, metrics: Any = None) -> None:
        """Write the sheet, two pictures in a line."""
        pairs = [
            list(chain.from_iterable(self.rows[at : at + 2])) for at in range(0, len(self.rows), 2)
        ]
        grid_of(pairs, _TITLES * min(2, len(self.rows)), _SIDE).save(self.path)


def compared(pixels: NDArray[np.uint8], sample: Any, names: Sequence[str]) -> list[Image.Image]:
    """A picture, its truth and its prediction.

    Args:
        pixels: (H, W, 3) RGB.
        sample: of mmseg or mmdet, with truth and prediction.
        names: of the classes.
    """
    if "pred_sem_seg" in sample:
        both = [
            marks_of_map(found.data[0].cpu().numpy(), names)
            for found in (sample.gt_sem_seg, sample.pred_sem_seg)
        ]
    else:
        both = [_true_objects(sample, names), _found_objects(sample.pred_instances, names)]
    drawn = [overlay(pixels, marks, _SIDE) for marks in both]
    return [Image.fromarray(pixels).resize(drawn[0].size, Image.Resampling.BICUBIC), *drawn]


def _true_objects(sample: Any, names: Sequence[str]) -> Marks:
    """The truth went through the pipeline: back to the size of the picture."""
    truth = sample.gt_instances
    height, width = sample.img_shape[:2]
    masks = truth.masks.crop(np.array([0, 0, width, height])).resize(sample.ori_shape[:2])
    boxes = truth.bboxes.cpu().numpy() / np.tile(sample.scale_factor, 2)
    labels = truth.labels.cpu().numpy()
    regions = masks.to_ndarray().astype(bool)
    return Marks(regions, labels, boxes, [names[label] for label in labels])


def _found_objects(found: Any, names: Sequence[str]) -> Marks:
    found = found[found.scores >= MIN_SCORE]
    found = found[found.scores.argsort()].cpu()  # the surest on top
    captions = [
        f"{names[label]} {score:.2f}"
        for label, score in zip(found.labels.tolist(), found.scores.tolist(), strict=True)
    ]
    return Marks(found.masks.numpy(), found.labels.numpy(), found.bboxes.numpy(), captions)
