"""How much is tried: the grids and lengths of the presets."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """What each measurement tries, and how long it trains.

    Attributes:
        neighbours: k of kNN.
        temperatures: of kNN.
        linear_lrs: of linear probes, at a batch of 256.
        linear_decays: weight decays of linear probes.
        linear_epochs: passes of linear probes.
        inverse_penalties: C of logistic regression.
        attentive_lrs: of attentive probes, at a batch of 256.
        attentive_decay: their weight decay.
        attentive_epochs: their passes.
        batch_size: images of a probe's step.
    """

    neighbours: tuple[int, ...]
    temperatures: tuple[float, ...]
    linear_lrs: tuple[float, ...]
    linear_decays: tuple[float, ...]
    linear_epochs: int
    inverse_penalties: tuple[float, ...]
    attentive_lrs: tuple[float, ...]
    attentive_decay: float
    attentive_epochs: int
    batch_size: int = 256


BUDGETS = {
    "quick": Budget(
        neighbours=(1, 5, 10, 20, 50),
        temperatures=(0.07, 0.5),
        linear_lrs=(0.01, 0.1, 1.0),
        linear_decays=(0.0, 1e-4),
        linear_epochs=30,
        inverse_penalties=(1e-3, 1e-2, 1e-1),
        attentive_lrs=(1e-3, 4e-3),
        attentive_decay=0.05,
        attentive_epochs=20,
    ),
    "standard": Budget(
        neighbours=(1, 5, 10, 20, 50, 100, 200),
        temperatures=(0.04, 0.07, 0.2, 0.5),
        linear_lrs=(0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
        linear_decays=(0.0, 1e-5, 1e-4, 1e-3),
        linear_epochs=100,
        inverse_penalties=tuple(10.0**power for power in range(-6, 3)),
        attentive_lrs=(3e-4, 1e-3, 3e-3),
        attentive_decay=0.05,
        attentive_epochs=90,
    ),
}
