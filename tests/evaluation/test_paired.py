"""Paired statistics on cases worked out by hand, and the parts that settings are chosen on."""

import math
from math import comb
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from maskssl.errors import MaskSSLError
from maskssl.evaluation import paired
from maskssl.evaluation.paired import (
    Pair,
    bootstrap_p,
    compare_pairs,
    detectable_difference,
    holm,
    interval_of,
    mcnemar_p,
    resampled,
    shared_ranks,
)
from maskssl.evaluation.splits import few_per_class, hold_out
from maskssl.transfer import measure


def resampled_means(outcomes: np.ndarray, resamples: int = 5000) -> np.ndarray:
    """Of outcomes (M, N), of M models on N images, to (R, M)."""
    count = outcomes.shape[1]
    return resampled(lambda drawn: drawn @ outcomes.T / count, count, resamples)


def test_mcnemar_by_hand():
    """One alone right 1 time, the other 5 times: 2 (1 + 6) / 64."""
    assert mcnemar_p(1, 5) == pytest.approx(14 / 64) == mcnemar_p(5, 1)
    assert mcnemar_p(0, 10) == pytest.approx(2 / 1024)
    assert mcnemar_p(0, 0) == mcnemar_p(3, 3) == 1.0
    exact = 2 * sum(comb(900, k) for k in range(401)) / 2**900
    assert mcnemar_p(500, 400) == pytest.approx(exact)


def test_holm_by_hand():
    """0.01 x 3, 0.02 x 2, then 0.03 x 1, which may not fall below the one before."""
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.9]) == [1.0, 1.0]


def test_the_bootstrap_spreads_as_a_mean_does():
    outcomes = np.zeros((1, 400))
    outcomes[:, :100] = 1
    means = resampled_means(outcomes, 4000)
    assert means.shape == (4000, 1)
    deviation = math.sqrt(0.25 * 0.75 / 400)
    assert means.mean() == pytest.approx(0.25, abs=0.002)
    assert means.std() == pytest.approx(deviation, rel=0.05)
    low, high = interval_of(means[:, 0])
    assert low == pytest.approx(0.25 - 1.96 * deviation, abs=0.004)
    assert high == pytest.approx(0.25 + 1.96 * deviation, abs=0.004)


def test_resamples_are_the_same_for_all_models():
    """Each image is right for one of the two models: their means sum to 1 in every resample."""
    outcomes = np.array([[1, 0, 0, 1, 0], [0, 1, 1, 0, 1]])
    means = resampled_means(outcomes, 50)
    np.testing.assert_allclose(means.sum(axis=1), 1)
    assert means.std() > 0.1


def test_p_by_hand():
    assert bootstrap_p(np.array([1.0, 2, 3, -1])) == pytest.approx(2 * 2 / 5)
    assert bootstrap_p(np.zeros(99)) == 1.0
    assert bootstrap_p(np.ones(99)) == pytest.approx(0.02)


def test_the_smallest_difference_that_a_test_shows():
    """Power of 80 % at 5 %: (1.960 + 0.842) sd, the deviation that the bootstrap finds."""
    assert detectable_difference(0.01) == pytest.approx(0.01 * (1.959964 + 0.841621), rel=1e-6)
    first, second = right(0.6, 900, 5), right(0.6, 900, 6)
    (pair,) = compared({"first": first, "second": second})
    expected = 2.801585 * (first - second).std() / math.sqrt(900)
    assert pair.detectable == pytest.approx(expected, rel=0.05)


def compared(outcomes: dict[str, np.ndarray]) -> list[Pair]:
    """Of right and wrong (S, N) per model."""
    shares = np.stack([found.mean(axis=0) for found in outcomes.values()])
    seeds = {name: found.mean(axis=1) for name, found in outcomes.items()}
    first = {name: found[0].astype(bool) for name, found in outcomes.items()}
    return compare_pairs(seeds, resampled_means(shares, 2000), first)


def right(share: float, count: int, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random((1, count)) < share).astype(int)


def test_equal_models_tie_and_a_damaged_one_falls_behind():
    good = right(0.7, 500, 0)
    outcomes = {"good": good, "copy": good.copy(), "damaged": right(0.3, 500, 1)}
    pairs = compared(outcomes)
    assert len(pairs) == 3
    tie = next(pair for pair in pairs if "damaged" not in (pair.first, pair.second))
    assert (tie.difference, tie.interval, tie.p, tie.p_mcnemar) == (0, (0, 0), 1, 1)
    assert not tie.told_apart
    for pair in pairs:
        assert pair.told_apart == (pair.second == "damaged")
    assert shared_ranks(list(outcomes), pairs) == {"good": 1, "copy": 1, "damaged": 3}


def test_pairing_shows_what_two_intervals_do_not():
    """The better one has 12 of 400 images more and loses none: 3 points, beyond doubt."""
    first = right(0.5, 400, 0)
    second = first.copy()
    second[0, np.flatnonzero(first[0])[:12]] = 0
    (pair,) = compared({"first": first, "second": second})
    assert (pair.only_first, pair.only_second) == (12, 0)
    assert pair.difference == pytest.approx(0.03) and pair.told_apart
    low, high = interval_of(resampled_means(first)[:, 0])
    assert low < second.mean() < high


