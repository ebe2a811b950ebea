"""The project's recipes for an encoder of any size on any data: a config, and what differs."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from ..cli.config import dicts_below, load_config, merge_options
from ..cli.launch import set_pretrained, use_auto_scale_lr
from ..errors import MaskSSLError
from ..inference.backbone import PretrainedViT
from ..methods import method_named
from .encoders import RANDOM, Encoder
from .schedule import Length, ema_momentum, fitted_schedulers, length_on, steps_of_a_pass

# training images of the data sets in the configs' names
IMAGES = {"in1k": 1_281_167, "ade20k": 20_210, "coco": 118_287}
SCENES = {"finetune": 80, "seg": 400, "det": 20}  # labelled for the small recipes
DEPTHS = {"small": 4, "base": 12, "large": 24}  # of the recipes' encoders
WIDTHS = {"small": 96, "base": 768, "large": 1024}
_SEG, _DET = "upernet_8xb2-amp-160k_ade20k-512x512", "mask-rcnn_16xb2-1x_coco"
# the small recipes are those of METHODS
PUBLISHED = {
    ("bootmae", "finetune", "base"): "bootmae_vit-base-p16_finetune_8xb256-amp-coslr-100e",
    ("bootmae", "finetune", "large"): "bootmae_vit-large-p16_finetune_8xb128-amp-coslr-50e",
    ("bootmae", "linear", "base"): "bootmae_vit-base-p16_linear_8xb1024-amp-coslr-90e",
    ("bootmae", "linear", "large"): "bootmae_vit-large-p16_linear_8xb1024-amp-coslr-50e",
    ("extrema", "finetune", "base"): "extrema_vit-base-p16_finetune_8xb128-amp-coslr-100e",
    ("extrema", "linear", "base"): "extrema_vit-base-p16_linear_8xb512-amp-coslr-90e",
}
# what a PlainViT is built with and what its weights say; the rest is the recipe's
ENCODER_SETTINGS = (
    *("arch", "patch_size", "in_channels", "with_cls_token", "num_registers", "pos_embed_layout"),
    *("pos_resize", "rotary_base", "qkv_bias", "layer_scale_init", "rel_pos_bias", "norm_eps"),
    "swiglu",
)
_SIDES = ("scale", "size", "crop_size", "img_size", "stride")


@dataclass(frozen=True)
class Recipe:
    """A config of ours.

    Attributes:
        config: its name.
        scale: key of DEPTHS and WIDTHS.
        stage: 'finetune' (probes too), 'seg' or 'det'.
    """

    config: str
    scale: str
    stage: str

    @property
    def images(self) -> int:
        """Training images that its schedule was made for."""
        if self.scale == "small":
            return SCENES[self.stage]
        return next(count for name, count in IMAGES.items() if name in self.config)


def recipe_for(method: str, stage: str, backbone: PretrainedViT) -> Recipe:
    """The recipe of the nearest scale.

    Args:
        method: key of METHODS.
        stage: 'finetune', 'linear', 'seg' or 'det'.
        backbone: that is trained, or stays frozen.

    Raises:
        MaskSSLError: the method has none for this stage.
    """
    depth = backbone.num_layers
    kind = "finetune" if stage == "linear" else stage
    scale = "small" if depth < 12 else "base" if depth < 24 else "large"
    if scale == "small":
        configs = method_named(method).configs
        if stage not in configs:
            raise MaskSSLError(f"{method} has no small recipe '{stage}'; try --recipe")
        return Recipe(configs[stage], scale, kind)
    if stage in ("seg", "det"):
        name = f"{stage}/{method}_vit-{scale}-p16_{_SEG if stage == 'seg' else _DET}.py"
        return Recipe(name, scale, kind)
    found = PUBLISHED.get((method, stage, scale))
    if found is None:
        raise MaskSSLError(f"{method} has no recipe '{stage}' at the scale {scale}; try --recipe")
    return Recipe(f"finetune/{found}_in1k.py", scale, kind)


def stage_config(
    recipe: Recipe,
    encoder: Encoder,
    images: int,
    share: float,
    frozen: bool,
    set_data: Callable[[Config], None],
    options: Mapping[str, Any] | None = None,
) -> tuple[Config, dict[str, Any]]:
    """The config of a training, without test images.

    Args:
        recipe: which config.
        encoder: whose weights, or random ones of its shape.
        images: training images.
        share: of the recipe's length.
        frozen: the encoder is not trained.
        set_data: points a config's loaders at the data and sets the classes.
        options: dotted key -> value over the recipe's; None for what serves the weights best, as
            ``random_weights`` of the config has it.

    Returns:
        The config, and what the report says of it.
    """
    cfg = load_config(recipe.config)
    if options is None:
        options = cfg.get("random_weights", {}) if encoder.given.startswith(RANDOM) else {}
    merge_options(cfg, options)
    set_encoder(cfg, recipe, encoder, frozen)
    own = Length(*_recipe_length(cfg, recipe))
    loader = cfg.train_dataloader
    loader.batch_size = min(loader.batch_size, max(1, images // 2))
    set_data(cfg)
    use_auto_scale_lr(cfg)
    accumulated = cfg.optim_wrapper.get("accumulative_counts", 1)
    batch_size = loader.batch_size * accumulated
    of_a_pass = None
    if "max_epochs" in cfg.train_cfg:
        of_a_pass = steps_of_a_pass(images, batch_size, loader.get("drop_last", False))
    length = length_on(own, recipe.images, images, batch_size, share, of_a_pass)
    set_length(cfg, own, length)
    told = dict(
        recipe=recipe.config,
        passes=length.passes,
        steps=length.steps,
        batch_size=batch_size,
        lr=_scaled_lr(cfg, batch_size),
        encoder="frozen" if frozen else "trained",
    )
    return cfg, told


def set_encoder(cfg: Config, recipe: Recipe, encoder: Encoder, frozen: bool) -> None:
    """Another encoder in the place of the recipe's, and all that follows from its shape."""
    backbone, node = encoder.backbone, cfg.model.backbone
    depth, width = DEPTHS[recipe.scale], WIDTHS[recipe.scale]
    old_side, old_patch = int(node.img_size), int(node.patch_size)
    given = backbone.settings
    node.update({key: given[key] for key in ENCODER_SETTINGS if key in given})
    node.class_attention = None
    if node.out_type == "cls" and not backbone.with_cls_token:
        node.out_type = "avg"
    if node.get("out_indices") is not None:
        node.out_indices = [
            math.ceil((index + 1) * backbone.num_layers / depth) - 1 for index in node.out_indices
        ]
    if frozen:
        node.update(frozen_stages=backbone.num_layers, drop_path_rate=0.0)
    patch = backbone.patch_size
    side = round(old_side / patch) * patch
    if cfg.get("default_scope") == "mmpretrain":
        side = backbone.img_size[0]  # as in the rows of frozen features
    for part in (cfg.model, cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        _rescale(part, _SIDES, side / old_side)
    _rescale(cfg.model, ("strides", "featmap_strides"), patch / old_patch)  # of the pyramid's maps
    if "rpn_head" in cfg.model:  # anchors stay as large as they are, in pixels
        _rescale(cfg.model.rpn_head.anchor_generator, ("scales",), old_patch / patch)
    _widen(cfg.model, width, backbone.embed_dims)
    preprocessor = cfg.model.data_preprocessor
    preprocessor.update(mean=list(backbone.mean), std=list(backbone.std))
    if preprocessor.get("pad_size_divisor", patch) % patch:
        preprocessor.pad_size_divisor = 2 * patch
    path = "none" if encoder.given.startswith(RANDOM) else encoder.given
    if path != "none":
        node.init_cfg.branch = backbone.ledger.branch
    set_pretrained(cfg, path)


def set_length(cfg: Config, recipe: Length, length: Length) -> None:
    """Train so long, and validate never: what is trained meets test images in its test alone."""
    if "max_iters" in cfg.train_cfg:
        cfg.train_cfg.max_iters = length.steps
    else:
        cfg.train_cfg.max_epochs = length.passes
    cfg.param_scheduler = fitted_schedulers(cfg.param_scheduler, recipe, length)
    for hook in cfg.get("custom_hooks", []):
        if hook["type"] == "StepEMAHook":
            hook["momentum"] = ema_momentum(hook["momentum"], recipe, length)
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint.update(interval=-1)  # the last alone
    cfg.default_hooks.checkpoint.pop("save_best", None)


def _recipe_length(cfg: Config, recipe: Recipe) -> tuple[int, int]:
    batch = cfg.auto_scale_lr.base_batch_size
    if "max_iters" in cfg.train_cfg:
        steps = cfg.train_cfg.max_iters
        return max(1, round(steps * batch / recipe.images)), steps
    passes = cfg.train_cfg.max_epochs
    drop_last = cfg.train_dataloader.get("drop_last", False)
    return passes, passes * steps_of_a_pass(recipe.images, batch, drop_last)


def _scaled_lr(cfg: Config, batch_size: int) -> float:
    return float(cfg.optim_wrapper.optimizer.lr * batch_size / cfg.auto_scale_lr.base_batch_size)


def _rescale(node: Any, keys: tuple[str, ...], factor: float) -> None:
    """Multiply what the keys below a node hold."""
    for found in dicts_below(node) if factor != 1 else ():
        for key in found.keys() & keys:
            found[key] = _scaled(key, found[key], factor)


def _scaled(key: str, value: Any, factor: float) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_scaled(key, item, factor) for item in value)
    if key in _SIDES:  # whole pixels; shares, which are no integers, stay
        return round(value * factor) if isinstance(value, int) else value
    return value * factor


def _widen(model: Any, old: int, new: int) -> None:
    """The encoder's width in the place of the recipe's, wherever a part reads the encoder."""
    for found in dicts_below(model, without=("backbone",)):
        width = found.get("in_channels")
        if isinstance(width, list | tuple):
            found["in_channels"] = [new if one == old else one for one in width]
        elif width == old:
            found["in_channels"] = new
