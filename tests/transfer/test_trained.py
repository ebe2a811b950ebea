"""Rows trained by the recipes: how long, by which config, and the whole way to paired outcomes."""

import json
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from maskssl.__main__ import main
from maskssl.cli.config import load_config
from maskssl.errors import MaskSSLError
from maskssl.evaluation.run_logs import read_run
from maskssl.transfer import experiment, trained
from maskssl.transfer.box_set import box_sets
from maskssl.transfer.budgets import BUDGETS, Budget
from maskssl.transfer.encoders import open_encoder
from maskssl.transfer.job_queue import JobError
from maskssl.transfer.recipes import recipe_for, stage_config
from maskssl.transfer.run_views import _runs
from maskssl.transfer.schedule import (
    Length,
    ema_momentum,
    fitted_schedulers,
    length_on,
    steps_of_a_pass,
)
from maskssl.transfer.stages import STAGES
from maskssl.transfer.trained_jobs import write_run
from tests.transfer.scenes import save_encoder, write_maps, write_objects, write_pictures


def test_the_length_follows_the_square_root_of_the_data():
    recipe = Length(passes=100, steps=62_500)
    assert length_on(recipe, 1_280_000, 1_280_000, 2048) == Length(100, 62_500)
    assert length_on(recipe, 1_280_000, 12_800, 256) == Length(1000, 50_000)  # a hundredth
    assert length_on(recipe, 1_280_000, 12_800, 256, share=0.01) == Length(10, 500)
    assert length_on(recipe, 1_280_000, 5_120_000, 2048) == Length(50, 125_000)  # four times
    assert length_on(recipe, 1_280_000, 3, 2, share=1e-9) == Length(1, 1)


def test_schedulers_keep_their_shares():
    recipe, length = Length(12, 600), Length(30, 150)
    warm = dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=100)
    steps = dict(type="MultiStepLR", by_epoch=True, begin=0, milestones=[8, 11], gamma=0.1)
    cosine = dict(type="CosineAnnealingLR", by_epoch=True, begin=6, convert_to_iter_based=True)
    fitted = fitted_schedulers([warm, steps, cosine], recipe, length)
    assert fitted[0] == warm | dict(end=25)
    assert fitted[1] == steps | dict(milestones=[20, 28])
    assert fitted[2] == cosine | dict(begin=15)
    short = fitted_schedulers([warm, cosine], recipe, Length(1, 2))
    assert [entry["type"] for entry in short] == ["CosineAnnealingLR"]  # no step to warm up in
    assert ema_momentum(1e-3, recipe, length) == pytest.approx(4e-3)
    assert ema_momentum(1e-3, recipe, Length(1, 1)) == 0.5


