"""Folders as people have them, by one option; what is read off them."""

import json
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image

from maskssl import config_file
from maskssl.cli.command_line import configured
from maskssl.cli.config import ConfigError, load_config
from maskssl.cli.data_check import DataError, look_at_data
from maskssl.cli.data_layouts import CITYSCAPES_CODES, use_layout
from maskssl.errors import MaskSSLError
from tests.cli.test_data_check import DET, FINETUNE, KNN, PRETRAIN, SEG, TEST, TRAIN, VAL
from tests.cli.test_mask_codes import MS_FLIP
from tests.datasets.checks.sets import write_dense, write_image_folder

LOADERS = (TRAIN, VAL, TEST)


def on(name: str, data: str, **options) -> Config:
    """A shipped config as a command line makes it."""
    defaults = dict(
        work_dir=None, num_classes=None, classes="from-data", map_masks=None, pretrained=None
    )
    more = dict(
        seed=None,
        cfg_options={},
        boxes_only=False,
        launcher="none",
        channels=None,
        value_range=None,
    )
    arguments = dict(defaults, **more, config=config_file(name), data=data)
    return configured(SimpleNamespace(**{**arguments, **options}))


def truth(cfg: Config, loader: str) -> list:
    """Samples of a loader, loaded and not augmented."""
    dataset = cfg[loader].dataset
    loading = ("LoadImage", "LoadMask", "LoadAnnotations", "MapLabels")
    dataset.pipeline = [step for step in dataset.pipeline if step["type"] in loading]
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        built = DATASETS.build(dataset)
    return [built[number] for number in range(len(built))]


def infos(cfg: Config, loader: str) -> list[tuple[str, int]]:
    dataset = DATASETS.build(cfg[loader].dataset)
    found = (dataset.get_data_info(number) for number in range(len(dataset)))
    return [(info["img_path"], info["gt_label"]) for info in found]


@pytest.fixture
def photos(tmp_path) -> Path:
    return write_image_folder(tmp_path / "My Photos, 2023: (ä)")


# images


def test_folders_by_any_names_of_the_splits(photos):
    (photos / "train").rename(photos / "Training")
    (photos / "val").rename(photos / "Testing")
    cfg = on(FINETUNE, f"folders:{photos}")
    assert cfg.model.head.num_classes == cfg.model.data_preprocessor.num_classes == 3
    found = look_at_data(cfg, LOADERS)
    assert [one.counts for one in found] == [[4, 4, 4]] * 3
    assert [Path(one.source).name for one in found] == ["Training", "Testing", "Testing"]
    knn = on(KNN, f"folders:{photos}", cfg_options={"model.k": 5})
    bank, test = look_at_data(knn, [TEST])
    assert (Path(bank.source).name, Path(test.source).name) == ("Training", "Testing")
    (train,) = look_at_data(on(PRETRAIN, f"folders:{photos}", classes=None), [TRAIN])
    assert train.images == 12


def test_pretraining_takes_images_in_any_order(photos):
    shutil.rmtree(photos / "val")
    cfg = on(PRETRAIN, f"folders:{photos}", classes=None)
    assert look_at_data(cfg, [TRAIN])[0].images == 12
    with pytest.raises(ConfigError, match="has no folders train and val"):
        on(FINETUNE, f"folders:{photos}")
    with pytest.raises(ConfigError, match="train_dataloader .IndexedImages. has no labels"):
        on(PRETRAIN, f"folders:{photos}")


@pytest.mark.parametrize("ending", ["txt", "csv"])
@pytest.mark.parametrize("folder", ["", "images", "train"])
def test_flat_images_with_a_list(ending, folder, tmp_path):
    source = write_image_folder(tmp_path / "source")
    root = tmp_path / "flat, 1"
    root.mkdir()
    for split in ("train", "val"):
        place = root / (split if folder == "train" else folder)
        place.mkdir(exist_ok=True)
        rows = []
        for path in sorted((source / split).rglob("*.jpg")):
            name = f"{split} {path.parent.name}{path.name}"
            shutil.copy(path, place / name)
            label = ["apple", "pear", "plum"].index(path.parent.name)
            quoted = f'"{name}","{path.parent.name}, ripe"'
            rows.append(f"{name} {label}" if ending == "txt" else quoted)
        rows = rows if ending == "txt" else ["File_Name,Class", *rows]
        (root / f"{split}.{ending}").write_text("\n".join(rows) + "\n")
    cfg = on(FINETUNE, f"lists:{root}")
    train, val, _ = look_at_data(cfg, LOADERS)
    assert train.counts == val.counts == [4, 4, 4] and len(train.pictures) == 12
    assert train.classes == (
        None if ending == "txt" else ("apple, ripe", "pear, ripe", "plum, ripe")
    )
    place = root / folder
    assert infos(cfg, TRAIN)[5] == (str(place / "train pear001.jpg"), 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "begins with the columns a, b; name one of them path"),
        ("path,label\n", "lists no image; write rows below its header"),
        ("path,label\nx.jpg,\n", "has rows without a label"),
        ("path,label\nx.jpg,0\ny,1\n", "line 3: 'y' ends with none of"),
        ("path,label\nx.jpg,a\ngone.jpg,b\n", "gone.jpg"),
    ],
)
def test_a_csv_that_makes_no_sense_is_refused(text, message, photos):
    shutil.copy(photos / "train/pear/000.jpg", photos / "x.jpg")
    for split in ("train", "val"):
        (photos / f"{split}.csv").write_text(text)
    with pytest.raises(MaskSSLError, match=message):
        on(FINETUNE, f"lists:{photos}")


