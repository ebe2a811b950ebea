"""timm's augmentations inside mmpretrain's pipeline."""

import random

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose, default_collate
from mmengine.registry import MODELS, DefaultScope
from PIL import Image

from maskssl.datasets.draws.draw import Draw, seeded_randomness
from maskssl.datasets.draws.seeded_dataset import SeededDataset
from maskssl.datasets.transforms.timm_augment import TimmRandAugment, TimmRandomErasing
from maskssl.errors import MaskSSLError
from tests.recipe_table import config

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def erase(seed: int, prob: float = 1.0, level: int = 7) -> np.ndarray:
    step = TimmRandomErasing(prob=prob, mean=MEAN, std=STD)
    with seeded_randomness(seed):
        return step(dict(img=np.full((64, 48, 3), level, dtype=np.uint8)))["img"]


def test_the_erased_pixels_are_normal_behind_the_normalisation():
    """Mean 0, deviation 1 and no correlation of channels; beyond what a picture can hold."""
    noise = []
    for seed in range(60):
        image = erase(seed)
        assert image.dtype == np.float32 and image.shape == (64, 48, 3)
        erased = (image != 7).all(-1)
        rows, columns = np.nonzero(erased)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert erased.sum() == height * width  # one rectangle
        assert 0.015 < erased.mean() < 0.36
        assert 0.27 < height / width < 3.7
        assert (image[~erased] == 7).all()
        noise.append((image[erased][:, ::-1] - MEAN) / STD)  # BGR
    normal = np.concatenate(noise)
    assert abs(normal.mean(0)).max() < 0.02
    np.testing.assert_allclose(normal.std(0), 1, atol=0.02)
    assert abs(np.corrcoef(normal.T)[np.triu_indices(3, 1)]).max() < 0.03
    assert normal.max() > 3.5 and normal.min() < -3.5
    assert (normal * STD + MEAN).max() > 300 and (normal * STD + MEAN).min() < -40


def test_a_share_of_the_images_stays_whole_and_float():
    images = [erase(seed, prob=0.25) for seed in range(200)]
    assert {image.dtype for image in images} == {np.dtype(np.float32)}
    whole = sum((image == 7).all() for image in images)
    assert 130 <= whole <= 170


def test_what_is_erased_depends_on_the_draw_alone():
    np.testing.assert_array_equal(erase(3), erase(3))
    assert not np.array_equal(erase(3), erase(4))


def corners(mean: list[float], count: int = 150) -> set[tuple[int, ...]]:
    """Colours of the corners of a picture of two greys, after turns and shifts."""
    step, found = TimmRandAugment("rand-m9-mstd0.5-inc1", mean), set()
    for seed in range(count):
        random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
        image = step(dict(img=Image.new("RGB", (32, 32), (200, 10, 10))))["img"]
        found |= {image.getpixel(corner) for corner in ((0, 0), (31, 0), (0, 31), (31, 31))}
    return found


def test_bared_corners_take_the_methods_mean():
    assert (124, 116, 104) in corners(MEAN) and (128, 128, 128) not in corners(MEAN)
    assert (128, 128, 128) in corners([127.5] * 3)


@pytest.mark.parametrize("policy", ["v0", "rand-m9-xx5", "augmix-m3"])
def test_another_policy_is_refused(policy):
    with pytest.raises(MaskSSLError, match=f"policy='{policy}' is none of timm's RandAugment"):
        TimmRandAugment(policy, MEAN)


class Pictures:
    """Eight pictures of noise through the fine-tuning pipeline at paper scale."""

    def __init__(self, folder) -> None:
        name = "finetune/extrema_vit-base-p16_finetune_8xb128-amp-coslr-100e_in1k.py"
        self.cfg, self.folder = config(name), folder
        with DefaultScope.overwrite_default_scope("mmpretrain"):
            self.pipeline = Compose(self.cfg.train_dataloader.dataset.pipeline)
        for index in range(8):
            pixels = np.random.default_rng(index).integers(0, 256, (30, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((256, 240)).save(folder / f"{index}.png")

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int):
        return self.pipeline(dict(img_path=str(self.folder / f"{index}.png"), gt_label=index))


def test_a_fine_tuning_sample_depends_on_seed_epoch_and_image(tmp_path):
    pictures = Pictures(tmp_path)
    seeded = SeededDataset(pictures, seed=5)
    first = [seeded[Draw(epoch, 3)]["inputs"] for epoch in range(6)]
    random.random(), np.random.rand(), torch.rand(1)
    again = [SeededDataset(pictures, seed=5)[Draw(epoch, 3)]["inputs"] for epoch in (5, 4, 0)]
    for one, other in zip((first[5], first[4], first[0]), again, strict=True):
        assert torch.equal(one, other)
    assert sum(torch.equal(first[0], other) for other in first) == 1
    assert not torch.equal(first[0], SeededDataset(pictures, seed=6)[Draw(0, 3)]["inputs"])


def test_a_batch_of_them_is_normalised_and_mixed_by_the_model(tmp_path):
    pictures = Pictures(tmp_path)
    seeded = SeededDataset(pictures, seed=1)
    batch = default_collate([seeded[Draw(0, index)] for index in range(8)])
    assert batch["inputs"].dtype == torch.float32
    cfg = pictures.cfg.model
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        prepare = MODELS.build(dict(cfg.data_preprocessor, batch_augments=cfg.train_cfg))
    mixed = prepare(batch, training=True)
    scores = torch.stack([sample.gt_score for sample in mixed["data_samples"]])
    torch.testing.assert_close(scores.sum(-1), torch.ones(8))
    assert (scores.max(-1).values < 1).any()
    plain = prepare(default_collate([seeded[Draw(0, i)] for i in range(8)]))["inputs"]
    assert plain.max() > 2.7 or plain.min() < -2.2  # noise; white is at 2.64, black at -2.12