@pytest.fixture(scope="module")
def encoders(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("encoders")
    deep = dict(embed_dims=24, num_layers=4, num_heads=2)
    return {
        "one": save_encoder(folder / "one.pth", arch=deep),
        "two": save_encoder(folder / "two.pth", seed=2, arch=deep),
    }


def test_a_recipe_takes_any_encoder(encoders):
    encoder = open_encoder(str(encoders["one"]), "one", torch.device("cpu"))
    recipe = recipe_for("bootmae", "seg", encoder.backbone)
    assert recipe.scale == "small" and recipe.images == 400
    cfg, told = stage_config(recipe, encoder, 100, 0.5, True, lambda cfg: None)
    backbone = cfg.model.backbone
    assert (backbone.patch_size, backbone.arch["embed_dims"]) == (4, 24)
    assert (backbone.frozen_stages, backbone.drop_path_rate, backbone.img_size) == (4, 0.0, 64)
    assert backbone.init_cfg.checkpoint == str(encoders["one"])
    assert cfg.model.neck.in_channels == 24 and cfg.model.auxiliary_head.in_channels == 24
    assert cfg.model.decode_head.in_channels == [24, 24, 24]
    # 400 iterations of 8 in 400 scenes are 8 passes; half of that, twice as often on a quarter
    assert (told["passes"], told["steps"]) == (8, 100) and cfg.train_cfg.max_iters == 100
    assert cfg.param_scheduler[0].end == 5  # of 20 in 400
    assert cfg.val_dataloader is None and cfg.test_dataloader is not None
    large = dict(embed_dims=48, num_layers=12, num_heads=3)
    path = save_encoder(encoders["one"].with_name("deep.pth"), arch=large)
    deep = open_encoder(str(path), "deep", torch.device("cpu"))
    cfg, told = stage_config(
        recipe_for("bootmae", "finetune", deep.backbone), deep, 500, 1.0, False, lambda cfg: None
    )
    assert told["recipe"].endswith("vit-base-p16_finetune_8xb256-amp-coslr-100e_in1k.py")
    assert (told["batch_size"], told["passes"]) == (250, round(100 * (1_281_167 / 500) ** 0.5))
    assert told["lr"] == pytest.approx(5e-3 * 250 / 2048)
    crop = cfg.train_dataloader.dataset.pipeline[2]
    assert (crop.size, crop.scale) == (16, (0.08, 1.0))  # a share stays
    assert cfg.test_dataloader.dataset.pipeline[1].scale == round(256 * 16 / 224)


def test_pictures_to_train_on_are_those_of_the_coco_file(tmp_path):
    """Others lie beside them; one that is named and not there is told."""
    write_objects(tmp_path, "train", 3, 0)
    write_objects(tmp_path, "val", 2, 1)
    Image.new("RGB", (64, 64)).save(tmp_path / "train" / "9.png")
    train, test = box_sets(str(tmp_path))
    assert train.files == ("train/0.png", "train/1.png", "train/2.png") and len(test) == 2
    (tmp_path / "train" / "1.png").unlink()
    with pytest.raises(MaskSSLError, match=r"1 pictures of instances_train\.json are not there"):
        box_sets(str(tmp_path))


def test_coco_files_have_the_same_categories_in_the_same_order(tmp_path):
    for split in ("train", "val"):
        write_objects(tmp_path, split, 3, 0)
    file = tmp_path / "instances_val.json"
    content = json.loads(file.read_text())
    content["categories"].reverse()
    assert len(content["categories"]) > 1
    file.write_text(json.dumps(content))
    with pytest.raises(MaskSSLError, match=r"instances_val\.json has .*in the same order in both"):
        box_sets(str(tmp_path))


def test_coco_files_that_share_a_folder_have_their_own_pictures(tmp_path):
    """Those of the training are no test pictures, and what no file lists is none at all."""
    for split, count in (("train", 3), ("val", 4)):
        write_objects(tmp_path, split, count, 0)
        file = tmp_path / f"instances_{split}.json"
        content = json.loads(file.read_text())
        for image in content["images"]:
            name = f"{split}-{image['file_name']}"
            (tmp_path / split / image["file_name"]).rename(tmp_path / name)
            image["file_name"] = name
        file.write_text(json.dumps(content))
    Image.new("RGB", (64, 64)).save(tmp_path / "other.png")
    train, test = box_sets(str(tmp_path))
    assert train.files == tuple(f"train-{number}.png" for number in range(3))
    assert test.files == tuple(f"val-{number}.png" for number in range(4))


@pytest.fixture
def here(monkeypatch):
    """Jobs run in this process, and fast ones suffice."""

    def run(jobs, lanes, line, finished, failed):
        for job in jobs:
            module, function = job.target.split(":")
            getattr(import_module(module), function)(*job.arguments)
        return {job.name: 1.0 for job in jobs}

    monkeypatch.setattr(experiment, "run_jobs", run)
    budget = BUDGETS["quick"].__dict__ | dict(trained_share=0.01, trained_runs=2)
    monkeypatch.setitem(BUDGETS, "quick", Budget(**budget))


def test_a_run_goes_on_after_its_runner_has_written_its_own_config(tmp_path, encoders):
    encoder = open_encoder(str(encoders["one"]), "one", torch.device("cpu"))
    recipe = recipe_for("bootmae", "finetune", encoder.backbone)

    def written(lr: float, weights: str = "a") -> Path:
        options = {"optim_wrapper.optimizer.lr": lr}
        cfg, _ = stage_config(recipe, encoder, 8, 1.0, False, lambda cfg: None, options)
        return write_run(tmp_path / "run", cfg, 3, dict(weights=weights))

    file = written(0.1)
    assert file.parent == tmp_path / "run"
    checkpoint = file.parent / "epoch_1.pth"
    checkpoint.touch()
    file.write_text("launcher = 'none'")
    assert "seed=3" in written(0.1).read_text() and checkpoint.is_file()
    assert "lr=0.2" in written(0.2).read_text() and not checkpoint.exists()
    checkpoint.touch()
    written(0.2, weights="b")  # other weights behind the same path
    assert not checkpoint.exists()


def report_of(out: Path) -> dict:
    return json.loads((out / "report" / "report.json").read_text())


def test_trained_rows_of_classes_are_paired(here, encoders, tmp_path):
    """Behind the firewall, too; figures are those that the runner's own metric logs."""
    data, out = tmp_path / "data", tmp_path / "out"
    write_pictures(data, "train", 4, 0)
    write_pictures(data, "test", 4, 1)
    words = ["transfer", str(encoders["one"]), "--data", str(data), "--seeds", "0", "1"]
    words += ["--stages", "finetune-frozen", "--out", str(out)]
    held = {file: file.read_bytes() for file in (data / "test").rglob("*.png")}
    for file in held:
        file.write_bytes(b"?")
    with pytest.raises(SystemExit):
        main(words)
    jobs = json.loads((out / "record.json").read_text())
    assert sorted(jobs) == ["choose one finetune-frozen", "choose random finetune-frozen"]
    for file, content in held.items():
        file.write_bytes(content)
    main(words)
    report = report_of(out)
    assert not report["failed"]
    (measure,) = report["measures"]
    assert [cell["checkpoint"] for cell in measure["cells"]] == ["one", "random"]
    assert measure["pairs"][0]["p_mcnemar"] is not None
    for cell in measure["cells"]:
        ranks = np.load(out / "outcomes" / cell["checkpoint"] / "finetune-frozen.npy")
        assert ranks.shape == (1, 2, 12) and cell["seeds"] == (ranks[0] == 0).mean(1).tolist()
        for seed, share in enumerate(cell["seeds"]):
            folder = out / "runs" / cell["checkpoint"] / "finetune-frozen" / f"seed-{seed}"
            assert logged(folder, "accuracy/top1") == pytest.approx(100 * share)


def logged(folder: Path, key: str) -> float:
    """What the test's own metric wrote."""
    (found,) = {
        json.loads(path.read_text())[key]
        for path in folder.glob("*/*.json")
        if key in path.read_text()
    }
    return found


def test_trained_rows_of_maps_and_boxes(here, encoders, tmp_path, monkeypatch):
    """UperNet scores as mmseg's IoUMetric does, Mask R-CNN as CocoMetric does."""
    pytest.importorskip("mmseg")
    pytest.importorskip("mmdet")
    maps, boxes, out = tmp_path / "maps", tmp_path / "boxes", tmp_path / "out"
    write_maps(maps, "train", 8, 0)
    write_maps(maps, "val", 4, 1)
    write_objects(boxes, "train", 6, 0)
    write_objects(boxes, "val", 4, 1)
    budget = BUDGETS["quick"].__dict__ | dict(trained_share=0.1, trained_runs=1)
    monkeypatch.setitem(BUDGETS, "quick", Budget(**budget))
    words = ["transfer", str(encoders["one"]), "--masks", str(maps), "--coco", str(boxes)]
    words += ["--stages", "segmentation-frozen", "detection", "--seeds", "0", "--no-floor"]
    main([*words, "--out", str(out)])
    report = report_of(out)
    assert not report["failed"]
    names = {measure["name"]: measure for measure in report["measures"]}
    assert set(names) == {"segmentation-frozen", "detection-box", "detection-mask"}
    for name, stage, key, factor in (
        ("segmentation-frozen", "segmentation-frozen", "mIoU", 100),
        ("detection-box", "detection", "coco/bbox_mAP", 1),
        ("detection-mask", "detection", "coco/segm_mAP", 1),
    ):
        for cell in names[name]["cells"]:
            folder = out / "runs" / cell["checkpoint"] / stage / "seed-0"
            assert factor * cell["figure"] == pytest.approx(logged(folder, key), abs=6e-3)
    drawn = {picture["kind"]: picture for picture in report["pictures"]}
    assert drawn.keys() == {"segmentation-frozen", "detection", "attention", "components"}
    for stage, height in (("segmentation-frozen", 128), ("detection", 192)):
        picture = drawn[stage]
        with Image.open(out / "report" / picture["file"]) as sheet:
            four = 6 * 196 + 4, 18 + 2 * (height + 4)  # all test images
            assert sheet.size == four, stage
        assert picture["alt"] in (out / "report" / "index.html").read_text()
    for name, stage in (
        ("segmentation-frozen", "segmentation-frozen"),
        ("detection-box", "detection"),
    ):
        (cell,) = names[name]["cells"]
        ((_, loss), *_) = cell["curves"]["training loss"]
        log = read_run(out / "runs" / cell["checkpoint"] / stage / "seed-0")
        assert loss == log.series("loss")[0][1]
    assert "curves" not in names["detection-mask"]["cells"][0]  # the same run


def test_a_stage_that_fails_is_shown_and_the_others_go_on(here, encoders, tmp_path, monkeypatch):
    run = experiment.run_jobs

    def broken(jobs, lanes, line, finished, failed):
        bad = [job.name for job in jobs if job.name.startswith("two finetune")]
        for name in bad:
            failed(name, JobError(f"{name} failed with exit code 1; its log ends: no memory"))
        return run([job for job in jobs if job.name not in bad], lanes, line, finished, failed)

    monkeypatch.setattr(experiment, "run_jobs", broken)
    data, out = tmp_path / "data", tmp_path / "out"
    write_pictures(data, "train", 8, 0)
    write_pictures(data, "test", 2, 1)
    words = ["transfer", *map(str, encoders.values()), "--data", str(data), "--seeds", "0"]
    words += ["--stages", "knn", "finetune", "--no-floor", "--out", str(out)]
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 1
    report = report_of(out)
    assert list(report["failed"]) == ["two finetune"]
    assert "no memory" in (out / "report" / "index.html").read_text()
    cells = {m["name"]: [c["checkpoint"] for c in m["cells"]] for m in report["measures"]}
    assert cells == {"knn": ["one", "two"], "finetune": ["one"]}


def test_recipes_keep_depths_anchors_and_the_weights_own_mean(tmp_path):
    """An encoder twice as deep as the recipes'."""
    deep = dict(embed_dims=24, num_layers=8, num_heads=2)
    path = save_encoder(tmp_path / "deep.pth", arch=deep)
    encoder = open_encoder(str(path), "deep", torch.device("cpu"))
    for stage in ("finetune", "seg", "det"):
        recipe = recipe_for("bootmae", stage, encoder.backbone)
        own = load_config(recipe.config)
        cfg, _ = stage_config(recipe, encoder, 50, 1.0, False, lambda cfg: None)
        preprocessor = cfg.model.data_preprocessor
        assert preprocessor.mean == list(encoder.backbone.mean)
        assert preprocessor.std == list(encoder.backbone.std)
        assert cfg.auto_scale_lr.enable
        levels = own.model.backbone.get("out_indices")
        if levels is not None:
            assert cfg.model.backbone.out_indices == [2 * level + 1 for level in levels], stage
    generators = [one.model.rpn_head.anchor_generator for one in (own, cfg)]
    sizes = [[scale * side for scale in g.scales for side in g.strides] for g in generators]
    assert sizes[0] == pytest.approx(sizes[1])


def test_a_recipe_changed_in_a_checkout_makes_its_results_stale(encoders, monkeypatch):
    """Config files are no part of the package's code, so that its digest does not tell."""
    backbone = open_encoder(str(encoders["one"]), "one", torch.device("cpu"))
    work = SimpleNamespace(encoders={"one": backbone}, plan=SimpleNamespace(recipe="bootmae"))
    facts = {name: STAGES[name].config_facts(work, "one") for name in ("finetune", "segmentation")}
    assert facts["finetune"] != facts["segmentation"] and facts["finetune"]["config"]
    assert STAGES["knn"].config_facts(work, "one") == {}

    def changed(name):
        cfg = load_config(name)
        cfg.optim_wrapper.optimizer.lr *= 2
        return cfg

    monkeypatch.setattr(trained, "load_config", changed)
    for name, before in facts.items():
        assert STAGES[name].config_facts(work, "one") != before
    monkeypatch.undo()
    assert STAGES["finetune"].config_facts(work, "one") == facts["finetune"]


def test_a_pass_ends_with_what_is_left_or_without_it():
    assert steps_of_a_pass(507, 8, drop_last=False) == 64
    assert steps_of_a_pass(507, 8, drop_last=True) == 63
    assert steps_of_a_pass(3, 8, drop_last=True) == 1
    recipe = Length(3, 300)
    assert length_on(recipe, 100, 100, 8, of_a_pass=13) == Length(3, 39)
    assert length_on(recipe, 100, 100, 8) == Length(3, 37)


def test_the_steps_told_are_those_that_are_made(tmp_path):
    """50 images in batches of 16: 4 steps a pass, 3 if the last is left out."""
    deep = dict(embed_dims=24, num_layers=4, num_heads=2)
    path = save_encoder(tmp_path / "a.pth", arch=deep)
    encoder = open_encoder(str(path), "a", torch.device("cpu"))
    recipe = recipe_for("bootmae", "finetune", encoder.backbone)
    for drop_last in (False, True):

        def change(cfg, drop_last=drop_last):
            cfg.train_dataloader.drop_last = drop_last

        _, told = stage_config(recipe, encoder, 50, 1.0, False, change)
        size = told["batch_size"]
        a_pass = 50 // size if drop_last else -(-50 // size)
        assert 50 % size and told["steps"] == told["passes"] * a_pass


@pytest.mark.parametrize("method", ["bootmae", "extrema"])
@pytest.mark.parametrize("depth", [4, 12])
def test_a_recipe_on_as_many_images_as_its_own_is_the_recipe(tmp_path, method, depth):
    """Its warm-up, ends and length: 20 scenes in batches of 8 make passes of 3 steps, not 2.5.

    A run by iterations is as long as whole passes are, within half a pass.
    """
    arch = dict(embed_dims=24, num_layers=depth, num_heads=2)
    path = save_encoder(tmp_path / "a.pth", arch=arch)
    encoder = open_encoder(str(path), "a", torch.device("cpu"))
    for stage in ("finetune", "seg", "det"):
        recipe = recipe_for(method, stage, encoder.backbone)
        own = load_config(recipe.config)

        def whole_batch(cfg, own=own):
            cfg.train_dataloader.batch_size = own.auto_scale_lr.base_batch_size

        cfg, _ = stage_config(recipe, encoder, recipe.images, 1.0, False, whole_batch, {})
        if "max_iters" in own.train_cfg:
            assert cfg.train_cfg.max_iters == pytest.approx(own.train_cfg.max_iters, rel=0.005)
            ends = [one.param_scheduler[0].end for one in (cfg, own)]
            assert ends[0] == pytest.approx(ends[1], rel=0.005), stage
        else:
            assert cfg.param_scheduler == own.param_scheduler, stage
            assert cfg.train_cfg.max_epochs == own.train_cfg.max_epochs, stage
        assert cfg.get("custom_hooks") == own.get("custom_hooks")  # an average's momentum too


def test_the_first_run_is_that_of_the_lowest_seed(tmp_path):
    for seed in (10, 2):
        (tmp_path / "runs" / "a" / "finetune" / f"seed-{seed}").mkdir(parents=True)
    measure = dict(stage="finetune", cells=[dict(checkpoint="a")])
    ((_, _, run),) = _runs(dict(measures=[measure]), tmp_path)
    assert run.name == "seed-2"
