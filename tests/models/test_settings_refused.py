"""Settings that would train nothing, or fail within a run, are refused when it is built."""

import copy

import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from maskssl.errors import MaskSSLError

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2)
ENCODER = dict(type="PlainViT", arch=ARCH, img_size=32, patch_size=8)
BOOTMAE = dict(
    type="BootMAE",
    backbone=ENCODER,
    neck=dict(type="TargetAwareDecoders", pixel=dict(embed_dims=12)),
    head=dict(type="BootMAEHead"),
    target_generator=dict(type="MomentumEncoder"),
)
MLP = dict(type="ProjectionMLP", hidden_channels=24, out_channels=8)
EXTREMA = dict(
    type="ExtreMA",
    backbone=dict(
        ENCODER, with_cls_token=False, class_attention=dict(num_layers=1), out_type="cls"
    ),
    neck=MLP,
    head=dict(type="ExtreMAHead", predictor=dict(MLP, num_layers=2)),
    target_generator=dict(type="MomentumProjector", schedule=dict(type="cosine")),
)


def build(cfg, place="", **options):
    """A model with options of one of its parts, named by dots."""
    cfg = copy.deepcopy(cfg)
    part = cfg
    for key in filter(None, place.split(".")):
        part = part[key]
    part.update(options)
    return MODELS.build(cfg)


@pytest.mark.parametrize(
    ("cfg", "place", "options", "message"),
    [
        (ENCODER, "arch", dict(num_layers=0), "num_layers=0 leaves arch without a layer"),
        (ENCODER, "arch", dict(num_heads=3), "embed_dims=16, which num_heads=3 does not divide"),
        (ENCODER, "arch", dict(num_heads=32), "which num_heads=32 does not divide"),
        (ENCODER, "arch", dict(num_heads=0), "which num_heads=0 does not divide"),
        (ENCODER, "", dict(drop_path_rate=1.5), "drop_path_rate=1.5 is no share"),
        (ENCODER, "", dict(class_attention={}), "class attention brings a cls token"),
        (EXTREMA, "backbone.class_attention", dict(num_layers=0), "leaves class attention without"),
        (EXTREMA, "backbone", dict(out_indices=[0, 1]), r"out_indices=\(0, 1\) asks for several"),
        (EXTREMA, "neck", dict(num_layers=0), "num_layers=0 leaves the MLP without"),
        (EXTREMA, "target_generator.schedule", dict(end=1.2), "end=1.2; a momentum lies between 0"),
        (BOOTMAE, "target_generator", dict(schedule=dict(start=99)), "start=99; a momentum lies"),
        (BOOTMAE, "neck.pixel", dict(num_layers=0), "num_layers=0 leaves a decoder without"),
        (BOOTMAE, "head", dict(feature_weight=-1), "feature_weight=-1 is negative"),
        (BOOTMAE, "", dict(max_rotation=-1), "max_rotation=-1 is negative"),
        (BOOTMAE, "", dict(mask_num=16), "mask_num=16 leaves no choice among 16 patches"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(cfg, place, options, message):
    build(cfg)
    with pytest.raises(MaskSSLError, match=message):
        build(cfg, place, **options)


def test_a_head_without_a_predictor_is_refused():
    with pytest.raises(MaskSSLError, match="has no predictor; give head=dict"):
        build(EXTREMA, head=dict(type="ExtreMAHead"))


def test_the_only_number_of_masks_that_leaves_nothing_is_named():
    with pytest.raises(MaskSSLError, match="mask_num=2 leaves no choice among 2 patches"):
        build(BOOTMAE, backbone=dict(ENCODER, img_size=(8, 16)))


def test_no_feature_decoder_means_no_teacher():
    model = build(BOOTMAE, "neck", feature=None)
    ids = torch.rand(2, 16).argsort(dim=1)
    assert not model.with_features
    assert set(model.loss(torch.randn(2, 3, 32, 32), ids_shuffle=ids)) == {"loss_pixel"}


@pytest.mark.parametrize("count", [1, 3])
def test_each_image_has_its_own_mask(count):
    """One mask for two images trained on the first alone."""
    model, images = build(BOOTMAE), torch.randn(2, 3, 32, 32)
    ids = torch.rand(count, 16).argsort(dim=1)
    with pytest.raises(MaskSSLError, match=f"{count} masks came for 2 images"):
        model.loss(images, ids_shuffle=ids)
    sample = DataSample()
    sample.set_field(torch.ones(4, 4, dtype=torch.bool), "mask")
    with pytest.raises(MaskSSLError, match=f"{count} masks came for 2 images"):
        model.loss(images, [sample] * count)
