"""What users get wrong: each a sentence that names the value and the remedy."""

import json
import re

import pytest
import torch
from mmengine.registry import DATASETS, DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from maskssl.checkpoints.errors import CheckpointError
from maskssl.checkpoints.reading import read_checkpoint
from maskssl.cli.config import ConfigError, load_config
from maskssl.cli.data_check import DataError, check_data
from maskssl.datasets.draws.draw import Draw
from maskssl.datasets.draws.seeded_dataset import SeededDataset
from maskssl.datasets.transforms.loading import UnreadableImageError
from maskssl.errors import MaskSSLError
from maskssl.models.pretrained.loading import load_pretrained
from maskssl.quickstart.scenes.writer import write_scenes
from tests.recipe_table import skip_without
from tests.support import TINY_ARCH, runner_for, small_config

PRETRAIN = "pretrain/bootmae_vit-mini-p8_1xb32-amp-coslr-12e_scenes.py"


@pytest.fixture
def scenes(tmp_path):
    return write_scenes(
        tmp_path / "scenes", num_train=16, num_val=8, num_dense_train=2, num_dense_val=2
    )


def test_text_file_named_jpg(scenes, tmp_path):
    bad = scenes / "imagefolder" / "train" / "disc" / "notes.jpg"
    bad.write_text("not an image")
    cfg = small_config(PRETRAIN, scenes, tmp_path / "w", options={"train_cfg.max_epochs": 1})
    cfg.train_dataloader.update(batch_size=17)
    # one of 17 is more than the 1 % that may be replaced by others
    with pytest.raises(MaskSSLError, match=r"notes\.jpg .*1 of 17 files .*unreadable.*remove"):
        runner_for(cfg)
    cfg = small_config(PRETRAIN, scenes, tmp_path / "v", options={"train_cfg.max_epochs": 1})
    cfg.train_dataloader.update(batch_size=17)
    cfg.default_hooks.unreadable.max_share = 0.1
    runner_for(cfg).train()
    assert "notes.jpg" in (tmp_path / "v" / "unreadable_images.jsonl").read_text()


def test_text_file_named_jpg_in_a_validation_set(scenes, tmp_path):
    """Scores of other images than asked for would mean nothing: refused."""
    bad = scenes / "imagefolder" / "val" / "disc" / "notes.jpg"
    bad.write_text("not an image")
    loader = small_config(
        "finetune/bootmae_vit-mini-p8_finetune_1xb16-amp-coslr-30e_scenes.py", scenes, tmp_path
    ).val_dataloader
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        loaded = Runner.build_dataloader(loader)
        with pytest.raises(UnreadableImageError, match=r"notes\.jpg.*replace or remove"):
            list(loaded)


def test_mask_cut_short(scenes, tmp_path):
    """Of a training set it is replaced and listed, as an image is; of a validation set refused."""
    skip_without("mmseg")
    cfg = small_config(
        "seg/bootmae_vit-mini-p8_upernet_1xb8-amp-400i_scenes.py", scenes, tmp_path / "w"
    )
    masks = scenes / "seg" / "annotations"
    for split in ("training", "validation"):
        first = min((masks / split).iterdir())
        first.write_bytes(first.read_bytes()[:-40])
    with DefaultScope.overwrite_default_scope("mmseg"):
        train, val = (
            DATASETS.build(cfg[key].dataset) for key in ("train_dataloader", "val_dataloader")
        )
    replaced = SeededDataset(train, seed=0, folder=tmp_path)[Draw(0, 0)]
    assert replaced["data_samples"].seg_map_path != str(min((masks / "training").iterdir()))
    (line,) = {
        json.loads(line)["message"] for line in (tmp_path / "unreadable_images.jsonl").open()
    }
    said = r"annotations/{}/\S+\.png cannot be read as an image .*replace or remove it"
    assert re.search(said.format("training"), line)
    with pytest.raises(UnreadableImageError, match=said.format("validation")):
        val[0]


