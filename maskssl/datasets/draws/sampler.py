"""Batches of draws, from any place in a run, without loading what came before."""

import copy
from collections.abc import Iterator
from itertools import count
from typing import Any

from mmengine.dataset import InfiniteSampler
from torch.utils.data import DataLoader, Sampler

from ...errors import MaskSSLError
from .draw import Draw


class DrawBatchSampler(Sampler):
    """The batches of another batch sampler, as lists of Draw.

    The training loop counts its batches and tells the place to begin by :meth:`start`: a loader
    with workers has drawn ahead of the loop, so this class cannot know. Each ``iter`` begins
    anew at that place, whatever an earlier one has left behind.

    Attributes:
        sampler, batch_size, drop_last: those of the wrapped batch sampler.
        epoch: the one begun last; stays 0 where sampling never ends.
        drawn: samples of this epoch given to the loader of this rank, skipped ones included.
        skipped: those of them that ``first_batch`` left out.

    Args:
        batch_sampler: e.g. torch's BatchSampler or mmdet's AspectRatioBatchSampler.
        by_epoch: True yields one epoch per ``iter``, and a draw's epoch is that one. False goes
            on for ever, pass after pass, and the epoch of a draw is the number of its batch.
            None: False over mmengine's InfiniteSampler, True otherwise.

    Raises:
        MaskSSLError: the sampler repeats images within an epoch.
    """

    def __init__(self, batch_sampler: Any, by_epoch: bool | None = None) -> None:
        self.batch_sampler = batch_sampler
        self.sampler = batch_sampler.sampler
        self.batch_size = batch_sampler.batch_size
        self.drop_last = batch_sampler.drop_last
        repeats = getattr(self.sampler, "num_repeats", 1)
        if repeats > 1:
            raise MaskSSLError(
                f"{type(self.sampler).__name__} draws every image {repeats} times in an epoch, and "
                "all of them would be augmented alike; use DefaultSampler"
            )
        endless = isinstance(self.sampler, InfiniteSampler)
        self.by_epoch = not endless if by_epoch is None else by_epoch
        self.epoch = self.drawn = self.skipped = 0
        self._place = (0, 0)  # epoch and first batch of the next iter

    def start(self, epoch: int, first_batch: int = 0) -> None:
        """Tell where the next ``iter`` begins.

        Args:
            epoch: epochs done; 0 if sampling never ends.
            first_batch: batches done: in this epoch or, if sampling never ends, in all.

        Raises:
            MaskSSLError: negative numbers, or an epoch where none is counted.
        """
        if epoch < 0 or first_batch < 0 or (epoch and not self.by_epoch):
            allowed = "0 or more" if self.by_epoch else "0, for this sampler counts batches alone"
            raise MaskSSLError(
                f"cannot start at epoch {epoch}, batch {first_batch}; the batch must be 0 or more "
                f"and the epoch {allowed}"
            )
        self._place = (epoch, first_batch)

    def __len__(self) -> int:
        """Batches of an epoch, skipped ones included."""
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[list[Draw]]:
        # The place is read here and not at the first batch, when it may be another one.
        epoch, first_batch = self._place
        self.epoch, self.drawn, self.skipped = epoch, 0, 0
        return self._one_epoch(epoch, first_batch) if self.by_epoch else self._endless(first_batch)

    def _one_epoch(self, epoch: int, first_batch: int) -> Iterator[list[Draw]]:
        done = 0
        for done, batch in enumerate(self._index_batches(epoch), start=1):
            if self._counted(batch, skipped=done <= first_batch):
                yield [Draw(epoch, index) for index in batch]
        if done < first_batch:
            raise MaskSSLError(
                f"cannot go on behind batch {first_batch} of epoch {epoch}, which has {done}; "
                "resume with the data, batch size and number of processes the run began with"
            )
        self._place = (epoch + 1, 0)  # if no loop tells: augmentations must not come again

    def _endless(self, first_batch: int) -> Iterator[list[Draw]]:
        if hasattr(self.sampler, "skip"):
            self.sampler.skip(0)  # InfiniteSampler would go on where an earlier iter stopped
        done = 0
        for number in count():
            done_before = done
            for batch in self._index_batches(number):
                if self._counted(batch, skipped=done < first_batch):
                    yield [Draw(done, index) for index in batch]
                done += 1
            if done == done_before:
                raise MaskSSLError(
                    f"{type(self.batch_sampler).__name__} yields no batch of {self.batch_size}; "
                    "use a smaller batch, more images or drop_last=False"
                )

    def _index_batches(self, epoch: int) -> Iterator[list[int]]:
        """The wrapped sampler's batches of one pass."""
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)
        # A copy, for mmdet's samplers keep the rest of a pass that was not finished.
        shared = (self.sampler, getattr(self.sampler, "dataset", None))
        return iter(copy.deepcopy(self.batch_sampler, {id(part): part for part in shared}))

    def _counted(self, batch: list[int], skipped: bool) -> bool:
        """Count a batch; returns whether it is to be loaded."""
        self.drawn += len(batch)
        self.skipped += len(batch) if skipped else 0
        return not skipped


class DrawIterator:
    """What mmengine's IterBasedTrainLoop draws from, in place of its own iterator.

    mmengine's would load all batches that a resumed run skips; this one tells the
    DrawBatchSampler: ``loop.dataloader_iterator = DrawIterator(loop.dataloader)``.

    Args:
        dataloader: its batch sampler is a DrawBatchSampler with ``by_epoch=False``.

    Raises:
        MaskSSLError: it is another one.
    """

    def __init__(self, dataloader: DataLoader) -> None:
        batch_sampler = dataloader.batch_sampler
        if not isinstance(batch_sampler, DrawBatchSampler) or batch_sampler.by_epoch:
            raise MaskSSLError(
                "an iteration-based loop draws from DrawBatchSampler(..., by_epoch=False), not "
                f"from {type(batch_sampler).__name__}"
                f"(by_epoch={getattr(batch_sampler, 'by_epoch', None)})"
            )
        self.dataloader = dataloader
        self._batches: Iterator[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._batches is None:  # so late that no worker loads what will be skipped
            self._batches = iter(self.dataloader)
        return next(self._batches)

    def skip_iter(self, num_iters: int) -> None:
        """Begin after ``num_iters`` batches from the start of the run, whatever came before."""
        self.dataloader.batch_sampler.start(0, num_iters)
        self._batches = None
