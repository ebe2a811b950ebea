"""``--data LAYOUT:DIR``: folders as people have them, put into every loader of a config."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..datasets.folders import ENDINGS, ImageWalk, names_in, split_folders, split_of
from ..datasets.index.sources import source_at
from ..datasets.transforms.channels import ARRAY_ENDING
from .config import ConfigError
from .mask_codes import map_masks

Settings = dict[str, Any]
Layout = Callable[[Path, str], Settings]
"""From a folder and 'train' or 'val' to the settings of that split's data set."""

# what a layout says anew: nothing of the former data set's may stay
_REPLACED = (
    *("type", "data_root", "data_prefix", "ann_file", "index_file", "metainfo", "classes", "cache"),
    *("split", "img_suffix", "seg_map_suffix", "reduce_zero_label"),
)
_LOADERS = {"train_dataloader": "train", "val_dataloader": "val", "test_dataloader": "val"}
_BANK = "bank_dataloader"  # of kNN, in test_cfg; its images vote, so they are the training's
_STANDINS = {"train": ("train",), "val": ("val", "test")}  # a test split validates if it must
_IMAGE_FOLDERS = ("images", "img_dir", "imgs", "JPEGImages")
_MASK_FOLDERS = ("annotations", "ann_dir", "masks", "labels", "SegmentationClass")
CLASSES = "classes.txt"  # beside images and masks: names of the classes, that of label 0 first
# Cityscapes: labelIds of the files -> the 19 trainIds (its helpers/labels.py); others are ignored
_CITYSCAPES = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
CITYSCAPES_CODES = {
    str(number): _CITYSCAPES.index(number) if number in _CITYSCAPES else 255 for number in range(34)
}


def use_layout(cfg: Config, option: str) -> None:
    """Point every loader and evaluator of a config at a folder.

    Args:
        cfg: is changed; pipelines, samplers and batches stay.
        option: 'LAYOUT:DIR'.

    Raises:
        ConfigError: no such layout, one of another stage, or files that it needs are not there.
    """
    scope = cfg.get("default_scope") or "mmpretrain"
    for key, split in _LOADERS.items():
        if cfg.get(key):
            settings = layout_of(scope, option, split)
            replace_dataset(cfg[key].dataset, settings)
            if scope == "mmdet" and key != "train_dataloader":
                _score_by(cfg[key.replace("dataloader", "evaluator")], settings)
    if _BANK in (cfg.get("test_cfg") or {}):
        replace_dataset(cfg.test_cfg[_BANK].dataset, layout_of(scope, option, "train"))
    if option.startswith("cityscapes:"):
        map_masks(cfg, [f"{number}={label}" for number, label in CITYSCAPES_CODES.items()])


def layout_of(scope: str, option: str, split: str) -> Settings:
    """Settings of the data set of a split.

    Args:
        scope: mmpretrain, mmseg or mmdet.
        option: 'LAYOUT:DIR'.
        split: 'train' or 'val'.

    Raises:
        ConfigError: no such layout, one of another stage, or files that it needs are not there.
    """
    name, colon, path = option.partition(":")
    known = LAYOUTS.get(scope, {})
    if not colon or name not in known:
        raise ConfigError(
            f"--data {option}: give LAYOUT:DIR, for this config one of "
            f"{', '.join(f'{layout}:DIR' for layout in known)}"
        )
    root = Path(path).expanduser()
    if not root.is_dir():
        raise ConfigError(f"--data {option}: there is no folder {root}")
    return known[name](root, split)


def replace_dataset(dataset: Any, settings: Mapping[str, Any]) -> None:
    """Settings of a data set, inside wrappers such as RepeatDataset."""
    while "dataset" in dataset:
        dataset = dataset["dataset"]
    for key in _REPLACED:
        dataset.pop(key, None)
    dataset.update(settings)


