"""The running average moves once per optimizer step; lr is scaled by the images of one."""

import math

import pytest
import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.model import BaseModel
from torch import nn

from maskssl.checkpoints.reading import read_checkpoint
from maskssl.engine.finite_steps.hook import FiniteStepHook
from maskssl.engine.hooks.averaging import StepEMAHook
from maskssl.engine.runner.runner import MaskSSLRunner

MOMENTUM = 0.25


class Net(BaseModel):
    """One weight that each step lowers by the lr times the input."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, inputs, data_samples=None, mode="loss"):
        return dict(loss=self.weight * inputs.mean())


class Watch(Hook):
    """Weight and average behind every iteration."""

    priority = "LOWEST"

    def __init__(self) -> None:
        self.weights: list[float] = []
        self.averages: list[float] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.weights.append(runner.model.weight.item())
        self.averages.append(average_of(runner).module.weight.item())


def average_of(runner):
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, EMAHook))
    return hook.ema_model


def built(folder, inputs, every=1, kind=StepEMAHook, **options):
    watch = Watch()
    runner = MaskSSLRunner(
        Net(),
        work_dir=str(folder),
        train_dataloader=dict(
            dataset=[dict(inputs=torch.tensor(value)) for value in inputs],
            sampler=dict(type="DefaultSampler", shuffle=False),
            batch_size=1,
            collate_fn=dict(type="default_collate"),
        ),
        train_cfg=dict(by_epoch=False, max_iters=len(inputs)),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1), accumulative_counts=every),
        default_hooks=dict(checkpoint=dict(type="SafeCheckpointHook", by_epoch=False, interval=2)),
        custom_hooks=[kind(momentum=MOMENTUM), FiniteStepHook(), watch],
        experiment_name=f"{folder}",
        log_level="ERROR",
        randomness=dict(seed=0),
        **options,
    )
    runner.watch = watch
    return runner


def averaged(weights: list[float]) -> list[float]:
    """mmengine's average of the weights behind each step; the first one begins it."""
    found = weights[:1]
    for weight in weights[1:]:
        found.append((1 - MOMENTUM) * found[-1] + MOMENTUM * weight)
    return found


@pytest.mark.parametrize("every", [1, 2, 3])
def test_it_moves_by_its_momentum_once_a_step(every, tmp_path):
    runner = built(tmp_path, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], every)
    runner.train()
    steps = runner.watch.weights[every - 1 :: every]
    assert runner.watch.averages[every - 1 :: every] == pytest.approx(averaged(steps))
    assert average_of(runner).steps == 6 // every


def test_it_stands_still_in_a_step_that_is_skipped(tmp_path):
    runner = built(tmp_path, [1.0, 2.0, math.inf, 4.0])
    runner.train()
    weights = runner.watch.weights
    assert weights[1] == weights[2]
    assert runner.watch.averages[1] == runner.watch.averages[2]
    steps = [*weights[:2], weights[3]]
    assert runner.watch.averages[3] == pytest.approx(averaged(steps)[-1])
    assert average_of(runner).steps == 3


@pytest.mark.parametrize("kinds", [(StepEMAHook, EMAHook), (EMAHook, StepEMAHook)])
def test_checkpoints_are_read_both_ways(kinds, tmp_path):
    inputs = [1.0, 2.0, 3.0, 4.0]
    first, second = kinds
    built(tmp_path / "one", inputs, kind=first).train()
    path = tmp_path / "one" / "iter_2.pth"
    saved = read_checkpoint(path)["ema_state_dict"]
    resumed = built(tmp_path / "two", inputs, kind=second, resume=True, load_from=str(path))
    resumed.train()
    assert average_of(resumed).steps == saved["steps"] + 2 == 4
    ends = [read_checkpoint(tmp_path / name / "iter_4.pth") for name in ("one", "two")]
    assert ends[0]["ema_state_dict"] == ends[1]["ema_state_dict"]


def test_a_stock_average_is_told_of(tmp_path):
    said = []
    runner = built(tmp_path, [1.0, 2.0], kind=EMAHook)
    runner.logger.warning = said.append
    runner.train()
    assert [text for text in said if "type='StepEMAHook' with the same options" in text]


@pytest.mark.parametrize(("every", "lr"), [(1, 0.1 / 8), (2, 0.1 / 4), (4, 0.1 / 2)])
def test_auto_scaled_lr_counts_the_accumulation(every, lr, tmp_path):
    runner = built(tmp_path, [1.0] * 8, every, auto_scale_lr=dict(enable=True, base_batch_size=8))
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.scale_lr(wrapper, runner.auto_scale_lr)
    assert wrapper.get_lr()["lr"] == pytest.approx([lr])
