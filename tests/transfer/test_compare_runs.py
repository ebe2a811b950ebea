"""Logs of runs side by side: joined rightly, best values of the right sense, honest gaps."""

import io
import json
import math
from dataclasses import replace

import pytest
from PIL import Image
from rich.console import Console

from maskssl.evaluation.run_figures import figures_of, pace_of, shown_keys
from maskssl.evaluation.run_logs import LogError, read_run
from maskssl.transfer.compare_runs import write_comparison
from maskssl.visualization import curves
from tests.transfer.logs import training, write_log


@pytest.fixture
def two(tmp_path):
    """Runs of different length; the second has neither speed nor validation."""
    first = [
        training(10, epoch=1, lr=0.1, loss=3.0, img_per_s=100.0),
        training(20, epoch=1, lr=0.2, loss=1.0, img_per_s=50.0),
        {"accuracy/top1": 40.0, "time": 9.0, "data_time": 1.0, "step": 1},
        dict(training(40, epoch=2, lr=0.1, loss=2.0, img_per_s=50.0), time=1.0),
        {"accuracy/top1": 60.0, "time": 9.0, "data_time": 1.0, "step": 2},
        {"accuracy/top1": 55.0, "time": 9.0, "data_time": 1.0, "step": 3},
    ]
    second = [training(10, epoch=1, lr=0.1, loss=2.5), training(20, epoch=1, lr=0.1, loss=2.4)]
    write_log(tmp_path / "a", "20260101_000000", first)
    write_log(tmp_path / "b", "20260101_000000", second)
    return [read_run(tmp_path / "a"), read_run(tmp_path / "b", "the other")]


def test_first_last_and_best(two):
    run, other = two
    assert (run.label, other.label) == ("a", "the other")
    loss = figures_of(run, "loss")
    assert (loss.first, loss.last, loss.best, loss.best_at, loss.lines) == (3.0, 2.0, 1.0, 20, 3)
    accuracy = figures_of(run, "accuracy/top1")  # higher is better
    assert (accuracy.first, accuracy.last, accuracy.best) == (40.0, 55.0, 60.0)
    assert accuracy.best_at == 40  # the training line before the validation, not epoch 2
    assert figures_of(run, "img_per_s").best == 100.0
    assert figures_of(run, "lr").best is None  # neither is better
    assert figures_of(other, "accuracy/top1") is None


def test_pace_weighs_by_time_and_leaves_validation_out(two):
    pace = pace_of(two[0])
    assert pace.iterations == 40
    assert pace.seconds == pytest.approx(10 * 0.5 + 10 * 0.5 + 20 * 1.0)
    assert pace.img_per_s == pytest.approx((5 * 100 + 5 * 50 + 20 * 50) / 30)
    assert pace_of(two[1]).img_per_s is None


def test_keys_are_those_of_interest_and_metrics(two):
    assert shown_keys(two) == ["loss", "lr", "img_per_s", "accuracy/top1"]
    assert shown_keys(two, ["lr", "time", "lr"]) == ["lr", "time"]
    with pytest.raises(LogError, match=r"no run has logged los; there are .*loss, lr"):
        shown_keys(two, ["los"])


def test_the_best_is_a_finite_one(tmp_path):
    lines = [training(1, loss=math.nan), training(2, loss=4.0), training(3, loss=-math.inf)]
    run = read_run(write_log(tmp_path / "r", "1", lines))
    assert figures_of(run, "loss").best == 4.0
    write_comparison([run], tmp_path / "out", console=Console(quiet=True))
    (row,) = json.loads((tmp_path / "out" / "compare.json").read_text())["figures"]
    assert (row["first"], row["last"], row["best"]) == ("nan", "-inf", 4.0)


def test_resumed_runs_are_joined_and_the_later_wins(tmp_path):
    folder = tmp_path / "run"
    write_log(
        folder, "20260101_000000", [training(i, epoch=1, loss=float(i)) for i in (10, 20, 30)]
    )
    write_log(folder, "20260102_000000", [training(i, epoch=1, loss=9.0) for i in (20, 30, 40)])
    # a test of the finished run, in the same work dir, rewrites nothing
    write_log(folder, "20260103_000000", [{"accuracy/top1": 7.0, "step": 0}])
    run = read_run(folder)
    assert run.series("loss") == [(10, 10.0), (20, 9.0), (30, 9.0), (40, 9.0)]
    assert run.series("accuracy/top1") == [(40, 7.0)]
    assert run.notes == [
        "joined from 3 starts",
        "2 lines from iteration 20 on are replaced by those of 20260102_000000, which resumed",
    ]
    assert pace_of(run).seconds == pytest.approx(40 * 0.5)


def test_runs_that_count_iterations_place_validations_by_them(tmp_path):
    lines = [training(10, loss=1.0), dict(mIoU=30.0, step=15), training(20, loss=1.0)]
    assert read_run(write_log(tmp_path / "r", "1", lines)).series("mIoU") == [(15, 30.0)]


def test_a_line_cut_by_a_kill_is_told_and_one_in_the_middle_refused(tmp_path):
    lines = [training(1, loss=1.0), training(2, loss=0.5)]
    run = read_run(write_log(tmp_path / "r", "started", lines, end='\n{"iter": 3, "lo'))
    assert len(run.lines) == 2
    assert run.notes == ["the last line of started is incomplete and left out"]
    file = tmp_path / "r" / "started" / "vis_data" / "scalars.json"
    file.write_text(file.read_text() + "\n" + json.dumps(training(4, loss=0.1)))
    with pytest.raises(LogError, match=r"scalars\.json, line 3, is no JSON"):
        read_run(tmp_path / "r")


