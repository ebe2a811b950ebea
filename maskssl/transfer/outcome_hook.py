"""What a trained model does on each test image, as the test goes by."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..evaluation.matches import coco_entries
from ..evaluation.rows import ranks_of
from .map_measures import overlap


class OutcomeHook(Hook):
    """Writes FOLDER/ROW.npy, images in the order of the test's data set.

    Args:
        folder: to write to; it is there.
        rows: the stage's rows: one, or those of boxes and of masks.
    """

    def __init__(self, folder: Path, rows: tuple[str, ...]) -> None:
        self.folder, self.rows = folder, rows
        self.found: list[Any] = []

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Note each image of a batch."""
        for sample in outputs or ():
            if "pred_score" in sample:
                found = ranks_of(sample.pred_score[None], sample.gt_label)
                self.found.append(found[0].cpu().numpy())
            elif "pred_sem_seg" in sample:
                self.found.append(_areas(runner, sample))
            else:
                self.found.append(_detections(sample))

    def after_test_epoch(self, runner: Runner, metrics: Any = None) -> None:
        """Write the files."""
        if not isinstance(self.found[0], list):
            (row,) = self.rows
            np.save(self.folder / f"{row}.npy", np.stack(self.found))
            return
        from pycocotools.coco import COCO

        dataset = runner.test_dataloader.dataset
        images = [int(dataset.get_data_info(index)["img_id"]) for index in range(len(dataset))]
        found = [one for image in self.found for one in image]
        for one in found:
            one["category_id"] = dataset.cat_ids[one["category_id"]]
        truth = COCO(dataset.ann_file)
        for row, kind in zip(self.rows, ("bbox", "segm"), strict=True):
            entries = coco_entries(truth, found, images, kind)
            np.save(self.folder / f"{row}.npy", entries)


def _areas(runner: Runner, sample: Any) -> np.ndarray:
    classes = len(runner.test_dataloader.dataset.metainfo["classes"])
    predicted, truth = (found.data[0].cpu() for found in (sample.pred_sem_seg, sample.gt_sem_seg))
    return overlap(predicted, torch.where(truth == 255, classes, truth).long(), classes)


def _detections(sample: Any) -> list[dict[str, Any]]:
    """Results as COCO's files have them, categories still as labels."""
    from pycocotools.mask import encode

    found = sample.pred_instances.cpu()
    corners = found.bboxes.numpy()
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    masks = np.asfortranarray(found.masks.numpy().astype(np.uint8).transpose(1, 2, 0))
    return [
        dict(
            image_id=int(sample.img_id),
            category_id=int(label),
            score=float(score),
            bbox=box.tolist(),
            segmentation=region,
        )
        for label, score, box, region in zip(
            found.labels, found.scores, boxes, encode(masks), strict=True
        )
    ]
