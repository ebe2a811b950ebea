"""An encoder from any file: what it must be follows from the file."""

import hashlib
import json
import math

import pytest
import torch
from mmpretrain.registry import MODELS

import maskssl
from maskssl.checkpoints.errors import CheckpointError
from maskssl.errors import MaskSSLError
from maskssl.inference.backbone import random_like
from maskssl.models.backbones.plain_vit import PlainViT
from maskssl.models.pretrained.source import HALF_PIXELS, IMAGENET_PIXELS

ARCH = dict(embed_dims=48, num_layers=3, num_heads=3)
CFG = """
data_preprocessor = dict(mean=[1.0, 2.0, 3.0], std=[4.0, -5.5, 6.0], to_rgb=True)
model = dict(
    backbone=dict(arch=dict(embed_dims=48, num_heads=3, num_layers=3), type='PlainViT'),
    type='BootMAE')
"""


def bootmae():
    return MODELS.build(
        dict(
            type="BootMAE",
            backbone=dict(type="PlainViT", arch=ARCH, img_size=32, patch_size=8),
            neck=dict(type="TargetAwareDecoders", pixel=dict(embed_dims=16)),
            head=dict(type="BootMAEHead"),
            target_generator=dict(type="MomentumEncoder"),
        )
    )


def saved(content, tmp_path):
    torch.save(content, tmp_path / "epoch_1.pth")
    return tmp_path / "epoch_1.pth"


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 32)


@pytest.mark.parametrize("branch", ["student", "teacher"])
def test_a_pretraining_of_ours(branch, images, tmp_path):
    model = bootmae()
    torch.nn.init.normal_(model.target_generator.encoder.norm.bias)
    path = saved(dict(state_dict=model.state_dict(), meta=dict(cfg=CFG)), tmp_path)
    encoder = dict(student=model.backbone, teacher=model.target_generator.encoder)[branch]
    loaded = maskssl.load_backbone(path, branch=branch)
    torch.testing.assert_close(loaded(images)[0], encoder.eval().encode(images)[0])
    assert not loaded.training
    assert (loaded.mean, loaded.std) == ((1.0, 2.0, 3.0), (4.0, -5.5, 6.0))
    assert (loaded.img_size, loaded.patch_size, loaded.num_heads) == ((32, 32), 8, 3)
    assert loaded.pos_embed_layout == "bootmae" and loaded.with_cls_token
    assert (loaded.ledger.source, loaded.ledger.branch) == ("maskssl", branch)
    assert loaded.ledger.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert set(loaded.ledger.used) == set(loaded.state_dict())


@pytest.mark.parametrize(
    ("out_type", "shape"),
    [("tokens", (2, 17, 48)), ("cls", (2, 48)), ("avg", (2, 48)), ("featmap", (2, 48, 4, 4))],
)
def test_the_output_is_as_asked(out_type, shape, images, tmp_path):
    path = saved(dict(state_dict=bootmae().state_dict()), tmp_path)
    loaded = maskssl.load_backbone(path, out_type, num_heads=3)
    assert loaded(images)[0].shape == shape


def test_another_size_resizes_the_positions(tmp_path):
    path = saved(dict(state_dict=bootmae().state_dict()), tmp_path)
    loaded = maskssl.load_backbone(path, "featmap", img_size=(64, 48), num_heads=3)
    assert loaded.ledger.resized == {"pos_embed": "4 x 4 -> 8 x 6"}
    assert loaded.img_size == (64, 48)
    assert loaded(torch.zeros(1, 3, 64, 48))[0].shape == (1, 48, 8, 6)
    levels = maskssl.load_backbone(path, "featmap", num_heads=3, out_indices=[0, 2])
    assert len(levels(torch.zeros(1, 3, 32, 32))) == 2


def test_what_tensors_do_not_tell_is_asked_for(tmp_path):
    path = saved(dict(state_dict=bootmae().state_dict()), tmp_path)
    with pytest.raises(CheckpointError, match="3 blocks of width 48.*give num_heads"):
        maskssl.load_backbone(path)
    assert maskssl.load_backbone(path, num_heads=3).num_heads == 3


@pytest.mark.parametrize(("width", "depth", "heads"), [(96, 4, 3), (192, 12, 3), (384, 12, 6)])
def test_known_widths_tell_their_heads(width, depth, heads, tmp_path):
    arch = dict(embed_dims=width, num_layers=depth, num_heads=heads, mlp_ratio=2)
    vit = PlainViT(arch=arch, img_size=32, patch_size=16, pos_embed_layout="mae")
    loaded = maskssl.load_backbone(saved(vit.state_dict(), tmp_path))
    assert (loaded.num_heads, loaded.num_layers, loaded.embed_dims) == (heads, depth, width)
    assert loaded.pos_embed_layout == "mae"
    assert (loaded.mean, loaded.std) == (IMAGENET_PIXELS.mean, IMAGENET_PIXELS.std)
    images = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(loaded(images), vit.eval()(images))


def test_the_bootmae_release_is_normalised_as_its_authors_do(repository):
    loaded = maskssl.load_backbone(repository / "tests/data/bootmae_a.pt", num_heads=3)
    assert (loaded.mean, loaded.std) == (HALF_PIXELS.mean, HALF_PIXELS.std)


