"""What shapes a run is compared before it starts; what cannot be used is named."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.config import Config

from maskssl import config_file
from maskssl.cli.config import load_config
from maskssl.cli.data_check import DataError, check_data, length_of, look_at_data
from maskssl.cli.data_check.nodes import Node
from maskssl.cli.data_check.run_length import run_length, world_size
from maskssl.errors import MaskSSLError
from tests.datasets.checks.sets import DENSE_CLASSES, turn, write_dense, write_image_folder

PRETRAIN = "pretrain/bootmae_vit-mini-p8_1xb32-amp-coslr-12e_scenes.py"
FINETUNE = "finetune/bootmae_vit-mini-p8_finetune_1xb16-amp-coslr-30e_scenes.py"
KNN = "finetune/bootmae_vit-mini-p8_knn_1xb128_scenes.py"
SEG = "seg/bootmae_vit-mini-p8_upernet_1xb8-amp-400i_scenes.py"
DET = "det/bootmae_vit-mini-p8_mask-rcnn_1xb8-coslr-120e_scenes.py"
TRAIN, VAL, TEST, BANK = (
    *("train_dataloader", "val_dataloader", "test_dataloader"),
    "test_cfg.bank_dataloader",
)


def folder_config(name: str, root: Path, options: dict[str, Any] | None = None) -> Config:
    """A classification config on an ImageFolder of three classes."""
    cfg = load_config(config_file(name))
    for loader in (
        cfg.get(TRAIN),
        cfg.get(VAL),
        cfg.get(TEST),
        cfg.get("test_cfg", {}).get("bank_dataloader"),
    ):
        if loader:
            loader.dataset.data_root = str(root)
            loader.dataset.data_prefix = loader.dataset.data_prefix.replace("labelled", "train")
            loader.batch_size = 2
    if cfg.model.type == "KNNClassifier":
        cfg.model.k = 5
    for part in ("head", "data_preprocessor"):
        if "num_classes" in cfg.model.get(part, {}):
            cfg.model[part].num_classes = 3
    cfg.merge_from_dict(options or {})
    return cfg


def dense_config(name: str, root: Path, options: dict[str, Any] | None = None) -> Config:
    """A segmentation or detection config on red and green squares."""
    cfg = load_config(config_file(name))
    classes = DENSE_CLASSES if name is SEG else DENSE_CLASSES[1:]
    for key, split in ((TRAIN, "training"), (VAL, "validation"), (TEST, "validation")):
        dataset = cfg[key].dataset
        dataset.update(data_root=str(root), metainfo=dict(classes=classes))
        if name is SEG:
            dataset.img_suffix = ".jpg"
        if name is DET:
            path = f"instances_{split}.json"
            dataset.update(ann_file=path, data_prefix=dict(img=f"images/{split}"))
            if key != TRAIN:
                cfg[key.replace("dataloader", "evaluator")].ann_file = str(root / path)
    heads = (
        [cfg.model.decode_head, cfg.model.auxiliary_head]
        if name is SEG
        else [cfg.model.roi_head.bbox_head, cfg.model.roi_head.mask_head]
    )
    for head in heads:
        head.num_classes = len(classes)
    cfg.merge_from_dict(options or {})
    return cfg


@pytest.fixture
def photos(tmp_path) -> Path:
    return write_image_folder(tmp_path / "My Photos, 2023 (ä)")


# label spaces


def test_a_good_folder_is_counted(photos):
    cfg = folder_config(FINETUNE, photos)
    train, val = look_at_data(cfg, [TRAIN, VAL])
    assert (train.images, train.counts, train.classes) == (12, [4, 4, 4], ("apple", "pear", "plum"))
    assert val.counts == [4, 4, 4] and len(val.pictures) == 12 and train.notes == []
    assert str(length_of(cfg, [train, val])) == (
        "12 images; batch of 2 x 1 processes x 1 accumulated = 2; 6 batches an epoch, 30 epochs, "
        "180 steps; the schedule ends with the run"
    )


def test_hidden_entries_and_endings_change_nothing(tmp_path):
    root = write_image_folder(tmp_path, ending="webp")
    (root / "train" / ".ipynb_checkpoints").mkdir()
    (root / "train" / "__MACOSX" / "apple").mkdir(parents=True)
    (root / "train" / "__MACOSX" / "apple" / "._0.webp").touch()
    (train,) = look_at_data(folder_config(FINETUNE, root), [TRAIN])
    assert train.counts == [4, 4, 4]
    assert train.notes[0].startswith("2 hidden entries are skipped, e.g. ")


def test_linked_class_folders_are_followed(photos, tmp_path):
    shutil.move(photos / "train", tmp_path / "far")
    (photos / "train").mkdir()
    for name in ("apple", "pear", "plum"):
        (photos / "train" / name).symlink_to(tmp_path / "far" / name)
    (train,) = look_at_data(folder_config(FINETUNE, photos), [TRAIN])
    assert train.counts == [4, 4, 4]


def remove(*names: str):
    return lambda root: [shutil.rmtree(root / name) for name in names]


def empty(name: str):
    return lambda root: [path.unlink() for path in (root / name).iterdir()]


def flatten(root: Path) -> None:
    for number, path in enumerate(sorted((root / "val").rglob("*.jpg"))):
        path.rename(root / "val" / f"{number}.jpg")
    remove("val/apple", "val/pear", "val/plum")(root)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (remove("val/apple"), r"val_dataloader .* differ: val_dataloader lacks 'apple'"),
        (remove("train/plum"), r"val_dataloader has 'plum', which the other lacks"),
        (lambda root: (root / "train" / "plots").mkdir(), "lacks 'plots'"),
        (empty("train/pear"), "train_dataloader: .*train has no image of 'pear'"),
        (flatten, "val holds images in no class folders, so they have no labels; sort"),
        (remove("train/apple", "train/pear"), "train has one class folder alone, 'plum'"),
        (lambda root: (root / "val/pear/001.jpg").write_bytes(b"x"), r"pear/001.jpg cannot be re"),
        (lambda root: (root / "train/pear/001.jpg").write_bytes(b""), "1 of 12 files .* 1% may be"),
    ],
)
def test_folders_that_do_not_agree_are_refused(spoil, message, photos):
    spoil(photos)
    with pytest.raises(DataError, match=message):
        look_at_data(folder_config(FINETUNE, photos), [TRAIN, VAL])


@pytest.mark.parametrize("missing", ["train/apple", "val/apple"])
def test_the_bank_of_a_knn_test_is_compared_too(missing, photos):
    remove(missing)(photos)
    with pytest.raises(DataError, match="have different classes"):
        look_at_data(folder_config(KNN, photos), [TEST])


def test_more_neighbours_than_images_are_refused(photos):
    with pytest.raises(DataError, match="model.k=20 neighbours vote, and .* has 12 images; lower"):
        look_at_data(folder_config(KNN, photos, {"model.k": 20}), [TEST])


def test_an_empty_class_in_a_test_is_no_fault(photos):
    empty("val/pear")(photos)
    bank, test = look_at_data(folder_config(KNN, photos), [TEST])
    assert (bank.loader, bank.counts, test.counts) == (BANK, [4, 4, 4], [4, 0, 4])


@pytest.mark.parametrize(("train", "val"), [("Training", "Testing"), ("seg_train", "seg_test")])
def test_splits_are_no_classes(train, val, photos):
    (photos / "train").rename(photos / train)
    (photos / "val").rename(photos / val)
    cfg = folder_config(FINETUNE, photos, {f"{TRAIN}.dataset.data_prefix": ""})
    with pytest.raises(DataError, match=rf"holds splits \({train}, {val}\).*set data_prefix"):
        look_at_data(cfg, [TRAIN])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model.head.num_classes": 8}, r"model.head.num_classes=8, and train_dataloader has 3"),
        ({"model.data_preprocessor.num_classes": 2}, "model.data_preprocessor.num_classes=2"),
        ({"model.head.topk": (1, 5)}, r"model.head.topk=\(1, 5\) asks for the best 5 of 3 classes"),
        ({"val_evaluator.topk": (5,)}, r"val_evaluator.topk=\(5,\) asks"),
        ({f"{VAL}.dataset.data_prefix": "nowhere"}, "val_dataloader: there is no folder .*nowhere"),
    ],
)
def test_heads_and_scores_agree_with_the_data(options, message, photos):
    with pytest.raises(DataError, match=message):
        look_at_data(folder_config(FINETUNE, photos, options), [TRAIN, VAL])


def listed(root: Path, shift: int = 0) -> dict[str, str]:
    """Lists of both splits, with labels from ``shift``; options that name them."""
    for split in ("train", "val"):
        paths = sorted((root / split).rglob("*.jpg"))
        classes = ("apple", "pear", "plum")
        (root / f"{split}.txt").write_text(
            "".join(
                f"./{p.relative_to(root)} {classes.index(p.parent.name) + shift}\n" for p in paths
            )
        )
    return {
        f"{loader}.dataset.{key}": value
        for loader, split in ((TRAIN, "train"), (VAL, "val"))
        for key, value in (("ann_file", f"{split}.txt"), ("data_prefix", ""))
    }


def test_lists_are_read(photos):
    found = look_at_data(folder_config(FINETUNE, photos, listed(photos)), [TRAIN, VAL])
    assert [one.counts for one in found] == [[4, 4, 4]] * 2


@pytest.mark.parametrize("dataset", ["IndexedImages", "CustomDataset"])
def test_labels_of_a_list_count_from_zero(dataset, photos):
    options = {**listed(photos, shift=1), f"{TRAIN}.dataset.type": dataset}
    with pytest.raises(DataError, match=r"train.txt has the label 3, .* 0 to 2; .*none is 0 here"):
        look_at_data(folder_config(FINETUNE, photos, options), [TRAIN, VAL])


def test_labels_that_only_the_test_has_are_refused(photos):
    options = listed(photos)
    lines = (photos / "train.txt").read_text().splitlines()
    (photos / "train.txt").write_text("\n".join(x for x in lines if not x.endswith("1")))
    with pytest.raises(DataError, match="val.txt has images of label 1, of which train_dataloader"):
        look_at_data(folder_config(FINETUNE, photos, options), [TRAIN, VAL])


def test_mmpretrains_own_walk_is_held_to_ours(tmp_path):
    root = write_image_folder(tmp_path)
    options = {f"{TRAIN}.dataset.type": "CustomDataset"}
    (train,) = look_at_data(folder_config(FINETUNE, root, options), [TRAIN])
    assert train.counts == [4, 4, 4]
    (root / "train" / ".ipynb_checkpoints").mkdir()
    with pytest.raises(DataError, match="would take .*.ipynb_checkpoints for a class.*IndexedIm"):
        look_at_data(folder_config(FINETUNE, root, options), [TRAIN])
    (root / "train" / "apple" / "000.jpg").rename(root / "train" / "apple" / "000.webp")
    with pytest.raises(
        DataError, match="1 images, e.g. .*000.webp, end with none of the extensions"
    ):
        look_at_data(folder_config(FINETUNE, root, options), [TRAIN])


# paths that are none of the disk


def test_urls_are_not_looked_for(tmp_path):
    (tmp_path / "list.txt").write_text("a/1.jpg\nb/2.jpg\n")
    options = {
        f"{TRAIN}.dataset.data_root": "s3://bucket/images",
        f"{TRAIN}.dataset.ann_file": str(tmp_path / "list.txt"),
        f"{TRAIN}.batch_size": 2,
    }
    cfg = load_config(config_file(PRETRAIN), options)
    (train,) = look_at_data(cfg, [TRAIN])
    assert train.images == 2
    assert train.notes == [
        "s3://bucket/images/train is no local path; its pictures are not looked at."
    ]
    cfg.merge_from_dict({f"{TRAIN}.dataset.ann_file": ""})
    with pytest.raises(DataError, match="s3://bucket/images/train is no local path.*give ann_file"):
        look_at_data(cfg, [TRAIN])


def test_urls_of_dense_sets_are_not_looked_for(tmp_path):
    root = write_dense(tmp_path)
    options = {f"{TRAIN}.dataset.data_prefix.img": "s3://bucket/training"}
    (train,) = look_at_data(dense_config(DET, root, options), [TRAIN])
    assert train.images == 4 and not train.pictures
    options = {f"{TRAIN}.dataset.data_root": "s3://bucket"}
    for name in (SEG, DET):
        (train,) = look_at_data(dense_config(name, root, options), [TRAIN])
        assert train.kind == "other" and "s3://bucket/" in train.notes[0]


# dense tasks


@pytest.mark.parametrize("name", [SEG, DET])
def test_good_dense_sets_are_counted(name, tmp_path):
    train, val = look_at_data(dense_config(name, write_dense(tmp_path)), [TRAIN, VAL])
    assert (train.images, val.images) == (4, 2) and train.notes == []
    background = [4 * (48 * 64 - 800)] if name is SEG else []
    assert train.counts == (background + [1600, 1600] if name is SEG else [4, 4])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model.decode_head.num_classes": 9}, "model.decode_head.num_classes=9, and train_datal"),
        ({"model.auxiliary_head.num_classes": 2}, "model.auxiliary_head.num_classes=2"),
        ({f"{VAL}.dataset.metainfo.classes": ("background", "green", "red")}, "another order"),
        ({f"{TRAIN}.dataset.img_suffix": ".png"}, "no image in .* ends with '.png', e.g. 000.jpg"),
        ({f"{TRAIN}.dataset.seg_map_suffix": "_m.png"}, "4 of 4 images have no mask"),
        ({f"{TRAIN}.dataset.data_prefix.seg_map_path": "no"}, "there is no folder .*no"),
        ({f"{TRAIN}.dataset.type": "ADE20KDataset"}, "names the class 'background', and ADE20K"),
        ({f"{TRAIN}.dataset.type": "ADE2OKDataset"}, "no data set type 'ADE2OKDataset' in mmseg"),
    ],
)
def test_segmentation_settings_agree_with_the_data(options, message, tmp_path):
    with pytest.raises(DataError, match=message):
        look_at_data(dense_config(SEG, write_dense(tmp_path), options), [TRAIN, VAL])


def test_masks_of_255_are_refused_or_mapped(tmp_path):
    cfg = dense_config(SEG, write_dense(tmp_path, (0, 255, 255)))
    with pytest.raises(DataError, match="train_dataloader: all 4 masks .* 0 and 255 alone"):
        look_at_data(cfg, [TRAIN])
    pipeline = cfg[TRAIN].dataset.pipeline
    pipeline.insert(2, dict(type="MapLabels", codes={"0": 0, "255": 2}))
    (train,) = look_at_data(cfg, [TRAIN])
    assert train.counts == [4 * (48 * 64 - 800), 0, 3200]
    assert train.notes == ["1 classes are in none of the 4 masks looked at, e.g. red."]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["images/training/x.png"], "1 images in .* do not end with '.jpg' and would be left out"),
        (["images/training/.x/1.jpg"], "1 files in .* are hidden or no images, and would be used"),
    ],
)
def test_images_that_one_walk_finds_and_the_other_does_not(names, message, tmp_path):
    root = write_dense(tmp_path)
    for name in names:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    with pytest.raises(DataError, match=message):
        look_at_data(dense_config(SEG, root), [TRAIN])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model.roi_head.mask_head.num_classes": 80}, "model.roi_head.mask_head.num_classes=80"),
        ({"val_evaluator.ann_file": "x.json"}, "val_evaluator.ann_file is x.json .which is not th"),
        ({f"{TRAIN}.dataset.metainfo.classes": ("Red", "green")}, "the class 'Red' .* 'red'"),
        ({f"{TRAIN}.dataset.metainfo.classes": ("green", "red")}, "in the order"),
    ],
)
def test_detection_settings_agree_with_the_data(options, message, tmp_path):
    with pytest.raises(DataError, match=message):
        look_at_data(dense_config(DET, write_dense(tmp_path), options), [TRAIN, VAL])


def test_an_evaluator_of_another_file_is_refused(tmp_path):
    cfg = dense_config(DET, write_dense(tmp_path))
    cfg.val_evaluator.ann_file = str(tmp_path / "instances_training.json")
    with pytest.raises(DataError, match="would be scored by other pictures"):
        look_at_data(cfg, [VAL])
    cfg.val_evaluator.ann_file = None
    assert look_at_data(cfg, [VAL])[0].images == 2


def test_the_id_that_evaluation_takes_for_none_is_told(tmp_path):
    root = write_dense(tmp_path, edit=lambda c: c["annotations"][0].update(id=0))
    (val,) = look_at_data(dense_config(DET, root), [VAL])
    assert len(val.notes) == 1 and "has the id 0" in val.notes[0] and "from 1" in val.notes[0]


def test_scoring_needs_to_know_crowds(tmp_path):
    """COCO's evaluation ends in a KeyError after the first epoch."""
    root = write_dense(tmp_path, edit=lambda c: [a.pop("iscrowd") for a in c["annotations"]])
    look_at_data(dense_config(DET, root), [TRAIN])
    with pytest.raises(DataError, match="has no 'iscrowd', .*add iscrowd: 0"):
        look_at_data(dense_config(DET, root), [VAL])


