"""Masked self-supervised vision models on OpenMMLab, from images to transfer results.

Importing the package is light and registers nothing: see ``maskssl.registration``.
"""

import difflib
from pathlib import Path

from .errors import MaskSSLError

__version__ = "0.1.0"


def config_file(name: str) -> str:
    """Path of a config that ships with the package, for ``_base_`` and the tools.

    Example: ``_base_ = [__import__('maskssl').config_file('pretrain/x.py')]``.

    Args:
        name: relative to configs/, e.g. 'pretrain/bootmae_vit-tiny_scenes.py'.

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
    package = Path(__file__).resolve().parent
    roots = (package.parent / "configs", package / "configs")  # checkout, wheel
    return {
        path.relative_to(root).as_posix(): path for root in roots for path in root.glob("**/*.py")
    }
