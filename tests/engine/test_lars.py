"""LARS by hand: matrices move by a share of their norm, vectors as under SGD."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from maskssl.engine.optimizers.lars import MAELARS
from maskssl.errors import MaskSSLError


def parameter(*values: float, shape: tuple[int, ...]) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values).view(shape))


def test_two_steps_by_hand():
    """Norm 5 over norm 2 times 0.01 is a trust of 0.025; the buffer holds no lr."""
    matrix, bias = parameter(3.0, 4.0, shape=(1, 2)), parameter(3.0, 4.0, shape=(2,))
    groups = [dict(params=[matrix], lr=0.5), dict(params=[bias], lr=0.5)]
    optimizer = MAELARS(groups, momentum=0.9, trust_coefficient=0.01)

    matrix.grad, bias.grad = torch.tensor([[0.0, 2.0]]), torch.tensor([0.0, 2.0])
    optimizer.step()
    torch.testing.assert_close(matrix.data, torch.tensor([[3.0, 4 - 0.5 * 0.025 * 2]]))
    torch.testing.assert_close(bias.data, torch.tensor([3.0, 4 - 0.5 * 2]))

    optimizer.param_groups[0]["lr"] = optimizer.param_groups[1]["lr"] = 1.0
    before, norm = matrix.detach().clone(), matrix.norm().item()
    matrix.grad, bias.grad = torch.tensor([[4.0, 0.0]]), torch.tensor([4.0, 0.0])
    optimizer.step()
    # 0.9 x the first scaled gradient, and the second one scaled anew
    moved = torch.tensor([[0.01 * norm / 4 * 4, 0.9 * 0.025 * 2]])
    torch.testing.assert_close(matrix.data, before - moved)
    torch.testing.assert_close(bias.data, torch.tensor([3 - 4.0, 3 - 0.9 * 2]))


def test_published_settings_are_the_defaults():
    (group,) = MAELARS([parameter(1.0, shape=(1, 1))]).param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (1.0, 0.9, 0.0)
    assert (group["trust_coeff"], group["nesterov"], group["dampening"]) == (0.001, False, 0.0)


def test_kernels_and_tables_are_matrices():
    """Whatever has more than one dimension, in one group or in several."""
    kernel, table = parameter(*[1.0] * 8, shape=(2, 1, 2, 2)), parameter(1.0, shape=(1, 1, 1))
    vectors = [parameter(1.0, shape=(1,)), parameter(2.0, shape=())]
    optimizer = MAELARS([dict(params=[kernel, table]), dict(params=vectors)])
    assert [group["always_adapt"] for group in optimizer.param_groups] == [True, False]


def test_a_group_that_mixes_both_is_refused():
    both = [parameter(1.0, shape=(1, 1)), parameter(1.0, shape=(1,))]
    with pytest.raises(MaskSSLError, match=r"mixes matrices and vectors; use.*LayerDecayOptim"):
        MAELARS(both)
    with pytest.raises(MaskSSLError, match="mixes matrices and vectors"):
        build_optim_wrapper(nn.Linear(2, 2), dict(optimizer=dict(type="MAELARS", lr=1.0)))


@pytest.mark.parametrize("decay", [1e-6, 0.1])
def test_weight_decay_is_refused(decay):
    with pytest.raises(MaskSSLError, match=f"without weight decay, as published, got {decay}"):
        MAELARS([parameter(1.0, shape=(1, 1))], weight_decay=decay)


def test_a_probe_is_built_with_it():
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    wrapper = build_optim_wrapper(
        model,
        dict(
            optimizer=dict(type="MAELARS", lr=6.4),
            constructor="LayerDecayOptimWrapperConstructor",
        ),
    )
    adapted = {
        name: group["always_adapt"]
        for group in wrapper.optimizer.param_groups
        for name in group["param_names"]
    }
    assert adapted == {"0.weight": True, "0.bias": False, "1.weight": False, "1.bias": False}
