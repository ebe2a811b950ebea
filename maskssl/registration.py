"""Register parts and models with mmpretrain and mmengine: what configs name in custom_imports.

``custom_imports = dict(imports=["maskssl.registration"])``. Importing it twice changes nothing;
mmseg, mmdet and mmcv's compiled ops are not needed for it.
"""

from importlib import import_module

from mmpretrain.apis import ModelHub

from . import configs_folder

MODULES = (
    "datasets.draws.tensor_sampler",
    "datasets.index.indexed_images",
    "datasets.transforms.block_mask",
    "datasets.transforms.channels",
    "datasets.transforms.load_resized_crop",
    "datasets.transforms.loading",
    "datasets.transforms.mae_crop",
    "datasets.transforms.map_labels",
    "datasets.transforms.timm_augment",
    "engine.finite_steps.debug_step",
    "engine.finite_steps.hook",
    "engine.hooks.averaging",
    "engine.hooks.checkpoint",
    "engine.hooks.collapse",
    "engine.hooks.compiling",
    "engine.hooks.feature_weight",
    "engine.hooks.ledger",
    "engine.hooks.logs",
    "engine.hooks.momentum",
    "engine.hooks.preemption",
    "engine.hooks.progress",
    "engine.hooks.reconstruction",
    "engine.hooks.runtime_figures",
    "engine.hooks.stop_after",
    "engine.hooks.throughput",
    "engine.hooks.unreadable",
    "engine.optimizers.autocast",
    "engine.optimizers.lars",
    "engine.optimizers.layer_decay",
    "engine.runner.knn_loop",
    "engine.runner.runner",
    "engine.runner.train_loops",
    "models.algorithms.bootmae",
    "models.algorithms.extrema",
    "models.algorithms.knn_classifier",
    "models.backbones.plain_vit",
    "models.data_preprocessor",
    "models.heads.bootmae_head",
    "models.heads.extrema_head",
    "models.heads.pooled_linear_head",
    "models.necks.feature_pyramid",
    "models.necks.projection_mlp",
    "models.necks.target_aware_decoders",
    "models.target_generators.momentum_encoder",
)

for _module in MODULES:
    import_module(f"{__package__}.{_module}")

import_module(f"{__package__}.checkpoints.mmengine_loader")

# mmpretrain.list_models and get_model know the shipped models from here on
_folder = configs_folder()
ModelHub.register_model_index(_folder / "model-index.yml", config_prefix=_folder)
