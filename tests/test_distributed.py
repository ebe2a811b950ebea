"""Two processes over gloo: every stage by tools/dist_train.sh."""

import os
import subprocess
from pathlib import Path

import pytest
import torch

from maskssl.datasets.scenes.writer import write_scenes

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="written for machines without GPU"
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return write_scenes(
        tmp_path_factory.mktemp("scenes") / "s",
        num_train=64,
        num_val=16,
        num_dense_train=8,
        num_dense_val=4,
    )


def dist_train(config, scenes, work_dir, port, *options):
    folder = dict(seg="seg", det="det").get(config.split("/")[0], "imagefolder")
    loaders = ["train_dataloader", *(["val_dataloader"] if "pretrain/" not in config else [])]
    fixed = [f"{loader}.dataset.data_root={scenes / folder}" for loader in loaders]
    small = ("num_workers=0", "persistent_workers=False", "batch_size=4")
    fixed += [f"{loader}.{setting}" for loader in loaders for setting in small]
    if folder == "det":
        fixed.append(f"val_evaluator.ann_file={scenes / folder / 'instances_val.json'}")
    arguments = [] if "pretrain/" in config else ["--pretrained", "none"]
    command = ["bash", "tools/dist_train.sh", f"configs/{config}", "2", "--work-dir", str(work_dir)]
    done = subprocess.run(
        [*command, *arguments, "--cfg-options", *fixed, *options],
        cwd=ROOT,
        env={**os.environ, "PORT": str(port), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.mark.parametrize("feature_weight", [1.0, 0.0])
def test_pretraining(scenes, tmp_path, feature_weight):
    log = dist_train(
        "pretrain/bootmae_vit-tiny_scenes.py", scenes, tmp_path, 29611,
        "train_cfg.max_epochs=1", "train_dataloader.dataset.indices=32",
        f"model.head.feature_weight={feature_weight}",
    )  # fmt: skip
    assert ("loss_feature" in log) == bool(feature_weight)
    weights = torch.load(tmp_path / "epoch_1.pth", weights_only=False)["state_dict"]
    assert any(key.startswith("target_generator.encoder.") for key in weights)
    assert all(value.isfinite().all() for value in weights.values())


def test_extremas_pretraining(scenes, tmp_path):
    """InfoNCE, whose keys come from both processes."""
    log = dist_train(
        "pretrain/extrema_vit-tiny_scenes.py", scenes, tmp_path, 29613,
        "train_cfg.max_epochs=1", "train_dataloader.dataset.indices=32",
    )  # fmt: skip
    assert "loss_infonce" in log and "spread_teacher" in log


@pytest.mark.parametrize(
    ("config", "length"),
    [
        ("finetune/linear_extrema_vit-tiny_scenes.py", "train_cfg.max_epochs=2"),
        ("seg/upernet_extrema_vit-tiny_scenes.py", "train_cfg.max_iters=3"),
        ("finetune/finetune_vit-tiny_scenes.py", "train_cfg.max_epochs=2"),
        ("seg/upernet_vit-tiny_scenes.py", "train_cfg.max_iters=3"),
        ("det/mask-rcnn_vit-tiny_scenes.py", "train_cfg.max_epochs=1"),
    ],
)
def test_downstream(scenes, tmp_path, config, length):
    log = dist_train(config, scenes, tmp_path, 29612, length)
    assert "SyncBN entries of the model become BN" in log or "finetune/finetune" in config
    metric = dict(finetune="accuracy/top1", seg="mIoU", det="coco/segm_mAP")
    assert metric[config.split("/")[0]] in log
