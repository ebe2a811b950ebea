"""Features on disk, computed once per encoder and image set and found again by their content."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..errors import MaskSSLError
from ..evaluation.rows import Rows
from ..inference.features import FeatureExtractor
from ..progress import ProgressLine
from .encoders import Encoder
from .image_set import ImageSet

VERSION = 1  # of the features: raise it when the same inputs give other numbers
POOLED, TOKENS = "pooled", "tokens"


@dataclass(frozen=True)
class FeatureSet:
    """Stored features of one encoder on one image set.

    Attributes:
        folders: 'pooled', and where asked for 'tokens' -> folder of NAME.npy.
        labels: (N,) int64.
        num_classes: K.
        features: names of the pooled ones.
        num_heads: of the encoder's attention.
        device: where batches go.
    """

    folders: dict[str, Path]
    labels: Tensor
    num_classes: int
    features: tuple[str, ...]
    num_heads: int
    device: torch.device

    def rows(self, feature: str, ids: Tensor) -> Rows:
        """Rows of a pooled feature (N, C), or of 'tokens' (N, P, C)."""
        folder = self.folders[TOKENS if feature == TOKENS else POOLED]
        array = np.load(folder / f"{feature}.npy", mmap_mode="r")
        return Rows(array, self.labels, ids, self.device)

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
            _extract(encoder, images, parts, how, line)
            for kind, part in parts.items():
                part.replace(folders[kind])
        finally:
            for part in parts.values():
                shutil.rmtree(part, ignore_errors=True)
    return FeatureSet(
        folders,
        images.labels,
        len(images.classes),
        tuple(encoder.features),
        encoder.backbone.num_heads,
        how.device,
    )


def _key(encoder: Encoder, images: ImageSet, kind: str) -> str:
    """Name of a folder: a hash of all that its numbers depend on, but the machine."""
    backbone = encoder.backbone
    facts = dict(
        version=VERSION,
        weights=encoder.weights,
        images=images.content,
        img_size=backbone.img_size,
        mean=backbone.mean,
        std=backbone.std,
        features=encoder.features if kind == POOLED else f"tokens of {encoder.blocks[-1]}",
    )
    return f"{kind}-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]}"


def _bytes_needed(encoder: Encoder, images: ImageSet, kind: str) -> int:
    width = encoder.backbone.embed_dims
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


class _Prepared(Dataset):
    """Images as the encoder takes them, decoded in worker processes."""

    def __init__(self, images: ImageSet, extractor: FeatureExtractor) -> None:
        self.images, self.extractor = images, extractor

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.extractor.prepare(self.images.root / self.images.files[index])


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
