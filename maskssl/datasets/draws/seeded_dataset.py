"""A dataset whose samples depend on (seed, epoch, index) alone, unreadable images included."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log
from torch.utils.data import Dataset

from ...errors import MaskSSLError
from ..transforms.loading import UnreadableImageError
from .draw import Draw, seed_from, seeded_randomness
from .unreadable_list import UnreadableList

_OWN = frozenset({"dataset", "draw_seed", "unreadable", "max_tries", "_told"})


class SeededDataset(Dataset):
    """Any dataset, with the random generators seeded anew for each sample.

    Everything else is the wrapped dataset's: its attributes are read and set through this one.
    Transforms that keep generators or earlier samples of their own are out of reach.

    An image that raises UnreadableImageError is replaced by another, drawn by the same
    generator, so every repetition finds the same one. Each failed read is listed as
    ``{epoch, index, tried, message, replaced_by}``; ``index`` is the image asked for,
    ``tried`` the one that failed.

    Args:
        dataset: of mmengine, mmpretrain, mmseg or mmdet.
        seed: of the run, the same on all ranks.
        folder: where ``unreadable_images.jsonl`` is kept; None only logs.
        max_tries: unreadable images for one draw after which the run stops.
    """

    def __init__(
        self,
        dataset: Any,
        seed: int,
        folder: str | Path | None = None,
        max_tries: int = 20,
    ) -> None:
        if max_tries < 1:
            raise MaskSSLError(f"max_tries={max_tries} would read no image; use at least 1")
        self.dataset = dataset
        self.draw_seed = seed
        self.unreadable = None if folder is None else UnreadableList(folder)
        self.max_tries = max_tries
        self._told = False

    def __getattr__(self, name: str) -> Any:
        # Python and torch ask for special methods (__getitems__, __setstate__) before unpickling
        # has set any attribute; none of them may come from the wrapped dataset.
        if name in _OWN or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.dataset, name)

    def __setattr__(self, name: str, value: Any) -> None:
        # A hook that switches the pipeline means the wrapped dataset's.
        if name in _OWN:
            super().__setattr__(name, value)
        else:
            setattr(self.dataset, name, value)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: Draw | int) -> Any:
        """The sample of a draw; a bare index is a draw of epoch 0.

        Raises:
            MaskSSLError: ``max_tries`` images in a row could not be read.
        """
        epoch, index = draw if isinstance(draw, tuple) else (0, draw)
        with seeded_randomness(seed_from(self.draw_seed, epoch, index)):
            return self._readable_sample(epoch, index)

    def _readable_sample(self, epoch: int, index: int) -> Any:
        failed: list[tuple[int, str]] = []
        tried = int(index)
        while len(failed) < self.max_tries:
            try:
                sample = self.dataset[tried]
            except Exception as error:
                unreadable = _unreadable_cause(error)
                if unreadable is None:
                    raise
                failed.append((tried, str(unreadable)))
                tried = int(np.random.randint(len(self.dataset)))
            else:
                if failed:
                    self._record(epoch, index, failed, replaced_by=tried)
                return sample
        self._record(epoch, index, failed, replaced_by=None)
        raise MaskSSLError(
            f"image {index} in epoch {epoch} cannot be read, nor can the {len(failed) - 1} others "
            f"that were drawn in its place; check the disk and the data folder. The last one: "
            f"{failed[-1][1]}"
        )

    def _record(
        self, epoch: int, index: int, failed: list[tuple[int, str]], replaced_by: int | None
    ) -> None:
        if self.unreadable is not None:
            place = dict(epoch=int(epoch), index=int(index))
            self.unreadable.append(
                [
                    dict(place, tried=tried, message=message, replaced_by=replaced_by)
                    for tried, message in failed
                ]
            )
        if self.unreadable is None or not self._told:
            further = (
                "" if self.unreadable is None else f"; all are listed in {self.unreadable.path}"
            )
            print_log(
                f"epoch {epoch}, image {index} is replaced by image {replaced_by}: "
                f"{'; '.join(message for _, message in failed)}{further}",
                logger="current",
                level=logging.WARNING,
            )
            self._told = True


def _unreadable_cause(error: BaseException | None) -> UnreadableImageError | None:
    """The UnreadableImageError that an error is or was raised from."""
    while error is not None and not isinstance(error, UnreadableImageError):
        error = error.__cause__
    return error
