"""Outcomes of a test's samples: detections that are the truth have AP 1, others less."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from maskssl.evaluation.metrics import average_precision
from maskssl.transfer.outcome_hook import OutcomeHook
from tests.transfer.scenes import write_objects

pytest.importorskip("mmdet")


def perfect(dataset, truth, index):
    """A sample whose predictions are the objects of an image."""
    from mmdet.structures import DetDataSample

    info = dataset.get_data_info(index)
    objects = truth.loadAnns(truth.getAnnIds(imgIds=[info["img_id"]]))
    boxes = torch.tensor([one["bbox"] for one in objects], dtype=torch.float32)
    boxes[:, 2:] += boxes[:, :2]
    found = InstanceData(
        bboxes=boxes,
        labels=torch.tensor([dataset.cat2label[one["category_id"]] for one in objects]),
        scores=torch.full((len(objects),), 0.9),
        masks=torch.from_numpy(np.stack([truth.annToMask(one) for one in objects])).bool(),
    )
    sample = DetDataSample(metainfo=dict(img_id=info["img_id"]))
    sample.pred_instances = found
    return sample


def test_detections_that_are_the_truth(tmp_path):
    from mmdet.datasets import CocoDataset
    from pycocotools.coco import COCO

    write_objects(tmp_path, "val", 5, 1)
    dataset = CocoDataset(
        ann_file="instances_val.json",
        data_root=str(tmp_path),
        data_prefix=dict(img="val"),
        metainfo=dict(classes=tuple(f"shape {number}" for number in range(1, 9))),
        test_mode=True,
        pipeline=[],
    )
    truth = COCO(str(tmp_path / "instances_val.json"))
    runner = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=dataset))
    samples = [perfect(dataset, truth, index) for index in range(5)]
    figures = {}
    for case in ("all", "moved boxes", "none in the first"):
        hook = OutcomeHook(tmp_path, ("box", "mask"))
        if case == "moved boxes":
            samples[1].pred_instances.bboxes += 10
        if case == "none in the first":
            samples[0].pred_instances = samples[0].pred_instances[:0]
        hook.after_test_iter(runner, 0, outputs=samples[:3])
        hook.after_test_iter(runner, 1, outputs=samples[3:])
        hook.after_test_epoch(runner)
        figures[case] = [
            float(average_precision(entries, np.ones((1, 5)))[0])
            for entries in (np.load(tmp_path / f"{row}.npy") for row in ("box", "mask"))
        ]
    assert figures["all"] == pytest.approx([1, 1])
    assert figures["moved boxes"][0] < 0.95 and figures["moved boxes"][1] == pytest.approx(1)
    assert figures["none in the first"][1] < 0.95
