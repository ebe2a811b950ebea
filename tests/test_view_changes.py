"""Changes made in batch against torchvision's on Pillow images, bit for bit."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as F

from maskssl.view_changes import NOTHING, Change, changed_views

FACTORS = [0.0, 0.2, 0.6, 0.9999999, 1.0, 1.0000001, 1.4, 1.8, 3.0]
ADJUST = {
    Change.BRIGHTNESS: F.adjust_brightness,
    Change.CONTRAST: F.adjust_contrast,
    Change.SATURATION: F.adjust_saturation,
}


def pictures(count: int, size: tuple[int, int] = (40, 37)) -> torch.Tensor:
    """Noise of all contrasts, with corners that are black, white, grey and of one colour each."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, *size, 3))
    spread = rng.uniform(0, 1, (count, 1, 1, 3))
    pixels = (pixels * spread + rng.uniform(0, 255, (count, 1, 1, 3)) * (1 - spread)).astype(int)
    for row, colour in enumerate([(0, 0, 0), (255, 255, 255), (77, 77, 77), (255, 0, 0)]):
        pixels[:, row, :9] = colour
    return torch.from_numpy(pixels.astype(np.uint8)).permute(0, 3, 1, 2)  # (B, 3, H, W) BGR


def by_pillow(image: torch.Tensor, function) -> torch.Tensor:
    made = function(Image.fromarray(image.flip(0).permute(1, 2, 0).numpy()))
    return torch.from_numpy(np.array(made)).permute(2, 0, 1).flip(0)


def made(images: torch.Tensor, drawn: list) -> torch.Tensor:
    return changed_views(images, torch.tensor(drawn))


@pytest.mark.parametrize("change", ADJUST)
def test_factors_are_pillows(change):
    images = pictures(len(FACTORS))
    found = made(images, [[(change, factor)] for factor in FACTORS])
    for image, ours, factor in zip(images, found, FACTORS, strict=True):
        theirs = by_pillow(image, lambda x, factor=factor: ADJUST[change](x, factor))
        assert torch.equal(ours, theirs)
        assert factor == 1 or abs(factor - 1) < 1e-6 or not torch.equal(ours, image)


def test_the_mean_of_contrast_is_rounded_as_pillows():
    """Grey pictures whose mean is a half, and the next to it on both sides."""
    images = torch.full((3, 3, 4, 4), 100, dtype=torch.uint8)
    for image, brighter in zip(images, (7, 8, 9), strict=True):
        image.view(3, 16)[:, :brighter] = 101
    found = made(images, [[(Change.CONTRAST, 0.0)]] * 3)
    assert found[:, 0, 0, 0].tolist() == [100, 101, 101]
    for image, ours in zip(images, found, strict=True):
        assert torch.equal(ours, by_pillow(image, lambda x: F.adjust_contrast(x, 0.0)))


def test_every_hue_and_grey_are_pillows():
    images = pictures(256, (16, 13))
    found = made(images, [[(Change.HUE, step)] for step in range(256)])
    for step, (image, ours) in enumerate(zip(images, found, strict=True)):
        factor = (step + 0.5) / 255 if step < 127 else (step - 256.5) / 255  # to that step
        if abs(factor) <= 0.5:
            assert torch.equal(ours, by_pillow(image, lambda x, f=factor: F.adjust_hue(x, f)))
    assert (found[100] != images[100]).float().mean() > 0.5
    for image, ours in zip(images, made(images, [[(Change.GREY, 0)]] * 256), strict=True):
        assert torch.equal(ours, by_pillow(image, lambda x: F.rgb_to_grayscale(x, 3)))


@pytest.mark.parametrize("factor", [0.0, 0.3, -0.45])
def test_colours_of_the_whole_cube_turn_as_pillows(factor):
    colours = np.arange(0, 1 << 24, 61, dtype=">u4").view(np.uint8).reshape(-1, 4)[:, 1:]
    images = torch.from_numpy(colours.copy()).T[None, :, None]
    [found] = made(images, [[(Change.HUE, int(factor * 255) % 256)]])
    assert torch.equal(found, by_pillow(images[0], lambda x: F.adjust_hue(x, factor)))


def test_changes_come_in_the_order_of_each_image():
    """The same four in two orders, one image left alone: none sees another's."""
    first = [(Change.BRIGHTNESS, 1.4), (Change.CONTRAST, 0.6), (Change.HUE, 20), (Change.FLIP, 0)]
    images = pictures(1).repeat(3, 1, 1, 1)
    given = images.clone()
    found = made(images, [first, first[::-1], [NOTHING] * 4])
    assert torch.equal(images, given)

    def one_by_one(image, changes):
        for change in changes:
            image = made(image[None], [[change]])[0]
        return image

    assert torch.equal(found[0], one_by_one(images[0], first))
    assert torch.equal(found[1], one_by_one(images[0], first[::-1]))
    assert not torch.equal(found[0], found[1])
    assert torch.equal(found[2], images[2])
    assert torch.equal(made(images, [[(Change.FLIP, 0)]] * 3), images.flip(-1))


def test_views_are_of_the_same_images():
    images, grey, flip = pictures(2), (Change.GREY, 0), (Change.FLIP, 0)
    drawn = [[[grey], [NOTHING]], [[NOTHING], [flip]]]  # (B, V, L, 2)
    student, teacher = made(images, drawn)
    assert torch.equal(student, torch.stack([made(images, [[grey]] * 2)[0], images[1]]))
    assert torch.equal(teacher, torch.stack([images[0], images[1].flip(-1)]))
