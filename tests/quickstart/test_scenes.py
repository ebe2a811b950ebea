"""Drawn scenes: the same by seed, true to their annotations, told apart by shape and pattern."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskssl.errors import MaskSSLError
from maskssl.quickstart.scenes import writer as scene_writer
from maskssl.quickstart.scenes.painting import PATTERNS
from maskssl.quickstart.scenes.scene import (
    MIN_VISIBLE_PIXELS,
    MIN_VISIBLE_SHARE,
    SHAPES,
    coverage,
    dense_scene,
    object_scene,
    outline_area,
    place,
    shape_outlines,
)
from maskssl.quickstart.scenes.writer import contact_sheet, run_lengths, write_scenes

COUNTS = {
    "num_train": 16,
    "num_labelled": 8,
    "num_val": 8,
    "num_dense_train": 12,
    "num_dense_val": 4,
    "num_boxed": 10,
}
DRAW = {"object": object_scene, "dense": dense_scene}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp("data") / "scenes", **COUNTS)


def contents(root: Path) -> dict[str, bytes]:
    """Every file below a folder, by its relative path."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def decode(run_length: dict) -> np.ndarray:
    """A mask from uncompressed COCO run lengths, written apart from the encoder."""
    height, width = run_length["size"]
    values = np.arange(len(run_length["counts"])) % 2
    return np.repeat(values, run_length["counts"]).reshape(width, height).T.astype(bool)


def coco_and_label_maps(root: Path, split: str, seg_split: str):
    """(annotations, label map) of each picture of a written split."""
    coco = json.loads((root / f"det/instances_{split}.json").read_text())
    for image in coco["images"]:
        path = root / "seg/annotations" / seg_split / image["file_name"]
        label_map = np.asarray(Image.open(path))
        yield [a for a in coco["annotations"] if a["image_id"] == image["id"]], label_map


# Drawing


@pytest.mark.parametrize("kind", DRAW)
def test_scene_depends_on_its_address_only(kind):
    draw = DRAW[kind]
    first = draw(0, "train", 5)
    draw(0, "train", 6)
    again = draw(0, "train", 5)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.masks, again.masks)
    for other in [(1, "train", 5), (0, "val", 5), (0, "train", 13)]:
        assert not np.array_equal(first.image, draw(*other).image)


def test_objects_take_turns_and_fit_the_frame():
    scenes = [object_scene(0, "train", index, 64) for index in range(64)]
    assert Counter(int(s.labels[0]) for s in scenes) == dict.fromkeys(range(len(SHAPES)), 8)
    shares = np.array([s.masks.sum() / s.areas[0] for s in scenes])
    assert shares.min() > 0.6  # an occluder hides 35 % at most; the rest is rounding to pixels
    assert 0.2 < np.mean(shares < 0.93) < 0.55  # about a third has an occluder
    whole = np.array(
        [s.boxes[0, 2:].max() / 64 for s, share in zip(scenes, shares, strict=True) if share > 0.93]
    )
    pixel = 1 / 64  # boxes are whole pixels; objects are drawn at 0.65 to 0.95 of the side
    assert whole.min() >= 0.65 - 2 * pixel and whole.max() <= 0.95 + 2 * pixel
    assert whole.max() - whole.min() > 0.2


@pytest.mark.parametrize("size", [48, 128])
def test_dense_objects_stay_visible(size):
    for index in range(60):
        scene = dense_scene(0, "train", index, size)
        visible = scene.masks.sum(axis=(1, 2))
        assert 1 <= len(scene.labels) <= 3
        assert visible.min() >= MIN_VISIBLE_PIXELS
        assert (visible / scene.areas).min() >= MIN_VISIBLE_SHARE
        assert scene.masks.sum(axis=0).max() == 1  # visible regions do not overlap


def test_dense_scenes_hold_one_to_three_objects_some_occluded():
    scenes = [dense_scene(0, "train", index) for index in range(60)]
    assert {len(scene.labels) for scene in scenes} == {1, 2, 3}
    shares = np.concatenate([scene.masks.sum(axis=(1, 2)) / scene.areas for scene in scenes])
    assert np.mean(shares < 0.9) > 0.2
    assert {int(label) for scene in scenes for label in scene.labels} == set(range(len(SHAPES)))


@pytest.mark.parametrize("shape", SHAPES)
def test_coverage_matches_the_outline(shape):
    rng = np.random.default_rng(0)
    for _ in range(10):
        outlines = place(shape_outlines(shape, rng), 60, 96, rng)
        corners = np.stack([outlines[0].min(axis=0), outlines[0].max(axis=0)])
        assert (corners[1] - corners[0]).max() == pytest.approx(60)
        assert corners.min() >= 0 and corners.max() <= 96
        drawn = (coverage(outlines, 96) >= 128).sum()
        assert drawn == pytest.approx(outline_area(outlines), rel=0.05)


def test_coverage_fills_exactly_the_pixels_inside():
    outline = np.array([[2.0, 3], [6, 3], [6, 8], [2, 8]])
    expected = np.zeros((10, 10), bool)
    expected[3:8, 2:6] = True
    assert np.array_equal(coverage([outline], 10) >= 128, expected)


