"""Features on disk, computed once per encoder and image set and found again by their content."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..errors import MaskSSLError
from ..evaluation.rows import PatchRows, Rows
from ..inference.features import FeatureExtractor
from ..progress import ProgressLine
from .encoders import Encoder
from .image_set import ImageSet
from .map_set import MapSet, patch_shares

VERSION = 1  # of the features: raise it when the same inputs give other numbers
POOLED, TOKENS, SHARES = "pooled", "tokens", "shares"


@dataclass(frozen=True)
class FeatureSet:
    """Stored features of one encoder on one image set.

    Attributes:
        images: whose features.
        folders: 'pooled', 'tokens', 'shares' as far as asked for -> folder of NAME.npy.
        features: names of the pooled ones.
        num_heads: of the encoder's attention.
        grid_size: rows and columns of patches.
        device: where batches go.
    """

    images: ImageSet
    folders: dict[str, Path]
    features: tuple[str, ...]
    num_heads: int
    grid_size: tuple[int, int]
    device: torch.device

    @property
    def labels(self) -> Tensor:
        """(N,) int64."""
        return self.images.labels

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.images.classes)

    def rows(self, feature: str, ids: Tensor) -> Rows:
        """Rows of a pooled feature (N, C), or of 'tokens' (N, P, C)."""
        folder = self.folders[TOKENS if feature == TOKENS else POOLED]
        array = np.load(folder / f"{feature}.npy", mmap_mode="r")
        return Rows(array, self.labels, ids, self.device)

    def patches(self, ids: Tensor) -> PatchRows:
        """Patches of images with the shares of the classes in each."""
        tokens, shares = (
            np.load(self.folders[kind] / f"{kind}.npy", mmap_mode="r") for kind in (TOKENS, SHARES)
        )
        return PatchRows(tokens, self.labels, ids, self.device, shares)

    @property
    def everything(self) -> Tensor:
        """All ids."""
        return torch.arange(len(self.labels))

    @property
    def last_block(self) -> list[str]:
        """Names of the features of the last block."""
        block = max(int(name.split(".")[0]) for name in self.features)
        return [name for name in self.features if name.startswith(f"{block}.")]


@dataclass(frozen=True)
class Extraction:
    """How features are computed and where they are kept.

    Attributes:
        cache: folder.
        kinds: 'pooled', 'tokens'.
        batch_size: images at a time.
        num_workers: processes that decode images.
        device: of the encoder.
    """

    cache: Path
    kinds: tuple[str, ...]
    batch_size: int
    num_workers: int
    device: torch.device


def features_of(
    encoder: Encoder, images: ImageSet, how: Extraction, line: ProgressLine
) -> FeatureSet:
    """Compute what the cache has not, and give all of it, memory-mapped.

    A folder appears under its name when it is whole; one that was broken off is begun anew.

    Raises:
        MaskSSLError: an image cannot be read, the disk is too small, or a feature is not finite.
    """
    folders = {kind: how.cache / _key(encoder, images, kind) for kind in how.kinds}
    missing = [kind for kind in how.kinds if not folders[kind].is_dir()]
    if missing:
        parts = {kind: folders[kind].with_suffix(f".partial-{os.getpid()}") for kind in missing}
        try:
            _check_disk(encoder, images, missing, how.cache)
            for part in parts.values():
                part.mkdir(parents=True)
            if SHARES in parts:
                _write_shares(encoder, images, parts[SHARES], line)
            if POOLED in parts or TOKENS in parts:
                _extract(encoder, images, parts, how, line)
            for kind, part in parts.items():
                part.replace(folders[kind])
        finally:
            for part in parts.values():
                shutil.rmtree(part, ignore_errors=True)
    return FeatureSet(
        images,
        folders,
        tuple(encoder.features),
        encoder.backbone.num_heads,
        encoder.backbone.grid_size,
        how.device,
    )


def _key(encoder: Encoder, images: ImageSet, kind: str) -> str:
    """Name of a folder: a hash of all that its numbers depend on, but the machine."""
    backbone = encoder.backbone
    if kind == SHARES:
        facts = dict(version=VERSION, images=images.content, grid=backbone.grid_size)
        return f"{kind}-{_digest(facts)}"
    facts = dict(
        version=VERSION,
        weights=encoder.weights,
        images=images.content,
        img_size=backbone.img_size,
        mean=backbone.mean,
        std=backbone.std,
        features=encoder.features if kind == POOLED else f"tokens of {encoder.blocks[-1]}",
    )
    if images.whole:
        facts["whole"] = True
    return f"{kind}-{_digest(facts)}"


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def _bytes_needed(encoder: Encoder, images: ImageSet, kind: str) -> int:
    width = encoder.backbone.embed_dims
    if kind == SHARES:
        return len(images) * encoder.num_patches * len(images.classes) * 2
    if kind == POOLED:
        return len(images) * len(encoder.features) * width * 4
    return len(images) * encoder.num_patches * width * 2


def _check_disk(encoder: Encoder, images: ImageSet, kinds: list[str], cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    needed = sum(_bytes_needed(encoder, images, kind) for kind in kinds)
    free = shutil.disk_usage(cache).free
    if needed > free:
        raise MaskSSLError(
            f"the features of {encoder.name} on {len(images):,} images take {needed / 1e9:.1f} GB "
            f"and {cache} has {free / 1e9:.1f} GB free; give another --cache, fewer --blocks, or "
            "leave the stage 'attentive' out"
        )


def _write_shares(encoder: Encoder, images: ImageSet, part: Path, line: ProgressLine) -> None:
    """What stands in the patches of each image, from its map at its own size."""
    if not isinstance(images, MapSet):
        raise TypeError(f"{images.root} has no maps")
    rows, columns = encoder.backbone.grid_size
    shape = (len(images), rows * columns, len(images.classes))
    array = np.lib.format.open_memmap(part / f"{SHARES}.npy", "w+", np.float16, shape)
    line.say(f"labels in the patches of {len(images):,} images")
    for index in range(len(images)):
        array[index] = patch_shares(images.label_map(index), (rows, columns), shape[2])
    array.flush()


class _Prepared(Dataset):
    """Images as the encoder takes them, decoded in worker processes."""

    def __init__(self, images: ImageSet, extractor: FeatureExtractor) -> None:
        self.images, self.extractor = images, extractor

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        path = self.images.root / self.images.files[index]
        return self.extractor.prepare(path, crop=not self.images.whole)


def _extract(
    encoder: Encoder,
    images: ImageSet,
    parts: dict[str, Path],
    how: Extraction,
    line: ProgressLine,
) -> None:
    """Write NAME.npy batch by batch: fp32 for pooled features, fp16 for tokens."""
    width, arrays = encoder.backbone.embed_dims, {}
    if POOLED in parts:
        for name in encoder.features:
            arrays[name] = np.lib.format.open_memmap(
                parts[POOLED] / f"{name}.npy", "w+", np.float32, (len(images), width)
            )
    if TOKENS in parts:
        shape = (len(images), encoder.num_patches, width)
        arrays[TOKENS] = np.lib.format.open_memmap(
            parts[TOKENS] / f"{TOKENS}.npy", "w+", np.float16, shape
        )
    line.say(f"{encoder.name}: features of {len(images):,} images")
    start, counter = 0, ProgressLine(line.stream)
    for batch in _batches(encoder, images, how):
        pooled, tokens = encoder(batch.to(how.device))
        for name, array in arrays.items():
            values = tokens.half() if name == TOKENS else pooled[name].float()
            array[start : start + len(batch)] = values.cpu().numpy()
            if not np.isfinite(array[start : start + len(batch)]).all():
                raise MaskSSLError(
                    f"{encoder.name}: the feature {name} of images {start} to "
                    f"{start + len(batch) - 1} is not finite in {array.dtype}; the weights may be "
                    "broken"
                )
        start += len(batch)
        counter(start / len(images), start)
    for array in arrays.values():
        array.flush()


def _batches(encoder: Encoder, images: ImageSet, how: Extraction) -> Iterator[Tensor]:
    extractor = FeatureExtractor(encoder.backbone, device=how.device)
    yield from DataLoader(_Prepared(images, extractor), how.batch_size, num_workers=how.num_workers)
