"""What a load that cannot be says to do, and what it says of what it assumed."""

import pytest
import torch

from maskssl.checkpoints.errors import CheckpointError
from maskssl.inference.backbone import load_backbone
from maskssl.models.backbones.plain_vit import PlainViT
from maskssl.models.pretrained.loading import load_pretrained

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2)
POOLED = dict(with_cls_token=False, class_attention=dict(num_layers=2), out_type="cls")


def build(**options) -> PlainViT:
    torch.manual_seed(0)
    return PlainViT(**dict(arch=ARCH, img_size=32, patch_size=8) | options)


def write(folder, state, **cfg):
    """A runner's checkpoint of an encoder."""
    content = {f"backbone.{name}": value for name, value in state.items()}
    text = f"model = dict(backbone={cfg.pop('backbone', {})!r}, {''.join(cfg.values())})"
    path = folder / "checkpoint.pth"
    torch.save(dict(state_dict=content, meta=dict(cfg=text)), path)
    return str(path)


@pytest.mark.parametrize(
    ("saved", "built", "said"),
    [
        ({}, dict(qkv_bias=False), "has no place in the backbone; set qkv_bias=True"),
        (dict(qkv_bias=False), {}, "attn.qkv.bias is not in the checkpoint; set qkv_bias=False"),
        (dict(final_norm=False), {}, "norm.weight is not in the checkpoint; set final_norm=False"),
        (
            POOLED,
            POOLED | dict(class_attention=dict(num_layers=1)),
            "set class_attention=dict",
        ),
    ],
)
def test_the_setting_that_differs_is_named(saved, built, said, tmp_path):
    path = write(tmp_path, build(**saved).state_dict())
    with pytest.raises(CheckpointError, match=said):
        load_pretrained(build(**built), path)


def test_a_name_like_that_of_a_block_is_listed(tmp_path):
    path = write(tmp_path, build().state_dict() | {"blocks.norm.weight": torch.ones(16)})
    for load in (lambda: load_pretrained(build(), path), lambda: load_backbone(path, num_heads=2)):
        with pytest.raises(CheckpointError, match=r"blocks\.norm\.weight .* has no place"):
            load()


def test_a_file_without_half_a_block_is_no_encoder(tmp_path):
    state = build().state_dict()
    state = {name: value for name, value in state.items() if "blocks.0.mlp.fc2" not in name}
    with pytest.raises(CheckpointError, match="no patch embedding or no blocks"):
        load_backbone(write(tmp_path, state), num_heads=2)


def test_rotary_positions_are_those_that_the_files_config_tells(tmp_path):
    state = build(rotary_base=50, pos_embed_layout=None).state_dict()
    state.pop("rotary.periods")
    told = dict(arch=ARCH, rotary_base=50, pos_embed_layout=None)
    path = write(tmp_path, state, backbone=told)
    same = build(rotary_base=50, pos_embed_layout=None)
    load_pretrained(same, path)
    assert "of base 50" in same.ledger.fresh["rotary.periods"]
    with pytest.raises(CheckpointError, match=r"rotary\.periods is not .*set rotary_base=50"):
        load_pretrained(build(rotary_base=100, pos_embed_layout=None), path)


def test_half_a_normalisation_is_none_of_the_files(tmp_path):
    pixels = "data_preprocessor=dict(mean=[1.0, 2.0, 3.0])"
    path = write(tmp_path, build().state_dict(), backbone=dict(arch=ARCH), pixels=pixels)
    assert "the file's config" not in load_backbone(path).ledger.assumed["mean and std"]


def test_the_norm_of_a_pooled_token_over_patches_is_told(tmp_path):
    """ExtreMA's final norm has seen the class attention's token alone."""
    path = write(tmp_path, build(**POOLED).state_dict(), backbone=dict(arch=ARCH))
    assert "final norm was trained" in " ".join(load_backbone(path, out_type="avg").ledger.notes)
    assert "final norm" not in " ".join(load_backbone(path, out_type="cls").ledger.notes)
    assert not load_backbone(path, out_type="avg", final_norm=False).ledger.notes