def test_extrema_has_no_cls_token_but_its_class_attention(images, tmp_path):
    options = dict(with_cls_token=False, pos_embed_layout="mae")
    attention = dict(num_layers=2, layer_scale_init=0.1)
    vit = PlainViT(
        arch=ARCH, img_size=32, patch_size=8, out_type="cls", class_attention=attention, **options
    )
    path = saved(dict(state_dict={f"backbone.{k}": v for k, v in vit.state_dict().items()}),
                 tmp_path)  # fmt: skip
    tokens = maskssl.load_backbone(path, num_heads=3)
    assert not tokens.with_cls_token and tokens(images)[0].shape == (2, 16, 48)
    assert any("class attention" in why for why in tokens.ledger.dropped.values())
    pooled = maskssl.load_backbone(path, "cls", num_heads=3)
    torch.testing.assert_close(pooled(images), vit.eval()(images))


def test_layer_scale_and_relative_positions_are_kept(images, tmp_path):
    options = dict(layer_scale_init=0.1, rel_pos_bias=True, qkv_bias=False, final_norm=False)
    vit = PlainViT(arch=ARCH, img_size=32, patch_size=8, **options)
    loaded = maskssl.load_backbone(saved(vit.state_dict(), tmp_path))  # heads by the table
    torch.testing.assert_close(loaded(images), vit.eval()(images))


def test_a_config_in_a_file_is_not_executed(tmp_path):
    target = tmp_path / "touched"
    text = f"model = open({str(target)!r}, 'w')\n"
    path = saved(dict(state_dict=bootmae().state_dict(), meta=dict(cfg=text)), tmp_path)
    with pytest.raises(CheckpointError, match="num_heads"):
        maskssl.load_backbone(path)
    assert not target.exists()


def test_what_is_no_encoder_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        maskssl.load_backbone(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="no ViT encoder is recognised"):
        maskssl.load_backbone(saved(dict(state_dict={"conv.weight": torch.ones(1)}), tmp_path))
    path = saved(dict(state_dict=bootmae().state_dict()), tmp_path)
    with pytest.raises(MaskSSLError, match="out_type='colours' is unknown"):
        maskssl.load_backbone(path, "colours", num_heads=3)


def test_heads_that_are_given_stand_instead_of_the_files_and_are_told(tmp_path):
    path = saved(dict(state_dict=bootmae().state_dict(), meta=dict(cfg=CFG)), tmp_path)
    loaded = maskssl.load_backbone(path, num_heads=4)
    assert loaded.num_heads == loaded.blocks[0].attn.num_heads == 4
    said = "num_heads=4, and the checkpoint was made with 3"
    assert loaded.ledger.accepted == [said]
    loaded = maskssl.load_backbone(path, arch=dict(ARCH, num_heads=4))
    assert loaded.num_heads == 4 and loaded.ledger.accepted == [said]
    assert not maskssl.load_backbone(path).ledger.accepted


def test_what_is_asked_for_is_taken_and_told(tmp_path):
    """A cls token that no loss has trained; another eps."""
    cfg = f"model = dict(backbone=dict(arch={ARCH!r}, out_type='avg'))"
    path = saved(dict(state_dict=bootmae().state_dict(), meta=dict(cfg=cfg)), tmp_path)
    loaded = maskssl.load_backbone(path, "cls", norm_eps=1e-3)
    assert loaded.norm_eps == loaded.norm.eps == 1e-3
    eps, pooling = loaded.ledger.accepted
    assert "norm_eps=0.001, and the checkpoint was made with 1e-06" in eps
    assert "out_type='cls', and the checkpoint was trained with the mean" in pooling


def test_random_weights_keep_all_but_the_weights(tmp_path):
    path = saved(dict(state_dict=bootmae().state_dict(), meta=dict(cfg=CFG)), tmp_path)
    loaded = maskssl.load_backbone(path, "avg", img_size=(64, 48), out_indices=[0, 1])
    state = torch.get_rng_state()
    fresh, same, other = (random_like(loaded, seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert (fresh.mean, fresh.std) == ((1.0, 2.0, 3.0), (4.0, -5.5, 6.0))
    assert fresh.img_size == (64, 48) and len(fresh.blocks) == 2 and not fresh.training
    weights = [one.blocks[0].attn.qkv.weight for one in (fresh, same, other, loaded)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2]) and not torch.equal(weights[0], weights[3])


def test_the_config_of_another_model_in_the_folder_is_refused(tmp_path):
    """As wide a model as its own is taken."""
    vit = PlainViT(arch=ARCH, img_size=32, patch_size=8)
    path = saved(vit.state_dict(), tmp_path)
    for width, heads in ((48, 4), (768, 12)):
        told = dict(hidden_size=width, num_attention_heads=heads)
        (tmp_path / "config.json").write_text(json.dumps(told))
        if width == 48:
            assert maskssl.load_backbone(path).num_heads == 4
    with pytest.raises(CheckpointError, match="48 wide, and the config .* says 768"):
        maskssl.load_backbone(path)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_of_a_run_that_diverged_are_refused(value, tmp_path):
    state = PlainViT(arch=ARCH, img_size=32, patch_size=8).state_dict()
    state["blocks.1.mlp.fc1.weight"][2, 3] = value
    with pytest.raises(CheckpointError, match=r"blocks\.1\.mlp\.fc1\.weight holds values that"):
        maskssl.load_backbone(saved(state, tmp_path), num_heads=3)


def test_one_out_index_may_be_a_number(tmp_path):
    """As mmpretrain's and timm's models take it."""
    path = saved(bootmae().state_dict(), tmp_path)
    images = torch.randn(1, 3, 32, 32)
    one, listed = (maskssl.load_backbone(path, num_heads=3, out_indices=o) for o in (-2, [1]))
    assert one.out_indices == (1,)
    torch.testing.assert_close(one(images), listed(images))
