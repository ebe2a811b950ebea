"""Rows of features that may be longer than memory: read in batches, never whole."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """Chosen rows of an array, memory-mapped or not, with their labels.

    Attributes:
        array: (M, …), as ``np.load(…, mmap_mode='r')`` gives it.
        labels: (M,) int64 on the CPU.
        ids: (N,) int64, the chosen rows; all numbers of a row below are places in it.
        device: where batches go.
    """

    array: np.ndarray
    labels: Tensor
    ids: Tensor
    device: torch.device

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def width(self) -> int:
        """Channels C."""
        return int(self.array.shape[-1])

    def batch(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, …) in fp32 and labels (B,) on the device."""
        ids = self.ids[places]
        order = ids.argsort()  # a file is read forwards
        features = np.empty((len(ids), *self.array.shape[1:]), dtype=np.float32)
        features[order.numpy()] = self.array[ids[order].numpy()]
        return torch.from_numpy(features).to(self.device), self.labels[ids].to(self.device)

    def batches(self, size: int = 4096) -> Iterator[tuple[Tensor, Tensor]]:
        """All of them, in order."""
        for start in range(0, len(self), size):
            yield self.batch(torch.arange(start, min(start + size, len(self))))

    def moments(self, size: int = 4096) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (C,) of every channel in float64; a constant one has 1.

        Args:
            size: rows read at a time.
        """
        total = torch.zeros(self.width, dtype=torch.float64, device=self.device)
        squares, count = torch.zeros_like(total), 0
        for features, _ in self.batches(size):
            features = features.flatten(0, -2).double()  # (B, C), or (B N, C) of tokens
            total += features.sum(dim=0)
            count += len(features)
        mean = total / count
        for features, _ in self.batches(size):
            squares += (features.flatten(0, -2).double() - mean).square().sum(dim=0)
        std = (squares / count).sqrt()
        return mean, torch.where(std > 1e-6, std, torch.ones_like(std))


@dataclass(frozen=True)
class PatchRows(Rows):
    """Patches of chosen images: a batch of images gives P times as many rows.

    Attributes:
        targets: (M, P, K) share of each class among a patch's pixels; what is ignored is missing.
    """

    targets: np.ndarray

    def batch(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B P, C) in fp32 and shares (B P, K) on the device."""
        features, _ = super().batch(places)
        shares = torch.from_numpy(np.asarray(self.targets[self.ids[places].numpy()], np.float32))
        return features.flatten(0, 1), shares.flatten(0, 1).to(self.device)

    def batches(self, size: int = 16) -> Iterator[tuple[Tensor, Tensor]]:
        """All of them, in order, of so many images at a time."""
        return super().batches(size)

    def moments(self, size: int = 16) -> tuple[Tensor, Tensor]:
        """Of the channels of all patches, read so many images at a time."""
        return super().moments(size)


def ranks_of(scores: Tensor, labels: Tensor) -> Tensor:
    """How many classes stand before the true one: 0 is right, below 5 is right among five.

    Among equal scores the class of the lower number stands first, as ``argmax`` has it. Scores that
    are not finite put the true class last.

    Args:
        scores: (B, K).
        labels: (B,) int64.

    Returns:
        (B,) int64.
    """
    own = scores.gather(1, labels[:, None])  # (B, 1)
    classes = torch.arange(scores.shape[1], device=scores.device)
    before = (scores > own) | ((scores == own) & (classes < labels[:, None]))
    lost = ~scores.isfinite().all(dim=1)
    return before.sum(dim=1).masked_fill(lost, scores.shape[1] - 1)
