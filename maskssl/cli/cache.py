"""Make a cache of a config's training images, and say what it costs and saves."""

import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from ..datasets.cache.pixel_cache import (
    IMAGES_PER_PART,
    VERSION,
    CacheError,
    PixelCache,
    parts_of,
    working_size,
    write_header,
    write_part,
)
from ..datasets.draws.facts import data_hash
from ..datasets.index.indexed_images import IndexedImages
from ..datasets.transforms.loading import UnreadableImageError
from .config import load_config

_LOOKED_AT = 64  # images, for the estimate


class Estimate(NamedTuple):
    """What a cache takes, by some of its images.

    Attributes:
        bytes: of the whole cache.
        seconds: that one process takes to write it.
    """

    bytes: int
    seconds: float


def dataset_of(config: str, options: Mapping[str, Any] | None = None) -> IndexedImages:
    """The training images of a config, all of them, without pipeline and cache.

    Raises:
        CacheError: the config's data set is none that reads caches.
    """
    cfg: Config = load_config(config, options)
    entry = (cfg.get("train_dataloader") or {}).get("dataset")
    if entry is None:
        raise CacheError(f"{config} trains nothing; name the config of the training")
    if entry.get("type") != "IndexedImages":
        raise CacheError(
            f"train_dataloader.dataset is a {entry.get('type')}, and IndexedImages reads caches: "
            "set train_dataloader.dataset.type=IndexedImages, which lists folders, lists and shards"
        )
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        dataset: IndexedImages = DATASETS.build(dict(entry, pipeline=[], cache=None))
    return dataset.whole()


def estimate(dataset: IndexedImages, short_side: int) -> Estimate:
    """Bring some images, evenly spaced, to the working size."""
    _alone()
    numbers = range(0, len(dataset), max(1, len(dataset) // _LOOKED_AT))
    sizes, start = [], time.perf_counter()
    for number in numbers:
        try:
            sizes.append(working_size(dataset.get_data_info(number)["img_path"], short_side).nbytes)
        except UnreadableImageError:
            continue  # told where it is written
    seconds = (time.perf_counter() - start) / len(numbers)
    mean = statistics.fmean(sizes) if sizes else 0.0
    return Estimate(round(mean * len(dataset)), seconds * len(dataset))


def make_cache(
    dataset: IndexedImages,
    folder: str | Path,
    short_side: int,
    workers: int,
    progress: Callable[[float, int], None],
) -> int:
    """Write what is missing of a cache; one that was broken off is gone on with.

    Args:
        dataset: see ``dataset_of``.
        folder: of the cache.
        short_side: longest shorter side of an image, in pixels.
        workers: processes.
        progress: told the share and the images that are there.

    Returns:
        Images that cannot be read; they are replaced in training as ever.

    Raises:
        CacheError: the folder holds a cache of other images, another size or version.
        DiskFullError: no space; whole parts stay.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    told = data_hash(dataset)
    _claim(folder, f"{told} {short_side}")
    numbers = list(enumerate(parts_of(len(dataset))))
    unreadable = done = 0
    with ProcessPoolExecutor(workers, initializer=_alone) as pool:
        jobs = [pool.submit(_part_of, dataset, folder, n, part, short_side) for n, part in numbers]
        try:
            for job in as_completed(jobs):
                unreadable += job.result()
                done += 1
                progress(done / len(jobs), min(done * IMAGES_PER_PART, len(dataset)))
        finally:
            pool.shutdown(cancel_futures=True)
    write_header(folder, str(told), len(dataset), short_side)
    return unreadable


def told_beforehand(found: Estimate, images: int, folder: str | Path, workers: int) -> str:
    """Cost and saving in a sentence.

    Raises:
        CacheError: the disk has not so much space.
    """
    folder = Path(folder).absolute()
    parent = next(place for place in (folder, *folder.parents) if place.exists())
    there = sum(path.stat().st_size for path in folder.glob("part-*.pixels"))
    free = shutil.disk_usage(parent).free + there
    size = f"{found.bytes / 1e9:,.1f} GB for {images:,} images"
    if found.bytes > free:
        raise CacheError(
            f"a cache takes about {size}, and {free / 1e9:,.1f} GB are free at {parent}; give "
            "another folder or a smaller --size"
        )
    minutes = found.seconds / workers / 60
    milliseconds = 1000 * found.seconds / max(images, 1)
    return (
        f"about {size}, {minutes:,.0f} min with {workers} processes; each epoch then saves "
        f"decoding, up to {milliseconds:.1f} ms an image"
    )


def _claim(folder: Path, said: str) -> None:
    """Note of what a folder is a cache, before its first part is there."""
    note = folder / "of"
    # parts of two versions would be one cache; notes of the first name none
    version = f" version {VERSION}" if VERSION > 1 else ""
    if note.exists() and note.read_text().rstrip() != said + version:
        raise CacheError(
            f"{folder} holds a cache of other images, of another version of maskssl or of another "
            "size; give another folder, or remove it"
        )
    if not note.exists() and any(folder.glob("part-*")):
        raise CacheError(f"{folder} holds parts of an unknown cache; remove it")
    note.write_text(f"{said}{version}\n")


def _alone() -> None:
    """One thread for each process, before it forks and after."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def _part_of(
    dataset: IndexedImages, folder: Path, number: int, part: range, short_side: int
) -> int:
    paths = [dataset.get_data_info(image)["img_path"] for image in part]
    return write_part(folder, number, paths, short_side)


def check_cache(dataset: IndexedImages, folder: str | Path) -> None:
    """Read a cache whole and compare it with its checksums and its data set.

    Raises:
        CacheError: see ``PixelCache``.
    """
    PixelCache(folder, data_hash(dataset)).check()
