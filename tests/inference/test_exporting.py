"""Backbones out: every kind to every library that can express it, loaded back by that library."""

import importlib.util
import json
import math

import pytest
import torch
from safetensors import safe_open

import maskssl
from maskssl.errors import MaskSSLError
from maskssl.inference.exporting.export import TARGETS, export_backbone
from maskssl.models.backbones.plain_vit import PlainViT
from tests.models.pretrained.cases import filled

ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, mlp_ratio=2.0)
KINDS = {
    "plain": dict(),
    "without cls": dict(with_cls_token=False),
    "scaled": dict(layer_scale_init=1.0, pos_resize="antialiased"),
    "offset": dict(pos_resize="offset"),
    "registers": dict(layer_scale_init=1.0, num_registers=3),
    "gated": dict(layer_scale_init=1.0, swiglu=True, arch=dict(ARCH, mlp_ratio=128 / 24)),
    "relative": dict(rel_pos_bias=True, pos_embed_layout=None),
    "rotary": dict(
        rotary_base=100.0, pos_embed_layout=None, num_registers=3, layer_scale_init=1.0,
        norm_eps=1e-5,
    ),
    "rotary, gated": dict(
        rotary_base=100.0, pos_embed_layout=None, num_registers=3, layer_scale_init=1.0,
        swiglu=True, arch=dict(ARCH, mlp_ratio=128 / 24),
    ),
}  # fmt: skip
CANNOT = {
    "mmpretrain": {"scaled", "offset", "registers", "gated", "relative", "rotary", "rotary, gated"},
    "huggingface": {"without cls", "relative"},
}


def backbone(kind, folder):
    options = dict(arch=ARCH, img_size=16, patch_size=4) | KINDS[kind]
    model = PlainViT(**options)
    periods = None if model.rotary is None else model.rotary.periods.clone()
    filled(model)
    with torch.no_grad():
        for block in model.blocks:  # as all released rotary ones have it
            block.attn.qkv.bias[24:48] = 0
        if periods is not None:
            model.rotary.periods.copy_(periods)
    settings = {
        name: options[name] for name in ("pos_resize", "rotary_base", "norm_eps") if name in options
    }
    told = dict(backbone=dict(arch=dict(num_heads=2), **settings))
    state = {f"backbone.{name}": value for name, value in model.state_dict().items()}
    torch.save(dict(state_dict=state, meta=dict(cfg=f"model = {told!r}")), folder / "ours.pth")
    return maskssl.load_backbone(folder / "ours.pth")


def missing(target):
    return [name for name in TARGETS[target].packages if importlib.util.find_spec(name) is None]


