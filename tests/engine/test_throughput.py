"""Images per second, share of waiting, memory and scale: counted right, logged everywhere."""

import json
import re
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from torch import nn
from torch.utils.data import DataLoader

from maskssl.engine.hooks.throughput import ThroughputHook, images_in, resident_memory
from maskssl.errors import MaskSSLError

IMAGE, BATCH = torch.zeros(3, 8, 8), torch.zeros(5, 3, 8, 8)
SAMPLES = [DataSample() for _ in range(5)]


@pytest.mark.parametrize(
    ("batch", "images"),
    [
        (dict(inputs=BATCH), 5),
        (dict(inputs=[IMAGE] * 5), 5),  # of several sizes, as mmseg and mmdet collate
        (dict(inputs=[BATCH, BATCH]), 5),  # two views, without samples
        (dict(inputs=[BATCH, BATCH], data_samples=SAMPLES), 5),
        (dict(inputs=[IMAGE] * 5, data_samples=SAMPLES), 5),
        (dict(inputs=BATCH, data_samples=[]), 5),
        ((BATCH, torch.zeros(5)), 5),  # torchvision's pairs
        ([[BATCH, BATCH], torch.zeros(5)], 5),
        (dict(inputs=dict(labelled=BATCH)), None),
        (dict(), None),
        (None, None),
        (torch.zeros(7, 2), None),
    ],
)
def test_images_of_a_batch(batch, images):
    assert images_in(batch) == images


def test_resident_memory_is_what_the_kernel_says():
    status = Path("/proc/self/status").read_text()
    kilobytes = int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])
    assert resident_memory() == pytest.approx(kilobytes / 1024, rel=0.02)


class Clock(Hook):
    """Times of each iteration, in place of those that IterTimerHook has measured just before."""

    priority = 51
    times = ((0.4, 0.3), (0.1, 0.0), (0.1, 0.05), (0.2, 0.15))  # a step, of it waiting for data

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        seconds, waited = self.times[runner.iter % 4]
        runner.message_hub.update_scalar("train/time", seconds)
        runner.message_hub.update_scalar("train/data_time", waited)


class Model(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, inputs, data_samples=None, mode="loss"):
        return dict(loss=self.layer(inputs.mean().view(1, 1)).sum())


def collate(images):
    return dict(inputs=torch.stack(images))


@pytest.fixture
def train(tmp_path):
    scopes = dict(DefaultScope._instance_dict)

    def train(hooks, wrapper=None, name="run", **options):
        model = Model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        runner = Runner(
            model,
            work_dir=str(tmp_path),
            train_dataloader=DataLoader([IMAGE] * 16, batch_size=2, collate_fn=collate),
            train_cfg=dict(by_epoch=True, max_epochs=1),
            optim_wrapper=wrapper or OptimWrapper(optimizer=optimizer),
            default_hooks=dict(logger=dict(type="LoggerHook", interval=4)),
            custom_hooks=hooks,
            visualizer=dict(
                type="Visualizer",
                vis_backends=[dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")],
            ),
            log_processor=dict(window_size=4),
            experiment_name=f"{tmp_path.name}-{name}",
            **options,
        )
        runner.train()
        return runner

    yield train
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(scopes)


def logged(tmp_path):
    (file,) = tmp_path.glob("*/vis_data/scalars.json")
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_rates_are_those_of_the_window_and_reach_every_log(train, tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr("maskssl.engine.hooks.throughput.resident_memory", lambda: 123.0)
    runner = train([Clock(), dict(type="ThroughputHook")])
    lines = logged(tmp_path)
    assert [line["iter"] for line in lines] == [4, 8]
    for line in lines:
        assert line["img_per_s"] == pytest.approx(8 / 0.8)  # of four steps with two images
        assert line["data_wait_pct"] == pytest.approx(100 * 0.5 / 0.8)
        assert line["host_memory_mb"] == 123.0
        assert "grad_scale" not in line
    events = EventAccumulator(str(tmp_path / runner.timestamp / "vis_data")).Reload()
    assert [event.step for event in events.Scalars("img_per_s")] == [4, 8]
    assert "data_wait_pct" in (tmp_path / runner.timestamp / f"{runner.timestamp}.log").read_text()
    # a machine's speed is no state of the run
    assert not any("img_per_s" in key for key in runner.message_hub.state_dict()["log_scalars"])


def test_all_ranks_count_in_a_window_of_its_own(train, tmp_path):
    class TwoRanks(Hook):
        def before_train(self, runner):
            runner._world_size = 2

    train([TwoRanks(), Clock(), ThroughputHook(window=2)])
    line = logged(tmp_path)[0]
    assert line["img_per_s"] == pytest.approx(2 * 4 / 0.3)
    assert line["data_wait_pct"] == pytest.approx(100 * 0.2 / 0.3)


def test_the_scale_of_the_loss(train, tmp_path):
    class Scaled(OptimWrapper):
        loss_scaler = torch.amp.GradScaler("cpu", init_scale=512.0)

        def update_params(self, loss, **kwargs):
            self.loss_scaler.scale(loss)  # makes the scaler's tensor
            super().update_params(loss, **kwargs)
            self.loss_scaler.update(self.loss_scaler.get_scale() / 2)

    reads = []
    read = Scaled.loss_scaler.get_scale
    model = Model()
    wrapper = Scaled(optimizer=torch.optim.SGD(model.parameters(), lr=0.1))

    class CountReads(Hook):
        priority = 54

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            Scaled.loss_scaler.get_scale = lambda: (reads.append(runner.iter), read())[1]

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            Scaled.loss_scaler.get_scale = read

    train([CountReads(), ThroughputHook()], wrapper=wrapper)
    # the value now, not a mean over a window; read once per line of the log
    assert [line["grad_scale"] for line in logged(tmp_path)] == [512 / 2**4, 512 / 2**8]
    assert reads == [3, 7]


def test_batches_that_cannot_be_counted_are_told_once(train, tmp_path, monkeypatch):
    warned = []
    monkeypatch.setattr(
        MMLogger, "warning", lambda self, text, *rest: warned.append(text), raising=True
    )
    monkeypatch.setattr("maskssl.engine.hooks.throughput.images_in", lambda batch: None)
    train([ThroughputHook()])
    assert [text for text in warned if "no images" in text] == [
        "ThroughputHook finds no images in a batch of type dict: img_per_s is not logged for such "
        "batches"
    ]
    assert all("img_per_s" not in line and "data_wait_pct" in line for line in logged(tmp_path))


def test_it_stands_between_timer_and_log_in_every_order(train):
    runner = train([ThroughputHook()], name="order")
    names = [type(hook).__name__ for hook in runner.hooks]
    assert names.index("IterTimerHook") < names.index("ThroughputHook") < names.index("LoggerHook")


def test_without_the_timer_it_is_refused(train):
    early = ThroughputHook()
    early.priority = "HIGH"
    with pytest.raises(MaskSSLError, match=r"keep default_hooks\.timer"):
        train([early])


@pytest.mark.parametrize("window", [0, -3])
def test_a_window_without_iterations_is_refused(window):
    with pytest.raises(MaskSSLError, match=f"window={window}"):
        ThroughputHook(window=window)
