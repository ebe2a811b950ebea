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

EPOCH_LENGTH = "iterations_per_epoch"  # key of the message hub
AS_BEFORE = "resume with the data, batch size and number of processes that the run began with"


def drawn_loader(runner: Runner, config: Any, by_epoch: bool) -> DataLoader:
    """A training loader whose samples depend on (seed, epoch, index) alone.

    Args:
        runner: gives the seed, and the work dir for the list of unreadable images.
        config: of the loader, or a loader made by hand, which is wrapped alike.
        by_epoch: whether the loop counts epochs.
    """
    seed = shared_seed(runner)
    plain = runner.build_dataloader(config, seed=seed, diff_rank_seed=False)
    return DataLoader(
        SeededDataset(plain.dataset, seed=seed, folder=runner.work_dir),
        batch_sampler=DrawBatchSampler(plain.batch_sampler, by_epoch),
        num_workers=plain.num_workers,
        collate_fn=plain.collate_fn,
        pin_memory=plain.pin_memory,
        timeout=plain.timeout,
        worker_init_fn=plain.worker_init_fn,
        multiprocessing_context=plain.multiprocessing_context,
        prefetch_factor=plain.prefetch_factor,
        persistent_workers=plain.persistent_workers,
    )


def shared_seed(runner: Runner) -> int:
    """The seed that all ranks have in common: they share the images out by it."""
    by_rank = runner._randomness_cfg.get("diff_rank_seed", False)  # mmengine then adds the rank
    return runner.seed - get_rank() if by_rank else runner.seed


@LOOPS.register_module()
class EpochTrainLoop(EpochBasedTrainLoop):
    """mmengine's epochs, resumable in the middle of one.

    Each step seeds all generators from (seed, step, rank): masks, drop path and sampled
    regions do not depend on what was drawn before.
    """

    def __init__(self, runner: Runner, dataloader: Any, **kwargs: Any) -> None:
        super().__init__(runner, drawn_loader(runner, dataloader, by_epoch=True), **kwargs)

    def run(self) -> Any:
        """Train; a resumed run must count as many iterations per epoch as before.

        Raises:
            MaskSSLError: it does not.
        """
        length, hub = len(self.dataloader), self.runner.message_hub
        before = hub.get_info(EPOCH_LENGTH, length)
        if before != length:
            raise MaskSSLError(
                f"the run had {before} iterations per epoch, and an epoch has {length} here; "
                f"{AS_BEFORE}"
            )
        hub.update_info(EPOCH_LENGTH, length)
        return super().run()

    def run_epoch(self) -> None:
        """Iterate an epoch from where the run stands in it.

        Raises:
            MaskSSLError: a resumed run counts other iterations per epoch than before.
        """
        length = len(self.dataloader)
        done = self._iter - self._epoch * length
        if not 0 <= done <= length:  # all of it: left after the last step, before the hooks
            raise MaskSSLError(
                f"the checkpoint stands at iteration {self._iter} in epoch {self._epoch}, and an "
                f"epoch has {length} here; {AS_BEFORE}"
            )
        self.dataloader.batch_sampler.start(self._epoch, done)
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        for index, batch in enumerate(self.dataloader, start=done):
            self.run_iter(index, batch)
        if self._iter != (self._epoch + 1) * length:
            raise MaskSSLError(
                f"epoch {self._epoch} had {self._iter - self._epoch * length} batches, its loader "
                f"promised {length}; set drop_last=False in the batch sampler"
            )
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        """Seed, then iterate."""
        seed_everything_for_step(shared_seed(self.runner), self._iter, get_rank())
        super().run_iter(idx, data_batch)


@LOOPS.register_module()
class IterTrainLoop(IterBasedTrainLoop):
    """mmengine's iterations, resumed without loading what was seen; seeded as EpochTrainLoop."""

    def __init__(self, runner: Runner, dataloader: Any, **kwargs: Any) -> None:
        super().__init__(runner, drawn_loader(runner, dataloader, by_epoch=False), **kwargs)
        self.dataloader_iterator = DrawIterator(self.dataloader)

    def run_iter(self, data_batch: Sequence[dict]) -> None:
        """Seed, then iterate."""
        seed_everything_for_step(shared_seed(self.runner), self._iter, get_rank())
        super().run_iter(data_batch)


# mmengine's names in configs, and what runs in their place
RESUMABLE: dict[str, type] = {
    "EpochBasedTrainLoop": EpochTrainLoop,
    "IterBasedTrainLoop": IterTrainLoop,
}
