"""A small world: striped pictures of three classes, and encoders of two blocks."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from maskssl.models.backbones.plain_vit import PlainViT

ARCH = dict(embed_dims=24, num_layers=2, num_heads=2)
CLASSES = ("flat", "lying", "standing")


def write_pictures(folder: Path, split: str, per_class: int, seed: int) -> None:
    """Stripes of 16 x 16 pixels in heavy noise."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :16]
    patterns = (0 * x, np.sign(np.sin(y * 1.6)), np.sign(np.sin(x * 1.6)))
    for name, pattern in zip(CLASSES, patterns, strict=True):
        for number in range(per_class):
            noise = generator.normal(0, 80, (16, 16, 3))
            pixels = np.clip(128 + 40 * pattern[..., None] + noise, 0, 255).astype(np.uint8)
            path = folder / split / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)


def save_encoder(path: Path, seed: int = 1, damaged: bool = False, **settings) -> Path:
    """Random weights, which tell stripes apart; damaged ones see every patch alike."""
    torch.manual_seed(seed)
    weights = PlainViT(arch=ARCH, img_size=16, patch_size=4, **settings).state_dict()
    if damaged:
        weights["patch_embed.proj.weight"].zero_()
    config = f"model = dict(backbone=dict(arch={ARCH}))"
    torch.save(dict(state_dict=weights, meta=dict(cfg=config)), path)
    return path
