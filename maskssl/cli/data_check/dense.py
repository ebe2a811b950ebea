"""Look at what dense tasks train on: mmseg's folders, and COCO files."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.fileio import list_dir_or_file

from ...datasets.checks import coco, masks
from ...datasets.checks.errors import DataError
from ...datasets.checks.label_codes import LabelCodes
from ...datasets.checks.pictures import QUICK, orientation_notes
from ...datasets.folders import ENDINGS, ImageWalk, is_url
from .channels import depth_notes
from .looked_at import Found
from .nodes import Node

CLASSES_REMEDY = (
    "name them there in the order of their labels, or number them by --num-classes N or "
    "--classes from-data"
)


def look_at_segmentation(node: Node, thorough: bool) -> Found:
    """Pair images and masks as mmseg does, and open some.

    Raises:
        DataError: images without masks, masks that do not fit, images that would be left out.
    """
    images, annotations = node.prefix("img_path"), node.prefix("seg_map_path")
    if images is None:
        raise DataError(f"{node.loader}: data_prefix has no img_path; name the folder of images")
    if node.classes is None:
        raise DataError(f"{node.loader}: metainfo names no classes; {CLASSES_REMEDY}")
    for folder in (images, annotations):
        if folder is not None and not is_url(folder) and not os.path.isdir(folder):
            raise DataError(f"{node.loader}: there is no folder {folder}")
    if is_url(images):
        return _elsewhere(node, images)
    names = _image_names(node, images)
    used = node.used(len(names))
    if annotations is None:
        return Found(node.loader, "segmentation", images, len(names), used)
    pairs = _pairs(node, images, annotations, names)
    code = _mask_code(node, node.classes)
    try:
        masks.check_pairs(pairs)
        limit = None if thorough else QUICK
        facts = masks.check_masks(pairs, code, node.applies_orientation, limit, node.look)
        notes = orientation_notes(facts.pictures) + depth_notes(node, facts.pictures)
    except DataError as error:
        raise DataError(f"{node.loader}: {error}") from error
    ends_as = (node.setting("seg_map_suffix").lower(),)
    extra = sum(1 for _ in ImageWalk(annotations, ends_as).images()) - len(pairs)
    if extra > 0:
        notes.append(f"{extra:,} masks in {annotations} have no image, and are left out.")
    unseen = [name for name, count in zip(node.classes, facts.pixels, strict=True) if not count]
    if unseen:
        notes.append(
            f"{len(unseen)} classes are in none of the {len(facts.pictures)} masks looked at, e.g. "
            f"{', '.join(unseen[:3])}."
        )
    return Found(
        node.loader,
        "segmentation",
        images,
        images=len(names),
        used=used,
        classes=node.classes,
        counts=facts.pixels,
        unit="pixels",
        files=[image for image, _ in pairs],
        pictures=facts.pictures,
        notes=notes,
    )


def _pairs(
    node: Node, images: str, annotations: str, names: Sequence[str]
) -> list[tuple[str, str]]:
    """Images and their masks, by mmseg's rule of suffixes."""
    ending = len(node.setting("img_suffix"))
    suffix = node.setting("seg_map_suffix")
    return [
        (os.path.join(images, name), os.path.join(annotations, name[:-ending] + suffix))
        for name in names
    ]


def labelled_pairs(
    node: Node, classes: tuple[str, ...]
) -> tuple[list[tuple[str, str]], masks.MaskCode]:
    """Images and masks of a segmentation set, and what the masks' values mean; none is opened.

    Raises:
        DataError: no such folders, or images that would be left out.
    """
    images, annotations = node.prefix("img_path"), node.prefix("seg_map_path")
    for folder in (images, annotations):
        if folder is None or not os.path.isdir(folder):
            raise DataError(f"{node.loader}: there is no folder {folder}; {node.remedy}")
    pairs = _pairs(node, images or "", annotations or "", _image_names(node, images or ""))
    return pairs, _mask_code(node, classes)


def segmentation_classes(node: Node) -> tuple[str, ...]:
    """Names that the data set brings, or numbers up to the highest label of all its masks.

    Raises:
        DataError: masks are missing, or hold no labels.
    """
    if node.classes:
        return node.classes
    return tuple(f"class {number}" for number in range(highest_label(node) + 1))


def highest_label(node: Node) -> int:
    """The highest label in all masks of a segmentation set, whose classes need not be known.

    Raises:
        DataError: masks are missing, or hold no labels.
    """
    pairs, code = labelled_pairs(node, tuple(map(str, range(255))))
    try:
        masks.check_pairs(pairs)
        facts = masks.check_masks(pairs, code, node.applies_orientation, None, node.look)
    except DataError as error:
        raise DataError(f"{node.loader}: {error}") from error
    return max(label for label, count in enumerate(facts.pixels) if count)


