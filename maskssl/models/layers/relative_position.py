"""BEiT's relative position bias, as the released BootMAE UperNet uses it."""

import torch
from torch import Tensor, nn


class RelativePositionBias(nn.Module):
    """One learnt bias per head and offset between two patches, plus three for cls.

    The table starts at zero, so a fresh one changes nothing. Its last three rows
    stand for cls -> patch, patch -> cls and cls -> cls (Segmentation/backbone/beit.py).
    """

    index: Tensor

    def __init__(self, grid: tuple[int, int], num_heads: int) -> None:
        super().__init__()
        height, width = grid
        num_offsets = (2 * height - 1) * (2 * width - 1) + 3
        self.table = nn.Parameter(torch.zeros(num_offsets, num_heads))
        self.register_buffer("index", self._index(height, width, num_offsets), persistent=False)

    @staticmethod
    def _index(height: int, width: int, num_offsets: int) -> Tensor:
        rows, cols = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        rows, cols = rows.flatten(), cols.flatten()
        offset_rows = rows[:, None] - rows[None, :] + height - 1  # (N, N), from 0
        offset_cols = cols[:, None] - cols[None, :] + width - 1
        index = torch.empty(rows.numel() + 1, rows.numel() + 1, dtype=torch.long)
        index[1:, 1:] = offset_rows * (2 * width - 1) + offset_cols
        index[0, :] = num_offsets - 3
        index[:, 0] = num_offsets - 2
        index[0, 0] = num_offsets - 1
        return index

    def forward(self, with_cls_token: bool = True) -> Tensor:
        """The bias as (H, 1 + N, 1 + N), or (H, N, N) without a cls token."""
        index = self.index if with_cls_token else self.index[1:, 1:]
        return self.table[index].permute(2, 0, 1)