def test_empty_folder(scenes, tmp_path):
    cfg = small_config(PRETRAIN, scenes, tmp_path / "w")
    (tmp_path / "empty" / "train").mkdir(parents=True)
    cfg.train_dataloader.dataset.data_root = str(tmp_path / "empty")
    with pytest.raises(DataError, match=r"no images in .*empty/train.*data_root=DIR"):
        check_data(cfg, ["train_dataloader"])
    cfg.train_dataloader.dataset.data_root = str(tmp_path / "nowhere")
    with pytest.raises(DataError, match="there is no folder .*nowhere"):
        runner_for(cfg)


def test_missing_annotation_file(scenes, tmp_path):
    cfg = small_config(
        "det/bootmae_vit-mini-p8_mask-rcnn_1xb8-coslr-120e_scenes.py", scenes, tmp_path / "w"
    )
    (scenes / "det" / "instances_train.json").unlink()
    with pytest.raises(DataError, match=r"no annotation file .*instances_train\.json"):
        runner_for(cfg)
    check_data(cfg, ["val_dataloader"])  # the other one is there


@pytest.mark.parametrize("option", ["train_cfg.max_epoch", "custom_hook", "modle.backbone.arch"])
def test_misspelt_key(option):
    from maskssl import config_file

    with pytest.raises(ConfigError, match="did you mean|has no"):
        load_config(config_file(PRETRAIN), {option: 1})


def test_misspelt_key_in_a_config_file(tmp_path):
    from maskssl import config_file

    path = tmp_path / "mine.py"
    path.write_text(f"_base_ = [{config_file(PRETRAIN)!r}]\ncustom_hoks = []\n")
    with pytest.raises(ConfigError, match="'custom_hoks' is unknown; did you mean 'custom_hooks'"):
        load_config(str(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(mask_num=64), "mask_num=64 .* 64 patches"),
        (dict(mask_num=0), "mask_num=0"),
        (
            dict(backbone=dict(type="PlainViT", arch=TINY_ARCH, img_size=60, patch_size=8)),
            "60 x 60",
        ),
    ],
)
def test_impossible_models(change, message):
    model = dict(
        type="BootMAE",
        backbone=dict(type="PlainViT", arch=TINY_ARCH, img_size=64, patch_size=8),
        neck=dict(type="TargetAwareDecoders", pixel=dict(embed_dims=16)),
        head=dict(type="BootMAEHead"),
        target_generator=dict(type="MomentumEncoder"),
    )
    with pytest.raises(MaskSSLError, match=message):
        MODELS.build({**model, **change})


def test_image_size_that_the_patch_does_not_divide():
    vit = MODELS.build(dict(type="PlainViT", arch=TINY_ARCH, img_size=64, patch_size=8))
    with pytest.raises(MaskSSLError, match="64 x 60 pixels cannot be cut into patches of 8"):
        vit(torch.zeros(1, 3, 64, 60))


def test_checkpoints_of_another_width_or_method(tmp_path):
    vit = MODELS.build(dict(type="PlainViT", arch=TINY_ARCH, img_size=64, patch_size=8))
    wide = MODELS.build(
        dict(type="PlainViT", arch=dict(TINY_ARCH, embed_dims=48), img_size=64, patch_size=8)
    )
    torch.save(dict(state_dict=wide.state_dict()), tmp_path / "wide.pth")
    with pytest.raises(CheckpointError, match=r"has shape \(1, 1, 48\), the backbone needs"):
        load_pretrained(vit, tmp_path / "wide.pth")
    torch.save(dict(state_dict={"conv1.weight": torch.zeros(3)}), tmp_path / "resnet.pth")
    with pytest.raises(CheckpointError, match="no ViT encoder is recognised"):
        load_pretrained(vit, tmp_path / "resnet.pth")


def test_truncated_checkpoint(tmp_path):
    torch.save(dict(state_dict={"x": torch.zeros(10000)}), tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:20000])
    with pytest.raises(CheckpointError, match="truncated; copy it again"):
        read_checkpoint(tmp_path / "cut.pth")


def test_the_tools_end_with_one_sentence(run_warm, tmp_path):
    done = run_warm(
        "tools/train.py", "configs/" + PRETRAIN, "--work-dir", tmp_path,
        "--cfg-options", "train_dataloader.dataset.data_root=nowhere",
    )  # fmt: skip
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("DataError: train_dataloader: there is")