def test_csv_lists_of_other_classes_are_refused(photos):
    for split, name in (("train", "pear"), ("val", "Pear")):
        rows = f"path,label\n{split}/pear/000.jpg,{name}\n{split}/plum/000.jpg,plum\n"
        (photos / f"{split}.csv").write_text(rows)
    with pytest.raises(DataError, match="val_dataloader lacks 'pear'; .* has 'Pear'"):
        look_at_data(on(FINETUNE, f"lists:{photos}"), LOADERS)


def shard(path: Path, folder: Path, label: int) -> None:
    with tarfile.open(path, "w") as tar:
        for image in sorted(folder.glob("*.jpg")):
            note = image.with_suffix(".cls")
            note.write_text(str(label))
            for file in (image, note):
                tar.add(file, f"{folder.name}{file.name}")


def test_shards(photos):
    for split in ("train", "val"):
        for label, name in enumerate(("apple", "pear", "plum")):
            shard(photos / f"{split}-{label:03d}.tar", photos / split / name, label)
    found = look_at_data(on(FINETUNE, f"shards:{photos}"), LOADERS)
    assert [one.counts for one in found] == [[4, 4, 4]] * 3
    assert all("its pictures are not looked at" in one.notes[-1] for one in found)


def test_imagenet_22k_has_a_tar_for_each_class(photos):
    for name in ("apple", "pear"):
        shard(photos / f"{name}.tar", photos / "train" / name, 0)
    cfg = on(PRETRAIN, f"shards:{photos}", classes=None)
    assert look_at_data(cfg, [TRAIN])[0].images == 8


def test_imagenet_with_folders_and_with_a_flat_val(photos):
    for path in photos.rglob("*.jpg"):
        path.rename(path.with_suffix(".JPEG"))
    cfg = on(FINETUNE, f"imagenet:{photos}")
    assert [one.counts for one in look_at_data(cfg, LOADERS)] == [[4, 4, 4]] * 3
    lines = []
    for number, path in enumerate(sorted((photos / "val").rglob("*.JPEG"))):
        path.rename(photos / "val" / f"ILSVRC2012_val_{number:08d}.JPEG")
        lines.append(f"ILSVRC2012_val_{number:08d}.JPEG {number // 4}")
    with pytest.raises(ConfigError, match=r"no val.txt; .* maskssl convert imagenet DIR"):
        on(FINETUNE, f"imagenet:{photos}")
    (photos / "val.txt").write_text("\n".join(lines))
    cfg = on(FINETUNE, f"imagenet:{photos}")
    assert [one.counts for one in look_at_data(cfg, LOADERS)] == [[4, 4, 4]] * 3


# label maps


@pytest.mark.parametrize(("images", "masks"), [("images", "annotations"), ("img_dir", "ann_dir")])
def test_mmseg_folders(images, masks, tmp_path):
    root = write_dense(tmp_path / "a b")
    (root / "images").rename(root / images)
    (root / "annotations").rename(root / masks)
    for path in (root / images).rglob("*.jpg"):
        Image.open(path).save(path.with_suffix(".tif"))
        path.unlink()
    cfg = on(SEG, f"masks:{root}")
    assert cfg.model.decode_head.num_classes == cfg.model.auxiliary_head.num_classes == 3
    train, val, _ = look_at_data(cfg, LOADERS)
    assert (train.images, val.images, train.notes) == (4, 2, [])
    assert train.classes == ("class 0", "class 1", "class 2")


