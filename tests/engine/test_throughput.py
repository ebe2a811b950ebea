"""Images per second, share of waiting, memory and scale: counted right, logged everywhere."""

import json
import time

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


def test_resident_memory_follows_what_is_held():
    before = resident_memory()
    held = torch.ones(64 * 2**18)  # 64 MB, touched
    assert 50 < resident_memory() - before < 90
    del held


class Model(BaseModel):
    """Takes 20 ms a step."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, inputs, data_samples=None, mode="loss"):
        time.sleep(0.02)
        return dict(loss=self.layer(inputs.mean().view(1, 1)).sum())


class Slow(torch.utils.data.Dataset):
    """Two images of a batch take 60 ms to load."""

    def __len__(self):
        return 16

    def __getitem__(self, index):
        time.sleep(0.03)
        return IMAGE


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
            train_dataloader=DataLoader(Slow(), batch_size=2, collate_fn=collate),
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


def test_rates_are_those_of_the_window_and_reach_every_log(train, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    runner = train([dict(type="ThroughputHook")])
    lines = logged(tmp_path)
    assert [line["iter"] for line in lines] == [4, 8]
    for line in lines:
        # two images in 60 + 20 ms; some slack for a busy machine
        assert line["img_per_s"] == pytest.approx(2 / line["time"], rel=1e-6)
        assert 0 < line["img_per_s"] <= 25
        assert line["data_wait_pct"] == pytest.approx(100 * line["data_time"] / line["time"])
        assert 50 < line["data_wait_pct"] < 95
        assert line["host_memory_mb"] == pytest.approx(resident_memory(), rel=0.3)
        assert "grad_scale" not in line
    events = EventAccumulator(str(tmp_path / runner.timestamp / "vis_data")).Reload()
    assert [event.step for event in events.Scalars("img_per_s")] == [4, 8]
    assert "data_wait_pct" in (tmp_path / runner.timestamp / f"{runner.timestamp}.log").read_text()
    # a machine's speed is no state of the run
    assert not any("img_per_s" in key for key in runner.message_hub.state_dict()["log_scalars"])


def test_all_ranks_count(train, tmp_path):
    class TwoRanks(Hook):
        def before_train(self, runner):
            runner._world_size = 2

    train([TwoRanks(), ThroughputHook(window=2)])
    line = logged(tmp_path)[0]
    assert line["img_per_s"] == pytest.approx(4 / line["time"], rel=0.3)
    assert line["img_per_s"] > 25


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
