"""The main job end to end in a few steps, as users run it."""

import json
from pathlib import Path

import pytest
from PIL import Image

from maskssl.errors import MaskSSLError
from maskssl.evaluation.run_logs import read_run
from maskssl.transfer.images import describe_images
from maskssl.transfer.scenes.writer import write_scenes


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory, installed):
    """From an installed wheel, in an empty folder."""
    out = tmp_path_factory.mktemp("quickstart")
    places = ("--out", out / "run", "--scenes", out / "scenes")
    done = installed.run("quickstart", "--smoke", *places, cwd=out, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "run", done.stdout


def test_every_figure_is_in_the_table_and_the_report(quickstart):
    out, printed = quickstart
    report = json.loads((out / "report" / "report.json").read_text())
    names = [row["name"] for row in report["rows"]]
    assert [name.split(",")[0] for name in names] == [
        "kNN",
        "linear probe",
        "fine-tune",
        "UperNet",
        "Mask R-CNN",
        "Mask R-CNN",
    ]
    for row in report["rows"]:
        assert row["gain"] == pytest.approx(row["pretrained"] - row["random"])
    assert "gain" in printed and "left" in printed
    for file in report["pictures"].values():
        with Image.open(out / "report" / file) as picture:
            assert picture.width > 100
            assert len(set(picture.convert("L").resize((64, 64)).tobytes())) > 10, (
                f"{file} is blank"
            )


def test_pretrained_runs_load_the_encoder_and_random_runs_do_not(quickstart):
    out, _ = quickstart
    for stage in ("knn", "linear", "finetune", "seg", "det"):
        assert "tensors from" in (out / "logs" / f"{stage}-pretrained.log").read_text(), stage
        assert "tensors from" not in (out / "logs" / f"{stage}-random.log").read_text(), stage


def test_a_trained_model_tests_to_the_figure_of_its_training(quickstart, run_warm, tmp_path):
    out, _ = quickstart
    options = [
        f"test_dataloader.dataset.data_root={out.parent / 'scenes' / 'seg'}",
        "test_dataloader.dataset.indices=16",
        "test_dataloader.num_workers=0",
        "test_dataloader.persistent_workers=False",
    ]
    config = "configs/seg/bootmae_vit-mini-p8_upernet_1xb8-amp-400i_scenes.py"
    done = run_warm(
        "tools/test.py", config, out / "runs" / "seg-pretrained", "--work-dir", tmp_path,
        "--cfg-options", *options,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    tested = json.loads((tmp_path / "metrics.json").read_text())["mIoU"]
    trained = read_run(out / "runs" / "seg-pretrained").series("mIoU")
    assert tested == pytest.approx(trained[-1][1])
    rows = json.loads((out / "report" / "report.json").read_text())["rows"]
    assert {row["name"]: row["pretrained"] for row in rows}["UperNet, mIoU %"] == trained[-1][1]


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
        f"test_dataloader.dataset.data_root={out.parent / 'scenes' / 'imagefolder'}",
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


def test_own_images_in_any_layout(tmp_path):
    root = (
        write_scenes(tmp_path / "s", num_train=80, num_val=16, num_dense_train=1, num_dense_val=1)
        / "imagefolder"
    )
    both = describe_images(root, tmp_path / "lists")
    assert (both.num_classes, both.num_images, both.lists) == (8, 80, {})
    classes = describe_images(root / "train", tmp_path / "lists")
    assert classes.num_classes == 8 and not (tmp_path / "lists").exists()
    classes.write_lists()
    train = Path(classes.train).read_text().splitlines()
    val = Path(classes.val).read_text().splitlines()
    assert len(train) == 64 and len(val) == 16 and not set(train) & set(val)
    flat = describe_images(root / "train" / "disc", tmp_path / "lists")
    assert (flat.num_images, flat.class_root) == (10, None)
    with pytest.raises(MaskSSLError, match="no such folder"):
        describe_images(tmp_path / "nowhere", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MaskSSLError, match="no image below"):
        describe_images(tmp_path / "empty", tmp_path)