def test_boxes_alone_are_no_masks(tmp_path):
    root = write_dense(tmp_path, edit=lambda c: [a.pop("segmentation") for a in c["annotations"]])
    with pytest.raises(DataError, match="has no segmentation, and the model predicts masks"):
        look_at_data(dense_config(DET, root), [TRAIN])


@pytest.mark.parametrize("name", [SEG, DET])
def test_exif_is_held_against_the_raster_of_the_annotations(name, tmp_path):
    """LoadImage leaves pictures as they are stored, as the annotations here were drawn."""
    root = write_dense(tmp_path)
    turn(root / "images/training/002.jpg", 6)
    cfg = dense_config(name, root)
    assert look_at_data(cfg, [TRAIN])[0].images == 4
    cfg[TRAIN].dataset.pipeline[0].color_type = "color"
    with pytest.raises(DataError, match="002.jpg is turned by EXIF.*'color_ignore_orientation'"):
        look_at_data(cfg, [TRAIN])


# the arithmetic of a run


def test_fewer_images_than_a_batch_are_refused(photos):
    cfg = folder_config(PRETRAIN, photos, {f"{TRAIN}.batch_size": 32})
    with pytest.raises(DataError, match="12 images in 1 processes are 12 each, fewer .* of 32"):
        check_data(cfg, [TRAIN])
    cfg.merge_from_dict({f"{TRAIN}.drop_last": False})
    check_data(cfg, [TRAIN])


