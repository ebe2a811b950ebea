"""Training loops that go on from any iteration, with the same draws as if never stopped."""

from collections.abc import Sequence
from typing import Any

from mmengine.dist import get_rank
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from ...datasets.draws.draw import seed_everything_for_step
from ...datasets.draws.sampler import DrawBatchSampler, DrawIterator
from ...datasets.draws.seeded_dataset import SeededDataset
from ...errors import MaskSSLError
from ...private_names import put_loop_at
from .draws import loader_facts, shared_seed, take_up_draws


def drawn_loader(runner: Runner, config: Any, by_epoch: bool, seed: int) -> DataLoader:
    """A training loader whose samples depend on (seed, epoch, index) alone.

    Args:
        runner: gives the work dir for the list of unreadable images.
        config: of the loader, or a loader made by hand, which is wrapped alike.
        by_epoch: whether the loop counts epochs.
        seed: of the run, the same on all ranks.

    Raises:
        MaskSSLError: the loader hands batches out in the order in which they are ready.
    """
    plain = runner.build_dataloader(config, seed=seed, diff_rank_seed=False)
    if not plain.in_order:
        raise MaskSSLError(
            "train_dataloader.in_order=False hands batches out in the order in which they are "
            "ready, so that no two runs see them alike and none can be resumed; use in_order=True"
        )
    return DataLoader(
        SeededDataset(plain.dataset, seed=seed, folder=runner.work_dir),
        batch_sampler=DrawBatchSampler(plain.batch_sampler, by_epoch),
        num_workers=plain.num_workers,
        collate_fn=plain.collate_fn,
        pin_memory=plain.pin_memory,
        pin_memory_device=plain.pin_memory_device,
        timeout=plain.timeout,
        worker_init_fn=plain.worker_init_fn,
        multiprocessing_context=plain.multiprocessing_context,
        generator=plain.generator,
        prefetch_factor=plain.prefetch_factor,
        persistent_workers=plain.persistent_workers,
    )


@LOOPS.register_module()
class EpochTrainLoop(EpochBasedTrainLoop):
    """mmengine's epochs, resumable in the middle of one.

    Each step seeds all generators from (seed, step, rank): masks, drop path and sampled
    regions do not depend on what was drawn before.

    Args:
        runner: training.
        dataloader: config or loader.
        new_draws: let a resumed run draw otherwise than the one that it goes on from.
        **kwargs: of mmengine's loop.
    """

    def __init__(
        self, runner: Runner, dataloader: Any, new_draws: bool = False, **kwargs: Any
    ) -> None:
        seed = shared_seed(runner)
        super().__init__(runner, drawn_loader(runner, dataloader, True, seed), **kwargs)
        self.new_draws = new_draws
        self.facts = loader_facts(self.dataloader, dataloader, seed)

    @property
    def epoch_length(self) -> int:
        """Iterations of an epoch."""
        return len(self.dataloader)

    def go_to(self, iteration: int, epoch: int | None = None) -> None:
        """Stand behind so many iterations; the weights stay what they are."""
        put_loop_at(self, iteration, iteration // self.epoch_length if epoch is None else epoch)
        self.runner.optim_wrapper.initialize_count_status(
            self.runner.model, iteration, self.max_iters
        )

    def run(self) -> Any:
        """Train; a resumed run must draw as before.

        Raises:
            MaskSSLError: it does not; see ``take_up_draws``.
        """
        take_up_draws(self)
        return super().run()

    def run_epoch(self) -> None:
        """Iterate an epoch from where the run stands in it.

        Raises:
            MaskSSLError: the loader has other batches than it promised.
        """
        length = self.epoch_length
        done = self.iter - self.epoch * length
        if not 0 <= done <= length:  # all of it: left after the last step, before the hooks
            raise MaskSSLError(
                f"the checkpoint stands at iteration {self.iter} in epoch {self.epoch}, and an "
                f"epoch has {length} here; resume with the data, batch size and number of "
                "processes that the run began with"
            )
        self.dataloader.batch_sampler.start(self.epoch, done)
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        for index, batch in enumerate(self.dataloader, start=done):
            self.run_iter(index, batch)
        if self.iter != (self.epoch + 1) * length:
            raise MaskSSLError(
                f"epoch {self.epoch} had {self.iter - self.epoch * length} batches, its loader "
                f"promised {length}; set drop_last=False in the batch sampler"
            )
        self.runner.call_hook("after_train_epoch")
        put_loop_at(self, self.iter, self.epoch + 1)

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        """Seed, then iterate."""
        seed_everything_for_step(self.facts["seed"], self.iter, get_rank())
        super().run_iter(idx, data_batch)


@LOOPS.register_module()
class IterTrainLoop(IterBasedTrainLoop):
    """mmengine's iterations, resumed without loading what was seen; else as EpochTrainLoop.

    Args:
        runner: training.
        dataloader: config or loader.
        new_draws: let a resumed run draw otherwise than the one that it goes on from.
        **kwargs: of mmengine's loop.
    """

    epoch_length = None

    def __init__(
        self, runner: Runner, dataloader: Any, new_draws: bool = False, **kwargs: Any
    ) -> None:
        seed = shared_seed(runner)
        super().__init__(runner, drawn_loader(runner, dataloader, False, seed), **kwargs)
        self.dataloader_iterator = DrawIterator(self.dataloader)
        self.new_draws = new_draws
        self.facts = loader_facts(self.dataloader, dataloader, seed)

    def go_to(self, iteration: int) -> None:
        """Stand behind so many iterations; the weights stay what they are."""
        put_loop_at(self, iteration)
        self.runner.optim_wrapper.initialize_count_status(
            self.runner.model, iteration, self.max_iters
        )

    def run(self) -> Any:
        """Train; a resumed run must draw as before.

        Raises:
            MaskSSLError: it does not; see ``take_up_draws``.
        """
        take_up_draws(self)
        return super().run()

    def run_iter(self, data_batch: Sequence[dict]) -> None:
        """Seed, then iterate."""
        seed_everything_for_step(self.facts["seed"], self.iter, get_rank())
        super().run_iter(data_batch)


# mmengine's names in configs, and what runs in their place
RESUMABLE: dict[str, type] = {
    "EpochBasedTrainLoop": EpochTrainLoop,
    "IterBasedTrainLoop": IterTrainLoop,
}
