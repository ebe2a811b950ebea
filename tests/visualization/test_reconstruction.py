"""Pictures: what is visible stays, what is masked is grey or filled; the model is left alone."""

import copy
import errno
import logging
import os
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from PIL import Image

from maskssl.cli.pretraining_pictures import draw_reconstructions
from maskssl.engine.hooks.reconstruction import ReconstructionHook, untouched_randomness
from maskssl.errors import MaskSSLError
from maskssl.masking import block_mask, split_ordering
from maskssl.models.layers.patches import (
    paste_prediction,
    patch_statistics,
    patchify,
    standardise,
    unpatchify,
)
from maskssl.visualization.reconstruction import picture_grid, reconstruct

MEAN, STD = (100.0, 127.5, 140.0), (127.5, 50.0, 60.0)


def build():
    torch.manual_seed(0)
    arch = dict(embed_dims=16, num_layers=2, num_heads=2)
    return MODELS.build(
        dict(
            type="BootMAE",
            backbone=dict(type="PlainViT", arch=arch, img_size=(16, 24), patch_size=8),
            neck=dict(type="TargetAwareDecoders", pixel=dict(embed_dims=8)),
            head=dict(type="BootMAEHead"),
            target_generator=dict(type="MomentumEncoder"),
            data_preprocessor=dict(type="SelfSupDataPreprocessor", mean=MEAN, std=STD, to_rgb=True),
        )
    )