@pytest.mark.parametrize(
    ("options", "images", "processes", "numbers"),
    [
        ({}, 1000, 1, (31, 12, 372)),
        ({}, 1000, 4, (7, 12, 84)),
        ({f"{TRAIN}.drop_last": False}, 1000, 4, (8, 12, 96)),
        ({"optim_wrapper.accumulative_counts": 4}, 1000, 1, (31, 12, 93)),
        ({"train_cfg.max_epochs": 3}, 1000, 1, (31, 3, 93)),
    ],
)
def test_batches_epochs_and_steps(options, images, processes, numbers):
    length = run_length(load_config(config_file(PRETRAIN), options), images, processes)
    assert (length.batches, length.epochs, length.steps) == numbers


def test_a_schedule_that_does_not_end_with_the_run_is_said():
    cfg = load_config(config_file(FINETUNE), {"train_cfg.max_epochs": 9})
    assert str(run_length(cfg, 1000, 1)).endswith("the schedule ends with the run")
    cfg.param_scheduler[1].end = 4
    assert str(run_length(cfg, 1000, 1)).endswith("the schedule ends at epoch 4, the run at 9")
    cfg.param_scheduler[1].end = 12
    assert str(run_length(cfg, 1000, 1)).endswith("the schedule ends at epoch 12, the run at 9")
    cfg.param_scheduler[1] = dict(type="MultiStepLR", milestones=[4, 11])
    assert str(run_length(cfg, 1000, 1)).endswith("the schedule ends at epoch 11, the run at 9")
    cfg = load_config(config_file(SEG))
    assert "400 steps, 32.0 epochs; the schedule ends with the run" in str(run_length(cfg, 100, 1))
    assert np.isfinite(run_length(cfg, 4, 1).steps)


