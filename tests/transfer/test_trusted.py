"""What must hold if the numbers are to be believed: chance without labels, and single runs."""

import io

import numpy as np
import pytest
import torch

from maskssl.__main__ import main
from maskssl.cli.config import load_config
from maskssl.evaluation.linear_sweep import HeadSetting, train_heads
from maskssl.progress import ProgressLine
from maskssl.transfer.budgets import BUDGETS, Budget
from maskssl.transfer.encoders import open_encoder
from maskssl.transfer.experiment import run_experiment
from maskssl.transfer.feature_store import Extraction, features_of
from maskssl.transfer.image_set import labelled_sets
from maskssl.transfer.plan import Plan
from maskssl.transfer.summary import summarise
from tests.transfer.scenes import save_encoder, write_pictures

QUIET = ProgressLine(io.StringIO())


def test_shuffled_labels_give_chance_everywhere(tmp_path, monkeypatch):
    """Patterns without regard to the class, in training and test: a third, and nobody is ahead."""
    data = tmp_path / "data"
    write_pictures(data, "train", 20, 0, shuffled=True)
    write_pictures(data, "test", 60, 1, shuffled=True)
    small = BUDGETS["quick"].__dict__ | dict(linear_epochs=4, attentive_epochs=2, attentive_steps=0)
    monkeypatch.setitem(BUDGETS, "quick", Budget(**small))
    stages = ("knn", "linear", "logistic", "attentive", "lowshot-5")
    paths = [str(save_encoder(tmp_path / f"{seed}.pth", seed)) for seed in (1, 2)]
    plan = Plan(tuple(paths), data, tmp_path / "out", tmp_path / "cache", stages, (0, 1))
    report = summarise(plan, run_experiment(plan, QUIET))
    assert not report["failed"] and len(report["measures"]) == len(stages)
    for measure in report["measures"]:
        assert len(measure["cells"]) == 3
        for cell in measure["cells"]:
            # 180 images: a deviation of 3.5 points
            assert cell["figure"] == pytest.approx(1 / 3, abs=0.11), measure["name"]
            assert cell["rank"] == 1


SETTINGS = ((0.3, 0.0), (10.0, 0.0), (10.0, 0.1))  # lr of 256 images, weight decay
EPOCHS, IMAGES = 12, 24


def test_heads_of_the_sweep_are_those_of_single_trainings(tmp_path):
    """One batch of all images, so that their order does not matter: the runner's weights.

    Last block, patch mean, behind the final norm; the pictures as the features' extraction has
    them.
    """
    data = tmp_path / "data"
    write_pictures(data, "train", IMAGES // 3, 0)
    write_pictures(data, "test", 2, 1)
    path = save_encoder(tmp_path / "a.pth")
    encoder = open_encoder(str(path), "a", torch.device("cpu"))
    how = Extraction(tmp_path / "cache", ("pooled",), 8, 0, torch.device("cpu"))
    features = features_of(encoder, labelled_sets(data)[0], how, QUIET)
    rows = {"2.mean": features.rows("2.mean", features.everything)}
    heads = [HeadSetting("2.mean", False, lr, decay) for lr, decay in SETTINGS]
    swept = train_heads(rows, heads, 3, EPOCHS, IMAGES, seed=0)
    for (lr, decay), head in zip(SETTINGS, swept, strict=True):
        weight, bias = single_run(tmp_path / f"{lr}-{decay}", data, path, encoder, lr, decay)
        np.testing.assert_allclose(head.weight.T, weight, rtol=2e-3, atol=2e-4)
        np.testing.assert_allclose(head.bias, bias, rtol=2e-3, atol=2e-4)
    assert (swept[1].weight - swept[2].weight).abs().max() > 0.01  # the settings do differ


def single_run(work_dir, data, path, encoder, lr, decay):
    """``maskssl train`` of the shipped probe with these settings: weight (K, C) and bias."""
    cfg = load_config("finetune/bootmae_vit-mini-p8_linear_1xb16-amp-coslr-30e_scenes.py")
    backbone = encoder.backbone
    cfg.model.data_preprocessor.update(mean=list(backbone.mean), std=list(backbone.std))
    cfg.model.backbone.update(
        arch=backbone.settings["arch"],
        img_size=16,
        patch_size=4,
        out_indices=None,
        final_norm=True,
        frozen_stages=2,
        pos_embed_layout=backbone.settings["pos_embed_layout"],
    )
    cfg.model.head.update(in_channels=24, num_classes=3, norms=[], init_std=1e-8)
    cfg.train_dataloader.update(batch_size=IMAGES, num_workers=0, persistent_workers=False)
    cfg.train_dataloader.dataset.update(
        data_root=str(data),
        data_prefix="train",
        pipeline=[
            dict(type="LoadImage"),  # of the encoder's size
            dict(type="PackInputs"),
        ],
    )
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.optim_wrapper = dict(
        type="OptimWrapper",
        optimizer=dict(type="SGD", lr=lr * IMAGES / 256, momentum=0.9, weight_decay=decay),
        paramwise_cfg=dict(bias_decay_mult=0.0),
    )
    cfg.train_cfg.max_epochs = EPOCHS
    cfg.param_scheduler = [
        dict(type="CosineAnnealingLR", by_epoch=False, T_max=EPOCHS, eta_min=0.0)
    ]
    work_dir.mkdir()
    cfg.dump(work_dir / "single.py")
    main(
        ["train", str(work_dir / "single.py"), "--pretrained", str(path)]
        + ["--work-dir", str(work_dir)]
    )
    (saved,) = work_dir.glob("epoch_*.pth")
    state = torch.load(saved, weights_only=False)["state_dict"]
    return state["head.fc.weight"], state["head.fc.bias"]
