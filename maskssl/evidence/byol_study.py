"""Why BYOL stands still at this scale: one change at a time, and those that should add up.

Each is ExtreMA's setting but for what its title says. They are short, and all of them are judged by
kNN and a linear probe on training pictures that are held out.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..cli.config import load_config
from .settings import (
    HEAD_NORMS,
    INFONCE,
    KEY_NORM,
    PIPELINE,
    PUBLISHED,
    RANDOM,
    SIZE,
    Setting,
    plain,
)

PICTURES = "tiny_imagenet_held_out"
SEEN = 15_000

_STRONG = [
    dict(type="torchvision/ColorJitter", brightness=0.8, contrast=0.8, saturation=0.8, hue=0.5),
    dict(type="torchvision/RandomGrayscale", p=0.4),
]
_START = "model.target_generator.schedule.start"
_LR = "optim_wrapper.optimizer.lr"


def _published() -> list[dict[str, Any]]:
    """The colours of a view in ExtreMA's config."""
    pipeline = load_config(PUBLISHED.config).train_dataloader.dataset.pipeline
    (views,) = (step for step in pipeline if step.type == "MultiView")
    return [step for step in views.transforms[0] if step.type != "PILToNumpy"]


COLOURS = _published()


def _views(*changes: dict[str, Any], whole: bool = False) -> dict[str, Any]:
    """Two views by these changes of one crop, or of the whole picture, from file to batch."""
    crop = dict(type="RandomResizedCrop", scale=SIZE, backend="pillow", interpolation="bilinear")
    flip = dict(type="RandomFlip", prob=0.5)
    own = [dict(crop, crop_ratio_range=(0.2, 1.0)), flip] if whole else []
    view = [*own, dict(type="NumpyToPIL", to_rgb=True), *changes]
    view.append(dict(type="PILToNumpy", to_bgr=True))
    views = dict(type="MultiView", num_views=2, transforms=[view])
    shared = [] if whole else [flip]
    return {
        PIPELINE: [dict(type="LoadImage"), crop, *shared, views, dict(type="PackInputs")],
    }


def _variant(
    name: str,
    title: str,
    options: Mapping[str, Any],
    crop: tuple[float, float] = PUBLISHED.crop,
) -> Setting:
    return replace(
        PUBLISHED,
        name=name,
        title=title,
        options={**PUBLISHED.options, **options},
        seen=SEEN,
        seconds=200.0,
        pictures=PICTURES,
        crop=crop,
        against=(RANDOM, "byol"),
    )


_BOTH_NORMS = {**HEAD_NORMS, **KEY_NORM}
STUDY: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        _variant("byol", "BYOL as published: 80 % x 5, LayerNorm", {}),
        _variant("byol-published-momentum", "momentum from 0.996", {_START: 0.996}),
        _variant("byol-fast-teacher", "momentum from 0.9", {_START: 0.9}),
        _variant("byol-low-lr", "a quarter of the learning rate", {_LR: 5e-4}),
        _variant("byol-batch-128", "batches of 128", {"train_dataloader.batch_size": 128}),
        _variant("byol-1-mask", "one mask of 80 %", {"model.num_masks": 1}),
        _variant(
            "byol-2-masks", "two masks of 50 %", {"model.num_masks": 2, "model.mask_ratio": 0.5}
        ),
        _variant("byol-strong-colours", "any hue at any brightness", _views(*_STRONG)),
        _variant(
            "byol-own-crops",
            "the same, and a crop of its own for each view",
            _views(*_STRONG, whole=True),
            crop=(1.0, 1.0),
        ),
        _variant("byol-batch-norm", "BatchNorm in projector and predictor", HEAD_NORMS),
        _variant("byol-target-norm", "BatchNorm behind the projector", KEY_NORM),
        _variant("byol-both-norms", "BatchNorm in both places", _BOTH_NORMS),
        _variant(
            "byol-both-norms-strong",
            "BatchNorm in both places, any hue at any brightness",
            {**_BOTH_NORMS, **_views(*_STRONG)},
        ),
        _variant("byol-no-colour", "no colours", {PIPELINE: plain("bilinear")}),
        _variant(
            "byol-both-norms-no-colour",
            "BatchNorm in both places, no colours",
            {**_BOTH_NORMS, PIPELINE: plain("bilinear")},
        ),
        _variant(
            "infonce-no-colour",
            "InfoNCE, no colours",
            {**INFONCE, PIPELINE: plain("bilinear")},
        ),
        _variant(
            "byol-both-norms-crops",
            "BatchNorm in both places, a crop of its own for each view",
            {**_BOTH_NORMS, **_views(*COLOURS, whole=True)},
            crop=(1.0, 1.0),
        ),
        _variant(
            "byol-both-norms-crops-alone",
            "the same without colours",
            {**_BOTH_NORMS, **_views(whole=True)},
            crop=(1.0, 1.0),
        ),
        _variant(
            "byol-both-norms-crops-2-masks",
            "BatchNorm in both places, own crops, two masks of 50 %",
            {
                **_BOTH_NORMS,
                **_views(*COLOURS, whole=True),
                "model.num_masks": 2,
                "model.mask_ratio": 0.5,
            },
            crop=(1.0, 1.0),
        ),
        _variant(
            "infonce-crops",
            "InfoNCE, a crop of its own for each view",
            {**INFONCE, **_views(*COLOURS, whole=True)},
            crop=(1.0, 1.0),
        ),
        _variant("infonce", "InfoNCE at temperature 0.2", INFONCE),
        _variant(
            "infonce-strong", "InfoNCE, any hue at any brightness", {**INFONCE, **_views(*_STRONG)}
        ),
    )
}
