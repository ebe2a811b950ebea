"""The main job end to end in a few steps, as users run it."""

import json

import pytest
from mmengine.config import Config
from PIL import Image


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory, installed):
    """From an installed wheel, in an empty folder."""
    out = tmp_path_factory.mktemp("quickstart")
    places = ("--out", out / "run", "--scenes", out / "scenes")
    done = installed.run("quickstart", "--smoke", *places, cwd=out, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "run", done.stdout


def test_one_report_has_all_rows_pictures_and_commands(quickstart):
    out, printed = quickstart
    report = json.loads((out / "report" / "report.json").read_text())
    assert not report["failed"]
    assert report["title"] == "Transfer of BootMAE pretrained on drawn scenes"
    assert "without labels, seed 0" in report["facts"]["pretrained on"]
    names = {measure["name"]: measure for measure in report["measures"]}
    assert list(names) == [
        "knn", "linear", "finetune", "segmentation", "detection-box", "detection-mask"
    ]  # fmt: skip
    for measure in report["measures"]:
        assert [cell["checkpoint"] for cell in measure["cells"]] == ["BootMAE", "random"]
        for cell in measure["cells"]:
            assert cell["command"].startswith("maskssl transfer ")
    assert "On the test images" in printed and "left" in printed
    drawn = {(p["checkpoint"], p["kind"]) for p in report["pictures"]}
    assert {("BootMAE", kind) for kind in ("pretraining", "reconstruction", "neighbours")} <= drawn
    assert {(name, "segmentation") for name in ("BootMAE", "random")} <= drawn
    for told in report["pictures"]:
        with Image.open(out / "report" / told["file"]) as picture:
            assert picture.width > 100
            shades = set(picture.convert("L").resize((64, 64)).tobytes())
            assert len(shades) > 10, f"{told['file']} is blank"
    assert report["seconds"]["pretrain"] > 0


def test_pretrained_runs_load_the_encoder_and_random_runs_do_not(quickstart):
    out, _ = quickstart
    for stage in ("finetune", "segmentation", "detection"):
        logs = [
            (out / "runs" / name / stage / "seed-0" / "train.log").read_text()
            for name in ("BootMAE", "random")
        ]
        assert "tensors from" in logs[0] and "tensors from" not in logs[1], stage


def test_random_weights_train_by_what_serves_them_best(quickstart):
    out, _ = quickstart

    def rates(stage):
        for name in ("BootMAE", "random"):
            cfg = Config.fromfile(out / "runs" / name / stage / "seed-0" / "config.py")
            wrapper = cfg.optim_wrapper
            yield wrapper.optimizer.lr, wrapper.paramwise_cfg.layer_decay_rate

    assert list(rates("segmentation")) == [(0.3, 1.0), (0.09, 0.75)]
    (first, flat), (second, decayed) = rates("finetune")
    assert first == second and (flat, decayed) == (1.0, 0.75)


def test_a_trained_model_tests_to_the_figure_of_the_report(quickstart, run_warm, tmp_path):
    out, _ = quickstart
    folder = out / "runs" / "BootMAE" / "segmentation" / "seed-0"
    done = run_warm("tools/test.py", folder / "config.py", folder, "--work-dir", tmp_path)
    assert done.returncode == 0, done.stderr
    tested = json.loads((tmp_path / "metrics.json").read_text())["mIoU"]
    report = json.loads((out / "report" / "report.json").read_text())
    (measure,) = [one for one in report["measures"] if one["name"] == "segmentation"]
    assert tested == pytest.approx(100 * measure["cells"][0]["figure"], abs=6e-3)


def test_another_method_into_the_same_folder_is_refused(quickstart, run_warm):
    out, _ = quickstart
    before = (out / "report" / "report.json").read_bytes()
    done = run_warm(
        "tools/quickstart.py", "--smoke", "--out", out, "--scenes", out.parent / "scenes",
        "--method", "extrema",
    )  # fmt: skip
    assert done.returncode != 0
    assert "method=bootmae (now: extrema)" in done.stderr and "--out" in done.stderr
    assert (out / "report" / "report.json").read_bytes() == before


def test_a_head_that_was_never_loaded_is_not_scored(quickstart, run_warm, tmp_path):
    out, _ = quickstart
    done = run_warm(
        "tools/test.py",
        "configs/finetune/bootmae_vit-mini-p8_finetune_1xb16-amp-coslr-30e_scenes.py",
        out / "runs" / "pretrain",
        "--work-dir",
        tmp_path,
        "--cfg-options",
        f"test_dataloader.dataset.data_root={out.parent / 'scenes' / 'few'}",
    )
    assert done.returncode != 0
    assert "head.fc.weight" in done.stderr and "never loaded" in done.stderr
    assert not (tmp_path / "metrics.json").exists()


def test_reconstruction_tool(quickstart, run_warm, tmp_path):
    out, _ = quickstart
    done = run_warm(
        "tools/reconstruct.py",
        "configs/pretrain/bootmae_vit-mini-p8_1xb32-amp-coslr-12e_scenes.py",
        out / "runs" / "pretrain",
        out.parent / "scenes" / "imagefolder" / "val",
        "--out",
        tmp_path / "picture.png",
    )
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "picture.png").width > 300
