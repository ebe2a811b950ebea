"""What a random draw depends on: three integers, and nothing that came before.

A sample depends on (seed, epoch, index), a training step on (seed, step, rank). So no state of
a random generator is saved with a run, and any number of workers gives the same one.
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from operator import index as as_int
from typing import NamedTuple

import numpy as np
import torch

# Steps hash one number more than samples, so that step 0 never draws what sample 0 drew.
_STEP = 1


class Draw(NamedTuple):
    """One sample that is asked for.

    Attributes:
        epoch: the epoch, or the number of the batch where sampling never ends; each time an
            image comes again, this number is another one.
        index: place in the dataset.
    """

    epoch: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs


def seed_from(*parts: int) -> int:
    """A seed of 64 bits that looks unrelated for related integers, and is the same anywhere."""
    text = ",".join(str(as_int(part)) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


@contextmanager
def seeded_randomness(seed: int) -> Iterator[None]:
    """Seed ``random``, numpy and torch's CPU generator; on leaving all three are as before.

    It costs about 0.1 ms, most of it numpy's copies.

    Args:
        seed: 0 <= seed < 2**64, e.g. from :func:`seed_from`.
    """
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        _seed_python_and_numpy(seed)
        torch.default_generator.manual_seed(seed)
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def seed_everything_for_step(seed: int, step: int, rank: int) -> None:
    """Seed ``random``, numpy and torch on all devices for one step of one process.

    Args:
        seed: of the run.
        step: iterations done before this one.
        rank: of the process; ranks draw different masks.
    """
    step_seed = seed_from(_STEP, seed, step, rank)
    _seed_python_and_numpy(step_seed)
    torch.manual_seed(step_seed)


def _seed_python_and_numpy(seed: int) -> None:
    random.seed(seed)
    np.random.seed([seed & 0xFFFFFFFF, seed >> 32])  # numpy takes words of 32 bits
