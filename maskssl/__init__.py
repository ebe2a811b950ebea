"""Masked self-supervised vision models on OpenMMLab, from images to transfer results.

Importing the package is light and registers nothing: see ``maskssl.registration``.
"""

import difflib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import MaskSSLError

if TYPE_CHECKING:
    from .inference.backbone import PretrainedViT, load_backbone
    from .inference.catalogue import list_models
    from .inference.features import FeatureExtractor
    from .inference.models import build

__all__ = [
    "FeatureExtractor",
    "MaskSSLError",
    "PretrainedViT",
    "build",
    "config_file",
    "config_files",
    "configs_folder",
    "list_models",
    "load_backbone",
]

__version__ = "0.1.0"


def config_file(name: str) -> str:
    """Path of a config that ships with the package, for ``_base_`` and the tools.

    Example: ``_base_ = [__import__('maskssl').config_file('pretrain/x.py')]``.

    Args:
        name: relative to configs/, e.g. 'det/bootmae_vit-base-p16_mask-rcnn_16xb2-1x_coco.py'.

    Raises:
        MaskSSLError: there is no such config.
    """
    shipped = config_files()
    if name not in shipped:
        close = difflib.get_close_matches(name, shipped, n=3) or sorted(shipped)
        raise MaskSSLError(
            f"there is no config {name!r} among the {len(shipped)} shipped ones; did you mean "
            f"{', '.join(close[:3])}?"
        )
    return str(shipped[name])


def config_files() -> dict[str, Path]:
    """Every config that ships: its name relative to configs/ -> its file."""
    root = configs_folder()
    return {path.relative_to(root).as_posix(): path for path in root.glob("**/*.py")}


def configs_folder() -> Path:
    """Where the configs and their model-index.yml lie: beside the package, or in the wheel's."""
    package = Path(__file__).resolve().parent
    checkout = package.parent / "configs"
    return checkout if (checkout / "model-index.yml").is_file() else package / "configs"


_LAZY = {
    "FeatureExtractor": "inference.features",
    "PretrainedViT": "inference.backbone",
    "build": "inference.models",
    "list_models": "inference.catalogue",
    "load_backbone": "inference.backbone",
}


def __getattr__(name: str) -> Any:
    """What takes torch and mmpretrain's imports is fetched when it is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
