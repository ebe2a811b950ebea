"""kNN and a linear head on frozen patches: maps, overlaps, and the whole job on them."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from maskssl.__main__ import main
from maskssl.datasets.checks.label_codes import LabelCodes
from maskssl.errors import MaskSSLError
from maskssl.evaluation.linear_sweep import HeadSetting, train_heads
from maskssl.evaluation.metrics import mean_iou
from maskssl.evaluation.rows import PatchRows
from maskssl.transfer import map_measures
from maskssl.transfer.against import compare_reports
from maskssl.transfer.budgets import BUDGETS, Budget
from maskssl.transfer.encoders import open_encoder
from maskssl.transfer.feature_store import _key
from maskssl.transfer.map_measures import overlap, predicted_map
from maskssl.transfer.map_set import map_sets, patch_shares
from tests.transfer.scenes import save_encoder, write_maps

STAGES = ("patch-knn", "patch-linear")


def test_shares_of_the_classes_in_patches_by_hand():
    """4 x 4 pixels in 2 x 2 patches; one pixel of the last is ignored, all of the second."""
    labels = np.array([[0, 0, 2, 2], [0, 1, 2, 2], [1, 1, 0, 0], [1, 1, 1, 2]])
    found = patch_shares(labels, (2, 2), 2)
    np.testing.assert_allclose(found, [[0.75, 0.25], [0, 0], [0, 1], [0.5, 0.25]])
    # 3 rows in 2: pixel rows 0 and 1 are nearest the first
    odd = patch_shares(np.array([[0], [0], [1]]), (2, 1), 2)
    np.testing.assert_allclose(odd, [[1, 0], [0, 1]])


def test_the_map_is_the_interpolated_scores_highest(monkeypatch):
    scores = torch.randn(6, 5)
    maps = scores.T.reshape(1, 5, 2, 3)
    for size in ((7, 11), (2, 3), (1, 2)):
        expected = F.interpolate(maps, size, mode="bilinear")[0].argmax(dim=0)
        for pixels in (1 << 24, 60):  # at once, and a row or two at a time
            monkeypatch.setattr(map_measures, "PIXELS_AT_ONCE", pixels)
            assert torch.equal(predicted_map(scores, (2, 3), size), expected)


def test_overlaps_by_hand():
    """Class 0: 1 of 3 pixels; class 1: 1 of 3; the ignored pixel was called 2, and counts not."""
    truth = torch.tensor([[0, 0, 1], [1, 3, 3]])
    predicted = torch.tensor([[0, 1, 1], [0, 2, 2]])
    areas = overlap(predicted, truth, 3)
    assert areas.tolist() == [[1, 1, 0], [3, 3, 0]]
    assert mean_iou(areas[None], np.ones((1, 1))) == pytest.approx(1 / 3)


def test_what_masks_mean_makes_other_shares(tmp_path):
    """The same pictures and files, read by another layout."""
    encoder = open_encoder(str(save_encoder(tmp_path / "a.pth")), "a", torch.device("cpu"))
    write_maps(tmp_path / "maps", "train", 2, 0)
    write_maps(tmp_path / "maps", "val", 2, 1)
    images, _ = map_sets(str(tmp_path / "maps"))
    keys = {
        _key(encoder, replace(images, **change), "shares")
        for change in (
            {},
            dict(code=replace(images.code, reduce_zero_label=True)),
            dict(code=replace(images.code, codes=LabelCodes({0: 1, 1: 0}))),
            dict(code=replace(images.code, codes=LabelCodes({0: 0, 1: 1}))),
            dict(classes=images.classes[::-1]),
        )
    }
    assert len(keys) == 5
    again = replace(images, code=replace(images.code, codes=LabelCodes({0: 1, 1: 0})))
    assert _key(encoder, again, "shares") in keys  # found again by the next call


def test_rows_of_patches(tmp_path):
    tokens, shares = np.random.rand(4, 6, 3).astype(np.float16), np.random.rand(4, 6, 2)
    rows = PatchRows(
        tokens, torch.zeros(4).long(), torch.tensor([3, 1]), torch.device("cpu"), shares
    )
    features, targets = rows.batch(torch.tensor([0, 1]))
    np.testing.assert_array_equal(features[:6], tokens[3].astype(np.float32))
    np.testing.assert_allclose(targets[6:], shares[1], rtol=1e-6)
    flat = np.concatenate([tokens[3], tokens[1]]).astype(np.float64)
    mean, std = rows.moments()
    np.testing.assert_allclose(mean, flat.mean(axis=0))
    np.testing.assert_allclose(std, flat.std(axis=0))


def test_the_moments_of_patches_are_read_some_images_at_a_time(monkeypatch):
    """An image has hundreds of patches: thousands of images would be tens of GB."""
    tokens, shares = np.random.rand(40, 6, 3).astype(np.float16), np.random.rand(40, 6, 2)
    rows = PatchRows(tokens, torch.zeros(40).long(), torch.arange(40), torch.device("cpu"), shares)
    taken, batch = [], PatchRows.batch
    monkeypatch.setattr(
        PatchRows, "batch", lambda self, places: (taken.append(len(places)), batch(self, places))[1]
    )
    train_heads({"tokens": rows}, [HeadSetting("tokens", True, 0.1, 0.0)], 2, 1, 8, seed=0)
    assert max(taken) <= 16 and sum(taken) == 3 * 40  # twice for the moments, and an epoch


@pytest.fixture
def small(monkeypatch):
    budget = BUDGETS["quick"].__dict__ | dict(
        temperatures=(0.07,),
        linear_decays=(0.0,),
        patch_bank=300,
        patch_neighbours=(1, 10),
        patch_lrs=(0.001, 10.0),
        patch_epochs=8,
        patch_batch_size=8,
    )
    monkeypatch.setitem(BUDGETS, "quick", Budget(**budget))


def test_maps_are_measured_behind_the_firewall(small, tmp_path, capsys):
    """A good, an equal and a damaged checkpoint; until the last step test images are unreadable."""
    data, out = tmp_path / "data", tmp_path / "out"
    write_maps(data, "train", 24, 0)
    write_maps(data, "val", 30, 1)
    good, copy = save_encoder(tmp_path / "good.pth"), save_encoder(tmp_path / "copy.pth")
    damaged = save_encoder(tmp_path / "damaged.pth", damaged=True)
    words = ["transfer", *map(str, (good, copy, damaged)), "--masks", str(data), "--no-floor"]
    words += ["--seeds", "0", "1", "--out", str(out)]
    files = sorted(data.glob("*/val/*.png"))
    held = {file: file.read_bytes() for file in files}
    for file, content in held.items():
        file.write_bytes(b"?" * len(content))
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 1
    record = json.loads((out / "record.json").read_text())
    assert len(record) == 6 and all(job.startswith("choose") for job in record)
    for file, content in held.items():
        file.write_bytes(content)
    main(words)
    report = json.loads((out / "report" / "report.json").read_text())
    assert not report["failed"] and report["data"]["maps, test"]["images"] == 30
    assert set(record) < set(report["seconds"])
    for measure in report["measures"]:
        cells = {cell["checkpoint"]: cell for cell in measure["cells"]}
        assert measure["metric"] == "mIoU" and measure["name"] in STAGES
        assert cells["good"]["seeds"] == cells["copy"]["seeds"]
        assert cells["good"]["figure"] > 0.5 > 0.35 > cells["damaged"]["figure"]
        assert cells["good"]["rank"] == cells["copy"]["rank"] == 1
        assert cells["damaged"]["rank"] == 3
        areas = np.load(out / "outcomes" / "good" / f"{measure['name']}.npy")
        assert areas.shape == (1, 2, 30, 2, 3)
        seen = 16 * 22  # 24 columns without the two that are ignored
        assert (areas[0, 0, :, 1].sum(axis=1) >= seen).all()
    (linear,) = [m for m in report["measures"] if m["name"] == "patch-linear"]
    assert {cell["setting"]["lr"] for cell in linear["cells"]} >= {10.0}
    assert "linear segmentation head, mIoU" in capsys.readouterr().out
    rows = compare_reports(report, out, out / "report" / "report.json")  # with itself
    assert len(rows) == 6 and not any(row["changed"] or row["difference"] for row in rows)
    assert all(row["now"] == row["before"] > 0 for row in rows)


def test_masks_that_cannot_be_used_are_refused(tmp_path):
    write_maps(tmp_path, "train", 3, 0)
    with pytest.raises(MaskSSLError, match="no folders of train and val"):
        (tmp_path / "images" / "train").rename(tmp_path / "images" / "some")
        map_sets(str(tmp_path))
    (tmp_path / "images" / "some").rename(tmp_path / "images" / "train")
    write_maps(tmp_path, "val", 3, 0)
    train, test = map_sets(str(tmp_path))
    assert train.classes == ("class 0", "class 1", "class 2") == test.classes
    assert (len(train), len(test)) == (3, 3)
    labels = train.label_map(0)
    assert labels.shape == (16, 24) and set(np.unique(labels)) <= {0, 1, 2, 3} and 3 in labels
    wrong = tmp_path / "masks" / "val" / "0.png"
    Image.fromarray(np.full((16, 24), 7, np.uint8)).save(wrong)
    with pytest.raises(MaskSSLError, match=r"val/0\.png holds the value 7"):
        test.label_map(0)
    (tmp_path / "masks" / "train" / "1.png").unlink()
    with pytest.raises(MaskSSLError, match="1 of 3 images have no mask"):
        map_sets(str(tmp_path))


@pytest.mark.parametrize(
    ("layout", "files", "value", "label", "num_classes"),
    [
        ("voc", ("JPEGImages/{}.jpg", "SegmentationClass/{}.png"), 15, 15, 21),
        (
            "cityscapes",
            (
                "leftImg8bit/{}/city/a_leftImg8bit.png",
                "gtFine/{}/city/a_gtFine_labelIds.png",
            ),
            26,  # a car, of 19 classes the 14th
            13,
            19,
        ),
        ("ade20k", ("images/{}/a.jpg", "annotations/{}/a.png"), 3, 2, 150),  # 0 is ignored
    ],
)
def test_public_layouts_are_read_as_training_reads_them(
    layout, files, value, label, num_classes, tmp_path
):
    names = dict(train="train", val="val")
    if layout == "ade20k":
        names = dict(train="training", val="validation")
    for split in names.values():
        for number in range(2):
            for form, mode in zip(files, ("RGB", "L"), strict=True):
                path = tmp_path / form.format(f"{split}{number}" if layout == "voc" else split)
                if layout != "voc":
                    path = path.with_name(path.name.replace("a", f"a{number}", 1))
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new(mode, (6, 4), value if mode == "L" else 0).save(path)
    if layout == "voc":
        lists = tmp_path / "ImageSets" / "Segmentation"
        lists.mkdir(parents=True)
        for split in names.values():
            (lists / f"{split}.txt").write_text(f"{split}0\n")
        with pytest.raises(MaskSSLError, match="1 images with masks in .*train.txt"):
            map_sets(f"{layout}:{tmp_path}")
        for split in names.values():
            (lists / f"{split}.txt").write_text(f"{split}0\n{split}1")
    train, test = map_sets(f"{layout}:{tmp_path}")
    assert len(train) == len(test) == 2 and len(train.classes) == num_classes
    assert train.label_map(1).tolist() == [[label] * 6] * 4 == test.label_map(0).tolist()


def test_stages_need_their_data(tmp_path):
    path = save_encoder(tmp_path / "a.pth")
    for words, said in (
        ([], "give images: --data"),
        (["--data", str(tmp_path), "--stages", "patch-knn"], "patch-knn needs --masks"),
    ):
        with pytest.raises(SystemExit) as end:
            main(["transfer", str(path), *words, "--out", str(tmp_path / "out")])
        assert re.search(said, str(end.value.code))
