"""What is said, or refused, before anything is trained; and the authors' figures beside ours."""

import json
import re
from dataclasses import replace

import pytest

from maskssl.__main__ import main
from maskssl.transfer import feature_store, preflight, published
from maskssl.transfer.budgets import BUDGETS
from maskssl.transfer.published import PUBLISHED, Published
from tests.transfer.scenes import save_encoder, write_maps, write_objects, write_pictures


@pytest.fixture
def words(tmp_path) -> list[str]:
    write_pictures(tmp_path / "data", "train", 4, 0)
    write_pictures(tmp_path / "data", "test", 2, 1)
    path = save_encoder(tmp_path / "a.pth")
    given = ["transfer", str(path), "--data", str(tmp_path / "data"), "--no-floor", "--seeds", "0"]
    return [*given, "--out", str(tmp_path / "out")]


def test_a_dry_run_says_data_batches_disk_and_time(words, tmp_path, capsys):
    write_maps(tmp_path / "maps", "train", 4, 0)
    write_maps(tmp_path / "maps", "val", 2, 1)
    deep = save_encoder(tmp_path / "b.pth", arch=dict(embed_dims=24, num_layers=4, num_heads=2))
    more = ["--stages", "knn", "attentive", "patch-knn", "finetune", "--masks"]
    main([*words[:2], str(deep), *words[2:], *more, str(tmp_path / "maps"), "--dry-run"])
    said = capsys.readouterr().out
    assert "classes: 12 training and 6 test images of 3 classes, the first of 16 x 16" in said
    assert "4 to 4 training images a class" in said
    assert "maps: 4 training and 2 test images of 3 classes" in said
    # 18 images of 2 and 4 blocks, two poolings each, fp32; 24 of 16 patches and 6 shares, fp16
    pooled = 18 * (4 + 8) * 24 * 4
    tokens = 2 * (18 * 16 * 24 * 2 + 6 * 16 * 24 * 2)
    shares = 2 * 6 * 16 * 3 * 2
    total = pooled + tokens + shares
    assert f"take up to {total / 1000:.1f} kB, and" in said
    # 12 pictures in batches of 6: 30 passes of 80, a quarter of it, times the root of 80 / 12
    assert re.search(r"b finetune: .*, 19 passes, 38 steps of 6 images, lr .*, 1 run, at", said)
    assert "time: roughly" in said
    assert not (tmp_path / "out" / "report").exists()
    assert not (tmp_path / "out" / "outcomes").exists()


def test_a_disk_that_cannot_hold_all_checkpoints_is_told_first(words, tmp_path, monkeypatch):
    usage = type("Usage", (), dict(free=1000))
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(SystemExit) as end:
        main([*words, "--stages", "knn"])
    assert re.search("not in the cache take .* fewer --blocks", str(end.value.code))
    assert feature_store.shutil is preflight.shutil and not (tmp_path / "out" / "features").exists()


def test_features_that_are_there_need_no_disk(words, tmp_path, monkeypatch):
    """The same call again finds all; one that is new to the test images needs room for those."""
    words += ["--stages", "knn", "--cache", str(tmp_path / "cache")]
    main(words)
    needed = 6 * 4 * 24 * 4  # of 6 test images: two blocks, two poolings, fp32
    usage = type("Usage", (), dict(free=0))
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: usage)
    main(words)
    words.insert(-2, "lowshot-1")
    main(words)  # it reads what kNN has read
    words += ["--out", str(tmp_path / "other")]
    usage.free = needed
    main(words)
    words[-1] += "-still"
    usage.free = needed - 1
    with pytest.raises(SystemExit) as end:
        main(words)
    assert f"take up to {needed / 1000:.1f} kB" in str(end.value.code)


def test_a_class_with_one_image_is_told_first(words, tmp_path):
    for number in (1, 2, 3):
        (tmp_path / "data" / "train" / "lying" / f"{number}.png").unlink()
    with pytest.raises(SystemExit) as end:
        main([*words, "--stages", "knn"])
    assert "the class 'lying' has 1 training image" in str(end.value.code)
    main([*words, "--stages", "finetune", "--dry-run"])  # chooses nothing on a part of them


def test_a_first_picture_that_is_none_is_told(words, tmp_path):
    first = tmp_path / "data" / "train" / "flat" / "0.png"
    first.write_bytes(b"?")
    with pytest.raises(SystemExit) as end:
        main([*words, "--stages", "knn"])
    assert re.search(r"flat/0\.png cannot be read .*; replace or remove it", str(end.value.code))


def test_published_figures_stand_beside_ours_where_protocol_and_data_match(
    words, tmp_path, monkeypatch, capsys
):
    own = (
        Published(("plain ViT",), (24, 2), "knn", 0.123, "ours, 1 epoch", "nowhere"),
        Published(("MAE",), (24, 2), "knn", 0.456, "of another source", "nowhere"),
        Published(("plain ViT",), (768, 12), "knn", 0.789, "of another size", "nowhere"),
    )
    monkeypatch.setattr(published, "PUBLISHED", own)
    few = replace(BUDGETS["paper"], neighbours=(5,))
    monkeypatch.setitem(BUDGETS, "paper", few)
    words += ["--stages", "knn", "--preset"]
    for preset, imagenet, expected in (
        ("paper", (3, 12, 6), [0.123]),
        ("paper", (1000, 1_281_167, 50_000), []),
        ("quick", (3, 12, 6), []),
    ):
        monkeypatch.setattr(published, "IMAGENET", imagenet)
        out = tmp_path / f"{preset}-{imagenet[0]}"
        main([*words, preset, "--out", str(out)])
        report = json.loads((out / "report" / "report.json").read_text())
        (cell,) = report["measures"][0]["cells"]
        assert [one["figure"] for one in cell["reported"]] == expected
        shown = "12.3 published (ours, 1 epoch, nowhere)" in capsys.readouterr().out
        assert shown == bool(expected)


def test_data_that_is_too_small_for_a_preset_is_told(words, tmp_path):
    """The published kNN has 20 neighbours."""
    with pytest.raises(SystemExit):
        main([*words, "--stages", "knn", "--preset", "paper"])
    report = json.loads((tmp_path / "out" / "report" / "report.json").read_text())
    assert "nothing that 9 training images are enough for" in report["failed"]["a knn"]


def test_the_published_figures_are_those_of_the_recipes_page():
    """BootMAE 66.1 and 84.2 at Base, 77.1 and 85.9 at Large; DINO's kNN 76.1."""
    told = {(one.sources[0], one.size[0], one.stage): one.figure for one in PUBLISHED}
    assert told["BootMAE release", 768, "finetune-frozen"] == 0.661
    assert told["BootMAE release", 1024, "finetune"] == 0.859
    assert told["DINO, iBOT", 768, "knn"] in (0.761, 0.771)
    assert all(0.5 < one.figure < 0.9 for one in PUBLISHED)


def test_images_that_no_stage_reads_are_named(words, tmp_path, capsys):
    """Boxes beside classes bring no detection unless it is asked for."""
    write_objects(tmp_path / "boxes", "train", 2, 0)
    write_objects(tmp_path / "boxes", "val", 2, 1)
    boxes = ["--coco", str(tmp_path / "boxes"), "--dry-run"]
    main([*words, "--stages", "knn", *boxes])
    said = capsys.readouterr().out
    assert f"--coco {tmp_path / 'boxes'} is not read: add one of detection" in said
    assert "--data" not in said
