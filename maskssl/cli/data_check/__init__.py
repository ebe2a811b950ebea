"""Look at the data of a config before anything is built."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log

from ...datasets.checks.errors import DataError
from ...datasets.folders import FolderError, holds_images, is_url
from ...datasets.index.image_index import ImageIndexError
from ...datasets.index.tar_shards import TarShards
from .channels import check_channels
from .dense import look_at_coco, look_at_segmentation
from .images import look_at_images
from .labels import check_evaluators, check_label_spaces, needs_masks
from .looked_at import Found
from .nodes import Node, nodes_of, used_loaders
from .run_length import RunLength, run_length, world_size

__all__ = ["DataError", "check_data", "length_of", "look_at_data", "look_at_node"]


def check_data(cfg: Config, loaders: Sequence[str]) -> None:
    """Look at the data that a run will use, quickly, and log what it makes of it.

    Args:
        cfg: the run's config.
        loaders: its dataloaders that will be used.

    Raises:
        DataError: names the file or value, the loader and the remedy.
    """
    found = look_at_data(cfg, loaders)
    for one in found:
        for note in one.notes:
            print_log(f"{one.loader}: {note}", logger="current", level=logging.WARNING)
    length = length_of(cfg, found)
    if length:
        print_log(str(length), logger="current")


def look_at_data(cfg: Config, loaders: Sequence[str], thorough: bool = False) -> list[Found]:
    """Look into every data set of some loaders, and compare them with each other and the model.

    Args:
        cfg: the run's config.
        loaders: dotted names; the bank of a kNN test comes with its test.
        thorough: open every file, not a sample.

    Raises:
        DataError: see :func:`check_data`.
    """
    nodes = [node for loader in used_loaders(cfg, loaders) for node in nodes_of(cfg, loader)]
    check_evaluators(cfg, nodes)
    check_channels(cfg, nodes)
    unreadable = (cfg.get("default_hooks") or {}).get("unreadable") or {}
    found = [
        replace(
            look_at_node(
                node,
                unreadable.get("max_share", 0.0) if node.loader == "train_dataloader" else 0.0,
                needs_masks(cfg, node.loader, node),
                thorough,
            ),
            times=node.times,
        )
        for node in nodes
    ]
    check_label_spaces(cfg, found)
    return found


def length_of(
    cfg: Config, found: Sequence[Found], processes: int | None = None
) -> RunLength | None:
    """The arithmetic of a training run; None for a test, or where no count is known.

    Args:
        cfg: the run's config.
        found: of its data.
        processes: that will share the images; None for those that there are.

    Raises:
        DataError: fewer images than a batch.
    """
    trained = [one.drawn for one in found if one.loader == "train_dataloader"]
    if not trained or None in trained:
        return None
    processes = processes or world_size(cfg.get("launcher") or "none")
    return run_length(cfg, sum(filter(None, trained)), processes)


def look_at_node(
    node: Node, allowed: float = 0.0, with_masks: bool = False, thorough: bool = False
) -> Found:
    """Look into one data set.

    Args:
        node: of a config.
        allowed: share of images that may be unreadable.
        with_masks: whether objects of COCO files need outlines.
        thorough: open every file.

    Raises:
        DataError: see :func:`check_data`.
    """
    _check_there(node)
    try:
        if node.kind == "images":
            return look_at_images(node, allowed, thorough)
        if node.kind == "segmentation":
            return look_at_segmentation(node, thorough)
        if node.kind == "coco":
            return look_at_coco(node, with_masks, thorough)
    except FolderError as error:
        raise DataError(f"{node.loader}: {error}") from error
    note = f"data sets of type {node.cls.__name__} are not looked into."
    return Found(
        node.loader, "other", node.ann_file or str(node.setting("data_root")), notes=[note]
    )


def _check_there(node: Node) -> None:
    """Refuse paths that do not exist; those of object stores are not looked for."""
    if node.ann_file and not is_url(node.ann_file) and not Path(node.ann_file).is_file():
        raise DataError(
            f"{node.loader}: there is no annotation file {node.ann_file}; {node.remedy}"
        )
    prefix = node.setting("data_prefix", "") or ""
    keys = prefix if isinstance(prefix, dict) else ["img_path"]
    for key in keys:
        folder = node.prefix(key) or ""
        if is_url(folder) or (node.ann_file and not folder):
            continue
        if folder.endswith(".tar"):
            try:
                TarShards(folder)
            except ImageIndexError as error:
                raise DataError(f"{node.loader}: {error}; {node.remedy}") from error
        elif not Path(folder).is_dir():
            raise DataError(f"{node.loader}: there is no folder {folder}; {node.remedy}")
        elif node.kind == "other" and not node.ann_file and not holds_images(Path(folder)):
            raise DataError(f"{node.loader}: no images in {folder}, at any depth; {node.remedy}")
