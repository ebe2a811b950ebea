"""maskssl check-data: a screen, JSON and sheets."""

import json
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmpretrain.structures import DataSample
from PIL import Image

from maskssl.cli.data_check import DataError, look_at_data, sheets
from maskssl.cli.data_check import cost as costs
from maskssl.cli.data_check.report import _balance, as_text, report
from maskssl.cli.data_check.run_length import RunLength
from maskssl.cli.data_check.sheets import write_sheets
from maskssl.datasets.checks.duplicates import duplicates
from maskssl.visualization.overlays import COLOURS
from tests.cli.test_data_check import (
    DET,
    FINETUNE,
    PRETRAIN,
    SEG,
    TRAIN,
    dense_config,
    folder_config,
)
from tests.datasets.checks.sets import write_dense, write_image_folder


def test_the_report_says_what_is_there(tmp_path):
    root = write_image_folder(tmp_path)
    shutil.copy(root / "train/pear/002.jpg", root / "val/pear/same.jpg")
    Image.open(root / "train/plum/000.jpg").convert("RGBA").save(root / "train/plum/clear.png")
    facts = json.loads(json.dumps(report(folder_config(FINETUNE, root))))
    train, val, test = facts["loaders"]
    assert (train["images"], train["used"], train["batches"], train["opened"]) == (13, 13, 6, 13)
    assert train["counts"] == dict(apple=4, pear=4, plum=5)
    assert train["modes"] == dict(RGB=12, RGBA=1) and train["sizes"] == [[48, 48]] * 3
    assert val["batches"] == 7 and test["source"] == val["source"]
    (leak,) = facts["duplicates"]
    assert (leak["loader"], leak["found"], leak["looked_at"]) == ("val_dataloader", 1, 13)
    assert leak["first"] == [[str(root / "train/pear/002.jpg"), str(root / "val/pear/same.jpg")]]
    assert facts["cost"]["loading"] > 0 and facts["cost"]["checkpoint"] > 1e6
    text = as_text(facts)
    assert "! 1 of 13 pictures looked at have an alpha channel" in text
    assert "! 1 of 13 pictures of val_dataloader looked at are among 13 that are trained on" in text
    assert "run: 13 images; batch of 2" in text and len(text.splitlines()) < 24


def test_equal_sizes_are_not_enough_for_a_leak(tmp_path):
    for name, content in (("a", b"123"), ("b", b"123"), ("c", b"321"), ("d", b"1")):
        (tmp_path / name).write_bytes(content)
    a, b, c, d = (str(tmp_path / name) for name in "abcd")
    assert duplicates([a, c], [d, b]) == [(a, b)]
    assert duplicates([d], [a, b, c]) == []
    assert duplicates([d, "gone", a, b], ["gone", b, a]) == [(a, b), (a, a)]


def test_equal_ends_are_not_enough_for_a_leak(tmp_path):
    for name, first in (("a", b"1"), ("b", b"2"), ("c", b"2")):
        (tmp_path / name).write_bytes(first + bytes(5000))
    a, b, c = (str(tmp_path / name) for name in "abc")
    assert duplicates([a, b], [c]) == [(b, c)]


def test_the_steps_are_those_of_all_processes(tmp_path):
    cfg = folder_config(FINETUNE, write_image_folder(tmp_path))
    assert "2 x 1 processes x 1 accumulated = 2; 6 batches" in report(cfg)["run"]
    assert "2 x 3 processes x 1 accumulated = 6; 2 batches" in report(cfg, processes=3)["run"]


@pytest.mark.parametrize("name", [FINETUNE, PRETRAIN, SEG, DET])
def test_sheets_show_every_scope(name, tmp_path):
    if name in (SEG, DET):
        cfg = dense_config(name, write_dense(tmp_path / "set"))
    else:
        cfg = folder_config(name, write_image_folder(tmp_path / "set"))
    paths = write_sheets(cfg, tmp_path / "sheets")
    assert paths[0].name == "train_dataloader.png"
    for path in paths:
        with Image.open(path) as sheet:
            assert sheet.width in (412, 820) and len(set(sheet.convert("L").tobytes())) > 50


