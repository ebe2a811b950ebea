"""Seeds from integers, and generators that are lent and given back."""

import random

import numpy as np
import pytest
import torch

from maskssl.datasets.draws.draw import Draw, seed_everything_for_step, seed_from, seeded_randomness


def numbers() -> tuple[float, ...]:
    normal = float(np.random.randn()), float(torch.randn(())), random.gauss(0, 1)
    return (random.random(), float(np.random.rand()), float(torch.rand(())), *normal)


def test_seeds_are_the_same_on_every_machine():
    # printf 0,0,0 | b2sum -l 64, bytes from the end
    assert seed_from(0, 0, 0) == 18339399129536151103
    assert seed_from(np.int64(7), np.uint8(1), -2) == seed_from(7, 1, -2) == 8251561581482180630


def test_neighbouring_parts_give_unrelated_seeds():
    grid = [seed_from(seed, epoch, index) for seed in range(5) for epoch in range(20)
            for index in range(50)]  # fmt: skip
    assert len({seed & 0xFFFFFFFF for seed in grid}) == len(grid)  # in the lower half alone
    bits = np.array([[seed >> bit & 1 for bit in range(64)] for seed in grid])
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.04
    assert seed_from(1, 23) != seed_from(12, 3)
    assert min(grid) >= 0 and 2**63 < max(grid) < 2**64


def test_a_seed_must_be_an_integer():
    with pytest.raises(TypeError):
        seed_from(0, 1.5)


def test_a_draw_is_epoch_and_index():
    assert Draw(3, 5) == (3, 5)
    assert (Draw(3, 5).epoch, Draw(3, 5).index) == (3, 5)


def test_generators_are_seeded_inside_and_untouched_outside():
    numbers()  # normal numbers come in pairs: the second one waits in each generator
    state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    expected = numbers()
    random.setstate(state[0])
    np.random.set_state(state[1])
    torch.set_rng_state(state[2])
    drawn = []
    for seed in (seed_from(1), seed_from(2), seed_from(1), 2**64 - 1):
        with seeded_randomness(seed):
            drawn.append(numbers())
    with pytest.raises(KeyError), seeded_randomness(5):
        raise KeyError
    assert numbers() == expected
    assert drawn[0] == drawn[2]
    assert not set(drawn[0]) & set(drawn[1])


def test_the_upper_half_of_a_seed_counts_in_numpy_and_python():
    def draw(seed):
        with seeded_randomness(seed):
            return random.random(), np.random.rand()

    assert draw(5)[0] != draw(5 + 2**40)[0]
    assert draw(5)[1] != draw(5 + 2**40)[1]


def test_a_step_seeds_every_generator_by_seed_step_and_rank():
    def draw(*parts):
        seed_everything_for_step(*parts)
        return numbers()

    first = draw(0, 10, 1)
    assert draw(0, 10, 1) == first
    others = [draw(1, 10, 1), draw(0, 11, 1), draw(0, 10, 2)]
    with seeded_randomness(seed_from(0, 10, 1)):  # the sample of the same numbers
        others.append(numbers())
    for other in others:
        assert not set(first) & set(other)
