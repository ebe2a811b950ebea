"""Weighted k-nearest-neighbour classification on frozen features."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import MaskSSLError


def knn_scores(
    features: Tensor,
    bank: Tensor,
    bank_labels: Tensor,
    num_classes: int,
    k: int = 20,
    temperature: float = 0.07,
) -> Tensor:
    """Class scores by the votes of the k most similar features of a bank.

    A neighbour of cosine similarity s votes exp(s / temperature) for its class, as in
    DINO's and iBOT's evaluation.

    Args:
        features: (B, C), normalised here.
        bank: (M, C), normalised here.
        bank_labels: (M,) int64.
        num_classes: classes.
        k: neighbours, 1 <= k <= M.
        temperature: lower sharpens the votes.

    Returns:
        (B, num_classes), rows sum to 1.

    Raises:
        MaskSSLError: fewer than k features in the bank.
    """
    if not 1 <= k <= len(bank):
        raise MaskSSLError(
            f"k={k} neighbours cannot be taken from a bank of {len(bank)} features; lower k or "
            "use a larger training set"
        )
    features = F.normalize(features.float(), dim=1)
    bank = F.normalize(bank.float(), dim=1)
    similarity, neighbours = (features @ bank.T).topk(k, dim=1)  # (B, k)
    # the largest similarity is subtracted so that exp cannot overflow
    votes = ((similarity - similarity[:, :1]) / temperature).exp()
    scores = torch.zeros(len(features), num_classes, device=features.device)
    scores.scatter_add_(1, bank_labels[neighbours], votes)
    return scores / scores.sum(dim=1, keepdim=True)
