"""A resumed run says what of its config it does not follow, and scales its lr by its images."""

import logging

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

from maskssl.checkpoints.folders import last_checkpoint
from maskssl.engine.runner.runner import MaskSSLRunner
from maskssl.errors import MaskSSLError

IMAGES = 4  # of batch size 1


class Net(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, inputs, data_samples=None, mode="loss"):
        return dict(loss=self.weight * inputs.mean())


def trained(
    folder, length=6, by_epoch=True, every=1, gamma=0.9, schedule=True, scale=False, resume=None,
    seed=0, new_draws=False, **optimizer,
):  # fmt: skip
    """Train, and return the runner with what it has warned of."""
    by = "epochs" if by_epoch else "iters"
    schedules = [dict(type="ExponentialLR", gamma=gamma, by_epoch=by_epoch)] if schedule else None
    runner = MaskSSLRunner(
        Net(),
        work_dir=str(folder),
        train_dataloader=dict(
            dataset=[dict(inputs=torch.tensor(1.0))] * IMAGES,
            sampler=dict(type="DefaultSampler", shuffle=True),
            batch_size=1,
            collate_fn=dict(type="default_collate"),
        ),
        train_cfg={"by_epoch": by_epoch, f"max_{by}": length, "new_draws": new_draws},
        optim_wrapper=dict(
            optimizer={"type": "SGD", "lr": 0.1, **optimizer}, accumulative_counts=every
        ),
        param_scheduler=schedules,
        auto_scale_lr=dict(enable=scale, base_batch_size=1),
        default_hooks=dict(
            checkpoint=dict(type="SafeCheckpointHook", by_epoch=by_epoch, interval=1)
        ),
        experiment_name=str(folder),
        log_level="WARNING",
        randomness=dict(seed=seed),
        load_from=resume and str(resume),
        resume=resume is not None,
        cfg=dict(param_scheduler=schedules),
    )
    runner.warned = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: runner.warned.append(record.getMessage())
    runner.logger.addHandler(handler)
    runner.train()
    return runner


def said(runner, part: str) -> list[str]:
    return [text for text in runner.warned if part in text]


PLANNED, FOLLOWED = "the run was planned for", "the config is not followed where it has"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (dict(), None),
        (dict(length=4), "planned for 6 epochs and has 4 now"),
        (dict(length=8), "planned for 6 epochs and has 8 now"),
        (dict(lr=0.001), "it has lr 0.001 instead of 0.1. To"),
        (dict(weight_decay=0.05), "it has weight_decay 0.05 instead of 0. To"),
        (dict(gamma=0.5), "it has param_scheduler.0.gamma 0.5 instead of 0.9. To"),
    ],
    ids=["as it was", "shorter", "longer", "lr", "weight decay", "schedule"],
)
def test_a_changed_plan_is_told(changes, expected, tmp_path):
    trained(tmp_path / "first")
    runner = trained(tmp_path / "on", resume=tmp_path / "first" / "epoch_2.pth", **changes)
    told = said(runner, PLANNED) + said(runner, FOLLOWED)
    assert len(told) == (expected is not None)
    assert expected is None or expected in told[0]


def test_a_longer_plan_is_told_after_new_draws_too(tmp_path):
    trained(tmp_path / "one")
    first = tmp_path / "one" / "epoch_2.pth"
    again = trained(tmp_path / "two", resume=first, seed=1, new_draws=True)
    assert not said(again, PLANNED)
    later = tmp_path / "two" / "epoch_3.pth"
    runner = trained(tmp_path / "three", length=8, resume=later, seed=1)
    assert len(said(runner, "planned for 6 epochs and has 8 now")) == 1


@pytest.mark.parametrize("by_epoch", [True, False], ids=["by epoch", "by iteration"])
@pytest.mark.parametrize("schedule", [True, False], ids=["schedule", "constant"])
def test_another_accumulation_scales_the_lr_as_in_a_new_run(by_epoch, schedule, tmp_path):
    options = dict(by_epoch=by_epoch, schedule=schedule, scale=True)
    trained(tmp_path / "first", **options)
    first = tmp_path / "first" / ("epoch_2.pth" if by_epoch else "iter_2.pth")
    runner = trained(tmp_path / "on", resume=first, every=2, new_draws=True, **options)
    new = trained(tmp_path / "new", every=2, **options)
    lrs = [one.optim_wrapper.param_groups[0]["lr"] for one in (runner, new)]
    assert lrs[0] == pytest.approx(lrs[1], rel=1e-9)
    assert lrs[1] == pytest.approx(0.2 * (0.9**5 if schedule else 1))
    assert not said(runner, FOLLOWED)


@pytest.mark.parametrize("by_epoch", [True, False])
def test_a_run_goes_over_between_epochs_and_iterations(by_epoch, tmp_path):
    """Where it stands is its iterations; later ones are resumed as any run is."""
    lengths = {True: (2, 3), False: (2 * IMAGES, 3 * IMAGES)}  # by whether epochs are counted
    trained(tmp_path, length=lengths[by_epoch][0], by_epoch=by_epoch)
    first = last_checkpoint(tmp_path)
    options = dict(length=lengths[not by_epoch][1], by_epoch=not by_epoch)
    with pytest.raises(MaskSSLError, match=r"iterations per epoch, and an epoch has .*--new-draws"):
        trained(tmp_path / "refused", resume=first, **options)
    runner = trained(tmp_path / "on", resume=first, new_draws=True, **options)
    assert runner.iter == 3 * IMAGES
    again = trained(tmp_path / "again", resume=last_checkpoint(tmp_path / "on"), **options)
    assert again.iter == 3 * IMAGES
