"""``--channels N``: a config whose pictures have other channels than three of 8 bits."""

from collections.abc import Sequence
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from ..datasets.folders import ENDINGS
from ..datasets.transforms.channels import ARRAY_ENDING
from .config import ConfigError
from .data_check.nodes import BANK, LOADERS, loader_config, nodes_of

Step = dict[str, Any]

# what works on three channels of 8 bits alone, and what stands for it; None for nothing
_DROPPED = ("NumpyToPIL", "PILToNumpy", "torchvision/RandomGrayscale", "TimmRandAugment")
_JITTERS = ("torchvision/ColorJitter", "ColorJitter", "PhotoMetricDistortion")
_KEPT_KEYS = dict(
    scale="crop_ratio_range", ratio="aspect_ratio_range", interpolation="interpolation"
)


def use_channels(cfg: Config, channels: int, values: Sequence[float] | None = None) -> None:
    """Load, augment and normalise pictures of any channels, and let the model take them.

    Args:
        cfg: of pretraining, kNN, probing, fine-tuning or segmentation; is changed.
        channels: of every picture.
        values: stored ones that become 0 and 255; default these.

    Raises:
        ConfigError: detection, whose augmentations were not tried so.
    """
    if cfg.get("default_scope") == "mmdet":
        raise ConfigError(
            f"--channels {channels}: detection takes pictures of 3 channels of 8 bits"
        )
    low, high = values or (0.0, 255.0)
    load = dict(type="LoadChannels", channels=channels, low=low, high=high)
    left: set[str] = set()
    for loader in (*LOADERS, BANK):
        for node in nodes_of(cfg, loader) if loader_config(cfg, loader) else ():
            dataset: Any = node.config
            if dataset.get("cache"):
                raise ConfigError(
                    f"{loader}.dataset.cache holds pictures of 3 channels of 8 bits; leave it out "
                    "with --channels"
                )
            dataset["pipeline"] = _fitted(dataset.get("pipeline") or [], load, left)
            if node.kind == "images":
                dataset["extensions"] = (*ENDINGS, ARRAY_ENDING)
                dataset.pop("augment_on_device", None)  # which has colours of 8 bits alone
    model = cfg.model.get("module") or cfg.model  # inside the wrapper of a test over scales
    model.backbone.in_channels = channels
    preprocessor = model.data_preprocessor
    for key in ("mean", "std"):
        if preprocessor.get(key):
            # one value for all channels, which are on one scale
            preprocessor[key] = [sum(preprocessor[key]) / len(preprocessor[key])]
    for key in ("to_rgb", "bgr_to_rgb"):
        if key in preprocessor:
            preprocessor[key] = False  # channels come in the file's order
    if left:
        print_log(f"--channels {channels}: left out, as of colours: {', '.join(sorted(left))}")


def _fitted(pipeline: Sequence[Any], load: Step, left: set[str]) -> list[Step]:
    """A pipeline for float32 arrays of any channels."""
    return [step for found in pipeline for step in _fitted_step(dict(found), load, left)]


def _fitted_step(step: Step, load: Step, left: set[str]) -> list[Step]:
    kind = step["type"]
    if kind in ("LoadImage", "LoadImageFromFile", "LoadChannels"):
        return [load]
    if kind in _DROPPED:
        if not kind.endswith(("ToPIL", "ToNumpy")):
            left.add(kind)
        return []
    if kind in _JITTERS:
        left.add(f"saturation and hue of {kind}")
        strengths: Step = {key: step[key] for key in ("brightness", "contrast") if key in step}
        own = strengths if kind != "PhotoMetricDistortion" else {}
        return [dict(type="ChannelJitter", **own)]
    if kind in ("torchvision/RandomResizedCrop", "LoadResizedCrop"):
        named = {new: step[old] for old, new in _KEPT_KEYS.items() if old in step}
        crop = dict(type="RandomResizedCrop", **named, backend="cv2")
        crop["scale"] = step["size"]
        if kind == "LoadResizedCrop":
            return [load, crop, dict(type="RandomFlip", prob=step.get("flip_prob", 0.0))]
        return [crop]
    if kind == "torchvision/RandomHorizontalFlip":
        return [dict(type="RandomFlip", prob=step.get("p", 0.5))]
    if kind == "TimmRandomErasing":
        step.update({key: [sum(step[key]) / len(step[key])] for key in ("mean", "std")})
    if "backend" in step:
        step["backend"] = "cv2"  # Pillow resizes 8 bits alone
    if "transforms" in step:  # of MultiView (a list of pipelines), RandomApply, RandomChoice
        inside = step["transforms"]
        nested = bool(inside) and isinstance(inside[0], list | tuple)
        step["transforms"] = (
            [_fitted(one, load, left) for one in inside] if nested else _fitted(inside, load, left)
        )
        if not step["transforms"]:
            return []
    return [step]
