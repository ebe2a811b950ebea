"""Clusters that overlap, as the rows of a feature."""

import torch

from maskssl.evaluation.rows import Rows


def clusters(count: int, width: int, num_classes: int, seed: int, spread: float = 1.0) -> Rows:
    """Gaussian clusters of ``num_classes`` classes in turn, at centres that no seed moves."""
    centres = torch.randn(num_classes, width, generator=torch.Generator().manual_seed(99))
    noise = torch.randn(count, width, generator=torch.Generator().manual_seed(seed))
    labels = torch.arange(count) % num_classes
    features = centres[labels] + spread * noise
    scales = torch.linspace(0.1, 5, width)  # channels of very different size
    return rows_of(features * scales + 3, labels)


def rows_of(features: torch.Tensor, labels: torch.Tensor) -> Rows:
    """Rows of a tensor, in its order."""
    return Rows(features.numpy(), labels, torch.arange(len(labels)), torch.device("cpu"))