def test_black_and_white_masks_are_no_one_class(tmp_path):
    root = write_dense(tmp_path, values=(0, 255, 255))
    with pytest.raises(DataError, match="0 and 255 alone"):
        on(SEG, f"masks:{root}")
    cfg = on(SEG, f"masks:{root}", map_masks=["0=0", "255=1"])
    assert cfg.model.decode_head.num_classes == 2
    look_at_data(cfg, LOADERS)


def test_a_test_over_scales_scores_by_mapped_masks(tmp_path):
    root = write_dense(tmp_path)
    cfg = on(MS_FLIP, f"masks:{root}", map_masks=["0=1", "1=0", "2=2"])
    look_at_data(cfg, LOADERS)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        batch = pseudo_collate([DATASETS.build(cfg[TEST].dataset)[0]])
    labels = [np.bincount(sample.gt_sem_seg.data.ravel()) for (sample,) in batch["data_samples"]]
    assert len(labels) == 12
    assert np.array(labels).tolist() == [[400, 48 * 64 - 800, 400]] * 12


@pytest.mark.parametrize("inside", ["", "VOCdevkit/VOC2012"])
def test_voc_masks_with_their_palette_and_void(inside, tmp_path):
    root = tmp_path / inside
    dense = write_dense(tmp_path / "dense")
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / name).mkdir(parents=True)
    for split, short in (("training", "train"), ("validation", "val")):
        names = []
        for image in sorted((dense / "images" / split).iterdir()):
            names.append(f"{split}_{image.stem}")
            shutil.copy(image, root / "JPEGImages" / f"{names[-1]}.jpg")
            values = np.array(Image.open(dense / "annotations" / split / f"{image.stem}.png"))
            values = np.where(values == 2, 20, values).astype(np.uint8)
            values[47, 63] = 255
            mask = Image.fromarray(values, "P")
            mask.putpalette([*range(256)] * 3)
            mask.save(root / "SegmentationClass" / f"{names[-1]}.png")
        (root / "ImageSets/Segmentation" / f"{short}.txt").write_text("\n".join(names))
    cfg = on(SEG, f"voc:{tmp_path}")
    train, val, _ = look_at_data(cfg, LOADERS)
    assert (train.images, val.images) == (4, 2)
    assert len(train.classes) == cfg.model.decode_head.num_classes == 21
    assert train.classes[20] == "tvmonitor" and train.counts[20] == 4 * 400
    assert set(np.unique(truth(cfg, TRAIN)[0]["gt_seg_map"])) == {0, 1, 20, 255}


@pytest.mark.parametrize("name", [SEG, MS_FLIP])
def test_cityscapes_as_unpacked(name, tmp_path):
    for split in ("train", "val"):
        for top, file, values in (
            ("leftImg8bit", "leftImg8bit", None),
            ("gtFine", "gtFine_labelIds", [0, 7, 8, 33]),
            ("gtFine", "gtFine_instanceIds", [0, 0, 0, 0]),
        ):
            folder = tmp_path / top / split / "ulm"
            folder.mkdir(parents=True, exist_ok=True)
            grey = np.zeros((48, 64), np.uint8)
            grey[0, :4] = values or 0
            image = Image.fromarray(grey).convert("L" if values else "RGB")
            image.save(folder / f"ulm_000000_000019_{file}.png")
    cfg = on(name, f"cityscapes:{tmp_path}")
    train, _, _ = look_at_data(cfg, LOADERS)
    assert (train.images, len(train.classes), train.counts[18]) == (1, 19, 1)
    assert not any("have no image" in note for note in train.notes)
    assert truth(cfg, TRAIN)[0]["gt_seg_map"][0, :5].tolist() == [255, 0, 1, 18, 255]


@pytest.mark.parametrize("inside", ["", "ADEChallengeData2016"])
def test_ade20k_counts_from_one(inside, tmp_path):
    write_dense(tmp_path / "set")
    shutil.copytree(tmp_path / "set", tmp_path / "top" / inside, dirs_exist_ok=True)
    cfg = on(SEG, f"ade20k:{tmp_path / 'top'}")
    train, _, _ = look_at_data(cfg, LOADERS)
    assert (train.images, len(train.classes), train.counts[:2]) == (4, 150, [1600, 1600])
    assert cfg.model.decode_head.num_classes == 150


# objects


