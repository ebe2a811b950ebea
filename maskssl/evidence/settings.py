"""What is pretrained: a table of settings, each a shipped config and options over it.

All of them see the same pictures through the same small encoder, the quickstart's ViT of 4 blocks
and width 96, and take about as long: what a step costs less, it makes more of. An ablation sees as
many pictures as what it is an ablation of.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .sets import DENSE, SETS

RANDOM = "random"
SIZE, PATCH = 64, 8  # of pictures and patches in pixels
_BOOTMAE = "pretrain/bootmae_vit-small-p8_1xb512-amp-coslr-60e_tiny-imagenet.py"
_EXTREMA = "pretrain/extrema_vit-small-p8_1xb512-amp-coslr-60e_tiny-imagenet.py"
PIPELINE = "train_dataloader.dataset.pipeline"
ON_DEVICE = "train_dataloader.dataset.augment_on_device"


@dataclass(frozen=True)
class Setting:
    """One pretraining.

    Attributes:
        name: on the command line and in file names.
        title: in tables.
        config: its name below configs/.
        options: dotted key -> value over the config.
        seen: pictures in all, repeated ones counted again.
        pictures: name of the set whose training pictures it sees.
        crop: shares of a picture's area that crops take.
        against: names of the settings that it is compared with in the text.
        trained: whether the table of trained rows has it.
        seconds: planned for it, of one of two busy cores; of a GPU for ``SMALL``.
    """

    name: str
    title: str
    config: str
    options: Mapping[str, Any]
    seen: int
    pictures: str = "tiny_imagenet"
    crop: tuple[float, float] = (0.2, 1.0)
    against: tuple[str, ...] = (RANDOM,)
    trained: bool = False
    seconds: float = 600.0


def plain(interpolation: str) -> list[dict[str, Any]]:
    """One view without colours, and no mask: crop and flip alone."""
    crop = dict(type="RandomResizedCrop", scale=SIZE, backend="pillow")
    crop["interpolation"] = interpolation
    flip = dict(type="RandomFlip", prob=0.5)
    return [dict(type="LoadImage"), crop, flip, dict(type="PackInputs")]


_SMALL_BOOTMAE = {
    "model.backbone.arch": "mini",
    "model.neck.num_layers": 1,
    "model.neck.pixel.embed_dims": 48,
    # pixels lead: within some thousand small steps the teacher has little to tell
    "model.head.feature_weight": 0.1,
    "train_dataloader.batch_size": 32,
    "auto_scale_lr.base_batch_size": 32,
    "optim_wrapper.optimizer.lr": 2e-3,
}
_SMALL_EXTREMA = {
    "model.backbone.arch": "mini",
    "model.neck.hidden_channels": 256,
    "model.neck.out_channels": 64,
    "model.head.predictor.hidden_channels": 256,
    "model.head.loss": "byol",
    "model.head.temperature": 1.0,
    "train_dataloader.batch_size": 32,
    "auto_scale_lr.base_batch_size": 32,
    "optim_wrapper.optimizer.lr": 2e-3,
}
INFONCE = {"model.head.loss": "infonce", "model.head.temperature": 0.2}
_BATCH = dict(type="BN1d", track_running_stats=False)
HEAD_NORMS = {"model.neck.norm_cfg": _BATCH, "model.head.predictor.norm_cfg": _BATCH}
# no channel of projections, hence of keys, can be the same for all pictures of a batch
KEY_NORM = {"model.neck.last_norm_cfg": dict(_BATCH, affine=False)}
# mmpretrain's classes, with an encoder and a decoder of BootMAE's sizes
_MAE = {
    "model": dict(
        _delete_=True,
        type="MAE",
        data_preprocessor=dict(
            type="SelfSupDataPreprocessor", mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True
        ),
        backbone=dict(
            type="MAEViT",
            arch=dict(embed_dims=96, num_layers=4, num_heads=3, feedforward_channels=384),
            img_size=SIZE,
            patch_size=PATCH,
            mask_ratio=0.75,
        ),
        neck=dict(
            type="MAEPretrainDecoder",
            num_patches=(SIZE // PATCH) ** 2,
            patch_size=PATCH,
            embed_dim=96,
            decoder_embed_dim=48,
            decoder_depth=1,
            decoder_num_heads=3,
        ),
        head=dict(
            type="MAEPretrainHead",
            norm_pix=True,
            patch_size=PATCH,
            loss=dict(type="PixelReconstructionLoss", criterion="L2"),
        ),
    ),
    "custom_hooks": [],
    PIPELINE: plain("bicubic"),
    **{key: value for key, value in _SMALL_BOOTMAE.items() if not key.startswith("model.")},
}

# ViT-S for minutes of one GPU, side by side: the configs, but for 40 passes of 25,000 pictures
_FED = {"train_dataloader.num_workers": 6}  # each of two
SMALL: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting("bootmae-small", "BootMAE, ViT-S", _BOOTMAE, _FED, 1_000_000, seconds=200.0),
        Setting(
            "extrema-small",
            "ExtreMA, InfoNCE, ViT-S",
            _EXTREMA,
            {**_FED, ON_DEVICE: True},
            1_000_000,
            seconds=200.0,
        ),
    )
}
BOOTMAE = Setting("bootmae", "BootMAE", _BOOTMAE, _SMALL_BOOTMAE, 75_000, trained=True)
PUBLISHED = Setting(
    "extrema-published", "ExtreMA, BYOL, LayerNorm in its heads", _EXTREMA, _SMALL_EXTREMA, 50_000
)
# what BYOL needs at this scale by byol_study.py: norms over the batch
EXTREMA = replace(
    PUBLISHED,
    name="extrema",
    title="ExtreMA, BYOL, 80 % x 5",
    options={**PUBLISHED.options, **HEAD_NORMS, **KEY_NORM},
)


def _ablation(
    of: Setting, name: str, title: str, changes: Mapping[str, Any], **more: Any
) -> Setting:
    against = (RANDOM, of.name)
    options = {**of.options, **changes}
    return replace(of, name=name, title=title, options=options, against=against, **more)


SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        BOOTMAE,
        _ablation(
            BOOTMAE,
            "bootmae-pixels",
            "BootMAE without the feature target",
            {"model.head.feature_weight": 0.0},
            trained=False,
        ),
        _ablation(
            BOOTMAE,
            "bootmae-uniform",
            "BootMAE with uniform weights",
            {"model.head.weight_mask": False},
            trained=False,
        ),
        EXTREMA,
        _ablation(
            EXTREMA,
            "extrema-no-colour",
            "ExtreMA, BYOL, 80 % x 5, without colours",
            {PIPELINE: plain("bilinear")},
        ),
        _ablation(
            EXTREMA,
            "extrema-90x8",
            "ExtreMA, BYOL, 90 % x 8",
            {"model.mask_ratio": 0.9, "model.num_masks": 8},
        ),
        replace(PUBLISHED, against=(RANDOM, EXTREMA.name)),
        _ablation(
            PUBLISHED, "extrema-infonce", "ExtreMA, InfoNCE, 80 % x 5", INFONCE, trained=True
        ),
        Setting(
            "mae",
            "MAE of mmpretrain",
            _BOOTMAE,
            _MAE,
            125_000,
            against=(RANDOM, BOOTMAE.name),
            trained=True,
        ),
    )
}

_TIMES = 4


def _longer(setting: Setting) -> Setting:
    """What stands still within the first table's pictures, with more of them."""
    return replace(
        setting,
        name=f"{setting.name}-long",
        title=f"{setting.title}, {_TIMES} times as long",
        seen=_TIMES * setting.seen,
        seconds=_TIMES * setting.seconds,
        against=(RANDOM, setting.name),
        trained=False,
    )


# the losses of ExtreMA, at two lengths
LENGTHS: dict[str, Setting] = {
    setting.name: setting
    for short in (EXTREMA, SETTINGS["extrema-infonce"])
    for setting in (short, _longer(short))
}


def settings_on(pictures: str) -> dict[str, Setting]:
    """The trained ones, pretrained on a dense set's own training pictures; half as many seen."""
    title = SETS[pictures].title
    return {
        f"{name}-{pictures}": replace(
            setting,
            name=f"{name}-{pictures}",
            title=f"{setting.title}, on {title}",
            crop=(0.05, 0.5),  # about the scale at which the set is learnt
            seen=setting.seen // 2,
            seconds=setting.seconds / 2,
            pictures=pictures,
            against=(RANDOM, name),
        )
        for name, setting in SETTINGS.items()
        if setting.trained
    }


OWN: dict[str, Setting] = {
    name: setting for pictures in DENSE for name, setting in settings_on(pictures).items()
}
