"""Made-up batches of 8-bit noise with the truth that each task trains on."""

from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData
from mmpretrain.structures import DataSample
from torch import Tensor

from ...errors import MaskSSLError
from ...masking import block_mask

OBJECTS = 8  # of an image, COCO's mean rounded up
DETECTION_SIZE = (800, 1216)  # (H, W), about the mean of COCO's multi-scale training


def pretraining_batch(
    grid: tuple[int, int], patch_size: int, num_views: int, batch_size: int
) -> tuple[list[Tensor], list[DataSample]]:
    """Views (B, 3, H, W) of 8 bits and samples with block masks, the same ones each time."""
    generator = torch.Generator().manual_seed(0)
    shape = batch_size, 3, grid[0] * patch_size, grid[1] * patch_size
    views = [
        torch.randint(256, shape, generator=generator, dtype=torch.uint8) for _ in range(num_views)
    ]
    samples = []
    for _ in range(batch_size):
        sample = DataSample()
        sample.set_field(block_mask(grid, generator=generator), "mask")
        samples.append(sample)
    return views, samples


def labelled_batch(model: Any, scope: str, batch_size: int) -> dict[str, list[Any]]:
    """Images and truth as the loaders of a scope hand them to its data preprocessor.

    Args:
        model: of mmpretrain, mmseg or mmdet.
        scope: which of them.
        batch_size: images.

    Raises:
        MaskSSLError: another scope.
    """
    draw = np.random.default_rng(0)
    makers = dict(mmpretrain=_classified, mmseg=_segmented, mmdet=_detected)
    if scope not in makers:
        raise MaskSSLError(
            f"default_scope={scope!r}: the benchmark makes up batches for {', '.join(makers)}"
        )
    size, samples = makers[scope](model, batch_size, draw)
    images = [torch.from_numpy(draw.integers(0, 256, (3, *size), dtype=np.uint8)) for _ in samples]
    return dict(inputs=images, data_samples=samples)


_Made = tuple[tuple[int, int], list[Any]]  # (H, W) of the images, and their truth


def _classified(model: Any, count: int, draw: np.random.Generator) -> _Made:
    labels = draw.integers(0, 2, count)  # which classes they are takes no time
    samples = [DataSample().set_gt_label(int(label)) for label in labels]
    rows, columns = model.backbone.grid_size
    return (rows * model.backbone.patch_size, columns * model.backbone.patch_size), samples


def _segmented(model: Any, count: int, draw: np.random.Generator) -> _Made:
    from mmseg.structures import SegDataSample

    height, width = size = model.data_preprocessor.size
    samples = []
    for _ in range(count):
        classes = draw.integers(0, model.decode_head.num_classes, (1, height, width))
        truth = PixelData(data=torch.from_numpy(classes))
        metainfo = dict(img_shape=size, ori_shape=size, pad_shape=size)
        samples.append(SegDataSample(gt_sem_seg=truth, metainfo=metainfo))
    return size, samples


def _detected(model: Any, count: int, draw: np.random.Generator) -> _Made:
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    height, width = size = DETECTION_SIZE
    classes = model.roi_head.bbox_head.num_classes
    samples = []
    for _ in range(count):
        corners = np.sort(draw.uniform(0, 1, (OBJECTS, 2, 2)), axis=1)  # (N, 2 corners, x and y)
        corners[:, 1] = np.minimum(corners[:, 1] + 0.05, 1)
        boxes = (corners * (width, height)).reshape(OBJECTS, 4)
        masks = np.zeros((OBJECTS, *size), np.uint8)
        for mask, (left, top, right, bottom) in zip(masks, boxes.astype(int), strict=True):
            mask[top:bottom, left:right] = 1
        truth = InstanceData(
            bboxes=torch.from_numpy(boxes).float(),
            labels=torch.from_numpy(draw.integers(0, classes, OBJECTS)),
            masks=BitmapMasks(masks, *size),
        )
        metainfo = dict(
            img_shape=size, ori_shape=size, pad_shape=size, scale_factor=(1.0, 1.0), flip=False
        )
        samples.append(DetDataSample(gt_instances=truth, metainfo=metainfo))
    return size, samples