@pytest.mark.parametrize("layout", ["2017", "roboflow", "beside"])
def test_coco_by_usual_places(layout, tmp_path):
    dense, root = write_dense(tmp_path / "dense"), tmp_path / "coco, 1"
    for split, short in (("training", "train"), ("validation", "val")):
        year = "2017" if layout == "2017" else ""
        images = root / f"{short}{year}"
        shutil.copytree(dense / "images" / split, images)
        target = {
            "2017": root / "annotations" / f"instances_{short}2017.json",
            "roboflow": images / "_annotations.coco.json",
            "beside": root / f"{short}.json",
        }[layout]
        target.parent.mkdir(exist_ok=True)
        shutil.copy(dense / f"instances_{split}.json", target)
        if layout == "2017":
            (root / "annotations" / f"captions_{short}2017.json").write_text("{}")
    cfg = on(DET, f"coco:{root}")
    train, val, _ = look_at_data(cfg, LOADERS)
    assert (train.images, train.classes, train.counts) == (4, ("red", "green"), [4, 4])
    assert cfg.model.roi_head.bbox_head.num_classes == cfg.model.roi_head.mask_head.num_classes == 2
    assert cfg.val_evaluator.ann_file == cfg.test_evaluator.ann_file == val.source


def test_boxes_alone(tmp_path):
    def boxes(coco):
        for annotation in coco["annotations"]:
            del annotation["segmentation"]

    root = write_dense(tmp_path, edit=boxes)
    with pytest.raises(DataError, match="no segmentation, .* --boxes-only"):
        look_at_data(on(DET, f"coco:{root}"), LOADERS)
    cfg = on(DET, f"coco:{root}", boxes_only=True)
    assert look_at_data(cfg, LOADERS)[0].counts == [4, 4]
    assert cfg.model.type == "FasterRCNN" and "mask_head" not in cfg.model.roi_head
    assert cfg.val_evaluator.metric == "bbox"
    assert "gt_masks" not in truth(cfg, TRAIN)[0]
    with pytest.raises(ConfigError, match="needs a config of detection"):
        on(SEG, f"masks:{root}", boxes_only=True)


# slips


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (FINETUNE, "voc:{root}", "one of folders:DIR, lists:DIR, shards:DIR, imagenet:DIR"),
        (DET, "{root}", "give LAYOUT:DIR, for this config one of coco:DIR"),
        (SEG, "masks:{root}/none", "there is no folder .*none"),
        (SEG, "masks:{root}", "needs one of the folders images, img_dir"),
        (SEG, "voc:{root}", "holds no VOC2012"),
        (SEG, "cityscapes:{root}", "there is no folder .*leftImg8bit"),
        (DET, "coco:{root}", "no COCO file of train.*maskssl convert yolo DIR"),
        (FINETUNE, "lists:{root}", "has no train.txt or train.csv"),
        (FINETUNE, "shards:{root}", r"has no tar files of train-\*.tar"),
        (FINETUNE, "folders:{root}", "has no folders train and val"),
    ],
)
def test_what_is_not_there_is_named(name, data, message, tmp_path):
    with pytest.raises((ConfigError, DataError), match=message):
        look_at_data(on(name, data.format(root=tmp_path)), LOADERS)


def test_options_say_otherwise_than_the_layout(photos):
    options = {"val_dataloader.dataset.data_root": str(photos / "train")}
    cfg = on(FINETUNE, f"folders:{photos}", cfg_options=options)
    assert [Path(cfg[key].dataset.data_root).name for key in LOADERS] == ["train", "train", "val"]


def test_coco_files_of_one_split_are_not_guessed(tmp_path):
    for name in ("train_a", "train_b"):
        (tmp_path / f"{name}.json").write_text(json.dumps({}))
    with pytest.raises(ConfigError, match="has 2 COCO files of train"):
        on(DET, f"coco:{tmp_path}")


def test_where_there_are_both_val_validates_and_test_is_left(photos):
    shutil.copytree(photos / "val", photos / "test")
    (val,) = look_at_data(on(FINETUNE, f"folders:{photos}"), [VAL])
    assert Path(val.source).name == "val"


def test_the_classes_of_cityscapes_are_those_of_its_benchmark():
    """labelIds of road, sidewalk, building, wall, fence, pole, traffic light and sign, ..."""
    scored = {number: label for number, label in CITYSCAPES_CODES.items() if label != 255}
    assert list(scored.values()) == list(range(19))
    assert " ".join(scored) == "7 8 11 12 13 17 19 20 21 22 23 24 25 26 27 28 31 32 33"


def test_a_cache_of_other_images_is_not_kept(photos):
    cfg = load_config(config_file(PRETRAIN), {"train_dataloader.dataset.cache": "of others"})
    use_layout(cfg, f"folders:{photos}")
    assert "cache" not in cfg.train_dataloader.dataset
