"""Masked self-supervised vision models on OpenMMLab, from images to transfer results.

Importing the package registers its parts with mmpretrain and mmengine; mmseg, mmdet
and mmcv's compiled ops are not needed for that.
"""

from importlib import import_module
from pathlib import Path

__version__ = "0.1.0"

_REGISTERING = (
    "models.backbones.plain_vit",
    "models.necks.target_aware_decoders",
    "models.necks.projection_mlp",
    "models.necks.feature_pyramid",
    "models.heads.bootmae_head",
    "models.heads.extrema_head",
    "models.heads.pooled_linear_head",
    "models.target_generators.momentum_encoder",
    "models.algorithms.bootmae",
    "models.algorithms.extrema",
    "models.algorithms.knn_classifier",
    "datasets.transforms.block_mask",
    "datasets.draws.tensor_sampler",
    "datasets.index.indexed_images",
    "datasets.transforms.loading",
    "datasets.transforms.mae_crop",
    "engine.optimizers.autocast",
    "engine.hooks.checkpoint",
    "engine.hooks.collapse",
    "engine.hooks.feature_weight",
    "engine.finite_steps.hook",
    "engine.hooks.kill",
    "engine.runner.knn_loop",
    "engine.optimizers.lars",
    "engine.optimizers.layer_decay",
    "engine.hooks.momentum",
    "engine.hooks.preemption",
    "engine.hooks.progress",
    "engine.hooks.reconstruction",
    "engine.hooks.throughput",
    "engine.runner.train_loops",
    "engine.hooks.unreadable",
)


def config_file(name: str) -> str:
    """Path of a config that ships with the package, for ``_base_`` and the tools.

    Example: ``_base_ = [__import__('maskssl').config_file('pretrain/x.py')]``.

    Args:
        name: relative to configs/, e.g. 'pretrain/bootmae_vit-tiny_scenes.py'.

    Raises:
        ValueError: there is no such config.
    """
    package = Path(__file__).resolve().parent
    roots = (package / "configs", package.parent / "configs")  # wheel, checkout
    for root in roots:
        if (root / name).is_file():
            return str(root / name)
    known = sorted(
        path.relative_to(root).as_posix() for root in roots for path in root.glob("*/*.py")
    )
    raise ValueError(f"there is no config {name!r}; the shipped ones are {', '.join(known)}")


for _module in _REGISTERING:
    import_module(f"{__name__}.{_module}")