def pixels(count: int = 2) -> torch.Tensor:
    """uint8 RGB images of 16 x 24."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, 16, 24), generator=generator).float()


def normalised(images: torch.Tensor) -> torch.Tensor:
    return (images - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


IDS = torch.tensor([[4, 0, 1, 2, 3, 5], [2, 5, 0, 1, 3, 4]])  # 2 x 3 patches; 2 visible


def places() -> torch.Tensor:
    """(2, 16, 24) True where a pixel belongs to a masked patch, by hand."""
    masked = torch.ones(2, 16, 24, dtype=torch.bool)
    masked[0, 8:, 8:16] = masked[0, :8, :8] = False  # patches 4 and 0
    masked[1, :8, 16:] = masked[1, 8:, 16:] = False  # patches 2 and 5
    return masked


def test_the_three_columns():
    model, images = build(), pixels()
    model.mask_num = 4
    original, grey, filled = reconstruct(model, normalised(images), IDS)
    torch.testing.assert_close(original, images / 255, rtol=0, atol=1e-5)
    masked = places()[:, None].expand(-1, 3, -1, -1)
    assert (grey[masked] == 0.5).all()
    for picture in (grey, filled):
        torch.testing.assert_close(picture[~masked], original[~masked], rtol=0, atol=1e-6)
    assert not torch.allclose(filled[masked], original[masked], atol=0.05)
    assert filled.min() >= 0 and filled.max() <= 1

    # the prediction, given the true patch's mean and contrast
    prediction, _ = model.eval().predict_targets(normalised(images), split_ordering(IDS, 2))
    mean, std = patch_statistics(normalised(images), 8)
    scale, shift = (torch.tensor(values)[:, None, None] for values in (STD, MEAN))
    expected = (((prediction * std + mean) * scale + shift) / 255).clamp(0, 1)
    torch.testing.assert_close(filled[masked], expected[masked], rtol=0, atol=1e-5)


def test_a_perfect_prediction_restores_the_image():
    images = normalised(pixels())
    mask = torch.tensor([[[1, 0, 1], [0, 1, 1]], [[0, 0, 0], [1, 1, 1]]], dtype=torch.bool)
    perfect = unpatchify(standardise(patchify(images, 8)), (2, 3))
    restored = paste_prediction(images, perfect, mask)
    torch.testing.assert_close(restored, images, rtol=0, atol=1e-5)
    zeros = paste_prediction(images, torch.zeros_like(images), mask)
    patch = images[0, 1, :8, :8]
    torch.testing.assert_close(zeros[0, 1, :8, :8], patch.mean().expand(8, 8))
    torch.testing.assert_close(zeros[0, 1, :8, 8:16], images[0, 1, :8, 8:16])


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(training):
    model = build().train(training)
    before = copy.deepcopy(model.state_dict())
    columns = reconstruct(model, normalised(pixels()), IDS)
    assert model.training == training
    assert model.backbone.training == training
    assert not model.target_generator.training
    assert not any(column.requires_grad for column in columns)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_no_path_is_dropped_in_a_picture():
    model = build().train()
    for block in model.backbone.blocks:
        block.drop_path.drop_prob = 0.9
    first, second = (reconstruct(model, normalised(pixels()), IDS)[2] for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_a_page_shows_each_image_under_its_title():
    """Cells of side x height, 4 pixels apart, 18 below the top; small images in blocks."""
    columns = [torch.rand(2, 3, 4, 8, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    page = np.asarray(picture_grid(columns, ("a", "b", "c"), side=32))
    assert page.shape == (18 + 2 * (16 + 4), 3 * 36 + 4, 3)
    for x, column in enumerate(columns):
        for y, image in enumerate(column):
            top, left = 18 + y * 20, 4 + x * 36
            cell = page[top : top + 16, left : left + 32]
            expected = (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
            np.testing.assert_array_equal(cell, expected.repeat(4, axis=0).repeat(4, axis=1))
    assert (page[18 + 16 : 18 + 20] == 255).all()  # the gap between rows
    assert (page[:18] < 128).any()  # titles
    with pytest.raises(ValueError, match="zip"):
        picture_grid(columns, ("a", "b"))


# A picture of one's own images

CONFIG = f"""
model = dict(
    type="BootMAE",
    backbone=dict(type="PlainViT", arch=dict(embed_dims=16, num_layers=2, num_heads=2),
                  img_size=(16, 24), patch_size=8),
    neck=dict(type="TargetAwareDecoders", pixel=dict(embed_dims=8)),
    head=dict(type="BootMAEHead"),
    target_generator=dict(type="MomentumEncoder"),
    data_preprocessor=dict(
        type="SelfSupDataPreprocessor", mean={MEAN}, std={STD}, to_rgb=True
    ),
)
train_dataloader = dict(dataset=dict(pipeline=[
    dict(type="LoadImage"),
    dict(type="RandomResizedCrop", scale=(16, 24), crop_ratio_range=(0.5, 1.0)),
    dict(type="BlockMask", grid=(2, 3)),
    dict(type="PackInputs", algorithm_keys=["mask"]),
]))
default_scope = "mmpretrain"
"""


@pytest.fixture
def draw(tmp_path):
    """A function of weights and images that returns the pixels of the page."""
    (tmp_path / "config.py").write_text(CONFIG)
    folder = tmp_path / "images" / "deep"
    folder.mkdir(parents=True)
    for index, image in enumerate(pixels(4)):
        array = image.byte().permute(1, 2, 0).numpy()
        Image.fromarray(array).resize((60, 40)).save(folder / f"{index}.png")

    def draw(weights, images=("images",), **options) -> np.ndarray:
        torch.save(dict(state_dict=weights), tmp_path / "epoch_1.pth")
        out = str(tmp_path / "page.png")
        paths = [str(tmp_path / image) for image in images]
        config, checkpoint = str(tmp_path / "config.py"), str(tmp_path / "epoch_1.pth")
        assert draw_reconstructions(config, checkpoint, paths, out, **options) == out
        return np.asarray(Image.open(out))

    scopes = dict(DefaultScope._instance_dict)
    yield draw
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(scopes)


def rows(page: np.ndarray) -> int:
    return (page.shape[0] - 18) // (round(128 * 16 / 24) + 4)


def test_files_and_folders_are_drawn_with_the_weights_of_the_checkpoint(draw):
    model = build()
    page = draw(model.state_dict())
    assert rows(page) == 4
    assert rows(draw(model.state_dict(), limit=3)) == 3
    assert rows(draw(model.state_dict(), ["images/deep/2.png"])) == 1
    np.testing.assert_array_equal(draw(model.state_dict()), page)  # by seed
    assert (draw(model.state_dict(), seed=1) != page).any()
    model.neck.to_pixels.bias.data += 0.5
    changed = (draw(model.state_dict()) != page).any(axis=(0, 2))
    assert changed[2 * 132 + 4 :].any() and not changed[: 2 * 132 + 4].any()  # the last column


def test_no_images_are_refused(draw, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(MaskSSLError, match=f"no images in {tmp_path}/empty"):
        draw(build().state_dict(), ["empty"])


def test_weights_of_another_model_are_refused(draw):
    state = build().state_dict()
    less = {name: value for name, value in state.items() if "to_pixels.bias" not in name}
    wider = {**state, "neck.to_pixels.weight": torch.ones(9, 3, 8, 8)}
    for weights in (less, {**state, "extra.weight": torch.ones(1)}, wider, {}):
        with pytest.raises(MaskSSLError, match=r"epoch_1\.pth is no checkpoint of .*config\.py"):
            draw(weights)
    with pytest.raises(MaskSSLError, match=r"1 tensors .* another shape \(neck\.to_pixels\.weight"):
        draw(wider)


# The hook


class Images(torch.utils.data.Dataset):
    """BGR images, each with a fresh block mask."""

    def __len__(self) -> int:
        return 9

    def __getitem__(self, index: int):
        sample = DataSample()
        sample.set_field(block_mask((2, 3)).numpy(), "mask")
        np.random.rand(3)
        return dict(inputs=pixels(9)[index].flip(0), data_samples=sample)


def runner(model, work_dir, epoch: int, max_epochs: int = 5):
    loader = SimpleNamespace(dataset=Images(), collate_fn=default_collate)
    return SimpleNamespace(
        model=model,
        work_dir=str(work_dir),
        epoch=epoch,
        max_epochs=max_epochs,
        train_dataloader=loader,
    )


def test_the_hook_draws_at_its_interval_and_at_the_end(tmp_path):
    model, hook = build().train(), ReconstructionHook(interval=2, num_images=3)
    hook.before_train(runner(model, tmp_path, 0))
    for epoch in range(5):
        torch.rand(1)  # training goes on
        hook.after_train_epoch(runner(model, tmp_path, epoch))
    written = sorted(path.name for path in (tmp_path / "reconstructions").iterdir())
    assert written == ["epoch_2.png", "epoch_4.png", "epoch_5.png"]
    pictures = [Image.open(tmp_path / "reconstructions" / name).tobytes() for name in written]
    assert pictures[0] == pictures[1] == pictures[2]  # same model, same images, same masks
    assert model.training

    height = round(128 * 16 / 24)
    page = np.asarray(Image.open(tmp_path / "reconstructions" / "epoch_5.png"))
    assert page.shape == (18 + 3 * (height + 4), 3 * 132 + 4, 3)
    shown = page[18 : 18 + height, 4:132]  # colours in their order again
    expected = Image.fromarray(pixels(9)[0].byte().permute(1, 2, 0).numpy())
    expected = np.asarray(expected.resize((128, height), Image.Resampling.NEAREST))
    np.testing.assert_allclose(shown, expected, atol=1)


def test_the_pictures_are_spread_over_the_set(tmp_path):
    hook = ReconstructionHook(num_images=3)
    hook.before_train(runner(build(), tmp_path, 0))
    taken = torch.stack(list(hook._batch["inputs"]))
    assert torch.equal(taken, pixels(9)[[0, 3, 6]].flip(1))


def test_pictures_do_not_change_the_run(tmp_path):
    model, hook = build().train(), ReconstructionHook()
    torch.manual_seed(7)
    np.random.seed(7)
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(7)
    np.random.seed(7)
    hook.before_train(runner(model, tmp_path, 0))
    hook.after_train_epoch(runner(model, tmp_path, 0))
    assert (tmp_path / "reconstructions" / "epoch_1.png").is_file()
    torch.testing.assert_close(torch.rand(3), expected[0], rtol=0, atol=0)
    np.testing.assert_array_equal(np.random.rand(3), expected[1])


def test_a_picture_that_finds_no_space_is_left_out(tmp_path, monkeypatch):
    def save(picture, path, *args) -> None:
        if Path(path).name != "epoch_3.png":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        kept(picture, path, *args)

    kept, told = Image.Image.save, []
    monkeypatch.setattr(Image.Image, "save", save)
    model, hook = build().train(), ReconstructionHook()
    hook.before_train(runner(model, tmp_path, 0))
    for epoch in range(3):
        training = runner(model, tmp_path, epoch)
        training.logger = logging.getLogger("full")
        monkeypatch.setattr(training.logger, "warning", told.append)
        hook.after_train_epoch(training)
    assert [path.name for path in (tmp_path / "reconstructions").iterdir()] == ["epoch_3.png"]
    assert len(told) == 1 and "pictures of reconstructions" in told[0]


def test_randomness_is_restored_after_an_error_too():
    def draw():
        return torch.rand(1).item(), np.random.rand(), random.random()

    with untouched_randomness():
        expected = draw()
    with pytest.raises(KeyError), untouched_randomness():
        draw()
        raise KeyError
    assert draw() == expected
