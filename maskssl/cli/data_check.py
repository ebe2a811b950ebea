"""Look for the data of a config before anything is built."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..datasets.folders import ENDINGS, holds_images
from ..datasets.index.image_index import ImageIndexError
from ..datasets.index.tar_shards import TarShards
from ..errors import MaskSSLError

OWN_DATA = (
    "point the loader at your data (--cfg-options {loader}.dataset.data_root=DIR), or write the "
    "drawn scenes with tools/make_scenes.py"
)


class DataError(MaskSSLError):
    """Data that a config names is not there."""


def check_data(cfg: Config, loaders: Sequence[str]) -> None:
    """Refuse folders and annotation files that do not exist, and folders without images.

    Args:
        cfg: the run's config.
        loaders: its dataloaders that will be used.

    Raises:
        DataError: names the path, the loader and the remedy.
    """
    for loader in loaders:
        remedy = OWN_DATA.format(loader=loader)
        for dataset in _datasets(cfg.get(loader) or {}):
            root = Path(dataset.get("data_root") or "")
            annotations = dataset.get("ann_file") or ""
            if annotations and not _joined(root, annotations).is_file():
                raise DataError(
                    f"{loader}: there is no annotation file {_joined(root, annotations)}; {remedy}"
                )
            for prefix in _prefixes(dataset):
                if prefix.endswith(".tar"):
                    _check_shards(str(_joined(root, prefix)), loader, remedy)
                    continue
                _check_folder(_joined(root, prefix), loader, remedy, look_inside=not annotations)


def _check_shards(pattern: str, loader: str, remedy: str) -> None:
    try:
        TarShards(pattern)
    except ImageIndexError as error:
        raise DataError(f"{loader}: {error}; {remedy}") from error


def _check_folder(folder: Path, loader: str, remedy: str, look_inside: bool) -> None:
    if not folder.is_dir():
        raise DataError(f"{loader}: there is no folder {folder}; {remedy}")
    if look_inside and not holds_images(folder):
        raise DataError(
            f"{loader}: no images in {folder} (looked for {', '.join(ENDINGS)}, at any depth); "
            f"{remedy}"
        )


def _datasets(node: Any) -> Iterator[dict[str, Any]]:
    """Dataset configs below a dataloader, inside wrappers too."""
    if isinstance(node, dict):
        if node.get("data_root") or node.get("ann_file"):
            yield node
        for value in node.values():
            yield from _datasets(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _datasets(value)


def _prefixes(dataset: dict[str, Any]) -> list[str]:
    prefix = dataset.get("data_prefix", "")
    return list(prefix.values()) if isinstance(prefix, dict) else [prefix]


def _joined(root: Path, path: str) -> Path:
    return root / path  # an absolute path stays as it is
