"""Frozen encoders, of a checkpoint or of random weights, and the features that they give."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import MaskSSLError
from ..inference.backbone import PretrainedViT, load_backbone, random_like

RANDOM = "random:"  # in front of a checkpoint: its architecture with random weights


@dataclass(frozen=True)
class Encoder:
    """An encoder that is never trained.

    Attributes:
        name: in tables and file names.
        given: as the command line has it.
        weights: hash of the checkpoint and its parts; of random weights, of these and the seed.
        backbone: gives the tokens of ``blocks``, the last one normalised.
        pooled_by_class_attention: ExtreMA's class token, where the file has one.
        blocks: counted from 1.
    """

    name: str
    given: str
    weights: str
    backbone: PretrainedViT
    pooled_by_class_attention: PretrainedViT | None
    blocks: tuple[int, ...]

    @property
    def features(self) -> list[str]:
        """Names of the pooled features: 'BLOCK.POOLING'."""
        backbone = self.backbone
        poolings = ["mean"]
        if backbone.num_prefix > backbone.with_cls_token:
            poolings.insert(0, "registers")
        names = [f"{block}.{pooling}" for block in self.blocks for pooling in poolings]
        if backbone.with_cls_token:
            names += [f"{block}.cls" for block in self.blocks]
        if self.pooled_by_class_attention:
            names.append(f"{self.blocks[-1]}.cls")
        return names

    @property
    def num_patches(self) -> int:
        """Patch tokens of an image."""
        height, width = self.backbone.grid_size
        return height * width

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Features of prepared images (B, 3, H, W).

        Returns:
            Name -> (B, C), and the last block's patch tokens (B, N, C).
        """
        prefix, first_register = self.backbone.num_prefix, int(self.backbone.with_cls_token)
        found = {}
        outputs = self.backbone(images)
        for block, tokens in zip(self.blocks, outputs, strict=True):  # (B, [1 + R +] N, C)
            found[f"{block}.mean"] = tokens[:, prefix:].mean(dim=1)
            if self.backbone.with_cls_token:
                found[f"{block}.cls"] = tokens[:, 0]
            if prefix > first_register:
                found[f"{block}.registers"] = tokens[:, first_register:prefix].mean(dim=1)
        if self.pooled_by_class_attention:
            found[f"{self.blocks[-1]}.cls"] = self.pooled_by_class_attention(images)[-1]
        return found, outputs[-1][:, prefix:]


def open_encoder(
    given: str,
    name: str,
    device: torch.device,
    blocks: Sequence[int] | None = None,
    img_size: int | None = None,
    seed: int = 0,
) -> Encoder:
    """Load an encoder completely, or not at all.

    Args:
        given: a checkpoint or work dir, or ``random:CHECKPOINT`` for its architecture alone.
        name: of the encoder.
        device: where it runs.
        blocks: whose features are wanted, counted from 1; None for all.
        img_size: side in pixels; None for that of the pretraining.
        seed: of random weights.

    Raises:
        MaskSSLError: the file cannot be read, or has no such block.
    """
    path = given.removeprefix(RANDOM)
    probed = load_backbone(path, "tokens", img_size)
    indices = _indices(blocks, probed.num_layers, given)
    backbone = load_backbone(path, "tokens", img_size, out_indices=indices)
    pooled = None
    if indices[-1] == probed.num_layers - 1 and _has_class_attention(probed):
        pooled = load_backbone(path, "cls", img_size)
    weights = probed.ledger.sha256
    if given.startswith(RANDOM):
        weights = f"random {seed} of {weights}"
        backbone = random_like(backbone, seed)
        pooled = pooled and random_like(pooled, seed)
    return Encoder(
        name,
        given,
        weights,
        backbone.to(device),
        pooled and pooled.to(device),
        tuple(index + 1 for index in indices),
    )


def _indices(blocks: Sequence[int] | None, depth: int, given: str) -> list[int]:
    wanted = sorted(set(blocks or range(1, depth + 1)))
    if not 1 <= wanted[0] <= wanted[-1] <= depth:
        raise MaskSSLError(
            f"--blocks {' '.join(map(str, wanted))}: {given} has the blocks 1 to {depth}"
        )
    return [block - 1 for block in wanted]


def _has_class_attention(backbone: PretrainedViT) -> bool:
    return any(name.startswith("class_attention.") for name in backbone.ledger.dropped)