@pytest.mark.parametrize("to", TARGETS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_to_each_library(kind, to, tmp_path):
    if missing(to):
        pytest.skip(f"{missing(to)} is not installed")
    model, out = backbone(kind, tmp_path), tmp_path / "out"
    if kind in CANNOT.get(to, ()):
        with pytest.raises(MaskSSLError, match="cannot express this backbone: it has"):
            export_backbone(model, to, out)
        assert not list(out.iterdir())
        return
    assert export_backbone(model, to, out) < 1e-5
    if to in ("mmpretrain", "onnx"):
        return
    again = maskssl.load_backbone(out, num_heads=2, norm_eps=model.norm_eps)
    images = torch.randn(1, 3, *model.img_size)
    torch.testing.assert_close(again(images), model(images), rtol=1e-5, atol=1e-5)
    assert again.mean == pytest.approx(model.mean) and again.std == pytest.approx(model.std)


@pytest.mark.parametrize("kind", ["plain", "scaled", "offset", "relative"])
def test_a_graph_takes_any_number_and_size_of_images(kind, tmp_path):
    """By the source's rule for positions; with relative ones it keeps to its size."""
    onnxruntime = pytest.importorskip("onnxruntime")
    model = backbone(kind, tmp_path)
    export_backbone(model, "onnx", tmp_path / "out")
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"))
    told = json.loads(session.get_modelmeta().custom_metadata_map["ledger"])
    assert told["sha256"] == model.ledger.sha256
    for count, height, width in ((1, 16, 16), (5, 16, 16), (2, 32, 12), (1, 4, 8)):
        images = torch.randn(count, 3, height, width)
        if kind == "relative" and (height, width) != model.img_size:
            with pytest.raises(Exception, match="Got invalid dimensions"):
                session.run(None, dict(images=images.numpy()))
            continue
        tokens = torch.from_numpy(session.run(None, dict(images=images.numpy()))[0])
        torch.testing.assert_close(tokens, model(images)[-1].detach(), rtol=1e-4, atol=1e-4)


def test_what_differs_is_not_written(tmp_path):
    """timm's Eva leaves the k bias out, which rotary positions do not forgive."""
    model = backbone("rotary", tmp_path)
    with torch.no_grad():
        model.blocks[0].attn.qkv.bias[24:48] = 2.0
    with pytest.raises(MaskSSLError, match="features that differ by up to"):
        export_backbone(model, "timm", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_metadata_travels(tmp_path):
    model = backbone("plain", tmp_path)
    export_backbone(model, "safetensors", tmp_path / "out")
    with safe_open(tmp_path / "out" / "model.safetensors", framework="pt") as file:
        told = file.metadata()
    assert told["maskssl"] == maskssl.__version__
    assert json.loads(told["ledger"])["sha256"] == model.ledger.sha256
    again = maskssl.load_backbone(tmp_path / "out")
    assert (again.num_heads, again.pos_resize, again.norm_eps) == (2, "bicubic", 1e-6)


@pytest.mark.parametrize("to", ["huggingface", "onnx"])
def test_a_library_that_is_not_installed_is_named(to, tmp_path, monkeypatch):
    found = "maskssl.inference.exporting.target.find_spec"
    monkeypatch.setattr(found, lambda name: None)
    with pytest.raises(MaskSSLError, match=r"is not installed: pip install 'maskssl\[export\]'"):
        export_backbone(backbone("plain", tmp_path), to, tmp_path / "out")


def test_slips_are_told(tmp_path):
    model = backbone("plain", tmp_path)
    with pytest.raises(MaskSSLError, match="--to 'keras' is unknown; use one of mmpretrain, timm"):
        export_backbone(model, "keras", tmp_path)
    cut = maskssl.load_backbone(tmp_path / "ours.pth", out_indices=[0])
    with pytest.raises(MaskSSLError, match="1 of 2 blocks is not exported"):
        export_backbone(cut, "timm", tmp_path)


def test_what_no_shape_shows_comes_back(tmp_path):
    """144 rows would be 12 x 12; eps and rule are none of the defaults."""
    settings = dict(img_size=(36, 64), patch_size=4, norm_eps=1e-3, pos_resize="offset")
    model = filled(PlainViT(arch=ARCH, **settings))
    pixels = dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0])
    told = dict(backbone=dict(arch=ARCH, **settings), data_preprocessor=pixels)
    state = {f"backbone.{name}": value for name, value in model.state_dict().items()}
    torch.save(dict(state_dict=state, meta=dict(cfg=f"model = {told!r}")), tmp_path / "a.pth")
    ours = maskssl.load_backbone(tmp_path / "a.pth")
    assert ours.img_size == (36, 64)
    export_backbone(ours, "safetensors", tmp_path / "out")
    again = maskssl.load_backbone(tmp_path / "out")
    assert (again.img_size, again.norm_eps, again.pos_resize) == ((36, 64), 1e-3, "offset")
    assert (again.mean, again.std) == ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    assert not again.ledger.resized
    images = torch.randn(1, 3, 20, 24)
    torch.testing.assert_close(again(images), ours(images), rtol=0, atol=0)


@pytest.mark.parametrize("to", ["timm", "mmpretrain", "safetensors"])
def test_features_that_are_no_numbers_are_no_match(to, tmp_path):
    """max(0.0, nan) is 0.0 in Python."""
    model = backbone("plain", tmp_path)
    with torch.no_grad():
        model.norm.bias[0] = math.nan
    with pytest.raises(MaskSSLError, match="differ by up to nan|not finite"):
        export_backbone(model, to, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_an_oblong_backbone_comes_back_from_timm(tmp_path):
    """8 patches and a cls token are 9 rows, as 3 x 3 patches would be."""
    settings = dict(img_size=(8, 16), patch_size=4, layer_scale_init=1.0)
    model = filled(PlainViT(arch=ARCH, **settings))
    told = dict(backbone=dict(arch=ARCH, img_size=(8, 16)))
    state = {f"backbone.{name}": value for name, value in model.state_dict().items()}
    torch.save(dict(state_dict=state, meta=dict(cfg=f"model = {told!r}")), tmp_path / "a.pth")
    ours = maskssl.load_backbone(tmp_path / "a.pth")
    images = torch.randn(1, 3, 8, 16)
    for to in ("timm", "safetensors"):
        export_backbone(ours, to, tmp_path / to)
        again = maskssl.load_backbone(tmp_path / to, num_heads=2)
        assert again.img_size == (8, 16) and not again.ledger.resized
        torch.testing.assert_close(again(images), ours(images), rtol=1e-5, atol=1e-5)


def test_what_a_loss_has_trained_comes_back(tmp_path):
    """A file that was fine-tuned by the mean of its patches is so in our format too."""
    state = filled(PlainViT(arch=ARCH, img_size=16, patch_size=4, final_norm=False)).state_dict()
    state |= {"fc_norm.weight": torch.ones(24), "head.weight": torch.ones(3, 24)}
    torch.save(state, tmp_path / "tuned.pth")
    tuned = maskssl.load_backbone(tmp_path / "tuned.pth", num_heads=2)
    export_backbone(tuned, "safetensors", tmp_path / "out")
    again = maskssl.load_backbone(tmp_path / "out", "cls")
    said = "out_type='cls', and the checkpoint was trained with the mean of its patches"
    assert again.ledger.accepted == [said]
