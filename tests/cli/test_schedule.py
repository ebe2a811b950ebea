"""The schedule that is drawn before a run is the one that the run has, step by step."""

from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.hooks import Hook

from maskssl.cli.config import ConfigError
from maskssl.cli.schedule import schedules_of
from maskssl.engine.runner.runner import MaskSSLRunner
from maskssl.visualization.schedules import Schedules, figure_of, told_points
from tests.cli.test_data_check import FINETUNE, KNN, PRETRAIN, folder_config
from tests.datasets.checks.sets import write_image_folder

EXTREMA = "pretrain/extrema_vit-mini-p8_1xb32-amp-coslr-10e_scenes.py"
SMALL = {
    "train_dataloader.num_workers": 0,
    "train_dataloader.persistent_workers": False,
    "model.backbone.arch": dict(embed_dims=96, num_layers=3, num_heads=3),
}
FROZEN_DECAY = dict(  # a schedule of weight decay, as DINO has it
    type="CosineAnnealingParamScheduler", param_name="weight_decay", eta_min=0.4, by_epoch=True
)
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "pretraining": (PRETRAIN, {"train_cfg.max_epochs": 8}),
    "pretraining by progress": (EXTREMA, {"train_cfg.max_epochs": 2}),
    "layer decay, accumulated, scaled": (
        FINETUNE,
        {
            "train_cfg.max_epochs": 3,
            "optim_wrapper.paramwise_cfg.layer_decay_rate": 0.5,
            "optim_wrapper.accumulative_counts": 2,
            "auto_scale_lr": dict(base_batch_size=64, enable=True),
        },
    ),
    "a schedule of weight decay by epoch": (
        FINETUNE,
        {
            "train_cfg.max_epochs": 3,
            "param_scheduler": [FROZEN_DECAY, dict(type="StepLR", step_size=2, by_epoch=True)],
        },
    ),
    "iterations": (
        FINETUNE,
        {
            "train_cfg": dict(type="IterBasedTrainLoop", max_iters=9),
            "param_scheduler": [
                dict(type="LinearLR", start_factor=0.1, by_epoch=False, end=4),
                dict(type="PolyLR", power=0.9, by_epoch=False, begin=4),
            ],
        },
    ),
}


class Seen(Hook):
    """What each step is made with."""

    priority = "VERY_LOW"

    def __init__(self) -> None:
        self.groups: list[dict[str, tuple[float, float]]] = []
        self.momentum: list[float] = []
        self.weight: list[float] = []

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        names = {id(p): name for name, p in runner.model.named_parameters()}
        self.groups.append(
            {
                names[id(p)]: (group["lr"], group["weight_decay"])
                for group in runner.optim_wrapper.optimizer.param_groups
                for p in group["params"]
            }
        )
        self.weight.append(getattr(runner.model.head, "current_feature_weight", 0.0))

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        logged = runner.message_hub.log_scalars.get("train/momentum")
        self.momentum.append(logged.current() if logged else 0.0)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_image_folder(folder)
    return folder


def config_of(kind: str, images: Path, work_dir: Path) -> Config:
    name, options = KINDS[kind]
    cfg = folder_config(name, images)
    for key, value in (SMALL | options).items():  # whole, where merging would mix dicts
        *above, last = key.split(".")
        reduce(lambda node, part: node[part], above, cfg)[last] = value
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
    cfg.model.backbone.init_cfg = None
    cfg.work_dir = str(work_dir)
    return cfg


@pytest.mark.parametrize("kind", KINDS)
def test_every_step_of_a_run_has_the_values_that_were_drawn(kind, images, tmp_path):
    cfg = config_of(kind, images, tmp_path)
    drawn = schedules_of(cfg)
    runner, seen = MaskSSLRunner.from_cfg(cfg), Seen()
    runner.register_hook(seen)
    runner.train()
    assert drawn.epoch_length == len(runner.train_dataloader)
    lrs = np.array([sorted({lr for lr, _ in step.values()}) for step in seen.groups])
    curves = np.sort(np.stack(list(drawn.panels["learning rate"].values()), axis=1), axis=1)
    np.testing.assert_array_equal(curves, lrs)
    decays = np.array([sorted({decay for _, decay in step.values()}) for step in seen.groups])
    curves = np.sort(np.stack(list(drawn.panels["weight decay"].values()), axis=1), axis=1)
    np.testing.assert_array_equal(curves, decays)
    assert len(np.unique(lrs[:, -1])) > 2 or "weight decay" in kind
    quantities = {"learning rate", "weight decay"}
    if kind.startswith("pretraining"):
        quantities.add("momentum of the teacher")
        (momentum,) = drawn.panels["momentum of the teacher"].values()
        np.testing.assert_array_equal(momentum, seen.momentum)
        assert len(set(momentum)) > 1
    if kind == "pretraining":
        quantities.add("feature weight")
        (weight,) = drawn.panels["feature weight"].values()
        np.testing.assert_array_equal(weight, seen.weight)
        assert len(set(weight)) > 1
    assert set(drawn.panels) == quantities
    if kind.startswith("layer"):
        names = drawn.panels["learning rate"]
        assert len(names) == 5  # stem, three blocks, head
        assert any("tensors of backbone.blocks.1" in name for name in names)


def test_images_need_not_be_there(images, tmp_path):
    cfg = config_of("pretraining", images, tmp_path)
    cfg.train_dataloader.dataset.data_root = "nowhere"
    with pytest.raises(ConfigError, match=r"nowhere.*--images N \(ImageNet-1K has 1281167\)"):
        schedules_of(cfg)
    drawn = schedules_of(cfg, images=64, processes=4)
    assert drawn.epoch_length == 64 // 4 // 2
    (curve,) = drawn.panels["learning rate"].values()
    assert len(curve) == 8 * 8 and "64 images; batch of 2 x 4 processes" in drawn.title


def test_a_config_that_trains_nothing_is_refused(images):
    with pytest.raises(ConfigError, match="has no train_cfg: it trains nothing"):
        schedules_of(folder_config(KNN, images))


def test_start_peak_and_end_are_told():
    rising = np.array([0.0, 1, 3, 2])
    assert told_points(rising) == {"start": 0, "peak": 2, "end": 3}
    assert told_points(rising[:3]) == {"start": 0, "end": 2}
    panels = {"lr": {"a": rising, "b": rising / 10}, "momentum": {"": rising}}
    figure = figure_of(Schedules("name", 2, panels))
    first, second = figure.axes
    written = {text.get_text() for text in first.texts}
    assert written == {f"{at} {v}" for at, v in (("start", 0), ("peak", 3), ("end", 2))} | {
        "peak 0.3",
        "end 0.2",
    }
    assert {text.get_text() for text in second.texts} == {"start 0", "peak 3", "end 2"}
    assert [line.get_label() for line in first.get_legend().get_lines()] == ["a", "b"]
    for line, curve in zip(first.lines[:2], panels["lr"].values(), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), curve)


def test_an_epoch_of_repeated_images_is_as_much_longer(tmp_path):
    """Twelve images, five times, in batches of two: as drawn, and as the data set has them."""
    cfg = folder_config(PRETRAIN, write_image_folder(tmp_path))
    inside = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(type="RepeatDataset", times=5, dataset=inside)
    drawn = schedules_of(cfg)
    assert drawn.epoch_length == 30
    assert "60 images" in drawn.title
