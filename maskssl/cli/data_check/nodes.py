"""The data sets that a config names, wherever they stand in it."""

import inspect
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, TRANSFORMS

from ...datasets.checks.errors import DataError
from ...datasets.checks.pictures import Look, look_at, look_at_channels
from ...datasets.folders import is_url, names_in
from ..config import dicts_below

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
BANK = "test_cfg.bank_dataloader"
LOAD_CHANNELS = "LoadChannels"
OWN_DATA = (
    "point the loader at your data (--cfg-options {loader}.dataset.data_root=DIR), or write the "
    "drawn scenes with maskssl scenes"
)

_PATHS = ("data_root", "data_prefix", "ann_file")  # what has one of them is a data set of files

# by who lists the data of a class: its subclasses read the same files
_KINDS = {
    "IndexedImages.full_init": "images",
    "CustomDataset.load_data_list": "images",
    "BaseSegDataset.load_data_list": "segmentation",
    "CocoDataset.load_data_list": "coco",
}


@dataclass(frozen=True)
class Node:
    """One data set of a config.

    Attributes:
        loader: dotted name of its dataloader.
        config: of the data set.
        cls: its class.
        scope: in which its types are looked up.
        times: that each image comes in an epoch, inside RepeatDataset.
    """

    loader: str
    config: Mapping[str, Any]
    cls: type
    scope: str
    times: int = 1

    @property
    def remedy(self) -> str:
        """What to do where there is nothing at all."""
        if self.loader.startswith("--"):  # an option that names the data, of no config
            return f"give {self.loader} a folder of such data"
        return OWN_DATA.format(loader=self.loader)

    @property
    def kind(self) -> str:
        """'images', 'segmentation', 'coco', or 'other', which is not looked into."""
        methods = (getattr(self.cls, name, None) for name in ("full_init", "load_data_list"))
        names = (getattr(method, "__qualname__", "") for method in methods)
        return next((_KINDS[name] for name in names if name in _KINDS), "other")

    def setting(self, name: str, default: Any = None) -> Any:
        """What the config says, or the default of the class."""
        return self.config.get(name, default_of(self.cls, name, default))

    def joined(self, path: str) -> str:
        """A path of the data set as it will be opened."""
        root = os.path.expanduser(self.setting("data_root") or "")
        if os.path.isabs(path) or is_url(path) or not root:
            return path
        return f"{root.rstrip('/')}/{path}" if is_url(root) else os.path.join(root, path)

    def prefix(self, key: str) -> str | None:
        """Folder of ``data_prefix``; None if it has no such key."""
        prefix = self.setting("data_prefix", "") or ""
        if isinstance(prefix, Mapping):
            return self.joined(prefix[key]) if key in prefix else None
        return self.joined(prefix)

    @property
    def ann_file(self) -> str:
        """The annotation file, or ''."""
        path = self.setting("ann_file") or ""
        return self.joined(path) if path else ""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Class names by the config, else by the class of the data set."""
        given = self.config.get("classes") or (self.config.get("metainfo") or {}).get("classes")
        if isinstance(given, str):
            path = os.path.expanduser(given)
            if not os.path.isfile(path):
                raise DataError(f"{self.loader}: classes={given!r} is no file of class names")
            given = names_in(Path(path))
        given = given or self.own_classes
        return tuple(given) if given else None

    @property
    def own_classes(self) -> tuple[str, ...] | None:
        """Class names that the class of the data set brings (Cityscapes, ADE20K)."""
        return getattr(self.cls, "METAINFO", {}).get("classes")

    def transform(self, name: str) -> Mapping[str, Any] | None:
        """A transform of the pipeline or inside one, whose class is, or derives from, a name."""
        for step in dicts_below(self.config.get("pipeline")):
            cls = self._transform_class(step)
            if cls and name in (base.__name__ for base in cls.__mro__):
                return step
        return None

    def transform_setting(self, name: str, key: str, default: Any = None) -> Any:
        """A setting of a transform of the pipeline, by default its class's."""
        step = self.transform(name)
        cls = self._transform_class(step) if step else None
        if step is None or cls is None:
            return default
        return step.get(key, default_of(cls, key, default))

    def _transform_class(self, step: Mapping[str, Any]) -> type | None:
        kind = step.get("type")
        return kind if isinstance(kind, type) else _registered(TRANSFORMS, str(kind), self.scope)

    @property
    def look(self) -> Look:
        """How the pipeline's loading opens a picture."""
        step = self.transform(LOAD_CHANNELS)
        return partial(look_at_channels, channels=step["channels"]) if step else look_at

    @property
    def applies_orientation(self) -> bool:
        """Whether the pipeline turns pictures upright by EXIF."""
        if self.transform(LOAD_CHANNELS) or self.transform("LoadResizedCrop"):
            return False
        colours = self.transform_setting("LoadImageFromFile", "color_type", "color")
        backend = self.transform_setting("LoadImageFromFile", "imdecode_backend", "cv2")
        return colours in ("color", "grayscale") and backend in ("cv2", "pillow", None)

    def used(self, count: int) -> int:
        """How many of ``count`` images ``indices`` leaves."""
        indices = self.setting("indices")
        if indices is None:
            return count
        return min(abs(indices), count) if isinstance(indices, int) else len(indices)