def _score_by(evaluator: Any, settings: Settings) -> None:
    for metric in evaluator if isinstance(evaluator, list | tuple) else [evaluator]:
        if "ann_file" in metric:
            metric["ann_file"] = str(Path(settings["data_root"], settings["ann_file"]))


# Images with or without labels: pretraining, kNN, probes, fine-tuning


def _images(root: Path, **settings: Any) -> Settings:
    return dict(type="IndexedImages", data_root=str(root), **settings)


def _folders(root: Path, split: str) -> Settings:
    splits = split_folders(root)
    found = [splits[name] for name in _STANDINS[split] if name in splits]
    if not found and split == "val":
        raise ConfigError(
            f"{root} has no folders train and val (or test); sort the images into them, or list "
            "them in train.txt and val.txt (--data lists:DIR)"
        )
    return _images(found[0] if found else root, data_prefix="")


def _lists(root: Path, split: str) -> Settings:
    names = [f"{name}{end}" for name in _STANDINS[split] for end in (".txt", ".csv")]
    path = _first_file(root, names)
    first, *_ = next(source_at(str(path)).entries(lambda share, images: None), (b"",))
    inside = ("", "images", path.stem)
    there = [folder for folder in inside if (root / folder / os.fsdecode(first)).is_file()]
    # the check names what is not there
    return _images(root, data_prefix=there[0] if there else "", ann_file=path.name)


def _shards(root: Path, split: str) -> Settings:
    for name in _STANDINS[split]:
        for pattern in (f"{name}-*.tar", f"{name}/*.tar", f"*{name}*.tar"):
            if next(root.glob(pattern), None):
                return _images(root, data_prefix=pattern)
    if split == "train" and next(root.glob("*.tar"), None):
        return _images(root, data_prefix="*.tar")  # ImageNet-22K: one for each class
    raise ConfigError(f"{root} has no tar files of {' or '.join(_STANDINS[split])}-*.tar")


def _imagenet(root: Path, split: str) -> Settings:
    top = root / "ILSVRC" / "Data" / "CLS-LOC"  # Kaggle's archive
    top = top if top.is_dir() else root
    folder = top / split
    if split == "train" or not any(folder.glob("*.JPEG")):
        return _images(folder, data_prefix="")
    labels = _first_file(
        top, ["val.txt"], "its val folder is flat: maskssl convert imagenet DIR reads the devkit"
    )
    return _images(top, data_prefix=split, ann_file=labels.name)


def _first_file(root: Path, names: list[str], remedy: str = "") -> Path:
    for name in names:
        if (root / name).is_file():
            return root / name
    raise ConfigError(
        f"{root} has no {' or '.join(names)}; {remedy or 'write it, or name another folder'}"
    )


# Label maps: segmentation


def _masks(root: Path, split: str) -> Settings:
    images, masks = _one_of(root, _IMAGE_FOLDERS), _one_of(root, _MASK_FOLDERS)
    splits = split_folders(images)
    found = [splits[name] for name in _STANDINS[split] if name in splits]
    if not found:
        raise ConfigError(f"{images} has no folders of train and val; move the images into such")
    inside = found[0].relative_to(images)
    if not (masks / inside).is_dir():
        raise ConfigError(
            f"there are images in {found[0]}, and no folder of masks {masks / inside}"
        )
    listed = root / CLASSES
    classes = tuple(names_in(listed)) if listed.is_file() else ()
    return dict(
        type="BaseSegDataset",
        data_root=str(root),
        data_prefix=dict(img_path=f"{images.name}/{inside}", seg_map_path=f"{masks.name}/{inside}"),
        img_suffix=_ending(found[0]),
        seg_map_suffix=_ending(masks / inside),
        **({"metainfo": dict(classes=classes)} if classes else {}),
    )


def _one_of(root: Path, names: tuple[str, ...]) -> Path:
    found = [root / name for name in names if (root / name).is_dir()]
    if len(found) != 1:
        raise ConfigError(f"{root} needs one of the folders {', '.join(names)}, and has {found}")
    return found[0]


