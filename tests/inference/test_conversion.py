"""A checkpoint's encoder in one file that any torch reads, and what became of each tensor."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

import maskssl
from maskssl.__main__ import main
from maskssl.checkpoints.errors import CheckpointError
from maskssl.checkpoints.reading import read_checkpoint
from maskssl.errors import MaskSSLError
from maskssl.inference.conversion import convert_checkpoint, rewrite_trusted
from maskssl.models.backbones.plain_vit import PlainViT


@pytest.fixture
def source(tmp_path):
    model = PlainViT(arch=dict(embed_dims=16, num_layers=2, num_heads=4), img_size=16, patch_size=8)
    state = model.state_dict() | {"head.weight": torch.ones(3, 16), "head.bias": torch.ones(3)}
    torch.save(dict(model=state), tmp_path / "source.pth")
    return tmp_path / "source.pth"


def test_the_encoder_is_written_and_said(source, tmp_path, capsys):
    out, told = tmp_path / "encoder.safetensors", tmp_path / "ledger.json"
    main(["convert-checkpoint", str(source), str(out), "--num-heads", "4", "--json", str(told)])
    assert "(timm ViT, student)" in capsys.readouterr().out
    assert json.loads(told.read_text())["dropped"].keys() == {"head.weight", "head.bias"}
    first, second = maskssl.load_backbone(source, num_heads=4), maskssl.load_backbone(out)
    images = torch.randn(1, 3, 24, 16)
    torch.testing.assert_close(second(images), first(images), rtol=0, atol=0)
    assert second.num_heads == 4 and second.mean == first.mean
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "encoder.safetensors", "ledger.json", "source.pth"
    ]  # fmt: skip


def test_another_suffix_is_refused(source, tmp_path):
    with pytest.raises(MaskSSLError, match=r"call it encoder\.safetensors"):
        convert_checkpoint(str(source), str(tmp_path / "encoder.pth"), num_heads=4)


def test_a_file_of_ones_own_is_rewritten_to_plain_values(tmp_path):
    model, path, out = torch.nn.Linear(2, 1), tmp_path / "own.pth", tmp_path / "plain.pth"
    torch.save(dict(model=model, where=Path("x"), epoch=3, steps=(1, 2), odd={(0, 1): 2}), path)
    with pytest.raises(CheckpointError, match="convert-checkpoint FILE NEW_FILE --trust"):
        read_checkpoint(path)
    said = rewrite_trusted(str(path), str(out))
    assert "without" in said and "PosixPath" in said and "keys of tuple" in said
    content = torch.load(out, weights_only=True)
    torch.testing.assert_close(content["model"]["weight"], model.weight.detach())
    assert content["epoch"] == 3 and content["steps"] == (1, 2) and content["where"] is None
    with pytest.raises(MaskSSLError, match="another file to write to"):
        rewrite_trusted(str(path), str(path))
    with pytest.raises(MaskSSLError, match=r"there is no file .*gone\.pth"):
        rewrite_trusted(str(tmp_path / "gone.pth"), str(out))


def test_config_json_beside_the_weights_tells_what_tensors_do_not(source, tmp_path):
    folder = tmp_path / "hub"
    folder.mkdir()
    source.rename(folder / "pytorch_model.bin")
    config = dict(num_attention_heads=2, layer_norm_eps=1e-5, hidden_act="gelu")
    (folder / "config.json").write_text(json.dumps(config))
    pictures = dict(image_mean=[0.5, 0.25, 0.5], image_std=[0.5, 0.5, 1.0])
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures))
    model = maskssl.load_backbone(folder)
    assert (model.num_heads, model.norm_eps) == (2, 1e-5)
    assert model.mean == (127.5, 63.75, 127.5) and model.std == (127.5, 127.5, 255)
    assert model.ledger.assumed["norm_eps"] == "1e-05, the file's config"
    (folder / "config.json").write_text(json.dumps(dict(config, hidden_act="quick_gelu")))
    with pytest.raises(
        CheckpointError, match="hidden_act='quick_gelu'; PlainViT computes 'gelu' in plain"
    ):
        maskssl.load_backbone(folder)
    for told in (
        dict(hidden_act="silu"),
        dict(use_gated_mlp=True),
        dict(use_gated_mlp=True, hidden_act="gelu"),
    ):
        (folder / "config.json").write_text(json.dumps(dict(num_attention_heads=2) | told))
        with pytest.raises(
            CheckpointError, match=r"config\.json says hidden_act='(silu|gelu)'; Plain"
        ):
            maskssl.load_backbone(folder)
    # DINOv2's config names the activation that its gated MLPs do not use
    (folder / "config.json").write_text(
        json.dumps(config | dict(use_swiglu_ffn=True, hidden_act="silu"))
    )
    assert maskssl.load_backbone(folder).num_heads == 2
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json cannot be read as JSON"):
        maskssl.load_backbone(folder)


def test_eps_and_rule_of_a_backbone_are_compared(source):
    from maskssl.models.pretrained.loading import load_pretrained

    options = dict(arch=dict(embed_dims=16, num_layers=2, num_heads=4), img_size=16, patch_size=8)
    with pytest.raises(CheckpointError) as refusal:
        load_pretrained(PlainViT(**options, norm_eps=1e-5), source)
    assert "norm_eps=1e-05, and the checkpoint was made with 1e-06" in str(refusal.value)
    assert "pos_resize='bicubic', and the checkpoint was made with 'antialiased'" in str(
        refusal.value
    )
    ledger = load_pretrained(
        PlainViT(**options, norm_eps=1e-5), source, accept=["norm_eps", "pos_resize"]
    )
    assert len(ledger.accepted) == 2
    load_pretrained(PlainViT(**options, pos_resize="antialiased"), source)


def test_a_file_is_not_rewritten_over_itself_nor_without_a_tensor(tmp_path, monkeypatch):
    torch.save(dict(a=torch.ones(1), epoch=3), tmp_path / "own.pth")
    before = (tmp_path / "own.pth").read_bytes()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.pth").symlink_to("own.pth")
    for source, out in (("own.pth", str(tmp_path / "own.pth")), ("own.pth", "link.pth")):
        with pytest.raises(MaskSSLError, match="another file to write to"):
            rewrite_trusted(source, out)
    assert (tmp_path / "own.pth").read_bytes() == before
    assert (
        rewrite_trusted("own.pth", "new.pth") == "written to new.pth, without leaving anything out"
    )
    for content in ([torch.ones(1)], dict(epoch=3), {}):
        torch.save(content, tmp_path / "none.pth")
        with pytest.raises(MaskSSLError, match=r"none\.pth holds no dict of tensors"):
            rewrite_trusted("none.pth", "new.pth")


def test_a_trusted_file_of_code_that_is_not_here_is_told(tmp_path, monkeypatch):
    theirs = ModuleType("their_models")
    theirs.Config = type("Config", (), dict(__module__="their_models"))
    monkeypatch.setitem(sys.modules, "their_models", theirs)
    torch.save(dict(model={"a": torch.ones(1)}, cfg=theirs.Config()), tmp_path / "theirs.pth")
    monkeypatch.delitem(sys.modules, "their_models")
    with pytest.raises(CheckpointError, match=r"their_models.*set PYTHONPATH to where"):
        rewrite_trusted(str(tmp_path / "theirs.pth"), str(tmp_path / "new.pth"))
    for content in (b"no torch file", (tmp_path / "theirs.pth").read_bytes()[:200]):
        (tmp_path / "cut.pth").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"cut\.pth is no whole file of torch\.save"):
            rewrite_trusted(str(tmp_path / "cut.pth"), str(tmp_path / "new.pth"))
