"""What a run was initialised with stays with it, and its images are those of the pretraining."""

import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from maskssl.checkpoints.errors import CheckpointError
from maskssl.engine.hooks.ledger import LedgerHook
from maskssl.errors import MaskSSLError
from maskssl.models.backbones.plain_vit import PlainViT
from maskssl.models.pretrained.source import HALF_PIXELS, IMAGENET_PIXELS

ARCH = dict(embed_dims=16, num_layers=1, num_heads=2)


class Classifier(nn.Module):
    """A backbone and how its images are normalised, as mmengine's models have both."""

    def __init__(self, pixels, **init_cfg):
        super().__init__()
        cfg = dict(type="Pretrained", **init_cfg) if init_cfg else None
        self.backbone = PlainViT(arch=ARCH, img_size=16, patch_size=8, init_cfg=cfg)
        self.backbone.init_weights()
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (pixels.mean, pixels.std))
        self.data_preprocessor = SimpleNamespace(mean=mean, std=std)


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "plain.pth"
    torch.save(PlainViT(arch=ARCH, img_size=16, patch_size=8).state_dict(), path)
    return str(path)


def runner_of(model, work_dir):
    return SimpleNamespace(model=model, work_dir=str(work_dir))


def test_the_ledger_is_beside_the_run_and_in_each_checkpoint(checkpoint, tmp_path):
    model = Classifier(IMAGENET_PIXELS, checkpoint=checkpoint)
    runner, content = runner_of(model, tmp_path), dict(meta=dict(epoch=1))
    LedgerHook().before_train(runner)
    LedgerHook().before_save_checkpoint(runner, content)
    told = json.loads((tmp_path / "ledger.json").read_text())["backbone"]
    assert (told["source"], told["branch"], told["origin"]) == ("plain ViT", "student", checkpoint)
    assert told["counts"]["used"] == len(model.backbone.state_dict())
    assert told["parts"]["blocks.0.attn.qkv.weight"] == ["blocks.0.attn.qkv.weight"]
    torch.save(content, tmp_path / "epoch_1.pth")
    meta = torch.load(tmp_path / "epoch_1.pth", weights_only=True)["meta"]  # plain values alone
    assert meta["epoch"] == 1
    assert meta["pretrained"]["backbone"]["sha256"] == told["sha256"] and len(told["sha256"]) == 64


@pytest.mark.parametrize("moment", ["before_train", "before_test"])
def test_other_pixels_are_refused_unless_accepted(moment, checkpoint, tmp_path):
    model = Classifier(HALF_PIXELS, checkpoint=checkpoint)
    with pytest.raises(CheckpointError, match=r"mean=\[127.5.*made with mean=\[123.675.*accept="):
        getattr(LedgerHook(), moment)(runner_of(model, tmp_path))
    accepting = Classifier(HALF_PIXELS, checkpoint=checkpoint, accept=["pixels"])
    getattr(LedgerHook(), moment)(runner_of(accepting, tmp_path))
    assert "mean=[127.5" in accepting.backbone.ledger.accepted[0]
    assert "accepted: data_preprocessor has mean" in str(accepting.backbone.ledger)


def test_without_pretrained_weights_nothing_is_kept(tmp_path):
    runner, content = runner_of(Classifier(HALF_PIXELS), tmp_path), dict(meta={})
    LedgerHook().before_train(runner)
    LedgerHook().before_save_checkpoint(runner, content)
    assert content == dict(meta={}) and not (tmp_path / "ledger.json").exists()


def test_what_cannot_be_accepted_is_told(checkpoint):
    with pytest.raises(MaskSSLError, match=r"accept=\['size'\] of init_cfg is unknown"):
        Classifier(HALF_PIXELS, checkpoint=checkpoint, accept=["size"])
