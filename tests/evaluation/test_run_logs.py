"""Logs of a run by hand: what is joined, which keys are shown, which value is the best."""

import json
import math

import pytest

from maskssl.evaluation.run_figures import figures_of, pace_of, shown_keys
from maskssl.evaluation.run_logs import Line, RunLog, read_run


def start_of(work_dir, stamp, *lines):
    """Write what one start of a run has logged."""
    folder = work_dir / stamp / "vis_data"
    folder.mkdir(parents=True)
    (folder / "scalars.json").write_text("".join(json.dumps(line) + "\n" for line in lines))


def trained(iteration, **values):
    return dict(iter=iteration, step=iteration, **values)


def log_of(*lines) -> RunLog:
    return RunLog("run", [Line(iteration, *rest) for iteration, *rest in lines])


def test_a_start_that_goes_on_where_the_last_one_ended_replaces_nothing(tmp_path):
    start_of(tmp_path, "1", trained(10, loss=3.0), trained(20, loss=2.0))
    start_of(tmp_path, "2", trained(30, loss=1.0))
    run = read_run(tmp_path, "named")
    assert run.series("loss") == [(10, 3.0), (20, 2.0), (30, 1.0)]
    assert (run.label, run.notes) == ("named", ["joined from 2 starts"])


def test_a_single_start_has_no_notes(tmp_path):
    start_of(tmp_path / "mine", "1", trained(10, loss=3.0))
    run = read_run(tmp_path / "mine")
    assert (run.label, run.notes) == ("mine", [])


def test_what_is_no_figure_is_left_out(tmp_path):
    start_of(tmp_path, "1", trained(1, loss=3.0, exp_name="a", nothing=None, flag=True))
    (line,) = read_run(tmp_path).lines
    assert line == Line(1, True, dict(iter=1, step=1, loss=3.0, flag=True))


@pytest.mark.parametrize(
    ("lines", "places"),
    [
        # nothing trained: a test alone has the step that it says, or 0
        ([dict(mIoU=1.0, step=7)], [7]),
        ([dict(mIoU=1.0)], [0]),
        # a run by epochs: the iteration of the training line before
        ([trained(40, epoch=1), dict(mIoU=1.0, step=1)], [40]),
        ([trained(40, epoch=1), dict(mIoU=1.0, step=90)], [40]),
        # a run by iterations: its own step, never before the line in front of it
        ([trained(40), dict(mIoU=1.0, step=50)], [50]),
        ([trained(40), dict(mIoU=1.0, step=30)], [40]),
        ([trained(40), dict(mIoU=1.0, step=50), dict(mIoU=2.0, step=60)], [50, 60]),
    ],
)
def test_where_a_validation_stands(lines, places, tmp_path):
    start_of(tmp_path, "1", *lines)
    assert [at for at, _ in read_run(tmp_path).series("mIoU")] == places


@pytest.mark.parametrize(
    ("key", "best", "at"),
    [
        ("loss", 1.0, 2),
        ("loss_pixel", 1.0, 2),
        ("feature_error", 1.0, 2),
        ("data_time", 1.0, 2),
        ("data_wait", 1.0, 2),
        ("skipped_steps", 1.0, 2),
        ("accuracy/top1", 4.0, 3),
        ("mIoU", 4.0, 3),
        ("coco/bbox_mAP", 4.0, 3),
        ("img_per_s", 4.0, 3),
        ("lr", None, None),
        ("momentum", None, None),
        ("grad_norm", None, None),
        ("loss_scale", None, None),
        ("spread_teacher", None, None),
        ("memory", None, None),
    ],
)
def test_which_value_is_the_best(key, best, at):
    values = (2.0, 1.0, 4.0, 3.0)
    run = log_of(*((place, True, {key: value}) for place, value in enumerate(values, start=1)))
    found = figures_of(run, key)
    assert (found.run, found.key, found.lines) == ("run", key, 4)
    assert (found.first, found.last, found.best, found.best_at) == (2.0, 3.0, best, at)


def test_the_first_of_equal_values_is_the_best():
    run = log_of((1, True, dict(loss=2.0)), (2, True, dict(loss=1.0)), (3, True, dict(loss=1.0)))
    assert figures_of(run, "loss").best_at == 2


def test_without_a_finite_value_there_is_no_best():
    run = log_of((1, True, dict(loss=math.nan)), (2, True, dict(loss=math.inf)))
    found = figures_of(run, "loss")
    assert (found.best, found.best_at, found.lines) == (None, None, 2)
    assert math.isnan(found.first) and found.last == math.inf


def test_pace_leaves_out_steps_whose_rate_is_unknown():
    run = log_of(
        (10, True, dict(time=1.0, img_per_s=100.0)),
        (30, True, dict(time=0.5)),
        (31, False, dict(time=9.0)),
        (50, True, dict(time=0.5, img_per_s=40.0)),
        (60, True, dict(loss=1.0)),
    )
    assert run.timed() == [(10.0, 100.0), (10.0, None), (10.0, 40.0)]
    pace = pace_of(run)
    assert (pace.run, pace.iterations, pace.seconds, pace.img_per_s) == ("run", 60, 30.0, 70.0)
    empty = pace_of(log_of())
    assert (empty.iterations, empty.seconds, empty.img_per_s) == (0, 0, None)


def test_the_order_of_what_is_shown():
    """Losses, error, lr, momentum, norm, speed, spread; then metrics, as they came."""
    values = dict(spread_teacher=1, img_per_s=1, grad_norm=1, momentum=1, lr=1, feature_error=1)
    values |= dict(loss_pixel=1, loss=1, memory=1, time=1, epoch=1)
    run = log_of((1, True, values), (1, False, dict(mIoU=1, aAcc=1, time=1, data_time=1, step=1)))
    assert shown_keys([run]) == [
        *("loss_pixel", "loss", "feature_error", "lr", "momentum", "grad_norm"),
        *("img_per_s", "spread_teacher", "mIoU", "aAcc"),
    ]
    assert shown_keys([run], ["memory", "mIoU", "memory", "time"]) == ["memory", "mIoU", "time"]
    other = log_of((1, True, dict(loss_feature=1)))
    assert shown_keys([other, run])[:3] == ["loss_feature", "loss_pixel", "loss"]
