"""A small world: striped pictures of three classes, and encoders of two blocks."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from maskssl.models.backbones.plain_vit import PlainViT
from maskssl.quickstart.scenes.scene import dense_scene
from maskssl.quickstart.scenes.writer import coco_annotations

ARCH = dict(embed_dims=24, num_layers=2, num_heads=2)
CLASSES = ("flat", "lying", "standing")


def write_pictures(
    folder: Path, split: str, per_class: int, seed: int, shuffled: bool = False
) -> None:
    """Stripes of 16 x 16 pixels in heavy noise; shuffled, labels have nothing to do with them."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :16]
    patterns = (0 * x, np.sign(np.sin(y * 1.6)), np.sign(np.sin(x * 1.6)))
    for name, pattern in zip(CLASSES, patterns, strict=True):
        for number in range(per_class):
            noise = generator.normal(0, 80, (16, 16, 3))
            if shuffled:
                pattern = patterns[generator.integers(3)]
            pixels = np.clip(128 + 40 * pattern[..., None] + noise, 0, 255).astype(np.uint8)
            path = folder / split / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)


def write_maps(folder: Path, split: str, count: int, seed: int) -> None:
    """Pictures of 24 x 16 pixels, each half another pattern, and what stands where; 255 between."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :24]
    patterns = (0 * x, np.sign(np.sin(y * 1.6)), np.sign(np.sin(x * 1.6)))
    for number in range(count):
        left, right = generator.permutation(3)[:2]
        pattern = np.where(x < 12, patterns[left], patterns[right])
        noise = generator.normal(0, 30, (16, 24, 3))
        pixels = np.clip(128 + 60 * pattern[..., None] + noise, 0, 255).astype(np.uint8)
        labels = np.where(x < 12, left, right).astype(np.uint8)
        labels[:, 11:13] = 255
        for kind, picture in (("images", pixels), ("masks", labels)):
            path = folder / kind / split / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)


def write_objects(folder: Path, split: str, count: int, seed: int) -> None:
    """Drawn scenes of 64 x 64 with their COCO file."""
    objects, images = [], []
    for number in range(count):
        scene = dense_scene(seed, split, number)
        path = folder / split / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene.image).save(path)
        images.append(dict(id=number, file_name=f"{number}.png", width=64, height=64))
        for entry in coco_annotations(scene):
            objects.append(entry | dict(id=len(objects) + 1, image_id=number))
    categories = [dict(id=number, name=f"shape {number}") for number in range(1, 9)]
    content = dict(images=images, annotations=objects, categories=categories)
    (folder / f"instances_{split}.json").write_text(json.dumps(content))


def save_encoder(
    path: Path, seed: int = 1, damaged: bool = False, arch: dict = ARCH, **settings
) -> Path:
    """Random weights, which tell stripes apart; damaged ones see every patch alike."""
    torch.manual_seed(seed)
    weights = PlainViT(arch=arch, img_size=16, patch_size=4, **settings).state_dict()
    if damaged:
        weights["patch_embed.proj.weight"].zero_()
    config = f"model = dict(backbone=dict(arch={arch}))"
    torch.save(dict(state_dict=weights, meta=dict(cfg=config)), path)
    return path
