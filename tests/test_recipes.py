"""The configs at paper scale keep to the published recipes, step by step of the lr."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS
from torch import nn

CONFIGS = Path(__file__).parents[1] / "configs"

# GPUs, images per GPU and forward, lr, weight decay, epochs or iterations
RECIPES = {
    "pretrain/bootmae_vit-base_16xb256-amp-coslr-800e_in1k.py": (16, 256, 2.4e-3, 0.05, 801),
    "pretrain/bootmae_vit-large_16xb128-amp-coslr-800e_in1k.py": (16, 128, 1.2e-3, 0.05, 801),
    "finetune/bootmae_vit-base_8xb256-100e_in1k.py": (8, 256, 5e-3, 0.05, 100),
    "finetune/bootmae_vit-large_8xb128-50e_in1k.py": (8, 128, 1.5e-3, 0.05, 50),
    "finetune/bootmae_vit-base-linear_8xb1024-90e_in1k.py": (8, 1024, 6.4, 0.0, 90),
    "finetune/bootmae_vit-large-linear_8xb1024-50e_in1k.py": (8, 1024, 4.48, 0.0, 50),
    "seg/upernet_bootmae_vit-base_8xb2-160k_ade20k-512x512.py": (8, 2, 4e-4, 0.05, 160000),
    "seg/upernet_bootmae_vit-large_8xb2-160k_ade20k-512x512.py": (8, 2, 4e-5, 0.05, 160000),
    "det/mask-rcnn_bootmae_vit-base_16xb2-1x_coco.py": (16, 2, 3e-4, 0.05, 12),
    "det/mask-rcnn_bootmae_vit-large_16xb2-1x_coco.py": (16, 2, 2e-4, 0.05, 12),
}


def load(name: str) -> Config:
    return Config.fromfile(CONFIGS / name)


@pytest.mark.parametrize("name", RECIPES)
def test_published_numbers(name):
    cfg = load(name)
    gpus, batch, lr, decay, length = RECIPES[name]
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.auto_scale_lr.base_batch_size == gpus * batch
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(lr)
    assert cfg.optim_wrapper.optimizer.weight_decay == decay
    assert cfg.train_cfg.get("max_epochs", cfg.train_cfg.get("max_iters")) == length


def test_published_masking():
    name = "pretrain/bootmae_vit-base_16xb256-amp-coslr-800e_in1k.py"
    cfg = load(name)
    assert cfg.model.mask_num == 147
    block_mask = cfg.train_dataloader.dataset.pipeline[3]
    assert (block_mask.num_masks, block_mask.min_area, block_mask.max_area) == (120, 16, 60)
    assert cfg.model.target_generator.schedule.dynamic is True
    large = load(name.replace("base_16xb256", "large_16xb128"))
    assert large.model.target_generator.schedule.dynamic is False


def lr_curve(cfg: Config, epoch_length: int, lr_scale: float = 1.0) -> list[float]:
    """The learning rate of every step, as mmengine's runner makes it."""
    lr = cfg.optim_wrapper.optimizer.lr * lr_scale
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    schedulers = []
    for entry in cfg.param_scheduler:
        entry = dict(entry)
        to_iter = entry.pop("convert_to_iter_based", False)
        in_epochs = entry.get("by_epoch", True)
        entry.setdefault("end", cfg.train_cfg["max_epochs" if in_epochs else "max_iters"])
        scheduler = PARAM_SCHEDULERS.get(entry.pop("type"))
        if to_iter:
            scheduler = scheduler.build_iter_from_epoch
            entry["epoch_length"] = epoch_length
        schedulers.append(scheduler(optimizer, **entry))
    steps = cfg.train_cfg.get("max_iters") or cfg.train_cfg.max_epochs * epoch_length
    values = []
    for _ in range(steps):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return values


@pytest.mark.parametrize(
    ("name", "warm_epochs", "floor"),
    [
        ("pretrain/bootmae_vit-base_16xb256-amp-coslr-800e_in1k.py", 40, 1e-4),
        ("pretrain/bootmae_vit-large_16xb128-amp-coslr-800e_in1k.py", 40, 1e-5),
        ("finetune/bootmae_vit-base_8xb256-100e_in1k.py", 20, 1e-6),
        ("finetune/bootmae_vit-large_8xb128-50e_in1k.py", 5, 1e-6),
        ("finetune/bootmae_vit-base-linear_8xb1024-90e_in1k.py", 10, 0.0),
    ],
)
def test_learning_rate_follows_the_authors(name, warm_epochs, floor):
    """Straight up from 0 to the peak, then half a cosine to the floor (cosine_scheduler)."""
    cfg, epoch_length = load(name), 5
    # the fine-tuning floor is the last layer's; others have their own share of it
    scale = cfg.optim_wrapper.paramwise_cfg.layer_decay_rate
    peak, floor = cfg.optim_wrapper.optimizer.lr * scale, floor * scale
    warm, total = warm_epochs * epoch_length, cfg.train_cfg.max_epochs * epoch_length
    falling = torch.arange(total - warm, dtype=torch.float64) / (total - warm)
    expected = torch.cat(
        [
            torch.linspace(0, peak, warm, dtype=torch.float64),
            floor + (peak - floor) * 0.5 * (1 + torch.cos(torch.pi * falling)),
        ]
    )
    curve = torch.tensor(lr_curve(cfg, epoch_length, scale), dtype=torch.float64)
    torch.testing.assert_close(curve, expected, rtol=1e-5, atol=2e-6 * peak)


def test_segmentation_warms_up_along_the_falling_line():
    """mmcv's poly with linear warm-up, which the authors use."""
    cfg = load("seg/upernet_bootmae_vit-base_8xb2-160k_ade20k-512x512.py")
    peak = cfg.optim_wrapper.optimizer.lr
    curve = lr_curve(cfg, 1)
    for step in (0, 1, 700, 1499, 1500, 80000, 159999):
        line = peak * (1 - step / 160000)
        warm = 1 - (1 - min(step, 1500) / 1500) * (1 - 1e-6)
        assert curve[step] == pytest.approx(line * warm, rel=2e-3, abs=1e-5 * peak)
