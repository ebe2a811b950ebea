"""One folder holds one experiment: another one is refused, the same goes on."""

import io
from dataclasses import replace
from pathlib import Path

import pytest

from maskssl.errors import MaskSSLError
from maskssl.methods import METHODS
from maskssl.progress import ProgressLine
from maskssl.transfer import quickstart
from maskssl.transfer.images import describe_images
from maskssl.transfer.plan import Plan
from maskssl.transfer.quickstart import experiment_facts, run_transfer
from maskssl.transfer.record import open_record

FACTS = dict(method="bootmae", seed="0")


def test_the_same_experiment_goes_on(tmp_path):
    record = open_record(tmp_path / "run", FACTS)
    assert record.seconds == {}
    record.finished("pretrain", 300.5)
    record.finished("knn-random", 10.0)
    assert open_record(tmp_path / "run", FACTS).seconds == {"pretrain": 300.5, "knn-random": 10.0}
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["experiment.json"]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (dict(FACTS, method="extrema"), r"method=bootmae \(now: extrema\)"),
        (dict(FACTS, seed="1"), r"seed=0 \(now: 1\)"),
        (dict(FACTS, images="mine"), r"images=None \(now: mine\)"),
        (dict(method="bootmae"), r"seed=0 \(now: None\)"),
    ],
)
def test_another_experiment_is_refused_with_the_way_out(tmp_path, facts, said):
    open_record(tmp_path, FACTS).finished("pretrain", 1.0)
    before = (tmp_path / "experiment.json").read_text()
    with pytest.raises(MaskSSLError, match=f"another experiment: {said}; give another folder by"):
        open_record(tmp_path, facts)
    assert (tmp_path / "experiment.json").read_text() == before


@pytest.mark.parametrize("name", ["runs", "logs", "report"])
def test_results_without_a_record_are_refused(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(MaskSSLError, match=f"holds {name} but no experiment.json; give another"):
        open_record(tmp_path, FACTS)


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"facts": 1, "seconds": {}}'])
def test_a_record_that_cannot_be_read_is_refused(tmp_path, text):
    (tmp_path / "experiment.json").write_text(text)
    with pytest.raises(MaskSSLError, match="cannot be read"):
        open_record(tmp_path, FACTS)


@pytest.fixture
def plan(tmp_path) -> Plan:
    """A plan on scenes of which only the record is there, and on two classes of images."""
    (tmp_path / "scenes").mkdir()
    (tmp_path / "scenes" / "scenes.json").write_text("{}")
    for name in ("cat", "dog"):
        for number in range(5):
            picture = tmp_path / "mine" / name / f"{number}.png"
            picture.parent.mkdir(parents=True, exist_ok=True)
            picture.write_bytes(b"a picture")
    return Plan("bootmae", tmp_path / "out", tmp_path / "scenes", mine(tmp_path))


def mine(folder: Path):
    return describe_images(folder / "mine", folder / "out" / "images")


def test_what_makes_another_experiment(plan, tmp_path, monkeypatch):
    facts = experiment_facts(plan)
    assert experiment_facts(plan) == facts
    changes = {
        "method": replace(plan, method="extrema"),
        "seed": replace(plan, seed=1),
        "smoke": replace(plan, smoke=True),
        "images": replace(plan, images=None),
    }
    for name, other in changes.items():
        differing = {key for key, value in experiment_facts(other).items() if value != facts[key]}
        assert differing == ({name, "configs"} if name == "method" else {name})

    (tmp_path / "mine" / "cat" / "0.png").write_bytes(b"another picture")
    changed = replace(plan, images=mine(tmp_path))
    assert experiment_facts(changed)["images"] != facts["images"]
    (tmp_path / "scenes" / "scenes.json").write_text('{"seed": 1}')
    assert experiment_facts(plan)["scenes"] != facts["scenes"]
    row = METHODS["bootmae"]
    row = replace(row, configs={**row.configs, "seg": row.configs["knn"]})
    monkeypatch.setitem(METHODS, "bootmae", row)
    assert experiment_facts(plan)["configs"] != facts["configs"]


def test_a_second_quickstart_never_shows_the_first_ones_results(plan, tmp_path, monkeypatch):
    """Nothing of the first is touched, and nothing runs, where the method or seed is another."""
    ran: list[str] = []

    def run_jobs(jobs, lanes, line, finished, done):
        for job in jobs:
            ran.append(job.name)
            finished(job.name, 1.0)

    monkeypatch.setattr(quickstart, "run_jobs", run_jobs)
    monkeypatch.setattr(quickstart, "write_results", lambda plan, seconds: list(seconds))
    leftover = plan.work_dir("pretrain") / "reconstructions" / "epoch_2.png"
    quiet = ProgressLine(io.StringIO())
    jobs = run_transfer(plan, quiet)
    assert jobs == ran and len(ran) == 13
    assert sorted(path.name for path in (plan.out / "images").iterdir()) == ["train.txt", "val.txt"]
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"of the first")

    for change in (dict(method="extrema"), dict(seed=1), dict(images=None)):
        with pytest.raises(MaskSSLError, match="another experiment"):
            run_transfer(replace(plan, **change), quiet)
    assert len(ran) == 13 and leftover.is_file()

    assert run_transfer(plan, quiet) == jobs  # all is there: nothing runs again
    assert len(ran) == 13
    record = open_record(plan.out, experiment_facts(plan))
    del record.seconds["pretrain"]
    record.finished("knn-random", 1.0)
    run_transfer(plan, quiet)
    assert ran[13:] == ["pretrain"]
    assert not leftover.exists()  # a job that did not finish starts from nothing
