"""One number of classes for all that must agree on it: heads, preprocessor, data sets, metrics."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .config import ConfigError, dicts_below
from .data_check.nodes import LOADERS, Node, nodes_of

EVALUATORS = ("val_evaluator", "test_evaluator")
# data sets that bring no class names of their own
NAMELESS = ("BaseSegDataset", "CustomDataset", "ImageNet", "IndexedImages")


def set_num_classes(cfg: Config, num_classes: int, names: Sequence[str] | None = None) -> None:
    """Fit a config of any scope to data with another number of classes.

    Every head and the preprocessor take the number, top-k metrics lose the k beyond it. Dense
    data sets take the names: the given ones, or those that they have if the number fits; else
    COCO files are asked, and label maps get names by number ('class 0').

    Args:
        cfg: is changed.
        num_classes: as the labels count them, the background of label maps included.
        names: of the classes, in the order of their labels.

    Raises:
        ConfigError: fewer than two classes (one for detection), another number of names, a
            model without a classifying head, or data whose classes are fixed otherwise.
    """
    scope = cfg.get("default_scope")
    least = 1 if scope == "mmdet" else 2
    if num_classes < least:
        raise ConfigError(f"num_classes={num_classes} leaves nothing to tell; use {least} or more")
    if names is not None and len(names) != num_classes:
        raise ConfigError(f"num_classes={num_classes}, but {len(names)} names were given: {names}")
    heads = _with_key(cfg.model, "num_classes")
    if not heads and cfg.model.type != "KNNClassifier":
        raise ConfigError(
            f"num_classes={num_classes} has no use here: {cfg.model.type} has no classes; give it "
            "with a config of finetune/, seg/ or det/"
        )
    for head in heads:
        head["num_classes"] = num_classes
    evaluators = [cfg[key] for key in EVALUATORS if cfg.get(key)]
    for scored in [*_with_key(cfg.model, "topk"), *_with_key(evaluators, "topk")]:
        asked = scored["topk"]
        asked = (asked,) if isinstance(asked, int) else tuple(asked)
        scored["topk"] = tuple(k for k in asked if k <= num_classes)
        if not scored["topk"]:
            raise ConfigError(f"topk={asked} counts none of {num_classes} classes; ask for less")
    if scope in ("mmseg", "mmdet"):
        for node in (node for key in LOADERS if cfg.get(key) for node in nodes_of(cfg, key)):
            _name_classes(node, num_classes, names)


def _with_key(node: Any, key: str) -> list[dict[str, Any]]:
    """The dicts below a node that have a key, backbones left out."""
    return [found for found in dicts_below(node, without=("backbone",)) if key in found]


def _name_classes(node: Node, num_classes: int, names: Sequence[str] | None) -> None:
    """Give a dense data set as many class names."""
    dataset: Any = node.config
    coco = node.kind == "coco"
    own = (dataset.get("metainfo") or {}).get("classes") or (None if coco else node.own_classes)
    if own is not None and len(own) == num_classes and (names is None or [*names] == [*own]):
        return
    if names is None and coco:
        names = _coco_names(dataset, num_classes)
    elif names is None:
        names = [f"class {number}" for number in range(num_classes)]
    if not coco and dataset["type"] not in NAMELESS:
        raise ConfigError(
            f"{dataset['type']} has classes of its own; for {num_classes} others set the type of "
            "each loader's dataset to BaseSegDataset, and reduce_zero_label=True if label 0 is to "
            "be ignored"
        )
    # colours belong to the old names
    dataset["metainfo"] = dict(classes=tuple(names))


def _coco_names(dataset: Any, num_classes: int) -> list[str]:
    path = Path(dataset.get("data_root") or "", dataset["ann_file"])
    try:
        categories = json.loads(path.read_text(encoding="utf-8"))["categories"]
        names = [str(category["name"]) for category in categories]  # labels follow the file
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"the names of {num_classes} classes cannot be read from {path} ({error!r}); give a "
            "COCO file with 'categories', or name the classes in the dataset's metainfo"
        ) from error
    if len(names) != num_classes:
        raise ConfigError(
            f"num_classes={num_classes}, but {path} has {len(names)} categories: {', '.join(names)}"
        )
    return names