def default_of(cls: type, name: str, default: Any = None) -> Any:
    """Default of an argument of a class, looked for up its bases."""
    for base in cls.__mro__:
        if "__init__" in vars(base):
            parameter = inspect.signature(vars(base)["__init__"]).parameters.get(name)
            if parameter is not None and parameter.default is not inspect.Parameter.empty:
                return parameter.default
    return default


def loader_config(cfg: Config, loader: str) -> Mapping[str, Any] | None:
    """A dataloader by its dotted name; None if the config has none."""
    node: Any = cfg
    for part in loader.split("."):
        node = node.get(part) if isinstance(node, Mapping | Config) else None
    return node


def used_loaders(cfg: Config, loaders: Sequence[str]) -> list[str]:
    """The loaders that a run has, the bank of a kNN test before its test."""
    found = [loader for loader in loaders if loader_config(cfg, loader)]
    if "test_dataloader" in found and loader_config(cfg, BANK):
        found.insert(0, BANK)
    return found


def nodes_of(cfg: Config, loader: str) -> list[Node]:
    """Data sets of a loader, inside wrappers too.

    Raises:
        DataError: a type that no installed package has.
    """
    scope = cfg.get("default_scope") or "mmengine"
    found = []
    for config, times in _data_configs((loader_config(cfg, loader) or {}).get("dataset")):
        kind = config.get("type")
        if kind is None:
            raise DataError(f"{loader}: the data set of {_path_in(config)} has no type; name one")
        cls = kind if isinstance(kind, type) else _registered(DATASETS, kind, scope)
        if cls is None:
            raise DataError(
                f"{loader}: there is no data set type {kind!r} in {scope}; correct the name, or "
                "install the package that has it (extras seg and det)"
            )
        found.append(Node(loader, config, cls, scope, times))
    return found


def _registered(registry: Any, kind: str, scope: str) -> type | None:
    with registry.switch_scope_and_registry(scope) as scoped:
        found = scoped.get(kind)
    return found if isinstance(found, type) else None


def _path_in(config: Mapping[str, Any]) -> Any:
    return next((config[key] for key in _PATHS if config.get(key)), None)


def _data_configs(node: Any, times: int = 1) -> Iterator[tuple[Mapping[str, Any], int]]:
    """Configs with a path in them and how often they are gone through in an epoch.

    Wrappers (ConcatDataset, RepeatDataset) are passed through.
    """
    if isinstance(node, Mapping):
        if _path_in(node):
            yield node, times
            return
        if str(node.get("type")).rpartition(".")[2] == "RepeatDataset":
            times *= int(node.get("times", 1))
        for value in node.values():
            yield from _data_configs(value, times)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _data_configs(value, times)