def test_seeds_are_averaged_and_mcnemar_takes_the_first():
    first = np.array([[1, 1, 0, 0], [1, 0, 0, 0]])
    second = np.array([[0, 0, 0, 0], [0, 0, 0, 1]])
    (pair,) = compared({"first": first, "second": second})
    assert pair.difference == pytest.approx(3 / 8 - 1 / 8)
    assert (pair.only_first, pair.only_second) == (2, 0)


def test_what_one_seed_turns_round_is_not_told_apart():
    """By few drawn images the second is far better once, and a little worse once."""
    first = np.concatenate([right(0.2, 400, 0), right(0.5, 400, 1)])
    second = np.concatenate([right(0.6, 400, 2), right(0.45, 400, 3)])
    (pair,) = compared({"first": first, "second": second})
    assert pair.first == "second" and pair.p_holm < 0.01
    assert pair.by_seed[0] > 0.3 and pair.by_seed[1] < 0 and not pair.told_apart
    assert shared_ranks(["first", "second"], [pair]) == {"first": 1, "second": 1}
    (pair,) = compared({"first": first[:1], "second": second})
    assert pair.by_seed == pytest.approx([0.4, 0.25], abs=0.1) and pair.told_apart
    second = np.concatenate([right(0.9, 400, 2), right(0.45, 400, 3)])
    (pair,) = compared({"first": first[1:], "second": second})
    assert pair.p_holm < 0.01 and not pair.told_apart  # of unlike numbers of seeds, too


# Parts of the training set


def test_a_part_of_each_class_is_held_out():
    labels = torch.tensor([0] * 10 + [1] * 5 + [2] * 2)
    kept, held = hold_out(labels, 0.2, seed=0)
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(17))
    assert labels[held].bincount().tolist() == [2, 1, 1]
    assert hold_out(labels, 0.2, 0)[1].equal(held)
    assert not hold_out(labels, 0.2, 1)[1].equal(held)
    assert labels[hold_out(labels, 0.9, 0)[0]].bincount().tolist() == [1, 1, 1]
    with pytest.raises(MaskSSLError, match="class 1 has one training image"):
        hold_out(torch.tensor([0, 0, 1]), 0.2, 0)


def test_settings_may_be_chosen_on_some_images_of_each_class():
    labels = torch.tensor([0] * 100 + [1] * 50 + [2] * 3)
    kept, held = hold_out(labels, 0.2, seed=0, most=77)
    assert labels[kept].bincount().tolist() == [40, 20, 1]
    assert labels[held].bincount().tolist() == [10, 5, 1]
    assert not set(kept.tolist()) & set(held.tolist())
    whole = hold_out(labels, 0.2, seed=0, most=153)
    assert all(map(torch.equal, whole, hold_out(labels, 0.2, seed=0)))


def test_a_preset_chooses_on_no_more_images_than_it_says(monkeypatch):
    drawn = []
    monkeypatch.setattr(measure, "hold_out", lambda *args: (drawn.append(args), hold_out(*args))[1])
    features = SimpleNamespace(labels=torch.tensor([0] * 60 + [1] * 40))
    work = SimpleNamespace(
        plan=SimpleNamespace(budget=SimpleNamespace(chosen_on=50), seeds=(3,)),
        features=lambda *_: features,
    )
    counts = []
    one = measure.Measure(
        "a", "a", lambda _f, _b, count: counts.append(count) or [{}], lambda *_: None, seeded=False
    )
    assert one.choose(work, "x")["chosen"] == {}
    assert counts == [40] and drawn[0][1:] == (measure.HELD_OUT, 3, 50)


def test_a_few_images_of_each_class():
    labels = torch.tensor([0] * 100 + [1] * 40)
    drawn = few_per_class(labels, 5, seed=0)
    assert labels[drawn].bincount().tolist() == [5, 5]
    assert not few_per_class(labels, 5, seed=1).equal(drawn)
    assert labels[few_per_class(labels, 0.1, 0)].bincount().tolist() == [10, 4]
    assert labels[few_per_class(labels, 0.01, 0)].bincount().tolist() == [1, 1]
    with pytest.raises(MaskSSLError, match="class 1 has 40 training images, and 41 of a class"):
        few_per_class(labels, 41, 0)


def test_the_smallest_difference_is_larger_among_many_pairs():
    """Of three pairs each is tested at 5 % / 3: (2.394 + 0.842) deviations."""
    assert detectable_difference(0.01, 3) == pytest.approx(0.01 * (2.393980 + 0.841621), rel=1e-6)
    seeds = {name: np.array([level]) for name, level in (("a", 0.3), ("b", 0.2), ("c", 0.1))}
    figures = np.random.default_rng(0).normal(0.2, 0.05, (200, 3))
    pairs = compare_pairs(seeds, figures)
    assert [(pair.first, pair.second) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    for pair, (one, other) in zip(pairs, ((0, 1), (0, 2), (1, 2)), strict=True):
        deviation = (figures[:, one] - figures[:, other]).std()
        assert pair.detectable == pytest.approx(3.235601 * deviation, rel=1e-5)


@pytest.mark.parametrize("held", [1, 14, 20, 1 << 24])
def test_resamples_are_the_same_however_many_are_held(held, monkeypatch):
    expected = resampled(lambda drawn: drawn, 7, 5)
    monkeypatch.setattr(paired, "_COUNTS", held)
    sizes = []
    found = resampled(lambda drawn: sizes.append(len(drawn)) or drawn, 7, 5)
    np.testing.assert_array_equal(found, expected)
    assert sum(sizes) == 5 and max(sizes) == max(1, min(5, held // 7))
