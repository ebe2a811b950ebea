"""How fast images are loaded, beside the authors' transform, and how close the results are."""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmpretrain.datasets.transforms import PackInputs
from numpy.typing import NDArray
from PIL import Image
from torchvision import transforms as tv
from torchvision.transforms import InterpolationMode

from ... import config_file
from ...datasets.cache.pixel_cache import IMAGES_PER_PART, PixelCache, write_header, write_part
from ...datasets.folders import image_files
from ...datasets.transforms.deferred import deferred
from ...datasets.transforms.load_encoded_crop import LoadEncodedCrop
from ...datasets.transforms.load_resized_crop import LoadResizedCrop
from ...encoded_crops import EncodedCrops
from ...errors import MaskSSLError
from ..config import load_config
from .timing import timed

SCALE = (0.2, 1.0)
_CPU = torch.device("cpu")
SIZES = (224, 160, 96, 64)  # of crops that are compared
_TWO_VIEWS = "pretrain/extrema_vit-base-p16_8xb256-amp-coslr-300e_in1k.py"


def measure_images(
    folder: str,
    device: str = "cpu",
    batch_size: int = 256,
    size: int = 224,
    short_side: int = 256,
    count: int = 200,
    runs: int = 3,
) -> dict[str, Any]:
    """Load crops in one thread: with torchvision on Pillow as the authors do, ours, from a cache.

    Ours end where the loader hands bytes over; the model normalises them on its device, which may
    decode and crop them too, a batch at once.

    Args:
        folder: of images.
        device: 'cuda' or 'cpu', that decodes.
        batch_size: images that it decodes at once.
        size: of the crop.
        short_side: of the cache, which is written into a temporary folder.
        count: most images.
        runs: in turn, of which the median counts.

    Returns:
        What JSON can hold: images per second of a core, and differences by size of the crop.
    """
    paths = [str(path) for path in image_files(folder)]
    paths = paths[:: max(1, len(paths) // count)][:count]
    if not paths:
        raise MaskSSLError(f"{folder} holds no images; give a folder of photographs")
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as made:
        for number, start in enumerate(range(0, len(paths), IMAGES_PER_PART)):
            part = paths[start : start + IMAGES_PER_PART]
            write_part(Path(made), number, part, short_side)
        write_header(Path(made), "", len(paths), short_side)
        cache = PixelCache(made)
        seconds = _in_turn(_loads(paths, cache, size), len(paths), runs)
        cached = int(cache.starts[-1])
    pixels = [Image.open(path).size for path in paths]
    return dict(
        images=len(paths),
        mean_pixels=statistics.fmean(width * height for width, height in pixels),
        size=size,
        short_side=short_side,
        cached_bytes_per_image=cached / len(paths),
        file_bytes_per_image=statistics.fmean(Path(path).stat().st_size for path in paths),
        images_per_second={name: 1 / value for name, value in seconds.items()},
        differences={side: _differences(paths, LoadResizedCrop(side, SCALE)) for side in SIZES},
        on_device=_decoded_on(torch.device(device), paths, batch_size, size, runs),
    )


def _loads(paths: Sequence[str], cache: PixelCache, size: int) -> dict[str, Callable[[int], Any]]:
    """Way of loading -> what loads image n by it."""
    crop, pack = LoadResizedCrop(size, SCALE, flip_prob=0.5), PackInputs()
    views, left, encoded = _two_views(size)
    theirs = tv.Compose([_cropping(size), tv.ToTensor(), tv.Normalize([0.5] * 3, [0.5] * 3)])
    return {
        "the authors' transform": lambda n: theirs(_opened(paths[n])),
        "from JPEG": lambda n: pack(crop(dict(img_path=paths[n]))),
        "from a cache": lambda n: pack(crop(dict(img_path=paths[n], img=cache[n]))),
        "ExtreMA's two views": lambda n: views(dict(img_path=paths[n])),
        "two views, from a cache": lambda n: views(dict(img_path=paths[n], img=cache[n])),
        "the same, changed on the device": lambda n: left(dict(img_path=paths[n])),
        "both": lambda n: left(dict(img_path=paths[n], img=cache[n])),
        "decoded there too": lambda n: encoded(dict(img_path=paths[n])),
    }


def images_table(found: dict[str, Any]) -> str:
    """What ``measure_images`` found, as text."""
    rates = found["images_per_second"]
    first = next(iter(rates.values()))
    lines = [
        f"{found['images']} images of {found['mean_pixels'] / 1e3:.0f} thousand pixels, crops of "
        f"{found['size']}, one thread, images per second of CPU time:"
    ]
    lines += [f"  {name:32} {rate:7.0f}   x {rate / first:.2f}" for name, rate in rates.items()]
    lines.append(
        f"  the cache (shorter side {found['short_side']}) takes "
        f"{found['cached_bytes_per_image'] / 1e3:.0f} kB an image, the files "
        f"{found['file_bytes_per_image'] / 1e3:.0f} kB"
    )
    lines.append("difference to torchvision's crops of Pillow images, of 255; shift in pixels:")
    for side, value in found["differences"].items():
        lines.append(
            f"  crop of {side:3}: mean {value['mean']:.2f}, 99th percentile {value['p99']:.1f}, "
            f"largest of an image {value['worst_p99']:.1f}, shift {value['shift']:.3f}; "
            f"{value['reduced']:.0%} decoded at less than full size"
        )
    there = found["on_device"]
    lines.append(
        f"decoded, cropped and resized by {there['device']}, {there['batch_size']} at once:"
    )
    if "refusal" in there:
        lines.append(f"  {there['refusal']}")
    else:
        value, of_cpu = there["differences"], " of CPU time" * (there["device"] == "cpu")
        lines.append(
            f"  {there['images_per_second']:.0f} images per second{of_cpu} (spread "
            f"{there['spread']:.0%}), {there['elsewhere']} of the batch decoded elsewhere; mean "
            f"difference {value['mean']:.2f}, 99th percentile {value['p99']:.1f}, largest of an "
            f"image {value['worst_p99']:.1f}, shift "
            f"{value['shift']:.3f}"
        )
    return "\n".join(lines)


def _opened(path: str) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _cropping(size: int) -> tv.Compose:
    bicubic = InterpolationMode.BICUBIC
    return tv.Compose(
        [tv.RandomResizedCrop(size, SCALE, interpolation=bicubic), tv.RandomHorizontalFlip()]
    )


def _two_views(size: int) -> list[Compose]:
    """ExtreMA's published pipeline; flips and colours left to the model's device; decoding too."""
    cfg = load_config(config_file(_TWO_VIEWS))
    load, *steps = cfg.train_dataloader.dataset.pipeline
    pipeline = [dict(load, size=size), *steps]
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        ways = pipeline, deferred(pipeline), deferred(pipeline, decode=True)
        return [Compose(steps) for steps in ways]


def _in_turn(loads: dict[str, Callable[[int], Any]], count: int, runs: int) -> dict[str, float]:
    """Median seconds of CPU time an image, all on the same crops."""
    found: dict[str, list[float]] = {name: [] for name in loads}
    for run in range(runs + 1):  # the first warms up
        for name, load in loads.items():
            torch.manual_seed(run)
            start = time.process_time()
            for number in range(count):
                load(number)
            found[name].append((time.process_time() - start) / count)
    return {name: statistics.median(values[1:]) for name, values in found.items()}


def _decoded_on(
    device: torch.device, paths: Sequence[str], batch_size: int, size: int, runs: int
) -> dict[str, Any]:
    """A batch from files in memory to crops; how far they are from Pillow's.

    By the clock; a CPU's own time, as what else is measured of one thread.
    """
    load = LoadEncodedCrop(size, SCALE)
    parts = [load(dict(img_path=paths[n % len(paths)]))["img"] for n in range(batch_size)]
    batch = EncodedCrops.joined(parts)
    found: dict[str, Any] = dict(device=str(device), batch_size=batch_size)
    try:
        elsewhere = len(batch.decoded(device)[1])
    except MaskSSLError as error:
        return dict(found, refusal=str(error))
    if device.type == "cuda":
        batch = batch.pin_memory()
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    timing = timed(lambda: batch.decoded(device), device, 3, runs, clock)
    return dict(
        found,
        elsewhere=elsewhere,
        images_per_second=batch_size / timing.seconds,
        spread=timing.spread,
        memory_bytes=timing.memory,
        differences=_differences(paths, load, device),
    )


def _differences(
    paths: Sequence[str],
    load: LoadResizedCrop,
    device: torch.device = _CPU,
    crops: int = 2,
) -> dict[str, float]:
    """Of what ``load`` loads, or leaves to the device, to torchvision's crops of Pillow images."""
    bicubic = InterpolationMode.BICUBIC
    theirs = tv.RandomResizedCrop(load.size, SCALE, interpolation=bicubic)
    means, percentiles, shifts, reduced = [], [], [], 0
    counts = np.zeros(256, np.int64)
    for seed in range(crops):
        for number, path in enumerate(paths):
            torch.manual_seed(seed * len(paths) + number)
            expected = np.asarray(theirs(_opened(path))).astype(np.float64)
            torch.manual_seed(seed * len(paths) + number)
            results = load(dict(img_path=path))
            image = results["img"]
            if isinstance(image, EncodedCrops):
                image = image.decoded(device)[0][0].permute(1, 2, 0).cpu().numpy()
            found = image[..., ::-1].astype(np.float64)
            difference = abs(found - expected)
            counts += np.bincount(difference.astype(np.int64).ravel(), minlength=256)
            means.append(difference.mean())
            percentiles.append(np.percentile(difference, 99))
            shifts.append(abs(shift(found, expected)).max())
            reduced += results["reduction"] > 1
    return dict(
        mean=float(np.mean(means)),
        p99=float(np.searchsorted(counts.cumsum(), 0.99 * counts.sum())),
        worst_p99=float(max(percentiles)),
        shift=float(max(shifts)),
        reduced=reduced / len(means),
    )


def shift(found: NDArray[Any], expected: NDArray[Any]) -> NDArray[np.float64]:
    """By how many pixels (x, y) one picture is moved against another, by least squares.

    Args:
        found: (H, W, 3).
        expected: (H, W, 3).
    """
    dy, dx = np.gradient(expected.mean(-1))
    slopes = np.stack([dx.ravel(), dy.ravel()], axis=1)
    moved = (expected - found).mean(-1).ravel()
    return np.linalg.lstsq(slopes, moved, rcond=None)[0]
