"""Write drawn scenes as an ImageFolder, as mmseg folders and as a COCO data set.

    ROOT/imagefolder/{train,val}/CLASS/000000.png
    ROOT/few/{train,val}/CLASS/000000.png     the first of them to train on, and the same val
    ROOT/seg/{images,annotations}/{training,validation}/000000.png, ROOT/seg/classes.txt
    ROOT/det/{train,val}/000000.png, ROOT/det/instances_{train,val}.json
    ROOT/scenes.json                  the options that made the set

Segmentation and detection share their pictures; of those to train on, few have boxes. Label maps
hold 0 for background and c + 1 for class c, which is the COCO category as well. Pictures are PNG
files: a target that standardises every patch would blow JPEG's ripples on flat ground up to full
contrast.
"""

import json
import multiprocessing
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ...errors import MaskSSLError
from ...visualization.overlays import Marks, overlay
from .scene import (
    MIN_DENSE_SIZE,
    MIN_OBJECT_SIZE,
    SHAPES,
    SPLITS,
    Bools,
    Scene,
    dense_scene,
    object_scene,
)

# Raise it with every change that alters a picture or a file.
VERSION = 3
RECORD = "scenes.json"

_SEG_SPLITS = {"train": "training", "val": "validation"}

Progress = Callable[[int, int], None]


class _Job(NamedTuple):
    """One scene to draw and write below ``folder``."""

    folder: Path
    dense: bool
    seed: int
    split: str
    number: int
    size: int


