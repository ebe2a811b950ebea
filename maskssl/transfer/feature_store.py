"""Features on disk, computed once per encoder and image set and found again by their content."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from ..checkpoints.hidden_files import hidden
from ..errors import MaskSSLError
from ..evaluation.rows import PatchRows, Rows
from ..inference.features import FeatureExtractor
from ..progress import ProgressLine
from .encoders import Encoder
from .image_set import ImageSet
from .map_set import MapSet, patch_shares
from .processes import rank_and_world, spread

VERSION = 2  # of the features: raise it when the same inputs give other numbers
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

    A folder appears under its name when it is whole; one that was broken off is begun anew. Calls
    that compute the same at the same time do not meet: the folder of the first that is done stays.

    Raises:
        MaskSSLError: an image cannot be read, the disk is too small, or a feature is not finite.
    """
    folders = {kind: how.cache / _key(encoder, images, kind) for kind in how.kinds}
    # the first process looks, for another call may finish before the next one does
    (missing,) = spread([lambda: [kind for kind in how.kinds if not folders[kind].is_dir()]])
    if missing:
        with ExitStack() as kept:
            wanted = {kind: folders[kind] for kind in missing}
            (parts,) = spread([lambda: _create(encoder, images, wanted, kept)])
            line.say(f"{encoder.name}: features of {len(images):,} images")
            ends = np.linspace(0, len(images), rank_and_world()[1] + 1).astype(int).tolist()
            spread(
                [
                    partial(_fill, encoder, images, parts, how, line, start, stop)
                    for start, stop in pairwise(ends)
                ]
            )
            spread([partial(_finish, parts, wanted)])
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
        if isinstance(images, MapSet):
            facts |= dict(code=repr(images.code), classes=images.classes)
        return f"{kind}-{_digest(facts)}"
    facts = dict(
        version=VERSION,
        weights=encoder.weights,
        images=images.content,
        img_size=backbone.img_size,
        mean=backbone.mean,
        std=backbone.std,
        # of config.json beside the weights, which their hash does not know
        told=[backbone.num_heads, backbone.norm_eps, backbone.pos_resize, backbone.rotary_base],
        features=encoder.features if kind == POOLED else f"tokens of {encoder.blocks[-1]}",
    )
    if images.whole:
        facts["whole"] = True
    return f"{kind}-{_digest(facts)}"


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def is_stored(encoder: Encoder, images: ImageSet, kind: str, cache: Path) -> bool:
    """Whether the cache has features of a kind; it reads the images, to know them."""
    return (cache / _key(encoder, images, kind)).is_dir()


def bytes_needed(encoder: Encoder, images: ImageSet, kind: str) -> int:
    """What the features of a kind take on the disk."""
    width = encoder.backbone.embed_dims
    if kind == SHARES:
        return len(images) * encoder.num_patches * len(images.classes) * 2
    if kind == POOLED:
        return len(images) * len(encoder.features) * width * 4
    return len(images) * encoder.num_patches * width * 2


def _check_disk(encoder: Encoder, images: ImageSet, kinds: list[str], cache: Path) -> None:
    needed = sum(bytes_needed(encoder, images, kind) for kind in kinds)
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
        path = self.images.root / self.images.files[index]
        return self.extractor.prepare(path, crop=not self.images.whole)


def _create(
    encoder: Encoder, images: ImageSet, wanted: Mapping[str, Path], kept: ExitStack
) -> dict[str, Path]:
    """Empty NAME.npy in hidden folders: fp32 for pooled features, fp16 for tokens and shares.

    Args:
        encoder: whose features.
        images: of which.
        wanted: kind -> the folder that takes its name when it is whole.
        kept: removes what is not whole when it is left.

    Returns:
        Kind -> its hidden folder.
    """
    parts = {
        kind: kept.enter_context(hidden(folder, is_folder=True)) for kind, folder in wanted.items()
    }
    # behind ``hidden``, which removes what killed calls have left
    _check_disk(encoder, images, list(wanted), next(iter(wanted.values())).parent)
    width, count, patches = encoder.backbone.embed_dims, len(images), encoder.num_patches
    for kind, part in parts.items():
        names, dtype = [kind], "float16"
        shape: tuple[int, ...] = (count, patches, width)
        if kind == POOLED:
            names, dtype, shape = encoder.features, "float32", (count, width)
        elif kind == SHARES:
            shape = (count, patches, len(images.classes))
        for name in names:
            np.lib.format.open_memmap(part / f"{name}.npy", "w+", dtype, shape)
    return parts


def _finish(parts: Mapping[str, Path], wanted: Mapping[str, Path]) -> None:
    """Give whole folders their names, but where another call has finished the same before."""
    for kind, folder in wanted.items():
        try:
            parts[kind].replace(folder)
        except OSError:
            if not folder.is_dir():
                raise


def _fill(
    encoder: Encoder,
    images: ImageSet,
    parts: dict[str, Path],
    how: Extraction,
    line: ProgressLine,
    start: int,
    stop: int,
) -> None:
    """Write the features of some images, batch by batch."""
    arrays = {
        file.stem: np.load(file, mmap_mode="r+")
        for part in parts.values()
        for file in part.iterdir()
    }
    shares = arrays.pop(SHARES, None)
    if shares is not None and isinstance(images, MapSet):
        for index in range(start, stop):
            labels = images.label_map(index)
            shares[index] = patch_shares(labels, encoder.backbone.grid_size, shares.shape[2])
        shares.flush()
    counter, place = ProgressLine(line.stream), start
    for batch in _batches(encoder, images, how, start, stop) if arrays else ():
        pooled, tokens = encoder(batch.to(how.device))
        for name, array in arrays.items():
            values = tokens.half() if name == TOKENS else pooled[name].float()
            array[place : place + len(batch)] = values.cpu().numpy()
            if not np.isfinite(array[place : place + len(batch)]).all():
                raise MaskSSLError(
                    f"{encoder.name}: the feature {name} of images {place} to "
                    f"{place + len(batch) - 1} is not finite in {array.dtype}; the weights may be "
                    "broken"
                )
        place += len(batch)
        counter((place - start) / (stop - start), place - start)
    for array in arrays.values():
        array.flush()


def _batches(
    encoder: Encoder, images: ImageSet, how: Extraction, start: int, stop: int
) -> Iterator[Tensor]:
    extractor = FeatureExtractor(encoder.backbone, device=how.device)
    part = Subset(_Prepared(images, extractor), range(start, stop))
    yield from DataLoader(part, how.batch_size, num_workers=how.num_workers)
