"""Position tables as a graph of any size resizes them: torch's interpolation as two matrices."""

import pytest
import torch
import torch.nn.functional as F

from maskssl.models.layers.position import OFFSET, RESIZES, resampling, resize_position
from maskssl.models.layers.rotary import RotaryPosition


def interpolated(image: torch.Tensor, size: tuple[int, int], rule: str) -> torch.Tensor:
    if rule == "offset":
        scale = [(new + OFFSET) / old for new, old in zip(size, image.shape[2:], strict=True)]
        return F.interpolate(image, scale_factor=scale, mode="bicubic", align_corners=False)
    antialias = rule == "antialiased"
    return F.interpolate(image, size, mode="bicubic", align_corners=False, antialias=antialias)


@pytest.mark.parametrize("rule", RESIZES)
def test_matrices_resample_as_torch_does(rule):
    for source in (1, 2, 4, 7, 14, 37):
        for target in (1, 2, 3, 6, 16, 40):
            image = torch.randn(1, 3, source, source + 2)
            options = (rule == "antialiased", OFFSET if rule == "offset" else 0.0)
            down, across = (resampling(old, target, *options) for old in (source, source + 2))
            expected = interpolated(image, (target, target), rule)
            torch.testing.assert_close(down @ image @ across.T, expected, rtol=1e-4, atol=1e-4)


class Table(torch.nn.Module):
    """Positions for the grid of its input."""

    def __init__(self, table: torch.Tensor, rule: str) -> None:
        super().__init__()
        self.table, self.rule = torch.nn.Parameter(table), rule

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        return resize_position(self.table, (4, 3), tuple(grid.shape), 2, self.rule)


@pytest.mark.parametrize("rule", RESIZES)
def test_one_graph_serves_every_grid(rule):
    model = Table(torch.randn(1, 2 + 12, 8), rule)
    sides = {at: torch.export.Dim(name, min=1, max=64) for at, name in enumerate("hw")}
    program = torch.export.export(model, (torch.zeros(5, 6),), dynamic_shapes=(sides,)).module()
    for grid in ((5, 6), (4, 3), (2, 9)):
        there = torch.zeros(grid)
        torch.testing.assert_close(program(there), model(there), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", RESIZES)
def test_a_resized_table_keeps_its_dtype(rule):
    table = torch.randn(1, 16, 8).bfloat16()
    assert resize_position(table, (4, 4), (5, 5), rule=rule).dtype == torch.bfloat16


def test_rotary_periods_lie_between_one_and_the_base():
    """Four of a head of 16 channels, each 100 ** (1 / 2) ** (1 / 2) times the one before."""
    assert RotaryPosition(16).periods.tolist() == pytest.approx([1, 100**0.25, 10, 100**0.75])
    assert RotaryPosition(16, base=16.0).periods.tolist() == pytest.approx([1, 2, 4, 8])
