"""A full disk costs points of the curves, never the run."""

import errno
import json
import logging
import os
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import VISBACKENDS
from mmengine.visualization import LocalVisBackend, Visualizer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from maskssl import configs_folder
from maskssl.engine.hooks.logs import SafeLoggerHook
from maskssl.engine.runner.runner import MaskSSLRunner


@VISBACKENDS.register_module()
class FailingVisBackend(LocalVisBackend):
    """Writes as LocalVisBackend does, but where ``codes`` has an errno for the next write."""

    codes: ClassVar[list[int]] = []

    def _fail(self) -> None:
        if self.codes and (code := self.codes.pop(0)):
            raise OSError(code, os.strerror(code))

    def add_scalars(self, *args, **kwargs) -> None:
        self._fail()
        super().add_scalars(*args, **kwargs)

    def close(self) -> None:
        self._fail()


class Line(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, inputs, mode="loss"):
        return dict(loss=self.layer(inputs).square().mean())


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Train six iterations whose writes, and the closing, fail as told; returns the warnings."""

    def trained(*codes) -> list[str]:
        monkeypatch.setattr(FailingVisBackend, "codes", list(codes))
        name = f"{tmp_path.name}"
        found = MaskSSLRunner(
            Line(),
            work_dir=str(tmp_path),
            train_dataloader=DataLoader(TensorDataset(torch.rand(6, 2)), batch_size=1),
            train_cfg=dict(by_epoch=False, max_iters=6),
            optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
            default_hooks=dict(logger=dict(type="SafeLoggerHook", interval=1)),
            visualizer=Visualizer(
                name, vis_backends=[dict(type="FailingVisBackend")], save_dir=str(tmp_path / "vis")
            ),
            log_level="WARNING",
            experiment_name=name,
        )
        handler, told = logging.Handler(logging.WARNING), []
        handler.emit = lambda record: told.append(record.getMessage())
        found.logger.addHandler(handler)
        found.train()
        assert found.iter == 6
        return told

    return trained


def test_a_full_disk_costs_points_of_the_curves_and_is_told_once(train, tmp_path):
    told = train(0, errno.ENOSPC, errno.EDQUOT, 0, 0, 0, errno.ENOSPC)
    [text] = [one for one in told if "for want of disk space" in one]
    assert "No space left on device" in text and str(tmp_path) in text
    lines = (tmp_path / "vis" / "vis_data" / "scalars.json").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 4, 5, 6]


def test_any_other_error_of_a_backend_is_raised(train):
    with pytest.raises(OSError, match="Input/output error"):
        train(errno.EIO)


def test_every_shipped_run_logs_so():
    cfg = Config.fromfile(Path(configs_folder(), "_base_", "default_runtime.py"))
    assert cfg.default_hooks.logger.type == SafeLoggerHook.__name__