def _image_names(node: Node, folder: str) -> list[str]:
    """Relative paths of the images that mmseg will use; others are refused, not left out."""
    suffix = node.setting("img_suffix")
    if node.ann_file:
        names = [name.strip() + suffix for name in _listed_names(node)]
        lost = [name for name in names if not os.path.isfile(os.path.join(folder, name))]
        if lost:
            raise DataError(
                f"{node.loader}: {len(lost)} of {len(names)} images of {node.ann_file} are not "
                f"there, e.g. {os.path.join(folder, lost[0])}; lines are names without {suffix!r}"
            )
        return names
    theirs = set(list_dir_or_file(folder, list_dir=False, suffix=suffix, recursive=True))
    ours = set(ImageWalk(folder, (*ENDINGS, suffix.lower())).images())
    if not theirs:
        raise DataError(
            f"{node.loader}: no image in {folder} ends with {suffix!r}"
            + (f", e.g. {min(ours)}; set dataset.img_suffix" if ours else "; bring them there")
        )
    if ours - theirs:
        raise DataError(
            f"{node.loader}: {len(ours - theirs)} images in {folder} do not end with {suffix!r} "
            f"and would be left out, e.g. {min(ours - theirs)}; give all one ending (img_suffix), "
            "or list the names to use in ann_file"
        )
    if theirs - ours:
        raise DataError(
            f"{node.loader}: {len(theirs - ours)} files in {folder} are hidden or no images, and "
            f"would be used, e.g. {min(theirs - ours)}; remove them"
        )
    return sorted(theirs)


def _listed_names(node: Node) -> list[str]:
    """Lines of the list, which mmseg reads as UTF-8 without a mark."""
    try:
        text = Path(node.ann_file).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{node.loader}: {node.ann_file} is no text in UTF-8 ({error}); save it as UTF-8"
        ) from error
    if text.startswith("\ufeff"):
        raise DataError(
            f"{node.loader}: {node.ann_file} begins with the mark of UTF-8 that Windows' editors "
            "write (BOM), which mmseg would take for a part of the first name; save it without"
        )
    return text.splitlines()


def _mask_code(node: Node, classes: tuple[str, ...]) -> masks.MaskCode:
    own = node.own_classes
    label_map: dict[int, int] = {}
    if own and tuple(own) != classes:
        if strange := [name for name in classes if name not in own]:
            raise DataError(
                f"{node.loader}: metainfo names the class {strange[0]!r}, and "
                f"{node.cls.__name__} knows {', '.join(own[:5])} ...; use type='BaseSegDataset' "
                "for classes of your own"
            )
        label_map = {old: classes.index(n) if n in classes else 255 for old, n in enumerate(own)}
    codes = node.transform_setting("MapLabels", "codes")
    reduced = bool(node.setting("reduce_zero_label", False))
    if codes and (reduced or label_map):
        raise DataError(
            f"{node.loader}: masks are mapped by MapLabels, and before it by reduce_zero_label or "
            "classes of metainfo; use one of them"
        )
    return masks.MaskCode(
        num_labels=len(classes),
        ignore_index=node.setting("ignore_index", 255),
        reduce_zero_label=reduced,
        label_map=label_map,
        codes=LabelCodes(dict(codes)) if codes else None,
    )


def look_at_coco(node: Node, with_masks: bool, thorough: bool) -> Found:
    """Read a COCO file whole and open some pictures.

    Args:
        node: of a CocoDataset.
        with_masks: whether the run trains or scores masks.
        thorough: open all pictures.

    Raises:
        DataError: the file, its classes, boxes or pictures do not fit.
    """
    folder, path = node.prefix("img") or node.prefix("img_path"), node.ann_file
    if not path or is_url(path):
        return _elsewhere(node, path or "(no ann_file)")
    if folder is None or not (is_url(folder) or os.path.isdir(folder)):
        raise DataError(f"{node.loader}: there is no folder {folder}; set data_prefix.img")
    classes = node.classes
    if not classes:
        raise DataError(f"{node.loader}: metainfo names no classes; {CLASSES_REMEDY}")
    try:
        content = coco.read_coco(path, with_masks)
        notes = coco.check_classes(content, classes) + coco.check_boxes(content)
        notes += coco.id_notes(content)
        if not node.loader.startswith("train"):
            coco.check_scored(content)
        pictures = []
        if not is_url(folder):
            limit = None if thorough else QUICK
            pictures = coco.check_pictures(content, folder, node.applies_orientation, limit)
            notes += depth_notes(node, pictures)
    except DataError as error:
        raise DataError(f"{node.loader}: {error}") from error
    used = _kept(node, content, classes)
    if used < len(content.images):
        notes.append(
            f"{len(content.images) - used:,} of {len(content.images):,} pictures are without "
            "objects or too small, and are left out (filter_cfg)."
        )
    if not used:
        raise DataError(f"{node.loader}: no picture of {path} has an object of {classes}")
    counts = coco.objects_per_class(content, classes)
    absent = [name for name, count in zip(classes, counts, strict=True) if not count]
    if absent:
        notes.append(f"{len(absent)} classes have no object, e.g. {', '.join(absent[:3])}.")
    return Found(
        node.loader,
        "coco",
        path,
        images=len(content.images),
        used=node.used(used),
        classes=classes,
        counts=counts,
        unit="objects",
        files=[os.path.join(folder, image["file_name"]) for image in content.images.values()]
        if pictures
        else (),
        pictures=pictures,
        notes=notes + orientation_notes(pictures),
    )


def _kept(node: Node, content: coco.CocoFile, classes: tuple[str, ...]) -> int:
    """Images that mmdet's filter_data leaves."""
    filters: dict[str, Any] = node.setting("filter_cfg") or {}
    if node.setting("test_mode", False) or not filters:
        return len(content.images)
    with_objects = {
        annotation["image_id"]
        for annotation in content.annotations
        if content.categories[annotation["category_id"]] in classes
    }
    return sum(
        min(image["width"], image["height"]) >= filters.get("min_size", 0)
        and (key in with_objects or not filters.get("filter_empty_gt", False))
        for key, image in content.images.items()
    )


def _elsewhere(node: Node, where: str) -> Found:
    note = f"{where} is no local path, and is not looked at."
    return Found(node.loader, "other", where, notes=[note])
