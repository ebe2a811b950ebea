"""Draw what the model sees: samples behind the pipelines, with the truth on them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ...datasets.checks.pictures import sample
from ...encoded_crops import EncodedCrops
from ...view_changes import changed_views
from ...visualization.overlays import IGNORED, Marks, marks_of_map, overlay
from ...visualization.sheets import framed, grid_of
from .nodes import LOAD_CHANNELS, LOADERS, loader_config, nodes_of, used_loaders

NUM_SAMPLES = 16
_COLUMNS, _SIDE = 4, 200
_FILL = 0.45  # so that what the model sees shows below its truth
_HIDDEN = 0.35  # brightness that is left to masked patches


def write_sheets(cfg: Config, folder: Path) -> list[Path]:
    """Draw a contact sheet of each loader.

    Args:
        cfg: the run's config.
        folder: takes LOADER.png.

    Returns:
        The files written.
    """
    init_default_scope(cfg.get("default_scope") or "mmpretrain")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for loader in used_loaders(cfg, LOADERS):
        dataset = DATASETS.build((loader_config(cfg, loader) or {})["dataset"])
        classes = dataset.metainfo.get("classes")
        # LoadImage gives blue first, LoadChannels the file's order
        blue_first = not any(node.transform(LOAD_CHANNELS) for node in nodes_of(cfg, loader))
        drawn = [
            picture
            for number in sample(len(dataset), NUM_SAMPLES)
            for picture in _drawn(dataset[number], classes, blue_first)
        ]
        path = folder / f"{loader}.png"
        rows = [drawn[at : at + _COLUMNS] for at in range(0, len(drawn), _COLUMNS)]
        grid_of(rows, [""] * len(rows[0]), _SIDE).save(path)
        written.append(path)
    return written


def _drawn(packed: dict[str, Any], classes: Any, blue_first: bool) -> list[Image.Image]:
    """The views of a sample; the truth goes on each."""
    inputs, truth = packed["inputs"], packed["data_samples"]
    if isinstance(inputs, dict):  # left to the device
        images = inputs["images"]
        encoded = isinstance(images, EncodedCrops)
        images = images.decoded(torch.device("cpu"))[0] if encoded else images[None]
        made = changed_views(images, inputs["drawn"][None])
        inputs = made[0] if isinstance(made, Tensor) else [view[0] for view in made]
    views = inputs if isinstance(inputs, list | tuple) else [inputs]
    # red, green and blue, or what comes first of other channels
    order = [0, 0, 0] if len(views[0]) < 3 else [2, 1, 0] if blue_first else [0, 1, 2]
    return [_one(view.numpy()[order], truth, classes) for view in views]


class _Numbered(dict[int, str]):
    """Names of classes that have none."""

    def __missing__(self, label: int) -> str:
        return f"label {label}"


def _one(view: NDArray[Any], truth: Any, classes: Any) -> Image.Image:
    pixels = np.ascontiguousarray(view.transpose(1, 2, 0).clip(0, 255), np.uint8)  # (H, W, 3) RGB
    names: Any = _Numbered() if classes is None else classes
    shape, present = pixels.shape[:2], np.empty(0, int)
    marks = Marks(np.zeros((0, *shape), bool), present)
    if "gt_label" in truth:
        present = truth.gt_label.reshape(-1)[:1].numpy()
    if "mask" in truth:
        hidden = Image.fromarray(np.asarray(truth.mask, bool)).resize(
            shape[::-1], Image.Resampling.NEAREST
        )
        pixels[np.asarray(hidden)] = pixels[np.asarray(hidden)] * _HIDDEN
    if "gt_sem_seg" in truth:
        labels = truth.gt_sem_seg.data.numpy()[0]
        present = np.unique(labels[labels != IGNORED])
        if labels.shape == shape:
            marks = marks_of_map(labels, names)
    if "gt_instances" in truth:
        instances = truth.gt_instances
        labels = instances.labels.numpy()
        boxes, present = getattr(instances.bboxes, "tensor", instances.bboxes), np.unique(labels)
        masks = instances.masks.to_ndarray().astype(bool) if "masks" in instances else None
        if masks is None or masks.shape[1:] != shape:
            masks = np.zeros((len(labels), *shape), bool)
        marks = Marks(masks, labels, boxes.numpy(), [names[label] for label in labels])
    caption = ", ".join(names[label] for label in present)
    return framed(overlay(pixels, marks, _SIDE, ground=1.0, fill=_FILL), _SIDE, caption)