def _ending(folder: Path) -> str:
    """How the first image ends; the check refuses others."""
    first = next(ImageWalk(folder, (*ENDINGS, ARRAY_ENDING)).images(), None)
    if first is None:
        raise ConfigError(f"there is no image in {folder}")
    return Path(first).suffix


def _voc(root: Path, split: str) -> Settings:
    inside = ("", "VOC2012", "VOCdevkit/VOC2012")
    found = [root / path for path in inside if (root / path / "SegmentationClass").is_dir()]
    if not found:
        raise ConfigError(f"{root} holds no VOC2012 with JPEGImages and SegmentationClass")
    return dict(
        type="PascalVOCDataset",
        data_root=str(found[0]),
        data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClass"),
        ann_file=f"ImageSets/Segmentation/{split}.txt",
    )


def _cityscapes(root: Path, split: str) -> Settings:
    return dict(
        type="CityscapesDataset",
        data_root=str(root),
        data_prefix=dict(img_path=f"leftImg8bit/{split}", seg_map_path=f"gtFine/{split}"),
        seg_map_suffix="_gtFine_labelIds.png",
    )


def _ade20k(root: Path, split: str) -> Settings:
    inside = root / "ADEChallengeData2016"
    full = dict(train="training", val="validation")[split]
    return dict(
        type="ADE20KDataset",
        data_root=str(inside if inside.is_dir() else root),
        data_prefix=dict(img_path=f"images/{full}", seg_map_path=f"annotations/{full}"),
    )


# Objects: detection


def _coco(root: Path, split: str) -> Settings:
    files = list(_annotation_files(root))
    for name in _STANDINS[split]:
        found = [file for file in files if split_of(str(file.relative_to(root))) == name]
        # beside COCO's own lie captions and person_keypoints
        found = [file for file in found if file.stem.startswith("instances")] or found
        if len(found) > 1:
            raise ConfigError(f"{root} has {len(found)} COCO files of {name}: {found}; keep one")
        if found:
            return dict(
                type="CocoDataset",
                data_root=str(root),
                ann_file=str(found[0].relative_to(root)),
                data_prefix=dict(img=_image_folder(root, found[0], name)),
            )
    raise ConfigError(
        f"{root} has no COCO file of {' or '.join(_STANDINS[split])}, such as "
        f"instances_{split}.json or annotations/instances_{split}2017.json; boxes of YOLO and VOC "
        "are converted by maskssl convert yolo DIR and maskssl convert voc DIR"
    )


def _annotation_files(root: Path) -> Iterator[Path]:
    for pattern in ("*.json", "annotations/*.json", "*/_annotations.coco.json"):
        yield from sorted(root.glob(pattern))


def _image_folder(root: Path, file: Path, split: str) -> str:
    """The folder, relative to the root, at which the file's names begin."""
    try:
        name = json.loads(file.read_bytes())["images"][0]["file_name"]
    except (ValueError, KeyError, IndexError, TypeError):
        return ""  # the check says what is wrong with the file
    beside = file.parent.relative_to(root).as_posix()
    folders = [path.relative_to(root) for path in sorted([*root.glob("*"), *root.glob("images/*")])]
    named = [path.as_posix() for path in folders if split_of(path.name) == split]
    there = [path for path in ("", beside, "images", *named) if (root / path / name).is_file()]
    return there[0] if there else ""


LAYOUTS: dict[str, dict[str, Layout]] = {
    "mmpretrain": dict(folders=_folders, lists=_lists, shards=_shards, imagenet=_imagenet),
    "mmseg": dict(masks=_masks, voc=_voc, cityscapes=_cityscapes, ade20k=_ade20k),
    "mmdet": dict(coco=_coco),
}
"""By scope: the name in ``--data NAME:DIR`` -> what it finds there."""
