"""mmpretrain's, mmdet's and mmseg's own command-line tools run our runner and read its files."""

import importlib.util
import json
import os
import runpy
import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import DefaultScope

from maskssl.checkpoints.finding import newest_valid
from maskssl.checkpoints.reading import read_checkpoint
from maskssl.checkpoints.writing import read_sidecar
from maskssl.quickstart.scenes.writer import write_scenes
from tests.support import TINY_ARCH
from tests.test_stock_use import user_config


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tools") / "s"
    return write_scenes(folder, num_train=8, num_val=8, num_dense_train=4, num_dense_val=2)


@pytest.fixture
def tool(monkeypatch, tmp_path):
    """``tool('mmseg', 'test', CONFIG, ...)`` runs the script that the package ships, in here."""

    def run(package, name, *arguments):
        found = Path(importlib.util.find_spec(package).origin).parent / ".mim" / "tools"
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        monkeypatch.setenv("LOCAL_RANK", os.environ.get("LOCAL_RANK", "0"))
        monkeypatch.chdir(tmp_path)
        DefaultScope._instance_dict.clear()
        runpy.run_path(str(found / f"{name}.py"), run_name="__main__")

    return run


def classification(scenes, work_dir):
    """What a user writes for mmpretrain: our backbone and hook, ``runner_type``, its own parts."""
    classes = len(list((scenes / "imagefolder" / "train").iterdir()))
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="Resize", scale=(32, 32)),
        dict(type="PackInputs"),
    ]
    loader = dict(
        batch_size=4,
        num_workers=0,
        sampler=dict(type="DefaultSampler", shuffle=True),
        dataset=dict(
            type="CustomDataset",
            data_root=str(scenes / "imagefolder"),
            data_prefix="train",
            pipeline=pipeline,
        ),
    )
    return dict(
        model=dict(
            type="ImageClassifier",
            data_preprocessor=dict(num_classes=classes, mean=[128.0] * 3, std=[64.0] * 3),
            backbone=dict(
                type="PlainViT", arch=TINY_ARCH, img_size=32, patch_size=8, out_type="avg"
            ),
            head=dict(
                type="LinearClsHead", num_classes=classes, in_channels=TINY_ARCH["embed_dims"]
            ),
        ),
        train_dataloader=loader,
        test_dataloader=loader,
        test_evaluator=dict(type="Accuracy", topk=1),
        test_cfg=dict(),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(
            type="OptimWrapper", optimizer=dict(type="AdamW", lr=1e-3), clip_grad=dict(max_norm=1.0)
        ),
        default_scope="mmpretrain",
        custom_imports=dict(imports=["maskssl.registration"], allow_failed_imports=False),
        work_dir=str(work_dir),
    )


def written(config, path):
    """The config as a file, with our runner and its checkpoints."""
    by_epoch = "max_iters" not in config["train_cfg"]
    saving = dict(checkpoint=dict(type="SafeCheckpointHook", interval=1, by_epoch=by_epoch))
    entries = {**dict(config), "runner_type": "MaskSSLRunner", "default_hooks": saving}
    entries["experiment_name"] = path.stem
    path.write_text("".join(f"{key} = {value!r}\n" for key, value in entries.items()))
    return path


def assert_saved_by_us(folder):
    """Whole, with its checksum, and the loops were ours: the length of an epoch is noted."""
    path = newest_valid(folder)
    assert path is not None and read_sidecar(path).resumable
    return path


def test_mmpretrain(scenes, tool, tmp_path):
    """Its ``--amp`` asks for a wrapper that no CPU runs: bf16 in its place, said, and guarded."""
    config = written(classification(scenes, tmp_path / "run"), tmp_path / "classify.py")
    plain = ("--no-pin-memory", "--no-persistent-workers")
    tool("mmpretrain", "train", config, "--amp", *plain)
    log = "".join(path.read_text() for path in (tmp_path / "run").rglob("*.log"))
    assert "AmpOptimWrapper needs a GPU, so AutocastOptimWrapper runs in its place" in log
    path = assert_saved_by_us(tmp_path / "run")
    assert "iterations_per_epoch" in read_checkpoint(path)["message_hub"]["runtime_info"]
    tool(
        "mmpretrain", "train", config, "--resume", *plain, "--cfg-options", "train_cfg.max_epochs=2"
    )
    assert newest_valid(tmp_path / "run").name == "epoch_2.pth"
    out = tmp_path / "metrics.json"
    tool(
        *("mmpretrain", "test", config, path, "--no-pin-memory"),
        *("--out", out, "--out-item", "metrics"),
    )
    assert 0 < json.loads(out.read_text())["accuracy/top1"] <= 100


def test_mmdet(scenes, tool, tmp_path):
    config = user_config("mmdet", scenes, tmp_path / "run", None).to_dict()
    config["model"]["backbone"]["init_cfg"] = None
    path = written(config, tmp_path / "detect.py")
    tool("mmdet", "train", path)
    saved = assert_saved_by_us(tmp_path / "run")
    tool("mmdet", "test", path, saved, "--work-dir", tmp_path / "test")
    (metrics,) = (tmp_path / "test").rglob("*.json")
    assert "coco/bbox_mAP" in json.loads(metrics.read_text().splitlines()[-1])


def test_mmseg(scenes, tool, tmp_path):
    """Its test tool knows no ``runner_type``: mmengine's runner reads our file as it is."""
    config = user_config("mmseg", scenes, tmp_path / "run", None).to_dict()
    config["model"]["backbone"]["init_cfg"] = None
    path = written(config, tmp_path / "segment.py")
    tool("mmseg", "train", path)
    saved = assert_saved_by_us(tmp_path / "run")
    tool("mmseg", "test", path, saved, "--work-dir", tmp_path / "test")
    (metrics,) = (tmp_path / "test").rglob("*.json")
    assert json.loads(metrics.read_text().splitlines()[-1])["mIoU"] >= 0
    stock = torch.load(saved, weights_only=False)
    assert stock["state_dict"].keys() == read_checkpoint(saved)["state_dict"].keys()