def write_scenes(
    root: str | Path,
    *,
    seed: int = 0,
    num_train: int = 4000,
    num_val: int = 800,
    num_labelled: int = 80,
    num_dense_train: int = 400,
    num_dense_val: int = 150,
    num_boxed: int = 20,
    image_size: int = 48,
    dense_size: int = 64,
    num_workers: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Write all scenes once; a second call with the same options returns at once.

    The files are collected in a sibling folder that takes the place of ``root`` when all of them
    are there, so ``root`` never holds half a set.

    Args:
        root: folder to create, e.g. data/scenes.
        seed: seed of all scenes.
        num_train: objects to classify for training; classes take turns, so multiples of 8 are
            balanced exactly.
        num_val: objects to classify for validation.
        num_labelled: the first of the training objects, that lie in ``few`` as well: few to learn
            classes from, beside many to pretrain on.
        num_dense_train: scenes for training segmentation and detection.
        num_dense_val: scenes for validating segmentation and detection.
        num_boxed: the first of the training scenes, that the COCO file has.
        image_size: side of the pictures to classify, in pixels.
        dense_size: side of the dense scenes, in pixels.
        num_workers: processes that draw; 0 draws in this one. The files do not depend on it.
        progress: called with (pictures written, pictures in all) after each picture.

    Returns:
        ``root``, made absolute.

    Raises:
        MaskSSLError: an option is out of range, or ``root`` holds something else.
    """
    options = {
        "version": VERSION,
        "seed": seed,
        "num_train": num_train,
        "num_val": num_val,
        "num_labelled": num_labelled,
        "num_dense_train": num_dense_train,
        "num_dense_val": num_dense_val,
        "num_boxed": num_boxed,
        "image_size": image_size,
        "dense_size": dense_size,
    }
    _check_options(options)
    root = Path(root).resolve()
    if _holds_scenes(root, options):
        return root
    partial = root.with_name(f"{root.name}.partial-{uuid.uuid4().hex}")
    try:
        _write_all(partial, options, num_workers, progress)
        try:
            partial.rename(root)
        except OSError:  # another process may have finished first
            if not _holds_scenes(root, options):
                raise
    finally:
        if partial.exists():
            shutil.rmtree(partial)
    return root


def _check_options(options: dict[str, int]) -> None:
    """Refuse what no scene can be drawn with, before anything is written."""
    least = {"image_size": MIN_OBJECT_SIZE, "dense_size": MIN_DENSE_SIZE}
    for name, value in options.items():
        if value < least.get(name, 0):
            raise MaskSSLError(f"{name}={value} is too small; use at least {least.get(name, 0)}")


def _holds_scenes(root: Path, options: dict[str, int]) -> bool:
    """Whether these very scenes lie in a folder; False if it is empty or absent.

    Raises:
        MaskSSLError: the folder holds anything else.
    """
    if not root.exists():
        return False
    remedy = "name another folder or delete this one"
    if not root.is_dir():
        raise MaskSSLError(f"{root} is no folder; {remedy}")
    record = root / RECORD
    if not record.is_file():
        if any(root.iterdir()):
            raise MaskSSLError(f"{root} holds files but no {RECORD}, so no scenes; {remedy}")
        return False
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise MaskSSLError(f"{record} cannot be read ({error}); {remedy}") from error
    differences = [
        f"{name}={found.get(name)} (asked for: {value})"
        for name, value in options.items()
        if found.get(name) != value
    ]
    if differences:
        raise MaskSSLError(f"{root} holds scenes with {', '.join(differences)}; {remedy}")
    return True


def _write_all(
    folder: Path, options: dict[str, int], num_workers: int, progress: Progress | None
) -> None:
    """Write every picture and annotation below a new folder, the record last."""
    _make_folders(folder)
    jobs = list(_jobs(folder, options))
    annotations: dict[str, list[list[dict[str, Any]]]] = {split: [] for split in SPLITS}
    for done, (job, objects) in enumerate(zip(jobs, _written(jobs, num_workers), strict=True), 1):
        if job.dense:
            annotations[job.split].append(objects)
        if progress is not None:
            progress(done, len(jobs))
    for number in range(min(options["num_labelled"], options["num_train"])):
        place = f"{SHAPES[number % len(SHAPES)]}/{number:06d}.png"
        shutil.copyfile(folder / "imagefolder" / "train" / place, folder / "few" / "train" / place)
    shutil.copytree(folder / "imagefolder" / "val", folder / "few" / "val", dirs_exist_ok=True)
    (folder / "seg" / "classes.txt").write_text("\n".join(["background", *SHAPES]) + "\n")
    annotations["train"] = annotations["train"][: options["num_boxed"]]
    for split, per_image in annotations.items():
        coco = coco_dataset(per_image, options["dense_size"])
        (folder / "det" / f"instances_{split}.json").write_text(json.dumps(coco), encoding="utf-8")
    record = json.dumps(options, indent=2) + "\n"
    (folder / RECORD).write_text(record, encoding="utf-8")


def _make_folders(folder: Path) -> None:
    """Create the folders of all layouts, those of absent classes too."""
    for split in SPLITS:
        names = [f"{top}/{split}/{shape}" for top in ("imagefolder", "few") for shape in SHAPES]
        names += [f"seg/{kind}/{_SEG_SPLITS[split]}" for kind in ("images", "annotations")]
        for name in [*names, f"det/{split}"]:
            (folder / name).mkdir(parents=True)


def _jobs(folder: Path, options: dict[str, int]) -> Iterator[_Job]:
    """All scenes of a set, in order."""
    for dense, prefix, size in ((False, "num_", "image_size"), (True, "num_dense_", "dense_size")):
        for split in SPLITS:
            for number in range(options[prefix + split]):
                yield _Job(folder, dense, options["seed"], split, number, options[size])


def _written(jobs: Sequence[_Job], num_workers: int) -> Iterable[list[dict[str, Any]]]:
    """Do the jobs, here or in other processes; their annotations in the order of the jobs."""
    if num_workers <= 0:
        yield from map(_write_job, jobs)
        return
    with multiprocessing.Pool(num_workers) as pool:
        yield from pool.imap(_write_job, jobs, chunksize=8)


def _write_job(job: _Job) -> list[dict[str, Any]]:
    """Draw and write one scene; COCO annotations without ids for a dense one, else none."""
    address = (job.seed, job.split, job.number, job.size)
    stem = f"{job.number:06d}"
    if not job.dense:
        scene = object_scene(*address)
        shape = SHAPES[scene.labels[0]]
        path = job.folder / "imagefolder" / job.split / shape / f"{stem}.png"
        Image.fromarray(scene.image).save(path)
        return []
    scene = dense_scene(*address)
    seg, split = job.folder / "seg", _SEG_SPLITS[job.split]
    for folder in (seg / "images" / split, job.folder / "det" / job.split):
        Image.fromarray(scene.image).save(folder / f"{stem}.png")
    # Mode "L", not a palette: some readers turn a palette into colours.
    Image.fromarray(scene.label_map).save(seg / "annotations" / split / f"{stem}.png")
    return coco_annotations(scene)


def run_lengths(mask: Bools) -> dict[str, Any]:
    """Uncompressed COCO run lengths of (H, W): column by column, zeros first."""
    pixels = mask.ravel(order="F")
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    counts = np.diff([0, *changes, len(pixels)]).tolist()
    return {"counts": [0, *counts] if pixels[0] else counts, "size": list(mask.shape)}


def coco_annotations(scene: Scene) -> list[dict[str, Any]]:
    """COCO annotations of a scene without ``id`` and ``image_id``; regions are the visible ones."""
    return [
        {
            "category_id": int(label) + 1,
            "bbox": box.tolist(),
            "area": int(mask.sum()),
            "segmentation": run_lengths(mask),
            "iscrowd": 0,
        }
        for label, box, mask in zip(scene.labels, scene.boxes, scene.masks, strict=True)
    ]


def coco_dataset(per_image: Sequence[list[dict[str, Any]]], size: int) -> dict[str, Any]:
    """COCO data set of the annotations of each picture in order; pictures count from 0."""
    annotations = [
        {"image_id": image_id, **annotation}
        for image_id, objects in enumerate(per_image)
        for annotation in objects
    ]
    return {
        "info": {"description": "drawn scenes", "version": str(VERSION)},
        "images": [
            {"id": image_id, "file_name": f"{image_id:06d}.png", "width": size, "height": size}
            for image_id in range(len(per_image))
        ],
        # From 1: pycocotools takes a match with annotation 0 for no match.
        "annotations": [{"id": number, **entry} for number, entry in enumerate(annotations, 1)],
        "categories": [{"id": number, "name": name} for number, name in enumerate(SHAPES, 1)],
    }


def contact_sheet(scenes: Sequence[Scene], columns: int = 6, scale: int = 2) -> Image.Image:
    """Scenes beside their truth (visible regions, boxes, names), to be looked at.

    Args:
        scenes: scenes of one size, at least one.
        columns: scenes per row.
        scale: how much larger the scenes are shown.

    Raises:
        MaskSSLError: there is no scene.
    """
    if not scenes:
        raise MaskSSLError("a contact sheet needs at least one scene, got none")
    side = scenes[0].image.shape[0] * scale
    rows = -(-len(scenes) // columns)
    sheet = Image.new("RGB", (2 * side * min(columns, len(scenes)), side * rows))
    for number, scene in enumerate(scenes):
        left, top = 2 * side * (number % columns), side * (number // columns)
        picture = Image.fromarray(scene.image).resize((side, side), Image.Resampling.BICUBIC)
        sheet.paste(picture, (left, top))
        names = [SHAPES[label] for label in scene.labels]
        corners = scene.boxes + np.pad(scene.boxes[:, :2], ((0, 0), (2, 0)))
        marks = Marks(scene.masks, scene.labels, corners, names)
        sheet.paste(overlay(scene.image, marks, side), (left + side, top))
    return sheet
