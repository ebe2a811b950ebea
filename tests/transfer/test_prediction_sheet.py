"""Samples of mmseg and mmdet become a picture, its truth and its prediction."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData

from maskssl.transfer.prediction_sheet import compared
from maskssl.visualization.overlays import COLOURS

PIXELS = np.full((64, 64, 3), 128, np.uint8)


def has_colour(image, label: int) -> bool:
    return bool((np.asarray(image) == COLOURS[label]).all(axis=2).any())


def test_truth_and_prediction_of_a_segmentor():
    structures = pytest.importorskip("mmseg.structures")
    sample = structures.SegDataSample()
    truth, found = torch.zeros(1, 64, 64), torch.zeros(1, 64, 64)
    truth[:, :20], found[:, 40:] = 1, 2
    sample.gt_sem_seg, sample.pred_sem_seg = (
        PixelData(data=data.long()) for data in (truth, found)
    )
    picture, left, right = compared(PIXELS, sample, ["background", "disc", "star"])
    assert has_colour(left, 1) and not has_colour(left, 2)
    assert has_colour(right, 2) and not has_colour(right, 1)
    assert picture.size == left.size == right.size
    assert (np.asarray(picture) == 128).all()


def test_truth_goes_back_to_the_pictures_size_and_unsure_objects_are_left_out():
    mmdet = pytest.importorskip("mmdet.structures")
    from mmdet.structures.mask import BitmapMasks

    sample = mmdet.DetDataSample()
    # the pipeline halved the picture and padded it to 40 x 40
    sample.set_metainfo(dict(img_shape=(32, 32), ori_shape=(64, 64), scale_factor=(0.5, 0.5)))
    mask = np.zeros((1, 40, 40), np.uint8)
    mask[:, 4:12, 4:12] = 1
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[4.0, 4, 12, 12]]),
        labels=torch.tensor([0]),
        masks=BitmapMasks(mask, 40, 40),
    )
    sample.pred_instances = InstanceData(
        bboxes=torch.tensor([[8.0, 8, 24, 24], [40, 40, 60, 60]]),
        labels=torch.tensor([0, 1]),
        scores=torch.tensor([0.9, 0.1]),
        masks=torch.zeros(2, 64, 64, dtype=torch.bool),
    )
    _, truth, found = compared(PIXELS, sample, ["disc", "star"])
    for image in (truth, found):
        rows, cols = np.nonzero((np.asarray(image) == COLOURS[0]).all(axis=2))
        assert (rows.min(), rows.max(), cols.min(), cols.max()) == (24, 72, 24, 72)
        assert not has_colour(image, 1)