def test_truth_is_drawn_where_it_lies():
    view = torch.full((3, 100, 200), 100)
    truth = DataSample()
    labels = torch.full((1, 100, 200), 255)
    labels[:, :50, :100] = 3
    truth.set_field(PixelData(data=labels), "gt_sem_seg", dtype=PixelData)
    truth.set_field(np.array([[False, False], [False, True]]), "mask")
    (tile,) = sheets._drawn(dict(inputs=view, data_samples=truth), tuple("abcde"), False)
    drawn = np.asarray(tile)
    assert drawn.shape == (100 + 14, 200, 3)  # above the words
    expected = 0.55 * 100 + 0.45 * np.array(COLOURS[3])
    np.testing.assert_allclose(drawn[20, 40], expected, atol=1)  # upper left: the label
    np.testing.assert_allclose(drawn[20, 160], 100, atol=1)  # upper right: neither
    np.testing.assert_allclose(drawn[80, 160], 35, atol=1)  # lower right: hidden
    assert (drawn[100:] < 128).any()
    nameless = DataSample().set_gt_label(300)
    (tile,) = sheets._drawn(dict(inputs=view, data_samples=nameless), None, False)
    (named,) = sheets._drawn(dict(inputs=view, data_samples=nameless), {300: "label 300"}, False)
    assert tile.tobytes() == named.tobytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model.backbone.in_channels": 4}, r"loaded in 3 .*model.backbone.in_channels=4; --ch"),
        ({"model.data_preprocessor.mean": [1, 2]}, "model.data_preprocessor.mean has 2 values"),
        ({f"{TRAIN}.dataset.pipeline.0.color_type": "grayscale"}, "color_type='grayscale'"),
        ({f"{TRAIN}.dataset.pipeline.0.color_type": "unchanged"}, "color_type='unchanged'"),
    ],
)
def test_other_numbers_of_channels_are_refused(options, message, tmp_path):
    root = write_image_folder(tmp_path, count=2)
    with pytest.raises(DataError, match=message):
        look_at_data(folder_config(FINETUNE, root, options), [TRAIN])


def test_red_is_drawn_red(tmp_path):
    root = write_image_folder(tmp_path / "set")
    for path in (root / "train").rglob("*.jpg"):
        Image.new("RGB", (48, 48), (250, 20, 20)).save(path)
    path, *_ = write_sheets(folder_config(FINETUNE, root), tmp_path / "sheets")
    with Image.open(path) as sheet:
        red, _, blue = np.asarray(sheet.convert("RGB")).astype(int)[100, 100]
    assert red > blue + 100


LENGTH = RunLength(
    images=100,
    batch=3,
    processes=2,
    accumulation=5,
    batches=17,
    epochs=0,
    steps=7,
    schedule_end=None,
    by_epoch=False,
    end=7,
)


