"""What the quickstart asks of ``maskssl transfer``, and of its pretraining; nothing runs."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from maskssl.errors import MaskSSLError
from maskssl.methods import METHODS, method_named
from maskssl.progress import ProgressLine
from maskssl.quickstart import quickstart
from maskssl.quickstart.images import describe_images
from maskssl.quickstart.plan import Plan
from maskssl.quickstart.pretraining import (
    PRETRAIN,
    pretraining_config,
    pretraining_facts,
    pretraining_job,
    write_start,
)
from maskssl.quickstart.quickstart import told
from maskssl.transfer import lanes as planning
from maskssl.transfer.fingerprints import open_record
from maskssl.transfer.lanes import plan_lanes
from maskssl.transfer.trained_jobs import TRAIN
from tests.transfer.logs import training, write_log

MINE = ("cat", "dog")


@pytest.fixture
def plan(tmp_path) -> Plan:
    """A plan on scenes of which only the record is there, and on two classes of images."""
    (tmp_path / "scenes").mkdir()
    (tmp_path / "scenes" / "scenes.json").write_text("{}")
    for name in MINE:
        for number in range(5):
            picture = tmp_path / "mine" / name / f"{number}.png"
            picture.parent.mkdir(parents=True, exist_ok=True)
            picture.write_bytes(b"a picture")
    images = describe_images(tmp_path / "mine")
    return Plan("bootmae", tmp_path / "out", tmp_path / "scenes", images)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_weights_and_random_ones_go_through_all_stages(method):
    plan = Plan(method, Path("out"), Path("scenes"), seed=3)
    asked = plan.transfer()
    assert asked.named == {
        METHODS[method].title: "out/runs/pretrain",
        "random": "random:out/start.pth",
    }
    assert asked.stages == ("knn", "linear", "finetune", "segmentation", "detection")
    assert (asked.recipe, asked.preset, asked.seeds) == (method, "quickstart", (3, 4, 5))
    assert (asked.data, asked.masks, asked.coco) == (
        Path("scenes/few"),
        "scenes/seg",
        "scenes/det",
    )
    assert asked.budget.trained_share == 1.0 and asked.budget.trained_runs == 1
    assert replace(plan, smoke=True).transfer().budget.trained_share < 0.1
    assert plan.config("pretrain").endswith(METHODS[method].configs["pretrain"])
    dataset = pretraining_config(plan).train_dataloader.dataset
    assert (dataset.data_root, dataset.data_prefix) == ("scenes/imagefolder", "train")


def test_own_classes_take_the_scenes_place_and_the_rest_stays(plan, tmp_path):
    asked = plan.transfer()
    assert asked.data == tmp_path / "out" / "data" / "classes"
    assert asked.masks == str(tmp_path / "scenes" / "seg")
    assert pretraining_config(plan).train_dataloader.dataset.data_root == str(tmp_path / "mine")


def test_a_smoke_run_is_short(plan):
    cfg = pretraining_config(replace(plan, smoke=True))
    assert cfg.train_cfg.max_epochs == 2
    assert cfg.train_dataloader.dataset.indices == 128


def test_a_pretraining_that_was_broken_off_goes_on_if_it_is_the_same(plan):
    plan = replace(plan, seed=3)
    job = pretraining_job(plan, pretraining_facts(plan))
    (file,) = job.arguments
    assert (job.target, file.parent) == (TRAIN, plan.pretrained)
    cfg = Config.fromfile(file)
    assert (cfg.randomness.seed, cfg.default_hooks.checkpoint.interval) == (3, 1)
    saved = plan.pretrained / "epoch_2.pth"
    saved.touch()
    pretraining_job(plan, pretraining_facts(plan))
    assert saved.is_file()
    other = replace(plan, method="extrema")
    pretraining_job(other, pretraining_facts(other))
    assert not saved.exists()


def test_what_makes_another_pretraining(plan, tmp_path, monkeypatch):
    facts = pretraining_facts(plan)
    assert pretraining_facts(plan) == facts
    changes = {
        "method": replace(plan, method="extrema"),
        "seed": replace(plan, seed=1),
        "smoke": replace(plan, smoke=True),
        "images": replace(plan, images=None),
    }
    for name, other in changes.items():
        found = pretraining_facts(other)
        differing = {key for key in facts if found[key] != facts[key]}
        assert differing == ({name, "config"} if name == "method" else {name})
    (tmp_path / "mine" / "cat" / "0.png").write_bytes(b"another picture")
    assert pretraining_facts(plan)["images"] != facts["images"]
    on_scenes = replace(plan, images=None)
    before = pretraining_facts(on_scenes)["images"]
    (tmp_path / "scenes" / "scenes.json").write_text('{"seed": 1}')
    assert pretraining_facts(on_scenes)["images"] != before


def test_a_second_quickstart_never_shows_the_first_ones_results(plan, tmp_path, monkeypatch):
    """Nothing of the first is touched, and nothing runs, where the method or seed is another."""
    ran: list[str] = []

    def train_beside(asked, others, line):
        assert asked.named == {"random": f"random:{plan.start}"}
        ((job, facts),) = others
        open_record(plan.out).finished(job.name, facts, 1.0)
        ran.append(job.name)

    monkeypatch.setattr(quickstart, "train_beside", train_beside)
    monkeypatch.setattr(quickstart, "run_experiment", lambda asked, line: ran.append("measured"))
    monkeypatch.setattr(quickstart, "write_report", lambda *args, **options: {})
    quiet = ProgressLine(io.StringIO())
    quickstart.run_quickstart(plan, quiet)
    assert ran == [PRETRAIN, "measured"]
    data = plan.data("classes")
    assert sorted(path.name for path in data.iterdir()) == ["train", "val"]
    start = plan.start.read_bytes()
    leftover = plan.pretrained / "epoch_2.png"
    leftover.write_bytes(b"of the first")
    for change in (dict(method="extrema"), dict(seed=1), dict(images=None)):
        with pytest.raises(MaskSSLError, match="stale result of 'pretrain'"):
            quickstart.run_quickstart(replace(plan, **change), quiet)
    assert len(ran) == 2 and leftover.is_file() and plan.start.read_bytes() == start
    quickstart.run_quickstart(plan, quiet)  # the pretraining is there
    assert ran[2:] == ["measured"] and leftover.is_file()
    record = open_record(plan.out)
    del record.jobs[PRETRAIN]
    record.finished("other", {}, 1.0)
    quickstart.run_quickstart(plan, quiet)
    assert ran[3:] == [PRETRAIN, "measured"]
    assert leftover.is_file()  # a pretraining that did not finish goes on


def test_a_call_that_was_broken_off_leaves_no_start_to_another_method(plan, monkeypatch):
    """Random weights have the architecture of what is pretrained beside them."""

    def broken_off(asked, others, line):
        raise KeyboardInterrupt

    monkeypatch.setattr(quickstart, "train_beside", broken_off)
    found = []
    for method in ("bootmae", "extrema"):
        with pytest.raises(KeyboardInterrupt):
            quickstart.run_quickstart(replace(plan, method=method), ProgressLine(io.StringIO()))
        found.append(torch.load(plan.start)["state_dict"].keys())
    write_start(replace(plan, method="extrema", out=plan.out / "other"))
    fresh = torch.load(plan.out / "other" / "start.pth")["state_dict"]
    assert found[1] == fresh.keys() != found[0]


def on(gpu: str) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": gpu}


@pytest.mark.parametrize(
    ("gpus", "named", "cores", "per_gpu", "lanes", "threads"),
    [
        (0, None, 2, 4, [{}, {}], "1"),
        (0, None, 1, 1, [{}], "1"),
        (0, None, 16, 1, [{}] * 4, "4"),
        (1, None, 16, 1, [on("0")], "16"),
        (1, None, 16, 4, [on("0")] * 4, "4"),
        (1, None, 4, 4, [on("0")] * 2, "2"),
        (1, None, 1, 4, [on("0")], "1"),
        (2, "5,3", 16, 1, [on("5"), on("3")], "8"),
        (2, "5,3", 16, 2, [on("5"), on("3"), on("5"), on("3")], "4"),
    ],
)
def test_jobs_share_gpus_or_cores(monkeypatch, gpus, named, cores, per_gpu, lanes, threads):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(planning.os, "sched_getaffinity", lambda pid: set(range(cores)))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    found = plan_lanes(per_gpu=per_gpu)
    assert list(found.environments) == lanes
    assert found.environment["OMP_NUM_THREADS"] == threads


def test_less_than_a_job_is_refused():
    with pytest.raises(MaskSSLError, match="0 jobs on a GPU: give 1 or more"):
        plan_lanes(per_gpu=0)


def test_an_unknown_method_is_refused():
    with pytest.raises(MaskSSLError, match="no method 'mocov9'; use one of bootmae, extrema"):
        method_named("mocov9")


def test_the_weights_before_the_pretraining_are_the_seeds(plan, tmp_path):
    state, found = torch.get_rng_state(), []
    for number, seed in enumerate((3, 3, 4)):
        each = replace(plan, out=tmp_path / str(number), seed=seed)
        write_start(each)
        assert torch.equal(torch.get_rng_state(), state)
        found.append(torch.load(each.start)["state_dict"])
    names = [name for name in found[0] if name.endswith("fc1.weight")]
    assert names and all(torch.equal(found[0][name], found[1][name]) for name in names)
    assert not any(torch.equal(found[0][name], found[2][name]) for name in names)
    before = each.start.read_bytes()
    write_start(replace(each, seed=5))
    assert each.start.read_bytes() == before


def test_the_report_says_what_was_pretrained_on(plan):
    found = told(replace(plan, seed=7))
    assert found["title"] == "Transfer of BootMAE pretrained on mine"
    assert found["facts"]["pretrained on"] == "10 images, seed 7"
    found = told(replace(plan, images=None, seed=7))
    assert found["title"].endswith("on drawn scenes")
    assert found["facts"]["pretrained on"] == "drawn scenes, without labels, seed 7"


@pytest.mark.parametrize("logged", ["loss", "loss_pixel"])
def test_a_method_whose_curves_nobody_logs_is_shown_by_its_loss(plan, logged, tmp_path):
    write_log(plan.pretrained, "1", [training(1, **{"loss": 3.0, logged: 2.0})])
    report: dict = {}
    quickstart.add_pretraining(plan, report, tmp_path)
    (picture,) = report["pictures"]
    assert (tmp_path / picture["file"]).is_file()
    assert picture["caption"].endswith("pixel loss" if logged == "loss_pixel" else ": loss")
