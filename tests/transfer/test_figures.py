"""The figures of a report, from logs written by hand: which value, which run, which sign."""

import io
import json

import pytest
from rich.console import Console

from maskssl.errors import MaskSSLError
from maskssl.evaluation.run_logs import LogError
from maskssl.transfer.plan import Plan
from maskssl.transfer.quickstart import collect_rows, report_facts
from maskssl.transfer.report import Report, Row, print_table, write_report
from maskssl.transfer.stages import STAGES, stage_figures
from tests.transfer.logs import training, write_log

BY_NAME = {stage.name: stage for stage in STAGES}


def leave(work_dir, stage: str, *values: float, metric: str | None = None):
    """What a run of a stage leaves: one validation per value, or the file of a test."""
    metrics = [metric] if metric else list(BY_NAME[stage].metrics)
    if BY_NAME[stage].tested:
        work_dir.mkdir(parents=True)
        (work_dir / "metrics.json").write_text(json.dumps({metrics[0]: values[-1]}))
        return work_dir
    lines = []
    for step, value in enumerate(values, start=1):
        lines.append(training(10 * step, loss=1.0 / step))
        lines.append(dict.fromkeys(metrics, value) | dict(step=10 * step))
    return write_log(work_dir, "20260101_000000", lines)


@pytest.mark.parametrize(
    ("stage", "values", "expected"),
    [
        ("knn", (24.0,), [24.0]),
        ("linear", (30.0, 20.0), [20.0]),  # the last, not the best
        ("finetune", (20.0, 40.0, 30.0), [30.0]),
        ("seg", (9.0, 36.0, 35.0), [35.0]),
        ("det", (0.3, 0.25), [25.0, 25.0]),  # logged as shares
    ],
)
def test_the_last_value_counts_in_percent(tmp_path, stage, values, expected):
    figures = stage_figures(BY_NAME[stage], leave(tmp_path / "run", stage, *values))
    assert list(figures) == list(BY_NAME[stage].metrics.values())
    assert list(figures.values()) == pytest.approx(expected)


def test_box_and_mask_are_not_mixed_up(tmp_path):
    lines = [training(10, loss=1.0), {"coco/bbox_mAP": 0.2, "coco/segm_mAP": 0.1, "step": 1}]
    figures = stage_figures(BY_NAME["det"], write_log(tmp_path / "run", "1", lines))
    assert figures == {"Mask R-CNN, box AP": 20.0, "Mask R-CNN, mask AP": 10.0}


def test_a_detector_that_finds_nothing_has_zero_whatever_it_had_before(tmp_path):
    lines = [training(10, loss=1.0), {"coco/bbox_mAP": 0.2, "coco/segm_mAP": 0.1, "step": 1}]
    lines += [training(20, loss=1.0), {"data_time": 0.1, "time": 0.2, "step": 2}]
    figures = stage_figures(BY_NAME["det"], write_log(tmp_path / "run", "1", lines))
    assert figures == {"Mask R-CNN, box AP": 0.0, "Mask R-CNN, mask AP": 0.0}


def test_of_a_resumed_run_the_later_part_counts(tmp_path):
    folder = leave(tmp_path / "run", "seg", 10.0, 50.0)
    write_log(folder, "20260102_000000", [training(11, loss=1.0), dict(mIoU=20.0, step=20)])
    assert stage_figures(BY_NAME["seg"], folder) == {"UperNet, mIoU %": 20.0}


def test_a_run_that_did_not_finish_has_no_figures(tmp_path):
    (tmp_path / "knn").mkdir()
    with pytest.raises(MaskSSLError, match=r"no metrics\.json: the knn run did not finish"):
        stage_figures(BY_NAME["knn"], tmp_path / "knn")
    with pytest.raises(LogError, match="no run has logged into"):
        stage_figures(BY_NAME["seg"], tmp_path / "seg")
    half = leave(tmp_path / "det", "det", 0.1, metric="coco/bbox_mAP")
    with pytest.raises(MaskSSLError, match=r"logged no coco/segm_mAP: the det run did not"):
        stage_figures(BY_NAME["det"], half)


def test_the_gain_is_pretrained_minus_random():
    assert Row("a", 30.0, 20.0).gain == 10.0
    assert Row("a", 20.0, 30.0).gain == -10.0


def test_the_table_of_hand_written_logs(tmp_path):
    """Every stage's pretrained run and its random run end in their own row."""
    plan = Plan("bootmae", tmp_path, tmp_path / "scenes")
    left = {
        "knn": {"pretrained": 24.0, "random": 15.0},
        "linear": {"pretrained": 28.0, "random": 16.0},
        "finetune": {"pretrained": 38.0, "random": 20.0},
        "seg": {"pretrained": 36.0, "random": 9.0},
        "det": {"pretrained": 0.12, "random": 0.14},
    }
    for stage, runs in left.items():
        for run, value in runs.items():
            leave(plan.work_dir(f"{stage}-{run}"), stage, 99.0, value)
    rows = [(row.name, row.pretrained, row.random) for row in collect_rows(plan)]
    assert rows == [
        ("kNN, top-1 %", 24.0, 15.0),
        ("linear probe, top-1 %", 28.0, 16.0),
        ("fine-tune, top-1 %", 38.0, 20.0),
        ("UperNet, mIoU %", 36.0, 9.0),
        ("Mask R-CNN, box AP", 12.0, pytest.approx(14.0)),
        ("Mask R-CNN, mask AP", 12.0, pytest.approx(14.0)),
    ]


@pytest.mark.parametrize(("random", "said"), [(0.1, None), (0.0, "det-random; AP 0")])
def test_a_detector_that_found_no_object_is_named_in_the_report(tmp_path, random, said):
    plan = Plan("bootmae", tmp_path, tmp_path / "scenes")
    leave(plan.work_dir("det-pretrained"), "det", 0.12)
    leave(plan.work_dir("det-random"), "det", random)
    fact = report_facts(plan).get("found no object")
    assert (fact is None) if said is None else fact.startswith(said)


def test_what_is_written_and_shown(tmp_path):
    rows = [Row("kNN", 24.04, 15.5), Row("box <AP>", 1.1, 1.3)]
    report = Report("T", {"seed": "0"}, rows, {"Curves": "losses.png"}, {"pretrain": 301.6})
    page = write_report(report, tmp_path / "report").read_text()
    assert '24.0</td><td class="n">15.5</td><td class="n up">+8.5' in page
    assert 'box &lt;AP&gt;</td><td class="n">1.1</td><td class="n">1.3</td>' in page
    assert 'class="n down">-0.2' in page
    assert '<img src="losses.png"' in page
    text = (tmp_path / "report" / "report.md").read_text().splitlines()
    assert "| kNN | 24.0 | 15.5 | +8.5 |" in text
    assert "| box <AP> | 1.1 | 1.3 | -0.2 |" in text
    assert "| pretrain | 302 |" in text and "- seed: 0" in text
    content = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [row["gain"] for row in content["rows"]] == pytest.approx([8.54, -0.2])
    assert content["seconds"] == {"pretrain": 301.6}

    console = Console(file=io.StringIO(), record=True, width=100)
    print_table(report, console)
    shown = [line.split("│")[1:-1] for line in console.export_text().splitlines() if "kNN" in line]
    assert [cell.strip() for cell in shown[0]] == ["kNN", "24.0", "15.5", "+8.5"]
