"""``--boxes-only``: a detector of boxes and masks becomes one of boxes."""

from mmengine.config import Config

from .classes import EVALUATORS
from .config import ConfigError, dicts_below
from .data_check.nodes import LOADERS


def use_boxes_only(cfg: Config) -> None:
    """Train and score boxes alone, where annotations draw no masks.

    Args:
        cfg: of detection; is changed.

    Raises:
        ConfigError: the config does not detect.
    """
    if cfg.get("default_scope") != "mmdet":
        raise ConfigError("--boxes-only needs a config of detection (det/)")
    for key in ("mask_head", "mask_roi_extractor"):
        cfg.model.roi_head.pop(key, None)
    if cfg.model.type == "MaskRCNN":
        cfg.model.type = "FasterRCNN"
    for step in (found for key in LOADERS for found in dicts_below(cfg.get(key))):
        if step.get("type") == "LoadAnnotations":
            step["with_mask"] = False
    for evaluator in (cfg[key] for key in EVALUATORS if cfg.get(key)):
        for metric in evaluator if isinstance(evaluator, list | tuple) else [evaluator]:
            if metric["type"] == "CocoMetric":
                metric["metric"] = "bbox"