def test_masks_lie_on_the_picture():
    """Edges of the masks are edges of the picture; masks moved by three pixels are not."""
    true, moved = [], []
    for index in range(40):
        scene = dense_scene(0, "train", index)
        grey = scene.image.mean(axis=2)
        steps = np.abs(np.diff(grey, axis=1))
        edges = np.diff(scene.label_map, axis=1) != 0
        true.append(steps[edges].mean())
        moved.append(steps[np.roll(edges, 3, axis=1)].mean())
    assert np.mean(true) > 2 * np.mean(moved)


def test_colour_tells_no_class():
    """Nearest class mean on an object's mean colour is near chance, 1/8."""
    features, labels = [], []
    for index in range(640):
        scene = object_scene(0, "train", index, 48)
        features.append(scene.image[scene.masks[0]].mean(axis=0) / 255)
        labels.append(scene.labels[0])
    x, y = np.array(features), np.array(labels)
    means = np.stack([x[:320][y[:320] == label].mean(axis=0) for label in range(len(SHAPES))])
    guesses = np.square(x[320:, None] - means).sum(axis=2).argmin(axis=1)
    assert np.mean(guesses == y[320:]) < 0.22


def test_most_objects_wear_the_tile_of_their_class():
    """The tile whose bright and dark marks differ most in an object, among its 8."""
    own = 0
    for index in range(160):
        scene = object_scene(0, "train", index, 48)
        grey, mask = scene.image.mean(axis=2), scene.masks[0]
        tiles = [texture(48, np.random.default_rng(0)) > 0.5 for texture in PATTERNS]
        spread = [
            grey[mask & tile].std() + (grey[mask & ~tile].std() if (mask & ~tile).any() else 0)
            for tile in tiles[1:]
        ]
        plain = grey[mask].std() < 8
        own += (0 if plain else 1 + int(np.argmin(spread))) == scene.labels[0]
    assert 0.7 < own / 160 < 0.95  # OWN_PATTERN is 0.8, and an eighth of the others hit it too


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, "test", 0), "split='test'"),
        ((-1, "train", 0), "seed=-1"),
        ((0, "train", -2), "index=-2"),
        ((0, "train", 0, 16), "16 pixels"),
    ],
)
def test_wrong_address_is_refused(arguments, message):
    for draw in DRAW.values():
        with pytest.raises(MaskSSLError, match=message):
            draw(*arguments)
    with pytest.raises(MaskSSLError, match="shape='moon'"):
        shape_outlines("moon", np.random.default_rng(0))


# Writing


def test_layout_and_balance(written):
    files = contents(written)
    for split, count in (
        ("imagefolder/train", 2),
        ("imagefolder/val", 1),
        ("few/train", 1),
        ("few/val", 1),
    ):
        for shape in SHAPES:
            prefix = f"{split}/{shape}/"
            assert sum(name.startswith(prefix) for name in files) == count
    for split, seg_split, count in (("train", "training", 12), ("val", "validation", 4)):
        for number in range(count):
            picture = files[f"seg/images/{seg_split}/{number:06d}.png"]
            assert picture == files[f"det/{split}/{number:06d}.png"]
            assert f"seg/annotations/{seg_split}/{number:06d}.png" in files
    few = {name for name in files if name.startswith("few/")}
    assert all(files[name] == files[name.replace("few", "imagefolder")] for name in few)
    assert len(files) == 16 + 8 + 8 + 8 + 3 * (12 + 4) + 1 + 2 + 1
    assert files["seg/classes.txt"].decode().split() == ["background", *SHAPES]
    with Image.open(written / "imagefolder/train/disc/000000.png") as image:
        assert np.array_equal(np.asarray(image), object_scene(0, "train", 0).image)
    with Image.open(written / "seg/annotations/training/000000.png") as label_map:
        assert label_map.mode == "L" and label_map.size == (64, 64)


@pytest.mark.parametrize(("split", "seg_split"), [("train", "training"), ("val", "validation")])
def test_label_maps_and_coco_agree(written, split, seg_split):
    for annotations, label_map in coco_and_label_maps(written, split, seg_split):
        assert annotations
        painted = np.zeros_like(label_map)
        for annotation in annotations:
            mask = decode(annotation["segmentation"])
            painted[mask] = annotation["category_id"]
            rows, cols = np.nonzero(mask)
            width, height = np.ptp(cols) + 1, np.ptp(rows) + 1
            assert annotation["bbox"] == [cols.min(), rows.min(), width, height]
            assert annotation["area"] == mask.sum() >= MIN_VISIBLE_PIXELS
            assert annotation["iscrowd"] == 0
        assert np.array_equal(painted, label_map)


