"""A table from pictures to Markdown in a few steps; what is done stays, what was cut goes on."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from math import nan

import pytest

from maskssl.errors import MaskSSLError
from maskssl.evaluation.run_logs import Line, RunLog
from maskssl.evidence import evidence, pretraining
from maskssl.evidence.evidence import run_evidence
from maskssl.evidence.plan import Plan
from maskssl.evidence.results import _curves, _seconds
from maskssl.progress import ProgressLine
from maskssl.transfer.job_queue import JobError
from maskssl.transfer.trained_jobs import train
from tests.holding import held_elsewhere
from tests.transfer.scenes import write_pictures


class Queue:
    """Runs jobs one after the other in this process.

    Attributes:
        ran: names, in order.
        broken: names of jobs that fail.
    """

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.broken: set[str] = set()

    def __call__(self, jobs, lanes, line, finished, failed) -> None:
        for job in jobs:
            assert job.target == "maskssl.transfer.trained_jobs:train"
            self.ran.append(job.name)
            if job.name in self.broken:
                failed(job.name, JobError("out of luck"))
                continue
            train(*job.arguments)
            job.log.touch()
            finished(job.name, 60.0)


@pytest.fixture(scope="module")
def queue() -> Iterator[Queue]:
    with pytest.MonkeyPatch.context() as patch:
        queue = Queue()
        patch.setattr(pretraining, "run_jobs", queue)
        yield queue


@pytest.fixture(scope="module")
def plan(tmp_path_factory) -> Plan:
    folder = tmp_path_factory.mktemp("evidence")
    for name, tested in (("tiny_imagenet", "val"), ("cifar10", "val")):
        write_pictures(folder / "data" / name, "train", 8, 0)
        write_pictures(folder / "data" / name, tested, 6, 1)
    return Plan(
        part="frozen",
        out=folder / "out",
        data_root=folder / "data",
        archives=None,
        results=folder / "results",
        settings=("bootmae-pixels", "mae"),
        sets=("cifar10",),
        smoke=True,
    )


@pytest.fixture(scope="module")
def finished(plan, queue) -> tuple[dict, dict]:
    results, failed = run_evidence(plan, ProgressLine(io.StringIO()))
    assert queue.ran == ["bootmae-pixels", "mae"]
    return results, dict(failed)


def again(plan: Plan) -> tuple[dict, dict]:
    results, failed = run_evidence(plan, ProgressLine(io.StringIO()))
    return results, dict(failed)


def test_all_rows_of_all_weights_are_in_the_json_and_in_the_table(plan, finished):
    results, failed = finished
    assert not failed
    assert json.loads((plan.results / "evidence-frozen.json").read_text()) == results
    (one,) = results["sets"].values()
    assert [row["name"] for row in one["rows"]] == ["knn", "linear", "attentive", "logistic"]
    for row in one["rows"]:
        assert list(row["cells"]) == ["random", "bootmae-pixels", "mae"]
        assert len(row["pairs"]) == 3
        for cell in row["cells"].values():
            assert 0 <= cell["interval"][0] <= cell["figure"] <= cell["interval"][1] <= 1
    assert len(one["rows"][1]["cells"]["mae"]["seeds"]) == 3
    assert one["data"]["train"]["images"] == 24 and one["data"]["test"]["images"] == 18
    table = (plan.results / "evidence-frozen.md").read_text()
    figure = one["rows"][0]["cells"]["random"]["figure"]
    assert f"| random weights | {100 * figure:.1f} |" in table
    assert str(plan.out.parent) not in table + json.dumps(results)
    assert "NaN" not in json.dumps(results)


def test_the_pretrainings_stand_with_their_length_and_curve(finished):
    told = finished[0]["pretrainings"]
    assert list(told) == ["bootmae-pixels", "mae"]
    assert told["mae"]["passes"] == round(128 / 24) and told["mae"]["batch_size"] == 16
    assert told["mae"]["pictures"].startswith("24 of tiny_imagenet, ")
    assert "loss_pixel" in told["bootmae-pixels"]["curves"]
    assert 0 <= told["mae"]["seconds"] < 60 and told["mae"]["curves"]["loss"]


def test_the_same_call_again_trains_nothing_and_writes_the_same(plan, finished, queue):
    queue.ran.clear()
    file = plan.results / "evidence-frozen.json"
    before = file.read_bytes()
    assert again(plan) == finished
    assert not queue.ran and file.read_bytes() == before


def test_a_pretraining_that_was_cut_off_goes_on_from_its_checkpoint(plan, finished, queue):
    record = plan.out / "pretrained" / "record.json"
    entries = json.loads(record.read_text())
    kept = next((plan.out / "pretrained" / "mae").glob("epoch_*.pth"))
    written = kept.stat().st_mtime_ns
    try:
        record.write_text(json.dumps({k: v for k, v in entries.items() if k != "mae"}))
        queue.ran.clear()
        assert again(plan)[0]["sets"] == finished[0]["sets"]  # the same weights
        assert queue.ran == ["mae"] and kept.stat().st_mtime_ns == written
    finally:
        record.write_text(json.dumps(entries))


def test_weights_of_other_pictures_are_refused(plan, finished):
    picture = plan.data_root / "tiny_imagenet" / "train" / "flat" / "0.png"
    content = picture.read_bytes()
    try:
        picture.write_bytes(content + b"0")
        with pytest.raises(MaskSSLError, match="stale result of 'bootmae-pixels'.*pictures="):
            again(plan)
    finally:
        picture.write_bytes(content)


def test_what_fails_is_told_and_the_others_are_measured(plan, finished, queue, tmp_path):
    more = replace(plan, settings=("bootmae-pixels", "extrema"), results=tmp_path)
    queue.broken.add("extrema")
    results, failed = again(more)
    assert failed == {"extrema": "out of luck"}
    (one,) = results["sets"].values()
    assert list(one["rows"][0]["cells"]) == ["random", "bootmae-pixels"]
    assert list(results["pretrainings"]) == ["bootmae-pixels"]


def test_a_table_made_in_several_goes_keeps_what_the_others_measured(plan, finished, tmp_path):
    other = finished[0]["sets"]["cifar10"] | dict(title="clothing")
    file = tmp_path / "evidence-frozen.json"
    file.write_text(json.dumps(finished[0] | dict(sets=dict(clothing=other))))
    results, _ = again(replace(plan, results=tmp_path, sets=()))
    assert results["sets"] == dict(clothing=other)
    assert "## clothing" in file.with_suffix(".md").read_text()
    file.write_text("[]")
    with pytest.raises(MaskSSLError, match="evidence-frozen.json"):
        again(replace(plan, results=tmp_path, sets=()))


def test_calls_at_the_same_time_keep_each_others_sets(plan, finished, tmp_path, monkeypatch):
    file, measure = tmp_path / "evidence-frozen.json", evidence.run_experiment

    def while_another_writes(*args):
        found = json.loads(file.read_text())
        found["sets"]["clothing"] = finished[0]["sets"]["cifar10"]
        file.write_text(json.dumps(found))
        return measure(*args)

    monkeypatch.setattr(evidence, "run_experiment", while_another_writes)
    results, _ = again(replace(plan, results=tmp_path))
    assert set(results["sets"]) == {*plan.sets, "clothing"}
    assert json.loads(file.read_text()) == results


def test_a_pretraining_that_another_process_makes_is_left_alone(plan, tmp_path):
    """Refused before a folder of a run is written, which that process may be filling."""
    other = replace(plan, out=tmp_path)
    with held_elsewhere(tmp_path / "pretrained"):
        with pytest.raises(MaskSSLError, match="pretrained is in use by process"):
            pretraining.pretrain(other, ProgressLine(io.StringIO()))
        assert not [path for path in (tmp_path / "pretrained").iterdir() if path.is_dir()]


def test_minutes_of_a_pretraining_leave_out_what_stood_still():
    values = [dict(time=0.5), dict(time=0.5), dict(time=900.0), dict(time=0.25), dict(loss=1.0)]
    lines = [
        Line(iteration=10 * number, training=True, values=told)
        for number, told in enumerate(values, start=1)
    ]
    assert _seconds(RunLog("run", lines)) == 0.5 * 40
    assert _seconds(RunLog("run", lines[-1:])) == 0


def test_curves_are_made_of_finite_points():
    """A skipped step is logged with the loss that was skipped for."""
    values = [dict(loss=3.0, loss_pixel=nan), dict(loss=nan), dict(loss=1.0)]
    lines = [Line(at, True, found) for at, found in enumerate(values)]
    assert _curves(RunLog("run", lines)) == dict(loss=[[0, 3.0], [2, 1.0]])
