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
    "pretrain/extrema_vit-base_8xb256-amp-coslr-300e_in1k.py": (8, 256, 1.2e-3, 0.1, 300),
    "pretrain/extrema_vit-base_8xb256-amp-coslr-30e_in22k.py": (8, 256, 1.2e-3, 0.1, 30),
    "finetune/extrema_vit-base_8xb128-100e_in1k.py": (8, 128, 2e-3, 0.05, 100),
    "finetune/extrema_vit-base-linear_8xb512-90e_in1k.py": (8, 512, 1.6, 0.0, 90),
    "seg/upernet_extrema_vit-base_8xb2-160k_ade20k-512x512.py": (8, 2, 1e-4, 0.05, 160000),
    "seg/upernet_extrema_vit-large_8xb2-160k_ade20k-512x512.py": (8, 2, 4e-5, 0.05, 160000),
    "det/mask-rcnn_extrema_vit-base_16xb2-1x_coco.py": (16, 2, 3e-4, 0.05, 12),
    "det/mask-rcnn_extrema_vit-large_16xb2-1x_coco.py": (16, 2, 2e-4, 0.05, 12),
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


def test_published_multi_masking():
    name = "pretrain/extrema_vit-base_8xb256-amp-coslr-300e_in1k.py"
    masks = {
        file: (load(file).model.mask_ratio, load(file).model.num_masks)
        for file in (name, name.replace(".py", "_90x8.py"), name.replace(".py", "_no-colour.py"))
    }
    assert list(masks.values()) == [(0.8, 5), (0.9, 8), (0.8, 5)]
    model = load(name).model
    assert model.disjoint and model.backbone.drop_path_rate == 0.1
    assert dict(model.target_generator.schedule) == dict(type="cosine", start=0.996)
    assert (model.neck.num_layers, model.head.predictor.num_layers) == (3, 2)
    assert (model.neck.hidden_channels, model.neck.out_channels) == (4096, 256)
    assert dict(model.backbone.class_attention) == dict(num_layers=2, layer_scale_init=0.1)
    large = load(name.replace("base", "large")).model.backbone.class_attention
    assert dict(large) == dict(num_layers=2, layer_scale_init=1e-5)


def test_published_colours_of_the_views():
    cfg = load("pretrain/extrema_vit-base_8xb256-amp-coslr-300e_in1k.py")
    jitter, grey = cfg.train_dataloader.dataset.pipeline[3].transforms[0]
    colours = jitter.transforms[0]
    assert (jitter.prob, grey.prob) == (0.8, 0.2)
    strengths = [colours[key] for key in ("brightness", "contrast", "saturation", "hue")]
    assert strengths == [0.4, 0.4, 0.2, 0.1]


def test_extrema_finetunes_as_published():
    cfg = load("finetune/extrema_vit-base_8xb128-100e_in1k.py")
    assert cfg.model.backbone.drop_path_rate == 0.2 and cfg.model.backbone.pos_embed_trainable
    assert cfg.optim_wrapper.paramwise_cfg.layer_decay_rate == 0.65
    assert cfg.custom_hooks == []


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


@pytest.mark.parametrize(
    ("name", "warm_epochs", "floor"),
    [
        ("pretrain/extrema_vit-base_8xb256-amp-coslr-300e_in1k.py", 40, 0.0),
        ("pretrain/extrema_vit-base_8xb256-amp-coslr-30e_in22k.py", 4, 0.0),
        ("finetune/extrema_vit-base-linear_8xb512-90e_in1k.py", 10, 0.0),
    ],
)
def test_extremas_learning_rate_is_that_of_its_fractional_epoch(name, warm_epochs, floor):
    """lr * t / warm-up, then half a cosine in t (main.py: adjust_learning_rate).

    mmengine's warm-up arrives one step earlier.
    """
    cfg, epoch_length = load(name), 5
    peak, epochs = cfg.optim_wrapper.optimizer.lr, cfg.train_cfg.max_epochs
    t = torch.arange(epochs * epoch_length, dtype=torch.float64) / epoch_length
    falling = (t - warm_epochs) / (epochs - warm_epochs)
    cosine = floor + (peak - floor) * 0.5 * (1 + torch.cos(torch.pi * falling))
    expected = torch.where(t < warm_epochs, peak * t / warm_epochs, cosine)
    curve = torch.tensor(lr_curve(cfg, epoch_length), dtype=torch.float64)
    step = peak / (warm_epochs * epoch_length)
    assert (curve - expected).abs().max() < 1.1 * step
    torch.testing.assert_close(curve[t >= warm_epochs], expected[t >= warm_epochs])


def test_segmentation_warms_up_along_the_falling_line():
    """mmcv's poly with linear warm-up, which the authors use."""
    cfg = load("seg/upernet_bootmae_vit-base_8xb2-160k_ade20k-512x512.py")
    peak = cfg.optim_wrapper.optimizer.lr
    curve = lr_curve(cfg, 1)
    for step in (0, 1, 700, 1499, 1500, 80000, 159999):
        line = peak * (1 - step / 160000)
        warm = 1 - (1 - min(step, 1500) / 1500) * (1 - 1e-6)
        assert curve[step] == pytest.approx(line * warm, rel=2e-3, abs=1e-5 * peak)
