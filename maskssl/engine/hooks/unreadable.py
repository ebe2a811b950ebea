"""Count images that could not be read, and stop when they are too many."""

from typing import Any

from mmengine.dist import barrier, broadcast_object_list, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner

from ...datasets.draws.sampler import DrawBatchSampler
from ...datasets.draws.seeded_dataset import SeededDataset
from ...datasets.draws.unreadable_list import UnreadableList
from ...errors import MaskSSLError


@HOOKS.register_module()
class UnreadableImagesHook(Hook):
    """Report images that SeededDataset has replaced, and stop the run above a share of them.

    Their number is logged at the end of each epoch, and every ``interval`` iterations where
    the run counts iterations alone; nothing is said of none. The share of the whole epoch
    (or run) is judged at its end. Before that, every ``interval`` iterations, it is the share
    since this process began: a resumed run finds images listed that it has yet to draw again.

    Args:
        max_share: share of the images drawn, 0 to 1; above it all ranks stop.
        interval: iterations.
        min_draws: images that must have been drawn before ``interval`` may stop the run.

    Raises:
        MaskSSLError: a setting is out of range, or the share is above the limit.
    """

    # behind the checkpoint hook: what was trained until the stop is saved
    priority = "LOWEST"

    def __init__(
        self, max_share: float = 0.01, interval: int = 1000, min_draws: int = 1000
    ) -> None:
        if not 0 <= max_share <= 1 or interval < 1 or min_draws < 1:
            raise MaskSSLError(
                f"max_share={max_share}, interval={interval}, min_draws={min_draws}: the share "
                "must lie in 0..1, the others be at least 1"
            )
        self.max_share = max_share
        self.interval = interval
        self.min_draws = min_draws
        self._list: UnreadableList | None = None
        self._offset = 0  # bytes of the list that were read
        self._listed: set[tuple[int, int]] = set()  # draws of this epoch, by any process
        self._fresh: set[tuple[int, int]] = set()  # those listed since this process began
        self._logged = 0

    def before_train(self, runner: Runner) -> None:
        """Set aside the list of another run; a resumed run goes on with its own."""
        self._list = _list_of(runner)
        if self._list is None:
            return
        self._offset = 0
        if is_main_process() and runner.iter == 0:
            aside = self._list.set_aside()
            if aside:
                runner.logger.warning(f"the unreadable images of an earlier run are in {aside}")
        barrier()  # no rank loads images before the old list is gone

    def before_train_epoch(self, runner: Runner) -> None:
        """Start counting anew; what is listed of this epoch by now, earlier processes listed."""
        self._fresh = set()
        self._logged = 0
        if self._list is not None and is_main_process():
            self._listed = self._new_draws(runner, self._list)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Stop a hopeless run early."""
        if self._list is not None and self.every_n_train_iters(runner, self.interval):
            self._check(runner, self._list, at_end=False)

    def after_train_epoch(self, runner: Runner) -> None:
        """Report and judge the whole epoch, or the whole run where it counts none."""
        if self._list is not None:
            self._check(runner, self._list, at_end=True)

    def _check(self, runner: Runner, unreadable: UnreadableList, at_end: bool) -> None:
        barrier()  # all ranks have listed what they drew
        verdict: list[str | None] = [None]
        if is_main_process():
            verdict = [self._count(runner, unreadable, at_end)]
        broadcast_object_list(verdict)
        if verdict[0] is not None:
            raise MaskSSLError(verdict[0])

    def _count(self, runner: Runner, unreadable: UnreadableList, at_end: bool) -> str | None:
        """Count and log; returns what to stop with, if anything."""
        sampler = runner.train_loop.dataloader.batch_sampler
        new = self._new_draws(runner, unreadable)
        self._listed |= new
        self._fresh |= new
        # without epochs: not those of batches that a resumed run has yet to come to
        listed = sum(sampler.by_epoch or batch <= runner.iter for batch, _ in self._listed)
        drawn = sampler.drawn * get_world_size()
        if listed > self._logged and (at_end or not sampler.by_epoch):
            self._logged = listed
            where = f"in epoch {runner.epoch + 1}" if sampler.by_epoch else "until now"
            runner.logger.warning(
                f"{listed} of {drawn} images drawn {where} could not be read and were replaced by "
                f"others; they are listed in {unreadable.path}"
            )
        if not at_end:
            listed, drawn = len(self._fresh), drawn - sampler.skipped * get_world_size()
        if drawn < (1 if at_end else self.min_draws) or listed <= self.max_share * drawn:
            return None
        return (
            f"{listed} of {drawn} images drawn ({listed / drawn:.2%}) could not be read, more than "
            f"max_share={self.max_share:.2%}; they are listed in {unreadable.path}. Restore them "
            "or remove them from the data, or raise max_share of UnreadableImagesHook. The last: "
            f"{unreadable.last_message()}"
        )

    def _new_draws(self, runner: Runner, unreadable: UnreadableList) -> set[tuple[int, int]]:
        """Draws of this epoch listed since the last call."""
        draws, self._offset = unreadable.read(self._offset)
        by_epoch = runner.train_loop.dataloader.batch_sampler.by_epoch
        return {draw for draw in draws if not by_epoch or draw[0] == runner.epoch}


def _list_of(runner: Runner) -> UnreadableList | None:
    """The list that the run's data set keeps; the log says why there is none."""
    loader = runner.train_loop.dataloader
    dataset, sampler = loader.dataset, loader.batch_sampler
    if not (isinstance(dataset, SeededDataset) and isinstance(sampler, DrawBatchSampler)):
        runner.logger.warning(
            "UnreadableImagesHook: an image that cannot be read will stop this run; to have it "
            "replaced, load from SeededDataset and DrawBatchSampler"
        )
        return None
    if sampler.by_epoch and isinstance(runner.train_loop, IterBasedTrainLoop):
        raise MaskSSLError(
            "an iteration-based run needs DrawBatchSampler(..., by_epoch=False) for its images "
            "to be counted"
        )
    if dataset.unreadable is None:
        runner.logger.warning(
            "UnreadableImagesHook: unreadable images are replaced but not counted; give "
            "SeededDataset a folder to list them in"
        )
    return dataset.unreadable
