"""Momentum and feature weight at the epochs that the method names."""

import math

import pytest

from maskssl.schedules import bootmae_momentum, cosine_momentum, feature_weight_ramp


@pytest.mark.parametrize(
    ("epoch", "dynamic", "constant"),
    [
        (0, 0.999, 0.999),
        (50, 0.99945, 0.99945),
        (99, 0.999891, 0.999891),
        (100, 0.9999, 0.9999),
        (250, 0.999945, 0.9999),
        (400, 0.99999, 0.9999),
        (800, 0.99999, 0.9999),
    ],
)
def test_momentum(epoch, dynamic, constant):
    assert bootmae_momentum(epoch) == pytest.approx(dynamic, rel=0, abs=1e-12)
    assert bootmae_momentum(epoch, dynamic=False) == pytest.approx(constant, rel=0, abs=1e-12)


def test_momentum_never_falls():
    curve = [bootmae_momentum(epoch / 4) for epoch in range(4 * 800)]
    assert curve == sorted(curve)


def test_momentum_options():
    options = dict(start=0.5, end=0.7, dynamic_end=0.9, ramp_epochs=2, dynamic_epochs=4)
    curve = [bootmae_momentum(epoch, **options) for epoch in range(6)]
    assert curve == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9, 0.9])
    assert bootmae_momentum(2.5, **dict(options, dynamic_epochs=3)) == pytest.approx(0.8)
    # a dynamic end before the ramp's own is reached at once
    assert bootmae_momentum(3, ramp_epochs=2, dynamic_epochs=2) == pytest.approx(0.99999)


@pytest.mark.parametrize(
    ("epoch", "expected"), [(0, 0.005), (49, 0.25), (99, 0.5), (198, 0.995), (199, 1), (799, 1)]
)
def test_feature_weight_over_800_epochs(epoch, expected):
    """min(4 w (1 + epoch) / epochs, w)."""
    assert feature_weight_ramp(epoch, 800) == pytest.approx(expected)
    assert feature_weight_ramp(epoch, 800, feature_weight=0.6) == pytest.approx(0.6 * expected)


def test_feature_weight_options():
    assert feature_weight_ramp(0, 2) == 1  # half an epoch of ramp is over at once
    assert feature_weight_ramp(9, 100, ramp_share=0.5) == pytest.approx(0.2)
    assert feature_weight_ramp(0, 100, feature_weight=0.3, ramp_share=0) == 0.3
    assert feature_weight_ramp(50, 100, feature_weight=0) == 0


@pytest.mark.parametrize(
    ("progress", "risen"),  # half a cosine: (1 - cos(pi progress)) / 2
    [(0, 0), (0.25, 0.5 - math.sqrt(2) / 4), (0.5, 0.5), (0.75, 0.5 + math.sqrt(2) / 4), (1, 1)],
)
def test_cosine_momentum(progress, risen):
    assert cosine_momentum(progress) == pytest.approx(0.996 + 0.004 * risen, rel=0, abs=1e-12)
    half = cosine_momentum(progress, start=0.2, end=0.6)
    assert half == pytest.approx(0.2 + 0.4 * risen, rel=0, abs=1e-12)
