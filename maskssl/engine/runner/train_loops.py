"""Training loops that go on from any iteration, with the same draws as if never stopped."""

from typing import Any

from mmengine.dist import get_rank
from mmengine.registry import LOOPS
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, IterBasedTrainLoop, Runner
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


class DrawnLoop(BaseLoop):
    """What both loops add to mmengine's, in front of whose they stand.

    Each step seeds all generators from (seed, step, rank): masks, drop path and sampled
    regions do not depend on what was drawn before.

    Args:
        runner: training.
        dataloader: config or loader.
        new_draws: let a resumed run draw otherwise than the one that it goes on from.
        **kwargs: of mmengine's loop.

    Attributes:
        by_epoch: whether epochs are counted.
        epoch_length: iterations of an epoch; None where none is counted.
        facts: of ``loader_facts``.
    """

    by_epoch: bool
    epoch_length: Any

    def __init__(
        self, runner: Runner, dataloader: Any, new_draws: bool = False, **kwargs: Any
    ) -> None:
        seed = shared_seed(runner)
        super().__init__(runner, drawn_loader(runner, dataloader, self.by_epoch, seed), **kwargs)
        self.new_draws = new_draws
        self.facts = loader_facts(self.dataloader, dataloader, seed)

    def go_to(self, iteration: int, epoch: int | None = None) -> None:
        """Stand behind so many iterations, in an epoch; the weights stay what they are."""
        if epoch is None and self.by_epoch:
            epoch = iteration // self.epoch_length
        put_loop_at(self, iteration, epoch)
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

    def run_iter(self, *batch: Any) -> None:
        """Seed, then iterate."""
        seed_everything_for_step(self.facts["seed"], self.iter, get_rank())
        super().run_iter(*batch)


@LOOPS.register_module()
class EpochTrainLoop(DrawnLoop, EpochBasedTrainLoop):
    """mmengine's epochs, resumable in the middle of one."""

    by_epoch = True

    @property
    def epoch_length(self) -> int:
        """Iterations of an epoch."""
        return len(self.dataloader)

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


@LOOPS.register_module()
class IterTrainLoop(DrawnLoop, IterBasedTrainLoop):
    """mmengine's iterations, resumed without loading what was seen."""

    by_epoch = False
    epoch_length = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dataloader_iterator = DrawIterator(self.dataloader)


# mmengine's names and classes in configs, and what runs in their place
RESUMABLE: dict[str | type, type] = {
    "EpochBasedTrainLoop": EpochTrainLoop,
    "IterBasedTrainLoop": IterTrainLoop,
    EpochBasedTrainLoop: EpochTrainLoop,
    IterBasedTrainLoop: IterTrainLoop,
}
