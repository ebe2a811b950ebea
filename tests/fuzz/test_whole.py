"""Forty edited sets go through training and scoring whole; faulty ones never start."""

import math
from pathlib import Path

import pytest
from mmengine.config import Config

from maskssl.cli.data_check import DataError
from maskssl.cli.launch import build_runner, set_pretrained
from tests.cli.test_data_check import TRAIN, VAL
from tests.fuzz.test_data import Case, make_case

CASES = 40
SCORES = dict(folder="accuracy/top1", list="accuracy/top1", seg="mIoU", coco="coco/bbox_mAP")


def small(case: Case, work_dir: Path) -> Config:
    """A step of a tiny model, in this process."""
    cfg = case.cfg
    set_pretrained(cfg, "none")
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = f"fuzz-{case.title}"
    for loader in (TRAIN, VAL):
        cfg[loader].update(num_workers=0, persistent_workers=False, batch_size=3)
    if case.kind == "seg":
        cfg.train_cfg.update(max_iters=1, val_interval=1)
    else:
        cfg.train_cfg.update(max_epochs=1)
    if case.kind == "coco":
        cfg.model.test_cfg.rcnn.score_thr = 0.0  # untrained scores are low
    return cfg


@pytest.mark.slow
def test_forty_cases_are_trained_and_scored_or_refused(tmp_path):
    trained = refused = number = 0
    while trained < CASES:
        case = make_case(number, tmp_path)
        cfg = small(case, tmp_path / f"work {number}")
        number += 1
        try:
            runner = build_runner(cfg, [TRAIN, VAL])
        except DataError:
            assert case.guilty is not None, case.title
            refused += 1
            continue
        assert case.guilty is None, case.title
        runner.train()
        score = runner.message_hub.get_scalar(f"val/{SCORES[case.kind]}").current()
        assert math.isfinite(score) and runner.iter > 0, case.title
        trained += 1
    assert refused > CASES / 4