@pytest.fixture
def counted(monkeypatch):
    """A data set of 100, two seconds an image, and a model of 16 weights."""
    ticks = iter((0.0, 64.0))  # 32 images are timed
    monkeypatch.setattr(costs, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    for name, made in (("DATASETS", list(range(100))), ("MODELS", torch.nn.Linear(3, 4))):
        registry = SimpleNamespace(build=lambda config, made=made: made)
        monkeypatch.setattr(costs, name, registry)


@pytest.mark.parametrize(
    ("workers", "optimizer", "hooks", "seconds", "copies"),
    [
        (4, "AdamW", [], 420 / 8, 3),  # weights and two moments
        (0, "AdamW", ["EMAHook"], 420 / 2, 4),  # the process of a rank loads itself
        (1, "SGD", ["OtherHook"], 420 / 2, 2),
        (2, "LARS", ["OtherHook", "EMAHook"], 420 / 4, 3),
    ],
)
def test_the_cost_by_hand(workers, optimizer, hooks, seconds, copies, counted):
    """7 steps of 3 x 2 x 5 images are 210; two ranks have so many loader processes each."""
    cfg = Config(
        dict(
            train_dataloader=dict(dataset=dict(type="A"), num_workers=workers),
            model=dict(type="B"),
            optim_wrapper=dict(optimizer=dict(type=optimizer)),
            custom_hooks=[dict(type=hook) for hook in hooks],
        )
    )
    found = costs.cost(cfg, LENGTH)
    assert found["loading"] == 2
    assert found["hours"] == pytest.approx(seconds / 3600)
    assert found["checkpoint"] == 16 * copies * 4  # bytes of a float32


def test_the_cost_is_told_in_its_units():
    line = costs.cost_line(dict(loading=0.0123, hours=12.34, checkpoint=1_234_567_890))
    assert line == (
        "loading takes 12.3 ms an image in each loader process, so the run takes 12 hours at "
        "least; a checkpoint takes about 1,235 MB"
    )


@pytest.mark.parametrize(("opened", "said"), [(64, "64 of 6,400 opened"), (6400, "6,400 opened")])
def test_a_look_at_a_sample_says_of_how_many(opened, said):
    one = dict(
        loader="train_dataloader",
        source=os.fsdecode(b"b\xe4r"),  # no UTF-8, and no screen shows it
        images=6400,
        used=6400,
        batches=3200,
        unit="images",
        counts=None,
        opened=opened,
        sizes=[(4, 3)] * 3,
        modes=dict(RGB=opened),
        notes=[],
    )
    text = as_text(dict(loaders=[one], duplicates=[], run=None))
    assert f"\n  {said}: 4x3 to 4x3" in text
    assert text.encode("utf-8").startswith(b"train_dataloader: b\\udce4r\n")


@pytest.mark.parametrize(
    ("hooks", "frozen", "weights"),
    [
        (["StepEMAHook"], False, 16 * 4),  # weights, two moments, and their average
        (["mmpretrain.EMAHook"], False, 16 * 4),
        (["StepEMAHook"], True, 16 * 2),  # no optimizer has moments of a frozen model
    ],
)
def test_the_checkpoints_of_averages_and_of_frozen_weights(
    hooks, frozen, weights, counted, monkeypatch
):
    model = torch.nn.Linear(3, 4).requires_grad_(not frozen)
    monkeypatch.setattr(costs.MODELS, "build", lambda config: model)
    cfg = Config(
        dict(
            train_dataloader=dict(dataset=dict(type="A")),
            model=dict(type="B"),
            optim_wrapper=dict(optimizer=dict(type="AdamW")),
            custom_hooks=[dict(type=hook) for hook in hooks],
        )
    )
    assert costs.cost(cfg, LENGTH)["checkpoint"] == weights * 4  # bytes of a float32


def test_of_many_classes_the_rarest_and_the_most_frequent_are_told():
    counts = {name: 10 * number for number, name in enumerate("gfedcba", start=1)}
    assert _balance(counts, "images") == (
        "280 images in 7 classes, 40.0 each on average; fewest g 10, f 20, e 30; most c 50, b 60, "
        "a 70"
    )


def test_images_that_are_repeated_count_as_often(tmp_path):
    """Twelve images, five times, in batches of two."""
    cfg = folder_config(FINETUNE, write_image_folder(tmp_path))
    inside = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(type="RepeatDataset", times=5, dataset=inside)
    facts = report(cfg)
    train = facts["loaders"][0]
    assert (train["images"], train["used"], train["times"], train["batches"]) == (12, 12, 5, 30)
    assert facts["run"].startswith("60 images; batch of 2") and "30 batches an" in facts["run"]
