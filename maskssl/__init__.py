"""Masked self-supervised vision models on OpenMMLab, from images to transfer results.

Importing the package is light and registers nothing: see ``maskssl.registration``.
"""

from pathlib import Path

from .errors import MaskSSLError

__version__ = "0.1.0"


def config_file(name: str) -> str:
    """Path of a config that ships with the package, for ``_base_`` and the tools.

    Example: ``_base_ = [__import__('maskssl').config_file('pretrain/x.py')]``.

    Args:
        name: relative to configs/, e.g. 'det/bootmae_vit-base-p16_mask-rcnn_16xb2-1x_coco.py'.

    Raises:
        MaskSSLError: there is no such config.
    """
    package = Path(__file__).resolve().parent
    roots = (package / "configs", package.parent / "configs")  # wheel, checkout
    for root in roots:
        if (root / name).is_file():
            return str(root / name)
    known = sorted(
        path.relative_to(root).as_posix()
        for root in roots
        for path in root.glob("*/*.py")
        if path.parent.name != "_base_" and "_deprecation_" not in path.read_text()
    )
    raise MaskSSLError(f"there is no config {name!r}; the shipped ones are {', '.join(known)}")