def test_coco_tables(written):
    coco = json.loads((written / "det/instances_train.json").read_text())
    assert [(c["id"], c["name"]) for c in coco["categories"]] == list(enumerate(SHAPES, 1))
    assert [a["id"] for a in coco["annotations"]] == list(range(1, len(coco["annotations"]) + 1))
    assert len({image["id"] for image in coco["images"]}) == COUNTS["num_boxed"] == 10
    for image in coco["images"]:
        with Image.open(written / "det/train" / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"])


def test_pycocotools_reads_the_masks(written):
    mask_api = pytest.importorskip("pycocotools.mask")
    for annotations, label_map in coco_and_label_maps(written, "train", "training"):
        for annotation in annotations:
            encoded = mask_api.frPyObjects(annotation["segmentation"], *label_map.shape)
            assert np.array_equal(mask_api.decode(encoded), decode(annotation["segmentation"]))


def test_run_lengths_start_with_zeros():
    mask = np.array([[1, 0, 0], [1, 1, 0]], bool)
    assert run_lengths(mask) == {"counts": [0, 2, 1, 1, 2], "size": [2, 3]}
    assert run_lengths(~mask) == {"counts": [2, 1, 1, 2], "size": [2, 3]}


def test_files_depend_on_neither_count_nor_workers(written, tmp_path):
    more = write_scenes(
        tmp_path / "more", num_workers=2, **{**COUNTS, "num_train": 24, "num_boxed": 11}
    )
    first, second = contents(written), contents(more)
    changed = {"det/instances_train.json", "scenes.json"}
    assert all(second[name] == data for name, data in first.items() if name not in changed)
    fewer_objects, more_objects = (
        json.loads(files["det/instances_train.json"])["annotations"] for files in (first, second)
    )
    assert fewer_objects == [a for a in more_objects if a["image_id"] < COUNTS["num_boxed"]]
    other = write_scenes(tmp_path / "other", seed=1, **COUNTS)
    shared = {first["seg/classes.txt"]}
    assert set(first.values()) & set(contents(other).values()) == shared


def test_second_call_returns_and_other_options_are_refused(written, monkeypatch):
    monkeypatch.setattr(scene_writer, "_write_job", lambda job: pytest.fail("drew again"))
    assert write_scenes(written, **COUNTS) == written
    with pytest.raises(MaskSSLError, match=r"seed=0 \(asked for: 7\).*another folder or delete"):
        write_scenes(written, seed=7, **COUNTS)
    monkeypatch.setattr(scene_writer, "VERSION", 99)
    with pytest.raises(MaskSSLError, match=r"version=\d+ \(asked for: 99\)"):
        write_scenes(written, **COUNTS)


def test_other_content_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("keep me")
    with pytest.raises(MaskSSLError, match=r"no scenes\.json"):
        write_scenes(tmp_path, **COUNTS)
    assert contents(tmp_path) == {"notes.txt": b"keep me"}
    with pytest.raises(MaskSSLError, match="no folder"):
        write_scenes(tmp_path / "notes.txt", **COUNTS)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "scenes.json").write_text("{")
    with pytest.raises(MaskSSLError, match="cannot be read"):
        write_scenes(broken, **COUNTS)
    with pytest.raises(MaskSSLError, match="image_size=8 is too small; use at least 32"):
        write_scenes(tmp_path / "small", image_size=8)
    assert not (tmp_path / "small").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_interrupted_write_leaves_nothing(tmp_path, error):
    def interrupt(done: int, total: int) -> None:
        if done == 20:
            raise error("stop")

    root = tmp_path / "scenes"
    with pytest.raises(error):
        write_scenes(root, progress=interrupt, **COUNTS)
    assert not list(tmp_path.iterdir())
    steps = []
    write_scenes(root, progress=lambda done, total: steps.append((done, total)), **COUNTS)
    assert steps == [(done, 40) for done in range(1, 41)]
    assert [path.name for path in tmp_path.iterdir()] == ["scenes"]


def test_two_writers_at_once_leave_one_whole_set(tmp_path, written):
    def other_writer(done: int, total: int) -> None:
        if done == total:
            write_scenes(tmp_path / "scenes", **COUNTS)

    root = write_scenes(tmp_path / "scenes", progress=other_writer, **COUNTS)
    assert contents(root) == contents(written)
    assert [path.name for path in tmp_path.iterdir()] == ["scenes"]


def test_contact_sheet_shows_each_scene_and_its_truth():
    scenes = [dense_scene(0, "val", index) for index in range(4)]
    sheet = contact_sheet(scenes, columns=3, scale=1)
    assert sheet.size == (3 * 2 * 64, 2 * 64)
    fourth = np.asarray(sheet)[64:, :128]
    assert np.array_equal(fourth[:, :64], scenes[3].image)
    assert not np.array_equal(fourth[:, 64:], scenes[3].image)
    with pytest.raises(MaskSSLError, match="at least one scene"):
        contact_sheet([])


def test_no_more_are_labelled_than_there_are(tmp_path):
    counts = dict(num_val=0, num_dense_train=0, num_dense_val=0, num_boxed=0)
    for name, train, labelled in (("more", 3, 9), ("less", 3, 2)):
        root = write_scenes(tmp_path / name, num_train=train, num_labelled=labelled, **counts)
        found = {path.parent.name for path in (root / "few" / "train").rglob("*.png")}
        assert found == set(SHAPES[: min(train, labelled)])
