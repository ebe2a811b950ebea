"""``--classes from-data``: the classes of a run, as its training set has them."""

from mmengine.config import Config

from ..datasets.checks.coco import read_coco
from .config import ConfigError
from .data_check import look_at_node
from .data_check.dense import highest_label
from .data_check.nodes import BANK, Node, loader_config, nodes_of

Classes = tuple[int, tuple[str, ...] | None]


def classes_of_data(cfg: Config) -> Classes:
    """How many classes the training set has, and their names where it knows them.

    Folders and CSV files name theirs, COCO files their categories, VOC, Cityscapes and ADE20K
    bring names; lists and label maps have numbers, of which the highest counts.

    Args:
        cfg: the run's config; the bank of a kNN test is its training set.

    Raises:
        ConfigError: nothing is trained on, or what cannot be read so.
        DataError: the data is not as it should be.
    """
    loader = BANK if loader_config(cfg, BANK) else "train_dataloader"
    found = [_classes_of(node) for node in nodes_of(cfg, loader)]
    if not found or len(set(found)) > 1:
        raise ConfigError(
            f"--classes from-data: {loader} has {len(found)} data sets, whose classes are "
            f"{found or 'unknown'}; give --num-classes N"
        )
    return found[0]


def _classes_of(node: Node) -> Classes:
    if node.kind == "coco":
        names = tuple(read_coco(node.ann_file, with_masks=False).categories.values())
        return len(names), names
    if node.kind == "segmentation":
        if node.own_classes:
            return len(node.own_classes), tuple(node.own_classes)
        return highest_label(node) + 1, None
    found = look_at_node(node)
    if found.counts is None:
        raise ConfigError(
            f"--classes from-data: {node.loader} ({node.cls.__name__}) has no labels that can be "
            "read off; give --num-classes N with a config of finetune/, seg/ or det/"
        )
    if found.classes:
        return len(found.classes), tuple(found.classes)
    return len(found.counts), None
