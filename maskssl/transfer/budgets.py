"""How much is tried: the grids and lengths of the presets."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Budget:
    """What each measurement tries, and how long it trains.

    Attributes:
        neighbours: k of kNN.
        temperatures: of kNN.
        last_block: kNN reads the last block alone.
        linear_lrs: of linear probes, at a batch of 256.
        linear_decays: weight decays of linear probes.
        linear_epochs: passes of linear probes.
        inverse_penalties: C of logistic regression.
        attentive_lrs: of attentive probes, at a batch of 256.
        attentive_decay: their weight decay.
        attentive_epochs: their passes.
        attentive_steps: they make more passes, where these would be fewer steps: within some
            dozen the query has found nothing yet.
        patch_bank: patches that kNN on patches compares with, at most.
        patch_neighbours: k of kNN on patches.
        patch_lrs: of linear heads on patches, at a batch of 256 images.
        patch_epochs: their passes.
        patch_batch_size: images of their steps.
        trained_share: of a recipe's length, see ``length_on``.
        trained_runs: seeds that trained rows take, of those given.
        batch_size: images of a probe's step.
        chosen_on: training images that settings are chosen on, at most, as many of each class as
            in all of them; None: all.
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
    patch_bank: int
    patch_neighbours: tuple[int, ...]
    patch_lrs: tuple[float, ...]
    patch_epochs: int
    trained_share: float
    trained_runs: int
    attentive_steps: int = 300
    patch_batch_size: int = 16
    batch_size: int = 256
    last_block: bool = False
    chosen_on: int | None = None


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
        patch_bank=20_000,
        patch_neighbours=(10, 30, 90),
        patch_lrs=(0.1, 1.0, 10.0),
        patch_epochs=20,
        trained_share=0.25,
        trained_runs=1,
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
        patch_bank=500_000,
        patch_neighbours=(10, 30, 90, 200),
        patch_lrs=(0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
        patch_epochs=40,
        trained_share=1.0,
        trained_runs=3,
    ),
}
# DINO's kNN; the rows of recipes have their published length; the sweeps are nobody's
BUDGETS["paper"] = replace(
    BUDGETS["standard"],
    neighbours=(20,),
    temperatures=(0.07,),
    linear_decays=(0.0, 1e-4),
    patch_bank=1_000_000,
    patch_neighbours=(30,),
    trained_runs=1,
    last_block=True,
)
# drawn scenes: the small recipes are made for them, so that they run at their full length
BUDGETS["quickstart"] = replace(BUDGETS["quick"], trained_share=1.0)
# real images within an hour on two cores, ten checkpoints side by side
BUDGETS["evidence"] = replace(
    BUDGETS["quick"],
    neighbours=(5, 10, 20, 50),
    temperatures=(0.07,),
    linear_decays=(0.0,),
    linear_epochs=15,
    inverse_penalties=(1e-2, 1e-1),
    attentive_lrs=(4e-3,),
    attentive_epochs=6,
    chosen_on=10_000,
    patch_epochs=10,
    trained_share=1.0,
    trained_runs=3,
)
BUDGETS["smoke"] = replace(
    BUDGETS["quick"],
    linear_epochs=2,
    attentive_epochs=1,
    attentive_steps=1,
    patch_epochs=1,
    trained_share=0.01,
)
