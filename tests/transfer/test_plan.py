"""What the jobs of a transfer run and where, without running them."""

from pathlib import Path

import pytest
import torch

from maskssl.errors import MaskSSLError
from maskssl.methods import METHODS, method_named
from maskssl.transfer import plan as planning
from maskssl.transfer.dense_images import DenseData
from maskssl.transfer.images import ImageData
from maskssl.transfer.plan import Plan, plan_jobs, plan_lanes

SCENES = Path("scenes")
RANDOM = {  # what serves random weights best
    "finetune": {"optim_wrapper.paramwise_cfg.layer_decay_rate": 0.75},
    "seg": {
        "optim_wrapper.optimizer.lr": 0.09,
        "optim_wrapper.paramwise_cfg.layer_decay_rate": 0.75,
    },
}


def runs(method="bootmae", **options):
    """Name of each job -> what it runs, and what it waits for."""
    plan = Plan(method, Path("out"), SCENES, **options)
    return {job.name: (job.arguments[0], job.after) for job in plan_jobs(plan)}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_stage_runs_from_pretrained_and_from_random_weights(method):
    row, found = METHODS[method], runs(method, seed=3)
    assert next(iter(found)) == "pretrain"
    for name, (run, after) in found.items():
        stage, _, kind = name.partition("-")
        assert run.config.endswith(row.configs[stage]) and run.seed == 3
        assert run.work_dir == Path("out", "runs", name)
        weights = {"pretrained": "out/runs/pretrain", "random": "none"}
        assert run.pretrained == weights.get(kind)
        if kind in ("pretrained", "pictures"):
            needed = "pretrain" if kind == "pretrained" else f"{stage}-pretrained"
            assert list(after) == [needed]
        else:
            assert not after
    kinds = {name.partition("-")[2] for name in found if name.startswith("det")}
    assert kinds == {"pretrained", "random", "pictures"}


def test_random_runs_differ_in_their_weights_and_their_best_setting_alone():
    found = runs()
    for stage in ("knn", "linear", "finetune", "seg", "det"):
        pretrained, random = found[f"{stage}-pretrained"][0], found[f"{stage}-random"][0]
        assert {**pretrained.options, **RANDOM.get(stage, {})} == random.options


def test_own_masks_and_coco_files_take_the_scenes_place():
    data = {
        kind: DenseData(
            Path("pictures"),
            ("ground", "cat", "dog"),
            {part: {"ann_file": f"{kind}_{part}", "data_root": ""} for part in ("train", "val")},
        )
        for kind in ("maps", "boxes")
    }
    found = runs(images=ImageData(Path("pictures"), 9, **data))
    for stage, kind in (("seg", "maps"), ("det", "boxes")):
        run = found[f"{stage}-pretrained"][0]
        assert run.classes == ("ground", "cat", "dog")
        assert run.options["train_dataloader.dataset.ann_file"] == f"{kind}_train"
        assert run.options["val_dataloader.dataset.ann_file"] == f"{kind}_val"
        shown = found[f"{stage}-pictures"][0]
        assert shown.options["test_dataloader.dataset.ann_file"] == f"{kind}_val"
        assert shown.classes == run.classes
    assert found["det-random"][0].options["val_evaluator.ann_file"] == "boxes_val"
    assert found["det-pictures"][0].options["test_evaluator.ann_file"] == "boxes_val"
    assert found["linear-random"][0].classes == ()
    assert (
        found["linear-random"][0].options["train_dataloader.dataset.data_root"].startswith("scenes")
    )


def test_a_smoke_run_is_short():
    options = {name: run.options for name, (run, _) in runs(smoke=True).items()}
    assert options["pretrain"]["train_cfg.max_epochs"] == 2
    assert options["pretrain"]["train_dataloader.dataset.indices"] == 128
    assert options["seg-random"]["train_cfg.max_iters"] == 4
    assert options["det-pretrained"]["train_cfg.max_epochs"] == 2
    assert options["det-pretrained"]["train_dataloader.dataset.indices"] == 64
    assert "train_cfg.max_epochs" not in options["knn-pretrained"]
    assert options["knn-pretrained"]["test_cfg.bank_dataloader.dataset.indices"] == 64


@pytest.mark.parametrize(
    ("gpus", "named", "cores", "lanes", "threads"),
    [
        (0, None, 2, [{}, {}], "1"),
        (0, None, 1, [{}], "1"),
        (0, None, 16, [{}] * 4, "4"),
        (1, None, 16, [{"CUDA_VISIBLE_DEVICES": "0"}], "16"),
        (2, "5,3", 16, [{"CUDA_VISIBLE_DEVICES": "5"}, {"CUDA_VISIBLE_DEVICES": "3"}], "8"),
    ],
)
def test_a_job_per_gpu_or_some_on_the_cores(monkeypatch, gpus, named, cores, lanes, threads):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(planning.os, "sched_getaffinity", lambda pid: set(range(cores)))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    found = plan_lanes()
    assert list(found.environments) == lanes
    assert found.environment["OMP_NUM_THREADS"] == threads


def test_an_unknown_method_is_refused():
    with pytest.raises(MaskSSLError, match="no method 'mocov9'; use one of bootmae, extrema"):
        method_named("mocov9")