def test_a_folder_without_log_is_refused(tmp_path):
    with pytest.raises(LogError, match=f"no run has logged into {tmp_path}"):
        read_run(tmp_path)
    write_log(tmp_path, "1", [])
    with pytest.raises(LogError, match="no run has logged"):
        read_run(tmp_path)


def test_what_is_written(two, tmp_path):
    console = Console(record=True, width=100, quiet=True)
    picture = write_comparison(two, tmp_path / "out", console=console)
    with Image.open(picture) as image:
        assert image.width > 1000 and len(image.convert("RGB").getcolors(1 << 20)) > 20
    markdown = (tmp_path / "out" / "compare.md").read_text().splitlines()
    assert "| loss | a | 3 | 2 | 1 at 20 | 3 |" in markdown
    assert "| loss | the other | 2.5 | 2.4 | 2.4 at 20 | 2 |" in markdown
    assert "| a | 40 | 30.0 | 58.3 |" in markdown
    assert "- the other: logged no img_per_s, accuracy/top1" in markdown
    content = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert len(content["figures"]) == 4 + 2
    assert content["pace"][1] == dict(run="the other", iterations=20, seconds=10.0, img_per_s=None)


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Panels by title of what plot_runs draws."""
    figures = []
    monkeypatch.setattr(curves.plt, "close", figures.append)

    def draw(runs, keys, titles=None):
        curves.plot_runs(runs, keys, tmp_path / "p.png", titles)
        assert (tmp_path / "p.png").is_file()
        return {axes.get_title(): axes for axes in figures[-1].axes if axes.get_title()}

    return draw


def points(axes):
    return {line.get_label(): line.get_xydata().tolist() for line in axes.lines}


def test_curves_are_those_of_the_logs(two, drawn):
    panels = drawn(two, ["loss", "accuracy/top1", "lr", "img_per_s"])
    assert list(panels) == ["loss", "accuracy/top1", "lr", "img_per_s"]
    assert points(panels["loss"]) == {
        "a": [[10, 3], [20, 1], [40, 2]],
        "the other": [[10, 2.5], [20, 2.4]],
    }
    assert points(panels["accuracy/top1"]) == {"a": [[20, 40], [40, 60], [40, 55]]}


def test_a_label_with_dollars_is_no_formula(two, tmp_path):
    runs = [replace(run, label=f"{run.label} $x_$ b") for run in two]
    curves.plot_runs(runs, ["loss"], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").is_file()


def test_the_curves_of_one_run_tell_where_they_start_and_end(two, drawn):
    panels = drawn(two[:1], ["loss", "lr"], dict(loss="pixel loss"))
    assert list(panels) == ["pixel loss: 3 → 2", "lr: 0.1 → 0.1"]


@pytest.mark.parametrize(
    ("key", "best"),
    [
        ("loss_pixel", 1.0),
        ("feature_error", 1.0),
        ("data_wait_pct", 1.0),
        ("steps_skipped", 1.0),
        ("accuracy/top1", 3.0),
        ("mIoU", 3.0),
        ("coco/segm_mAP", 3.0),
        ("img_per_s", 3.0),
        ("lr", None),
        ("momentum", None),
        ("grad_norm", None),
        ("spread_student", None),
        ("host_memory_mb", None),
    ],
)
def test_which_of_two_values_is_better(tmp_path, key, best):
    lines = [training(step, **{key: value}) for step, value in ((1, 2.0), (2, 3.0), (3, 1.0))]
    found = figures_of(read_run(write_log(tmp_path / "r", "1", lines)), key)
    assert (found.first, found.last, found.best) == (2.0, 1.0, best)
    assert found.best_at == {1.0: 3, 3.0: 2, None: None}[best]


def test_equal_labels_are_refused(two, tmp_path):
    with pytest.raises(LogError, match="labels that differ"):
        write_comparison([two[0], two[0]], tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a", "missing", "--out", "o"], "LogError: no run has logged into"),
        (["a", "--out", "o", "--keys", "nothing"], "LogError: no run has logged nothing"),
        (["a", "--out", "o", "--labels", "x", "y"], "MaskSSLError: 2 --labels for 1 runs"),
        (["a", "--out", "o", "--keys", "loss"], ""),
    ],
)
def test_the_tool(two, tmp_path, monkeypatch, capsys, repository, arguments, said):
    import runpy
    import sys

    monkeypatch.chdir(tmp_path)
    tool = repository / "tools" / "compare_runs.py"
    monkeypatch.setattr(sys, "argv", [str(tool), *arguments])
    if said:
        with pytest.raises(SystemExit, match=said):
            runpy.run_path(str(tool), run_name="__main__")
        assert not (tmp_path / "o").exists()
    else:
        runpy.run_path(str(tool), run_name="__main__")
        assert (tmp_path / "o" / "compare.png").is_file()
        assert "1 at 20" in capsys.readouterr().out


def test_brackets_in_a_label_are_shown_and_are_no_markup(tmp_path):
    write_log(tmp_path / "a", "20260101_000000", [training(10, epoch=1, lr=0.1, loss=3.0)])
    labels = ["vit [small]", "batch [/x]"]
    shown = io.StringIO()
    runs = [read_run(tmp_path / "a", label) for label in labels]
    write_comparison(runs, tmp_path / "out", console=Console(file=shown, width=200))
    assert all(shown.getvalue().count(label) >= 2 for label in labels)
