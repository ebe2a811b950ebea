"""A config that is foreign, broken or made to harm: ignored, or a sentence, and never run."""

import json

import pytest
import timm
import torch

import maskssl
from maskssl.checkpoints.errors import CheckpointError
from maskssl.models.backbones.plain_vit import PlainViT
from maskssl.models.pretrained.told import config_beside

OPTIONS = dict(arch=dict(embed_dims=16, num_layers=2, num_heads=4), img_size=16, patch_size=8)


def encoder() -> dict[str, torch.Tensor]:
    return PlainViT(**OPTIONS).state_dict()


@pytest.mark.parametrize(
    "text",
    [
        "model: {backbone: vit}",
        "model = dict(",
        "\0",
        "model = 3",
        "model = ['backbone']",
        "model = dict(backbone='vit', data_preprocessor=3)",
        "model = dict(backbone=dict(norm_eps=None), data_preprocessor=dict(mean=None, std=None))",
        "model = " + "[" * 100_000,
        "model = " + "-" * 5_000 + "1",
        "model = {[]: 1}",
    ],
    ids=lambda text: text[:20].encode("unicode_escape").decode(),
)
def test_a_config_in_a_file_that_says_nothing_is_ignored(text, tmp_path):
    torch.save(dict(state_dict=encoder(), meta=dict(cfg=text)), tmp_path / "a.pth")
    backbone = maskssl.load_backbone(tmp_path / "a.pth", num_heads=4)
    assert backbone.ledger.assumed["norm_eps"] == "1e-06, as plain ViT"


@pytest.mark.parametrize("meta", [None, 3, [1], "cfg", dict(cfg=3), dict(cfg=None)], ids=str)
def test_metadata_of_any_kind_is_ignored(meta, tmp_path):
    torch.save(dict(state_dict=encoder(), meta=meta), tmp_path / "a.pth")
    assert maskssl.load_backbone(tmp_path / "a.pth", num_heads=4).num_heads == 4


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("backbone=dict(norm_eps='tiny')", "backbone.norm_eps='tiny', which should be a number"),
        ("backbone=dict(norm_eps=0)", "backbone.norm_eps=0, which should be a number above 0"),
        ("backbone=dict(img_size=[1, 2, 3])", r"backbone.img_size=\[1, 2, 3\], which should be a"),
        ("backbone=dict(arch=dict(num_heads=0))", "backbone.arch={'num_heads': 0}, which sh"),
        ("backbone=dict(arch=dict(num_heads='4'))", "backbone.arch={'num_heads': '4'}, which sh"),
        ("backbone=dict(pos_resize='cubic')", "backbone.pos_resize='cubic', which should be one"),
        ("data_preprocessor=dict(mean=[1.0], std='x')", "data_preprocessor.std='x', which should"),
    ],
)
def test_a_value_of_another_kind_is_a_sentence(told, said, tmp_path):
    content = dict(state_dict=encoder(), meta=dict(cfg=f"model = dict({told})"))
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=rf"the config in .*a\.pth says {said}"):
        maskssl.load_backbone(tmp_path / "a.pth", num_heads=4)


@pytest.mark.parametrize(
    ("name", "told", "said"),
    [
        ("config.json", dict(layer_norm_eps="x"), "backbone.norm_eps='x'"),
        ("config.json", dict(num_attention_heads=[4]), r"backbone.arch={'num_heads': \[4\]}"),
        ("config.json", dict(rope_parameters=3, rope_theta="x"), "backbone.rotary_base='x'"),
        ("preprocessor_config.json", dict(image_mean=0.5, image_std=[1]), "data_preprocessor.mean"),
    ],
)
def test_so_it_is_beside_the_weights(name, told, said, tmp_path):
    torch.save(encoder(), tmp_path / "pytorch_model.bin")
    (tmp_path / name).write_text(json.dumps(told))
    with pytest.raises(CheckpointError, match=f"the config beside .*pytorch_model.bin says {said}"):
        maskssl.load_backbone(tmp_path, num_heads=4)


def test_rotary_positions_and_image_size_are_told_beside_the_weights(tmp_path):
    told = dict(rope_parameters=dict(rope_theta=50.0), image_size=[32, 64])
    (tmp_path / "config.json").write_text(json.dumps(told))
    backbone = config_beside(tmp_path / "pytorch_model.bin")["backbone"]
    assert backbone == dict(rotary_base=50.0, img_size=[32, 64])


@pytest.mark.parametrize("text", ["[1]", "3", '{"pretrained_cfg": 3, "hidden_act": "gelu"}'])
def test_a_json_of_another_kind_says_nothing(text, tmp_path):
    torch.save(encoder(), tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(text)
    assert maskssl.load_backbone(tmp_path, num_heads=4).norm_eps == 1e-6


def test_a_preprocessors_own_file_counts_more_than_timms_config(tmp_path):
    pictures = dict(image_mean=[0.5, 0.5, 0.5], image_std=[0.25, 0.25, 0.25])
    theirs = dict(mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6])
    (tmp_path / "config.json").write_text(json.dumps(dict(pretrained_cfg=theirs)))
    found = config_beside(tmp_path / "a.bin")["data_preprocessor"]
    assert found == dict(mean=[25.5, 51.0, 76.5], std=[102.0, 127.5, 153.0])
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(pictures))
    found = config_beside(tmp_path / "a.bin")["data_preprocessor"]
    assert found == dict(mean=[127.5] * 3, std=[63.75] * 3)
    (tmp_path / "config.json").unlink()
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(dict(image_mean=[0.5] * 3)))
    assert "data_preprocessor" not in config_beside(tmp_path / "a.bin")


@pytest.mark.parametrize(
    ("name", "refused"),
    [("vit_base_patch32_siglip_gap_256", True), ("vit_tiny_patch16_224", False),
     ("VisionTransformer", False), ("resnet18", False)],
)  # fmt: skip
def test_an_architecture_of_timm_with_another_activation_is_refused(name, refused, tmp_path):
    """Its config.json names the architecture alone; SigLIP's GELU is the one by tanh."""
    torch.save(encoder(), tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps(dict(architecture=name)))
    assert timm.is_model(name) == (name != "VisionTransformer")
    if refused:
        with pytest.raises(CheckpointError, match=f"{name}', whose MLPs compute GELUTanh"):
            maskssl.load_backbone(tmp_path, num_heads=4)
    else:
        assert maskssl.load_backbone(tmp_path, num_heads=4).num_heads == 4
