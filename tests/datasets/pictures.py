"""Folders of small random JPEGs, a dataset over them and loaders of its draws."""

from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import DefaultSampler, pseudo_collate
from mmpretrain.datasets import CustomDataset
from PIL import Image
from torch.utils.data import BatchSampler, DataLoader

import maskssl.registration  # noqa: F401  (registers LoadImage and BlockMask)
from maskssl.datasets.draws.sampler import DrawBatchSampler
from maskssl.datasets.draws.seeded_dataset import SeededDataset

PIPELINE = [
    dict(type="LoadImage"),
    dict(type="RandomResizedCrop", scale=16, backend="pillow"),
    dict(type="RandomFlip", prob=0.5),
    dict(type="BlockMask", grid=(4, 4)),
    dict(type="PackInputs", algorithm_keys=["mask"]),
]


class CountingDataset(CustomDataset):
    """Remembers which images this process has loaded."""

    def __init__(self, **options: Any) -> None:
        self.loaded: list[int] = []
        super().__init__(**options)

    def __getitem__(self, index: int) -> Any:
        self.loaded.append(index)
        return super().__getitem__(index)


def write_pictures(folder: Path, count: int, broken: tuple[int, ...] = ()) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number:03d}.jpg"
        if number in broken:
            path.write_bytes(b"no picture")
        else:
            Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(path)
    return folder


def pictures(folder: Path) -> CountingDataset:
    return CountingDataset(data_root=str(folder), with_label=False, pipeline=PIPELINE)


def draw_loader(
    dataset: SeededDataset, batch_size: int = 3, num_workers: int = 0, sampler: Any = None
) -> DataLoader:
    batches = BatchSampler(sampler or DefaultSampler(dataset, seed=0), batch_size, drop_last=False)
    return DataLoader(
        dataset,
        batch_sampler=DrawBatchSampler(batches),
        num_workers=num_workers,
        collate_fn=pseudo_collate,
        persistent_workers=num_workers > 0,
    )


def content(batch: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    """Pixels and mask of every sample of a batch, to be compared."""
    return [
        (image.numpy().tobytes(), np.asarray(sample.mask).tobytes())
        for image, sample in zip(batch["inputs"], batch["data_samples"], strict=True)
    ]
