"""Attentive probe: one learnt query reads the frozen patch tokens before the linear layer."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .rows import Rows


class AttentiveProbe(nn.Module):
    """Cross-attention of one learnt query over the tokens, then a linear classifier.

    Mean pooling weighs all patches alike, which is hard on masked models: nothing in their
    pretraining gathers an image in one token.

    Args:
        dim: width C of the tokens.
        num_heads: of the attention; it must divide C.
        num_classes: K.
    """

    def __init__(self, dim: int, num_heads: int, num_classes: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(1, 1, dim))
        self.attention = nn.MultiheadAttention(dim, num_heads, batch_first=True)
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, num_classes)
        nn.init.trunc_normal_(self.query, std=0.02)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, C) -> scores (B, K)."""
        query = self.query.expand(len(tokens), -1, -1)
        pooled, _ = self.attention(query, tokens, tokens, need_weights=False)  # (B, 1, C)
        return self.head(self.norm(pooled[:, 0]))


@dataclass(frozen=True)
class AttentiveSetting:
    """How a probe is trained, by AdamW with a cosine.

    Attributes:
        lr: at the start, of 256 images a batch.
        weight_decay: of all parameters.
        epochs: passes over the images.
        batch_size: images of a step.
        num_heads: of the attention.
    """

    lr: float
    weight_decay: float
    epochs: int
    batch_size: int
    num_heads: int


def train_attentive(
    rows: Rows, num_classes: int, setting: AttentiveSetting, seed: int
) -> AttentiveProbe:
    """Train a probe on tokens (M, N, C).

    Args:
        rows: training images.
        num_classes: K.
        setting: of the training.
        seed: of the start and of the order of the images.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        probe = AttentiveProbe(rows.width, setting.num_heads, num_classes).to(rows.device)
    optimizer = torch.optim.AdamW(probe.parameters(), setting.lr, weight_decay=setting.weight_decay)
    generator = torch.Generator().manual_seed(seed)
    total = setting.epochs * math.ceil(len(rows) / setting.batch_size)
    step = 0
    for _ in range(setting.epochs):
        for places in torch.randperm(len(rows), generator=generator).split(setting.batch_size):
            factor = setting.batch_size / 256 * (1 + math.cos(math.pi * step / total)) / 2
            optimizer.param_groups[0]["lr"] = setting.lr * factor
            tokens, labels = rows.batch(places)
            optimizer.zero_grad()
            F.cross_entropy(probe(tokens), labels).backward()
            optimizer.step()
            step += 1
    return probe.eval()
