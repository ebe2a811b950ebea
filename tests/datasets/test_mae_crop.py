"""The probe's crop: drawn once, log-uniform in aspect, cut off at the border."""

import math

import numpy as np
import pytest
from mmpretrain.registry import TRANSFORMS

from maskssl.datasets.transforms import mae_crop

IMAGE = np.zeros((100, 400, 3), dtype=np.uint8)


def build(**options):
    return TRANSFORMS.build({**dict(type="MAEResizedCrop", scale=32), **options})


@pytest.fixture
def draws(monkeypatch):
    """Uniform draws, one after the other, as shares of their range; then none."""

    def script(*shares: float) -> list[tuple[float, float]]:
        left, ranges = list(shares), []

        def uniform(low, high):
            ranges.append((float(low), float(high)))
            return low + left.pop(0) * (high - low)

        monkeypatch.setattr(mae_crop.np.random, "uniform", uniform)
        return ranges

    return script


def test_area_and_aspect_by_hand(draws):
    """A quarter of 40,000 pixels, twice as wide as high: 71 x 141."""
    crop = build(crop_ratio_range=(0.2, 1.0), aspect_ratio_range=(0.5, 2.0))
    ranges = draws((0.25 - 0.2) / 0.8, 1.0)
    _, _, height, width = crop.rand_crop_params(IMAGE)
    assert (height, width) == (71, 141)
    assert ranges == [(0.2, 1.0), (pytest.approx(math.log(0.5)), pytest.approx(math.log(2)))]


def test_what_does_not_fit_is_cut_off_and_not_drawn_anew(draws):
    crop = build(crop_ratio_range=(0.5, 1.0), aspect_ratio_range=(0.25, 4.0))
    draws(1.0, 0.5)  # all pixels as a square of 200 x 200: a third draw would fail
    top, left, height, width = crop.rand_crop_params(IMAGE)
    assert (top, height, width) == (0, 100, 200)
    assert 0 <= left <= 200
    draws(1.0, 1.0)  # 100 x 400
    assert crop.rand_crop_params(IMAGE) == (0, 0, 100, 400)
    draws(1.0, 0.0)  # 400 x 100
    assert crop.rand_crop_params(IMAGE.transpose(1, 0, 2)) == (0, 0, 400, 100)


def test_a_crop_has_a_pixel_at_least(draws):
    crop = build(crop_ratio_range=(1e-9, 1.0))
    draws(0.0, 0.5)
    assert crop.rand_crop_params(IMAGE)[2:] == (1, 1)


def test_the_distribution():
    crop = build(crop_ratio_range=(0.05, 0.25), aspect_ratio_range=(0.25, 4.0))
    square = np.zeros((2000, 2000, 3), dtype=np.uint8)
    found = np.array([crop.rand_crop_params(square) for _ in range(4000)], dtype=float)
    top, left, height, width = found.T
    aspects = np.log(width / height) / math.log(4)  # uniform in -1..1
    areas = (height * width / square[..., 0].size - 0.05) / 0.2  # uniform in 0..1
    for values, quarters in ((aspects, (-0.5, 0, 0.5)), (areas, (0.25, 0.5, 0.75))):
        assert np.quantile(values, (0.25, 0.5, 0.75)) == pytest.approx(quarters, abs=0.05)
    for offset, side in ((top, height), (left, width)):
        places = offset / (2000 - side)
        assert np.quantile(places, (0.25, 0.5, 0.75)) == pytest.approx((0.25, 0.5, 0.75), abs=0.05)


def test_the_last_place_is_reached():
    crop = build(crop_ratio_range=(0.25, 0.25), aspect_ratio_range=(1.0, 1.0))
    small = np.zeros((4, 4, 3), dtype=np.uint8)
    places = {crop.rand_crop_params(small) for _ in range(300)}
    assert places == {(top, left, 2, 2) for top in range(3) for left in range(3)}


def test_the_crop_is_resized():
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    results = build(scale=(16, 24))(dict(img=image))
    assert results["img"].shape == (16, 24, 3)  # (h, w), as mmpretrain's