def test_images_are_shared_by_processes_and_accumulated_batches(monkeypatch):
    cfg = load_config(config_file(PRETRAIN), {"optim_wrapper.accumulative_counts": 5})
    assert run_length(cfg, 125, 4).batches == 1  # 32 images of each, one of which comes twice
    assert run_length(cfg, 1000, 1).steps == -(-12 * 31 // 5)
    for name in ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_NTASKS", "8")
    assert (world_size("slurm"), world_size("none")) == (8, 1)


# names that a config gives


@pytest.mark.parametrize("dataset", ["IndexedImages", "CustomDataset"])
@pytest.mark.parametrize("key", ["classes", "metainfo.classes"])
def test_names_in_another_order_than_the_folders_are_refused(key, dataset, photos):
    """Labels follow the folders, so that these names would be those of other images."""
    options = {
        f"{VAL}.dataset.type": dataset,
        f"{VAL}.dataset.{key}": ("pear", "apple", "plum"),
    }
    with pytest.raises(DataError, match="val_dataloader: the class 'pear' is given as label 0"):
        look_at_data(folder_config(FINETUNE, photos, options), [TRAIN, VAL])
    options[f"{VAL}.dataset.{key}"] = ("Apfel", "Birne", "Pflaume")  # in place of the folders'
    look_at_data(folder_config(FINETUNE, photos, options), [TRAIN, VAL])
    options[f"{VAL}.dataset.{key}"] = ("apple", "pear")
    with pytest.raises(DataError, match="has 3 class folders, and 2 classes are given"):
        look_at_data(folder_config(FINETUNE, photos, options), [TRAIN, VAL])


def test_lists_that_name_their_labels_otherwise_are_refused(photos):
    names = ("apple", "pear", "plum")
    options = listed(photos) | {f"{key}.dataset.classes": names for key in (TRAIN, VAL)}
    look_at_data(folder_config(FINETUNE, photos, options), [TRAIN, VAL])
    options[f"{VAL}.dataset.classes"] = ("pear", "apple", "plum")
    with pytest.raises(DataError, match="are given the classes 'apple', .* for the same labels"):
        look_at_data(folder_config(FINETUNE, photos, options), [TRAIN, VAL])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252"])
def test_a_file_of_names_is_read_as_editors_write_it_or_named(encoding, photos):
    (photos / "names.txt").write_text("Äpfel\nBirnen\nPflaumen\n", encoding)
    options = {f"{TRAIN}.dataset.classes": str(photos / "names.txt")}
    cfg = folder_config(FINETUNE, photos, options)
    if encoding == "cp1252":
        with pytest.raises(
            MaskSSLError, match=r"names\.txt is no text in UTF-8 .*save it as UTF-8"
        ):
            look_at_data(cfg, [TRAIN])
        return
    assert look_at_data(cfg, [TRAIN])[0].given == ("Äpfel", "Birnen", "Pflaumen")


# a quick look and a thorough one


def test_one_bad_picture_in_a_sample_is_not_more_than_a_share_of_all(tmp_path):
    """210 images, of which 2 may be unreadable; the quick look opens 64 of them."""
    root = write_image_folder(tmp_path, count=70)
    cfg = folder_config(FINETUNE, root)
    (root / "train/apple/000.jpg").write_bytes(b"none")
    (quick,) = look_at_data(cfg, [TRAIN])
    assert quick.notes[-1] == (
        "1 of 64 files looked at (a sample of 210) are unreadable, and 1% of all may be; maskssl "
        "check-data --thorough looks at all."
    )
    (thorough,) = look_at_data(cfg, [TRAIN], thorough=True)
    assert len(quick.pictures) == 63 and len(thorough.pictures) == 209
    assert len(thorough.notes) == 1 and "000.jpg cannot be read" in thorough.notes[0]
    for name in ("apple/003.jpg", "apple/006.jpg"):
        (root / "train" / name).write_bytes(b"none")
    with pytest.raises(DataError, match=r"; 3 of 64 files looked at \(a sample of 210\) are unre"):
        look_at_data(cfg, [TRAIN])
    with pytest.raises(DataError, match=r"; 3 of 210 files looked at are unreadable, and 1% may"):
        look_at_data(cfg, [TRAIN], thorough=True)


# masks


def test_what_a_data_set_ignores_is_no_label(tmp_path):
    rest = 4 * (48 * 64 - 800)
    for number, (values, options, counts) in enumerate(
        [
            ((0, 1, 9), {f"{TRAIN}.dataset.ignore_index": 9}, [rest, 1600, 0]),
            ((0, 1, 3), {f"{TRAIN}.dataset.reduce_zero_label": True}, [1600, 0, 1600]),
        ]
    ):
        root = write_dense(tmp_path / str(number), values)
        (train,) = look_at_data(dense_config(SEG, root, options), [TRAIN])
        assert train.counts == counts
        with pytest.raises(DataError, match=f"holds the value {values[2]}"):
            look_at_data(dense_config(SEG, root), [TRAIN])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("\ufeff000\n".encode(), "begins with the mark of UTF-8 .*BOM.*; save it without"),
        ("bär\n".encode("cp1252"), "is no text in UTF-8 .*; save it as UTF-8"),
        (b"000\nno\n", "1 of 2 images of .* are not there, e.g. .*no.jpg"),
    ],
)
def test_a_list_that_mmseg_would_read_otherwise_is_refused(content, message, tmp_path):
    root = write_dense(tmp_path)
    (root / "train.txt").write_bytes(content)
    options = {f"{TRAIN}.dataset.ann_file": "train.txt"}
    with pytest.raises(DataError, match=f"train_dataloader: .*{message}"):
        look_at_data(dense_config(SEG, root, options), [TRAIN])


def test_the_remedy_of_an_option_is_no_key_of_a_config():
    """maskssl transfer --masks looks at data by the same code, and has no --cfg-options."""
    assert Node("--masks", {}, object, "mmseg").remedy == "give --masks a folder of such data"
    assert f"--cfg-options {TRAIN}.dataset" in Node(TRAIN, {}, object, "mmseg").remedy
