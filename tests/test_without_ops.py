"""Pretraining, probing and kNN where mmcv's ops, mmseg and mmdet cannot be imported."""

import json

import pytest

from maskssl.transfer.scenes.writer import write_scenes


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("no_ops") / "s"
    return write_scenes(folder, num_train=64, num_val=8, num_dense_train=1, num_dense_val=1)


def test_pretrain_probe_and_knn(scenes, run_python, tmp_path):
    root = scenes / "imagefolder"

    def tool(name, config, *arguments, loaders, options=()):
        data = [f"{loader}.dataset.data_root={root}" for loader in loaders]
        data += [f"{loader}.num_workers=0" for loader in loaders]
        data += [f"{loader}.persistent_workers=False" for loader in loaders]
        done = run_python(
            "-m", "tests.blocked_imports", f"tools/{name}.py", f"configs/{config}",
            *arguments, "--cfg-options", *data, *options,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout + done.stderr

    pretrained = tmp_path / "pretrain"
    tool(
        "train", "pretrain/bootmae_vit-mini-p8_1xb32-amp-coslr-20e_scenes.py",
        "--work-dir", pretrained,
        loaders=["train_dataloader"], options=["train_cfg.max_epochs=1"],
    )  # fmt: skip
    tool(
        "train", "finetune/bootmae_vit-mini-p8_linear_1xb64-amp-coslr-6e_scenes.py",
        "--work-dir", tmp_path / "linear", "--pretrained", pretrained,
        loaders=["train_dataloader", "val_dataloader"], options=["train_cfg.max_epochs=2"],
    )  # fmt: skip
    tool(
        "test", "finetune/bootmae_vit-mini-p8_knn_1xb128_scenes.py",
        "--work-dir", tmp_path / "knn", "--pretrained", pretrained,
        loaders=["test_dataloader", "test_cfg.bank_dataloader"],
    )  # fmt: skip
    assert "accuracy/top1" in json.loads((tmp_path / "knn" / "metrics.json").read_text())
