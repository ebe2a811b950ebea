"""Draw what the model sees: samples behind the pipelines, with the truth on them."""

from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from numpy.typing import NDArray
from torch import Tensor

from ...datasets.checks.pictures import sample
from ...view_changes import changed_views
from ...visualization.truth import Drawn, tile_drawn
from .nodes import LOAD_CHANNELS, LOADERS, loader_config, nodes_of, used_loaders

NUM_SAMPLES = 16


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
        tile_drawn(drawn).save(path)
        written.append(path)
    return written


def _drawn(packed: dict[str, Any], classes: Any, blue_first: bool) -> list[Drawn]:
    """The views of a sample; the truth goes on each."""
    inputs, truth = packed["inputs"], packed["data_samples"]
    if isinstance(inputs, dict):  # left to the device
        made = changed_views(inputs["images"][None], inputs["drawn"][None])
        inputs = made[0] if isinstance(made, Tensor) else [view[0] for view in made]
    views = inputs if isinstance(inputs, list | tuple) else [inputs]
    # red, green and blue, or what comes first of other channels
    order = [0, 0, 0] if len(views[0]) < 3 else [2, 1, 0] if blue_first else [0, 1, 2]
    return [_one(view.numpy()[order], truth, classes) for view in views]


def _one(view: NDArray[Any], truth: Any, classes: Any) -> Drawn:
    pixels = np.ascontiguousarray(view.transpose(1, 2, 0))  # (H, W, 3) RGB
    drawn = Drawn(pixels.clip(0, 255).astype(np.uint8))
    if "gt_label" in truth:
        label = int(truth.gt_label.reshape(-1)[0])
        drawn.caption = classes[label] if classes is not None else f"label {label}"
    if "mask" in truth:
        drawn.hidden = np.asarray(truth.mask, bool)
    if "gt_sem_seg" in truth:
        labels = truth.gt_sem_seg.data.numpy()[0]
        if labels.shape == pixels.shape[:2]:
            drawn.labels = labels
        seen: NDArray[np.integer] = np.unique(labels[labels != 255])
        drawn.caption = ", ".join(_names(seen, classes))
    if "gt_instances" in truth:
        instances = truth.gt_instances
        boxes = instances.bboxes
        drawn.boxes = getattr(boxes, "tensor", boxes).numpy()
        drawn.caption = ", ".join(_names(np.unique(instances.labels.numpy()), classes))
        if "masks" in instances:
            drawn.labels = _joined(instances, pixels.shape[:2])
    return drawn


def _names(labels: Any, classes: Any) -> list[str]:
    return [classes[label] if classes is not None else str(label) for label in labels.tolist()]


def _joined(instances: Any, shape: tuple[int, ...]) -> NDArray[np.integer]:
    """Outlines of objects in one map, 255 where there is none."""
    joined = np.full(shape, 255)
    for mask, label in zip(instances.masks.to_ndarray(), instances.labels.tolist(), strict=True):
        if mask.shape == joined.shape:
            joined[mask.astype(bool)] = label
    return joined
