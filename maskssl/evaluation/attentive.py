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
    pretraining gathers an image in one token. Channels are standardised before, as AIM's probe
    does by a BatchNorm without affine, here by the training images as a whole: tokens of many
    models share a large mean, and a query that reads it sees all of them alike.

    Args:
        dim: width C of the tokens.
        num_heads: of the attention; it must divide C.
        num_classes: K.
        mean: (C,) of the training images' tokens; None: 0.
        std: (C,); None: 1.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        dim: int,
        num_heads: int,
        num_classes: int,
        mean: Tensor | None = None,
        std: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim) if mean is None else mean.float())
        self.register_buffer("std", torch.ones(dim) if std is None else std.float())
        self.query = nn.Parameter(torch.zeros(1, 1, dim))
        self.attention = nn.MultiheadAttention(dim, num_heads, batch_first=True)
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, num_classes)
        nn.init.trunc_normal_(self.query, std=0.02)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, C) -> scores (B, K)."""
        return self.head(self.norm(self.pool((tokens - self.mean) / self.std)))

    def pool(self, tokens: Tensor) -> Tensor:
        """What ``attention`` gives for the query, (B, N, C) -> (B, C).

        With one query for all images its product with the keys' weights is taken once, and values
        are made of the pooled tokens: N times less work than keys and values of every token.
        """
        attention, heads = self.attention, self.attention.num_heads
        weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
        query = F.linear(self.query[0, 0], weights[0], biases[0]).view(heads, 1, -1)  # (H, 1, C/H)
        # a bias of the keys moves all tokens alike, which softmax does not see
        reads = (query @ weights[1].view(heads, -1, tokens.shape[2])).squeeze(1)  # (H, C)
        shares = (tokens @ reads.T / math.sqrt(query.shape[2])).softmax(dim=1)  # (B, N, H)
        pooled = shares.transpose(1, 2) @ tokens  # (B, H, C)
        values = weights[2].view(heads, -1, tokens.shape[2])  # (H, C/H, C)
        own = torch.einsum("bhc,hdc->bhd", pooled, values).flatten(1)  # (B, C)
        return attention.out_proj(own + biases[2])


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
        probe = AttentiveProbe(rows.width, setting.num_heads, num_classes, *rows.moments(256))
    probe = probe.to(rows.device)
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
