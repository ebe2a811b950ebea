"""ExtreMA's weights downstream: which branch, what is dropped by name, what is refused."""

from pathlib import Path

import pytest
import torch
from mmpretrain.registry import MODELS

from maskssl.checkpoints.errors import CheckpointError
from maskssl.models.backbones.plain_vit import PlainViT
from maskssl.models.pretrained.loading import load_pretrained
from tests.models.test_extrema import build as extrema
from tests.models.test_extrema import perturb

RELEASE = Path(__file__).parents[2] / "data" / "extrema_a.pt"
POOLING = dict(num_layers=2, layer_scale_init=0.1)
SETTINGS = dict(
    arch=dict(embed_dims=48, num_layers=3, num_heads=3),
    with_cls_token=False,
    pos_embed_layout="mae",
)
SMALL = dict(
    SETTINGS, arch=dict(embed_dims=16, num_layers=2, num_heads=2), img_size=32, patch_size=8
)


@pytest.fixture(scope="module")
def reference():
    return torch.load(RELEASE, weights_only=True)


@pytest.fixture
def release(reference, tmp_path):
    path = tmp_path / "release.pth"
    state = {f"module.{name}": value for name, value in reference["state_dict"].items()}
    torch.save(dict(state_dict=state, epoch=300, arch="vit_base"), path)
    return path


@pytest.fixture
def ours(tmp_path):
    model = extrema()
    perturb(model.target_generator)
    path = tmp_path / "ours.pth"
    torch.save(dict(state_dict=model.state_dict()), path)
    return model, path


@pytest.mark.parametrize("branch", ["student", "teacher"])
def test_a_patch_encoder_from_the_release(branch, release, reference):
    backbone = PlainViT(**SETTINGS, final_norm=False)
    ledger = load_pretrained(backbone, release, branch)
    prefix = dict(student="base_encoder.", teacher="momentum_encoder.")[branch]
    for name, value in backbone.state_dict().items():
        torch.testing.assert_close(value, reference["state_dict"][prefix + name], rtol=0, atol=0)
    said = str(ledger)
    assert f"ExtreMA release, {branch}" in said
    assert "class attention, class_attention=None" in said
    assert "projector of the pretraining" in said
    dropped = {name.split(".")[0] for name in ledger.dropped}
    assert dropped == {"class_attention", "head", "norm"}
    assert not ledger.fresh and not ledger.resized


def test_the_published_probe_feature_from_the_release(release, reference):
    """The figure was taken after the momentum encoder's update: load it back from ours."""
    model_state = dict(reference["state_dict"])
    for name, value in reference["momentum_after"].items():
        key = name if name.startswith("momentum_encoder.") else f"momentum_encoder.{name}"
        model_state[key] = value
    torch.save(dict(state_dict=model_state), release)
    backbone = PlainViT(**SETTINGS, class_attention=POOLING, out_type="cls", final_norm=False)
    ledger = load_pretrained(backbone, release, "teacher")
    assert not any(name.startswith("class_attention") for name in ledger.dropped)
    with torch.no_grad():
        feature = backbone.eval()(reference["x1"].float())[-1]
    torch.testing.assert_close(feature, reference["probe_feature"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("branch", ["student", "teacher"])
def test_a_pretraining_checkpoint_of_ours(branch, ours):
    model, path = ours
    expected = dict(student=model.backbone, teacher=model.target_generator.encoder)[branch]
    pooled = PlainViT(**SMALL, class_attention=POOLING, out_type="cls")
    load_pretrained(pooled, path, branch)
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(pooled.state_dict()[name], value, rtol=0, atol=0)

    patches = PlainViT(**SMALL, out_type="featmap", final_norm=False)
    ledger = load_pretrained(patches, path, branch)
    assert "class attention, class_attention=None" in str(ledger)
    assert not any("class_attention" in name for name in patches.state_dict())


def test_a_cls_token_asked_of_extrema_is_refused(ours):
    settings = dict(SMALL, with_cls_token=True)
    with pytest.raises(CheckpointError, match="as ExtreMA's; set with_cls_token=False"):
        load_pretrained(PlainViT(**settings), ours[1])


def test_none_asked_of_bootmae_is_refused(tmp_path):
    model = MODELS.build(
        dict(
            type="BootMAE",
            backbone=dict(type="PlainViT", **dict(SMALL, with_cls_token=True)),
            neck=dict(type="TargetAwareDecoders", pixel=dict(embed_dims=16)),
            head=dict(type="BootMAEHead"),
            target_generator=dict(type="MomentumEncoder"),
        )
    )
    torch.save(dict(state_dict=model.state_dict()), tmp_path / "bootmae.pth")
    with pytest.raises(CheckpointError, match="as BootMAE's; set with_cls_token=True"):
        load_pretrained(PlainViT(**SMALL), tmp_path / "bootmae.pth")
    pooled = PlainViT(**SMALL, class_attention=POOLING, out_type="cls")
    with pytest.raises(CheckpointError, match=r"has no class attention of this size"):
        load_pretrained(pooled, tmp_path / "bootmae.pth")


def test_another_number_of_class_attention_layers_is_refused(ours):
    for layers, said in (
        (1, "has no place in the backbone"),
        (3, "no class attention of this size"),
    ):
        pooling = dict(POOLING, num_layers=layers)
        pooled = PlainViT(**SMALL, class_attention=pooling, out_type="cls")
        with pytest.raises(CheckpointError, match=said):
            load_pretrained(pooled, ours[1])


def test_frozen_stages_freeze_the_class_attention_too():
    backbone = PlainViT(**SMALL, class_attention=POOLING, out_type="cls", frozen_stages=2)
    assert not any(p.requires_grad for p in backbone.parameters())
    assert not backbone.train().class_attention.training
    partly = PlainViT(**SMALL, class_attention=POOLING, out_type="cls", frozen_stages=1)
    assert all(p.requires_grad for p in partly.class_attention.parameters())


def test_the_class_attention_learns_at_the_full_rate_and_its_token_is_not_decayed():
    from maskssl.engine.optimizers.layer_decay import LayerDecayOptimWrapperConstructor

    model = extrema()
    wrapper = LayerDecayOptimWrapperConstructor(
        dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=1.0, weight_decay=0.1)),
        dict(layer_decay_rate=0.5),
    )(model)
    found = wrapper.optimizer.param_groups
    groups = {name: group for group in found for name in group["param_names"]}
    token = groups["backbone.class_attention.cls_token"]
    assert (token["lr_scale"], token["weight_decay"]) == (1.0, 0.0)
    query = groups["backbone.class_attention.blocks.0.attn.q.weight"]
    assert (query["lr_scale"], query["weight_decay"]) == (1.0, 0.1)
    assert groups["backbone.class_attention.blocks.0.gamma_1"]["weight_decay"] == 0.0
    assert groups["backbone.blocks.1.attn.qkv.weight"]["lr_scale"] == 0.5
    assert groups["head.predictor.layers.0.weight"]["lr_scale"] == 1.0
