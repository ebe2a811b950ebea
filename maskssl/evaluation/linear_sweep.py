"""Linear probes of many settings, trained together: one pass over the features for all of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .rows import Rows

MOMENTUM = 0.9


@dataclass(frozen=True)
class HeadSetting:
    """How one head is trained.

    Attributes:
        feature: name of the features that it reads.
        standardised: channels have mean 0 and deviation 1 over the training images: what MAE's
            BatchNorm without affine comes to, without the noise of batches.
        lr: at the start, of 256 images a batch; it falls to 0 along a cosine.
        weight_decay: of the weights.
    """

    feature: str
    standardised: bool
    lr: float
    weight_decay: float


@dataclass(frozen=True)
class LinearHead:
    """A trained head on features as they are stored; a standardisation is part of it.

    Attributes:
        weight: (C, K).
        bias: (K,).
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """(B, C) -> scores (B, K)."""
        return features.to(self.weight.dtype) @ self.weight + self.bias


def folded(weight: Tensor, bias: Tensor, mean: Tensor, std: Tensor) -> LinearHead:
    """The head on raw features that does what (C, K) weights do on standardised ones."""
    scaled = weight / std[:, None].to(weight.dtype)
    return LinearHead(scaled, bias - mean.to(weight.dtype) @ scaled)


def train_heads(
    features: Mapping[str, Rows],
    settings: Sequence[HeadSetting],
    num_classes: int,
    epochs: int,
    batch_size: int,
    seed: int,
) -> list[LinearHead]:
    """Train a head for each setting by SGD with momentum on softmax cross-entropy.

    The problem is convex and starts at zero: the seed draws the order of the images, which all
    heads share, and so a head comes out as if it were trained alone.

    Args:
        features: name -> the same training images' features.
        settings: of the heads.
        num_classes: K.
        epochs: passes over the images.
        batch_size: images of a step.
        seed: of the order.

    Returns:
        One head per setting, in order.
    """
    groups = {
        (setting.feature, setting.standardised): _Group.of(
            features[setting.feature],
            [s for s in settings if _kind(s) == _kind(setting)],
            num_classes,
        )
        for setting in settings
    }
    count = len(next(iter(features.values())))
    generator = torch.Generator().manual_seed(seed)
    total = epochs * math.ceil(count / batch_size)
    step = 0
    for _ in range(epochs):
        for places in torch.randperm(count, generator=generator).split(batch_size):
            factor = batch_size / 256 * (1 + math.cos(math.pi * step / total)) / 2
            for name in dict.fromkeys(feature for feature, _ in groups):
                batch, labels = features[name].batch(places)
                for standardised in (False, True):
                    if group := groups.get((name, standardised)):
                        group.step(batch, labels, factor)
            step += 1
    heads = {key: group.heads() for key, group in groups.items()}
    return [heads[_kind(setting)].pop(0) for setting in settings]


def _kind(setting: HeadSetting) -> tuple[str, bool]:
    return setting.feature, setting.standardised


@dataclass
class _Group:
    """Heads that read the same numbers: (H, C, K) weights, one matrix product for all."""

    mean: Tensor  # (C,)
    std: Tensor
    lr: Tensor  # (H,)
    weight_decay: Tensor
    weight: Tensor  # (H, C, K)
    bias: Tensor  # (H, K)
    weight_velocity: Tensor
    bias_velocity: Tensor

    @classmethod
    def of(cls, rows: Rows, settings: Sequence[HeadSetting], num_classes: int) -> "_Group":
        shape = (len(settings), rows.width, num_classes)
        weight = torch.zeros(shape, device=rows.device)
        bias = torch.zeros(shape[0], shape[2], device=rows.device)
        mean, std = torch.zeros(rows.width), torch.ones(rows.width)
        if settings[0].standardised:
            mean, std = rows.moments()
        return cls(
            mean.float().to(rows.device),
            std.float().to(rows.device),
            torch.tensor([setting.lr for setting in settings], device=rows.device),
            torch.tensor([setting.weight_decay for setting in settings], device=rows.device),
            weight,
            bias,
            torch.zeros_like(weight),
            torch.zeros_like(bias),
        )

    def step(self, features: Tensor, labels: Tensor, factor: float) -> None:
        """One step on (B, C) features; the gradient of softmax cross-entropy is p - y.

        Labels are classes (B,), or shares (B, K) that weigh a row by their sum.
        """
        features = (features - self.mean) / self.std
        shares = labels
        if labels.ndim == 1:
            shares = F.one_hot(labels, self.weight.shape[2]).to(features.dtype)
        error = (features @ self.weight + self.bias[:, None]).softmax(dim=2)  # (H, B, K)
        error = error * shares.sum(dim=1, keepdim=True) - shares
        error /= shares.sum().clamp(min=1e-6)
        gradient = features.T @ error + self.weight_decay[:, None, None] * self.weight
        self.weight_velocity.mul_(MOMENTUM).add_(gradient)
        self.bias_velocity.mul_(MOMENTUM).add_(error.sum(dim=1))
        rate = factor * self.lr
        self.weight -= rate[:, None, None] * self.weight_velocity
        self.bias -= rate[:, None] * self.bias_velocity

    def heads(self) -> list[LinearHead]:
        return [
            folded(weight, bias, self.mean, self.std)
            for weight, bias in zip(self.weight, self.bias, strict=True)
        ]
