"""What a folder of the user's own images offers to segmentation and to detection."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..cli.data_layouts import CLASSES
from ..datasets.checks.masks import mask_values
from ..datasets.folders import (
    image_files,
    innermost,
    names_in,
    split_folders,
    split_of,
    subfolders,
)
from ..errors import MaskSSLError
from .arrangement import Arrangement

VAL_EVERY = 5  # without a val split each fifth picture validates
IGNORED = 255

_PICTURES = ("images", "img", "imgs", "jpegimages")
_MASKS = ("masks", "annotations", "labels", "segmentationclass")


@dataclass(frozen=True)
class DenseData:
    """Labelled pictures in the layout of ``masks:`` or ``coco:``.

    Attributes:
        pictures: folder of the pictures; they are pretrained on too.
        arranged: the data set.
    """

    pictures: Path
    arranged: Arrangement


def find_maps(folder: Path) -> DenseData | None:
    """Pictures and label maps of the same names, in DIR/images and DIR/masks or the like.

    Both may be split into folders named for train and val. Names of the classes stand in
    DIR/classes.txt, one a line, if there is such a file.

    Args:
        folder: the user's.

    Raises:
        MaskSSLError: masks without pictures, of another kind than labels, or too few.
    """
    folder = innermost(folder)
    names = {name.lower(): folder / name for name in subfolders(folder)}
    pictures = next((names[name] for name in _PICTURES if name in names), None)
    masks = next((names[name] for name in _MASKS if name in names), None)
    if pictures is None or masks is None or not (found := _stems(masks)):
        return None
    drawn = _stems(pictures, found)
    if strays := sorted(found.keys() - drawn.keys()):
        raise MaskSSLError(
            f"--images: {len(strays)} masks in {masks} have no picture of the same name in "
            f"{pictures}, {strays[0]}{found[strays[0]]} first; rename or remove them"
        )
    suffixes = {drawn[stem] for stem in found}, set(found.values())
    if max(map(len, suffixes)) > 1:
        raise MaskSSLError(
            f"--images: pictures with masks end with {', '.join(sorted(suffixes[0]))}, masks with "
            f"{', '.join(sorted(suffixes[1]))}; each must have one ending"
        )
    classes = _mask_classes([masks / f"{stem}{end}" for stem, end in found.items()], folder)
    links: dict[str, Path] = {}
    for part, stems in _split_stems(sorted(found), masks).items():
        for stem in stems:
            for kind, root, ending in (
                ("images", pictures, drawn[stem]),
                ("masks", masks, found[stem]),
            ):
                links[f"{kind}/{part}/{stem}{ending}"] = root / f"{stem}{ending}"
    listed = {CLASSES: "\n".join(classes) + "\n"}
    return DenseData(pictures, Arrangement(links, listed))


def _stems(folder: Path, wanted: Collection[str] | None = None) -> dict[str, str]:
    """Relative path without its ending -> ending, of the images below a folder.

    Raises:
        MaskSSLError: two files differ in their endings alone, of those wanted; None: of all.
    """
    found: dict[str, str] = {}
    for path in (path.relative_to(folder) for path in image_files(folder)):
        stem = path.with_suffix("").as_posix()
        if stem in found and (wanted is None or stem in wanted):
            raise MaskSSLError(
                f"--images: {folder / stem} ends with {found[stem]} and with {path.suffix}; keep "
                "one of both files there"
            )
        found[stem] = path.suffix
    return found


def _split_stems(stems: Sequence[str], masks: Path) -> dict[str, list[str]]:
    """By the folders named for splits, else each fifth validates."""
    splits = split_folders(masks)
    if not splits:
        return _each_fifth(stems, f"masks in {masks}")
    val = splits.get("val", splits.get("test", masks))
    heads = {"train": splits["train"], "val": val}
    return {
        part: [stem for stem in stems if (masks / stem).is_relative_to(head)]
        for part, head in heads.items()
    }


def _each_fifth(items: Sequence[Any], what: str) -> dict[str, list[Any]]:
    if len(items) < VAL_EVERY:
        raise MaskSSLError(f"--images: {len(items)} {what}; a split needs {VAL_EVERY} at least")
    val = list(items[VAL_EVERY - 1 :: VAL_EVERY])
    train = [item for at, item in enumerate(items) if at % VAL_EVERY != VAL_EVERY - 1]
    return {"train": train, "val": val}


def _mask_classes(masks: Sequence[Path], folder: Path) -> tuple[str, ...]:
    """Names of the classes: those of classes.txt, or 'class N' up to the highest label."""
    labels = {
        int(value) for mask in masks for value in np.unique(mask_values(str(mask))) if value < 255
    }
    listed = folder / CLASSES
    highest = max(labels, default=0)
    names = [f"class {label}" for label in range(highest + 1)]
    if listed.is_file():
        names = names_in(listed)
    if highest >= len(names):
        raise MaskSSLError(
            f"--images: masks hold labels up to {highest}, and {listed} names {len(names)} "
            "classes; name each, label 0 first"
        )
    if len(labels) < 2:
        raise MaskSSLError(
            f"--images: the masks hold {sorted(labels)} alone ({IGNORED} is ignored), so there is "
            "nothing to tell; write the label of each pixel, 0 for the background"
        )
    return tuple(names)


def find_boxes(folder: Path) -> DenseData | None:
    """COCO files and their pictures: one file, or one named for train and one for val.

    Args:
        folder: the user's.

    Raises:
        MaskSSLError: files that differ, objects without masks, or pictures that are not there.
    """
    files = {path: coco for path in sorted(folder.rglob("*.json")) if (coco := _read_coco(path))}
    if not files:
        return None
    files = _instances(files)
    named = {split_of(path.stem): path for path in files}
    if len(files) == 1:
        (path,) = files
        parts = _parts_of(files[path], str(path))
        places = dict.fromkeys(parts, path)
    elif (
        len(named) == len(files)
        and "train" in named
        and (val := named.get("val", named.get("test")))
    ):
        places = {"train": named["train"], "val": val}
        parts = {part: files[path] for part, path in places.items()}
    else:
        raise MaskSSLError(
            f"--images: which of {', '.join(path.name for path in files)} are to be trained on? "
            "Name one for train and one for val, or leave a single one"
        )
    classes, val_classes = (
        tuple(str(entry["name"]) for entry in parts[part]["categories"])
        for part in ("train", "val")
    )
    if classes != val_classes:
        raise MaskSSLError(
            f"--images: {places['train']} has the categories {', '.join(classes)} and "
            f"{places['val']} {', '.join(val_classes)}; both need the same"
        )
    roots = {part: _root_of(parts[part], folder, places[part]) for part in parts}
    links: dict[str, Path] = {}
    texts: dict[str, str] = {}
    for part, coco in parts.items():
        texts[f"instances_{part}.json"] = json.dumps(coco)
        for name in (str(image["file_name"]) for image in coco["images"]):
            links[f"{part}/{name}"] = roots[part] / name
    if lost := [path for path in links.values() if not path.is_file()]:
        raise MaskSSLError(
            f"--images: {len(lost)} pictures of COCO files are not there, {lost[0]} first; bring "
            "them, or remove them from the file"
        )
    return DenseData(roots["train"], Arrangement(links, texts))


def _instances(files: Mapping[Path, Any]) -> dict[Path, Any]:
    """Without the keypoints and captions that COCO has beside the instances of a split."""
    by_split: dict[str | None, list[Path]] = {}
    for path in files:
        by_split.setdefault(split_of(path.stem), []).append(path)
    left: dict[Path, Any] = {}
    for paths in by_split.values():
        instances = [path for path in paths if path.name.startswith("instances")]
        left |= {path: files[path] for path in (instances if len(instances) == 1 else paths)}
    return left


def _read_coco(path: Path) -> dict[str, Any] | None:
    """A COCO file, or None for any other JSON.

    Raises:
        MaskSSLError: it is no whole JSON, or an object has no mask.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise MaskSSLError(
            f"--images: {path} is no whole JSON file in UTF-8 ({error}); write or copy it anew, or "
            "move it elsewhere"
        ) from error
    if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= set(content):
        return None
    objects = content["annotations"]
    if any("segments_info" in entry for entry in objects):  # COCO's panoptic files
        return None
    if bare := [entry.get("id") for entry in objects if not entry.get("segmentation")]:
        raise MaskSSLError(
            f"--images: {len(bare)} objects in {path} have no segmentation, id {bare[0]} first; "
            "Mask R-CNN learns boxes and masks together"
        )
    return content


def _parts_of(coco: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """Two COCO files of one."""
    split = _each_fifth(coco["images"], f"pictures in {name}")
    parts = {}
    for part, images in split.items():
        ids = {image["id"] for image in images}
        objects = [entry for entry in coco["annotations"] if entry["image_id"] in ids]
        parts[part] = {**coco, "images": images, "annotations": objects}
    return parts


def _root_of(coco: Mapping[str, Any], folder: Path, file: Path) -> Path:
    """The folder that the file names of a COCO file start from.

    Raises:
        MaskSSLError: the first picture is nowhere, or there is none.
    """
    first = next((image["file_name"] for image in coco["images"]), None)
    if first is None:
        raise MaskSSLError(f"--images: {file} lists no pictures")
    near = [path for path in folder.rglob("*") if path.is_dir()]
    # pictures of two splits may share a name: a folder of the file's own split goes first
    near.sort(key=lambda path: (split_of(path.name) != split_of(file.stem), path))
    for root in (folder, *near):
        if (root / first).is_file():
            return root
    raise MaskSSLError(f"--images: {file} names {first}, which lies nowhere below {folder}")
