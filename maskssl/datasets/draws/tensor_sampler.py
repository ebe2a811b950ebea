"""An epoch's order of many millions of images, kept as numbers of eight bytes."""

from collections.abc import Iterator

import torch
from mmengine.dataset import DefaultSampler
from mmengine.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class TensorSampler(DefaultSampler):
    """DefaultSampler's order on every rank, without its list of Python integers.

    That list takes some 36 bytes an image in each rank; a tensor of this rank's share takes 8,
    and as many more for all images while the epoch is shuffled.
    """

    def __iter__(self) -> Iterator[int]:
        """Indices of this rank's images in this epoch, one by one."""
        count = len(self.dataset)
        if self.shuffle:
            generator = torch.Generator().manual_seed(self.seed + self.epoch)
            order = torch.randperm(count, generator=generator)
        else:
            order = torch.arange(count)
        if self.total_size > count:  # rounded up: begins again
            order = order.repeat(-(-self.total_size // count))
        own = order[self.rank : self.total_size : self.world_size].clone()
        del order
        for block in own.split(4096):
            yield from block.tolist()
