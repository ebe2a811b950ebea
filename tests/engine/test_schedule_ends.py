"""A run that is shorter than its schedules says so, or is refused."""

import pytest
from mmengine.optim import CosineAnnealingLR

from maskssl import config_file
from maskssl.cli.config import load_config
from maskssl.cli.schedule import schedules_of
from maskssl.engine.runner.schedule_ends import cut_off
from maskssl.errors import MaskSSLError
from tests.engine.test_runner import build

PUBLISHED = "pretrain/bootmae_vit-base-p16_16xb256-amp-coslr-800e_in1k.py"
MASK_RCNN = "det/bootmae_vit-base-p16_mask-rcnn_16xb2-amp-ms-1x_coco.py"
WARM_UP = dict(type="LinearLR", by_epoch=True, begin=0, end=4)
COSINE = dict(type="CosineAnnealingLR", by_epoch=True, begin=4)


@pytest.mark.parametrize(
    ("schedulers", "epochs", "iterations", "message"),
    [
        (
            [WARM_UP, COSINE],
            3,
            30,
            r"param_scheduler\.1 \(CosineAnnealingLR\) begins at epoch 4, and the run ends at "
            r"epoch 3 \(train_cfg\.max_epochs=3\): nothing of it would act",
        ),
        ([WARM_UP, COSINE], 4, 40, r"param_scheduler\.1 .* begins at epoch 4"),
        (
            dict(type="PolyLR", by_epoch=False, begin=1500),
            None,
            400,
            r"param_scheduler \(PolyLR\) begins at iteration 1,500, .* \(train_cfg.max_iters=400\)",
        ),
        (
            dict(type="LinearLR", by_epoch=False, begin=50, end=40),
            2,
            600,
            r"begins at iteration 50 and ends at 40: set param_scheduler\.end beyond",
        ),
        ([COSINE], None, 400, "counts epochs, and the run counts iterations: it would act for one"),
        ([dict(COSINE, convert_to_iter_based=True)], None, 400, "would act for one epoch at most"),
        ([dict(type="StepLR")], None, 400, "counts epochs"),  # as mmengine takes it
    ],
)
def test_schedules_that_would_not_act_are_refused(schedulers, epochs, iterations, message):
    with pytest.raises(MaskSSLError, match=message):
        cut_off(schedulers, epochs, iterations)


@pytest.mark.parametrize(
    ("schedulers", "epochs", "iterations", "said"),
    [
        ([WARM_UP, COSINE], 5, 50, []),
        ([dict(WARM_UP, end=5)], 5, 50, []),
        (
            dict(type="LinearLR", by_epoch=False, end=500),
            2,
            240,
            [
                "param_scheduler (LinearLR) goes on to iteration 500, and the run ends at "
                "iteration 240 (train_cfg.max_epochs=2)"
            ],
        ),
        (
            [WARM_UP, dict(type="MultiStepLR", milestones=[5, 9, 11])],
            9,
            90,
            [
                "param_scheduler.1 (MultiStepLR) would step at epoch 9 and 11, and the run ends "
                "at epoch 9 (train_cfg.max_epochs=9)"
            ],
        ),
        ([dict(COSINE, end=9, convert_to_iter_based=True)], None, 10, []),
        ([object()], 1, 10, []),
    ],
)
def test_schedules_that_are_cut_off_are_said(schedulers, epochs, iterations, said):
    assert cut_off(schedulers, epochs, iterations) == said


def test_a_runner_says_and_refuses_them(tmp_path, monkeypatch):
    said = []
    runner = build(tmp_path)  # a warm-up of 10 steps, a run of 6
    monkeypatch.setattr(runner.logger, "warning", said.append)
    runner.train()
    assert "goes on to iteration 10, and the run ends at iteration 6" in "\n".join(said)
    runner = build(tmp_path)
    runner.param_schedulers = [dict(type="CosineAnnealingLR", by_epoch=True, begin=2)]
    with pytest.raises(MaskSSLError, match="begins at epoch 2, and the run ends at epoch 2"):
        runner.train()


def test_a_published_recipe_that_is_cut_below_its_warm_up_is_refused_when_drawn():
    cfg = load_config(config_file(PUBLISHED), {"train_cfg.max_epochs": 5})
    with pytest.raises(MaskSSLError, match="begins at epoch 40, and the run ends at epoch 5"):
        schedules_of(cfg, images=8192)


def test_a_floor_above_the_lr_is_refused(tmp_path):
    """Which an absolute eta_min becomes on few images a step: the lr would rise."""
    runner = build(tmp_path)
    lr = runner.optim_wrapper["optimizer"]["lr"]
    cases = (("CosineAnnealingLR", lr, False), ("CosineAnnealingLR", 2 * lr, True))
    for kind, floor, refused in (*cases, (CosineAnnealingLR, 2 * lr, True)):
        runner = build(tmp_path)
        runner.param_schedulers = [dict(type=kind, eta_min=floor, by_epoch=False)]
        if refused:
            with pytest.raises(MaskSSLError, match=r"at eta_min=.*Set param_scheduler\.0\.eta"):
                runner.train()
        else:
            runner.train()


def test_a_floor_is_held_against_what_many_groups_were_scaled_to(tmp_path):
    """mmengine adds a group of no parameters, whose lr it does not scale."""
    runner = build(tmp_path)
    lr = runner.optim_wrapper["optimizer"]["lr"]
    runner.optim_wrapper["paramwise_cfg"] = dict(bias_lr_mult=0.5)
    runner.auto_scale_lr = dict(enable=True, base_batch_size=10**6)
    runner.param_schedulers = [dict(type="CosineAnnealingLR", eta_min=lr / 2, by_epoch=False)]
    with pytest.raises(MaskSSLError, match="above the lr of this run"):
        runner.train()


def test_a_published_floor_is_held_against_the_scaled_lr():
    """BootMAE's 1e-4 is that of 171 images a step."""
    cfg = load_config(config_file(PUBLISHED), {"auto_scale_lr.enable": True})
    for batch, refused in ((192, False), (160, True)):
        cfg.train_dataloader.batch_size = batch
        if refused:
            with pytest.raises(MaskSSLError, match=r"=0.0001, above the lr of .*, 9.375e-05"):
                schedules_of(cfg, images=batch)
        else:
            schedules_of(cfg, images=batch)
