"""Checkpoints of runs whose optimizer had a group for each parameter go on exactly."""

import copy

import pytest
import torch
from mmengine.optim import (
    CosineAnnealingLR,
    DefaultOptimWrapperConstructor,
    LinearLR,
    OptimWrapper,
    build_optim_wrapper,
)
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from maskssl.checkpoints.errors import CheckpointError
from maskssl.checkpoints.reading import read_checkpoint
from maskssl.engine.optimizers.former_groups import in_present_groups
from tests.engine.test_layer_decay import classifier
from tests.engine.test_runner import build as runner_of

LR, DECAY = 0.01, 0.1


def present(model: nn.Module, rate: float = 0.5) -> OptimWrapper:
    return build_optim_wrapper(
        model,
        dict(
            type="OptimWrapper",
            optimizer=dict(type="AdamW", lr=LR, weight_decay=DECAY),
            constructor="LayerDecayOptimWrapperConstructor",
            paramwise_cfg=dict(layer_decay_rate=rate),
        ),
    )


def former(model: nn.Module) -> OptimWrapper:
    """Groups as they were: one for each parameter, in the model's order."""
    names = {id(p): name for name, p in model.named_parameters()}
    groups = {
        names[id(p)]: dict(
            params=[p],
            param_name=names[id(p)],
            **{key: group[key] for key in ("lr", "lr_scale", "weight_decay")},
        )
        for group in present(model).optimizer.param_groups
        for p in group["params"]
    }
    ordered = [groups[name] for name, _ in model.named_parameters() if name in groups]
    return OptimWrapper(torch.optim.AdamW(ordered, lr=LR, weight_decay=DECAY))


def schedules(wrapper: OptimWrapper) -> list:
    return [
        LinearLR(wrapper, start_factor=0.1, by_epoch=False, begin=0, end=3),
        CosineAnnealingLR(wrapper, T_max=7, eta_min=1e-5, by_epoch=False, begin=3, end=10),
    ]


def train(model: nn.Module, wrapper: OptimWrapper, curves: list, steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        wrapper.step()
        for curve in curves:
            curve.step()


def saved(wrapper: OptimWrapper, curves: list) -> dict:
    content = dict(
        optimizer=wrapper.state_dict(), param_schedulers=[curve.state_dict() for curve in curves]
    )
    return copy.deepcopy(content)


def lrs(model: nn.Module, wrapper: OptimWrapper) -> dict[str, float]:
    names = {id(p): name for name, p in model.named_parameters()}
    groups = wrapper.optimizer.param_groups
    return {names[id(p)]: group["lr"] for group in groups for p in group["params"]}


@pytest.mark.parametrize("steps_before", [2, 5])
def test_a_run_goes_on_exactly(steps_before):
    """In the warm-up and in the curve behind it, of a group for each parameter and of few."""
    old = classifier()
    old_wrapper = former(old)
    old_curves = schedules(old_wrapper)
    train(old, old_wrapper, old_curves, range(steps_before))
    content = saved(old_wrapper, old_curves)

    new = copy.deepcopy(old)
    new_wrapper = present(new)
    new_curves = schedules(new_wrapper)
    count = len(new_wrapper.optimizer.param_groups)
    assert count < len(old_wrapper.optimizer.param_groups) / 2
    content = in_present_groups(content, new_wrapper.param_groups)
    new_wrapper.load_state_dict(content["optimizer"])
    for curve, state in zip(new_curves, content["param_schedulers"], strict=True):
        curve.load_state_dict(state)
    assert len(new_wrapper.optimizer.param_groups) == count

    for step in range(steps_before, 10):
        train(old, old_wrapper, old_curves, range(step, step + 1))
        train(new, new_wrapper, new_curves, range(step, step + 1))
        assert lrs(new, new_wrapper) == lrs(old, old_wrapper)
        assert (
            saved(new_wrapper, new_curves)["optimizer"]["base_param_settings"]["lr"]
            == (saved(old_wrapper, old_curves)["optimizer"]["base_param_settings"]["lr"])
        )
    for name, parameter in new.named_parameters():
        assert torch.equal(parameter, dict(old.named_parameters())[name]), name


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class FormerConstructor(DefaultOptimWrapperConstructor):
    """A group for each parameter, which names it."""

    def add_params(self, params, module, prefix="", **kwargs):
        for name, parameter in module.named_parameters():
            decay = self.base_wd if parameter.ndim > 1 else 0.0
            params.append(
                dict(
                    params=[parameter],
                    param_name=name,
                    lr_scale=1.0,
                    lr=self.base_lr,
                    weight_decay=decay,
                )
            )


def run(folder, constructor: str, **options) -> dict[str, torch.Tensor]:
    """Weights after the two epochs of the runner's tests."""
    runner = runner_of(folder, **options)
    runner.optim_wrapper = dict(
        type="OptimWrapper",
        optimizer=dict(type="AdamW", lr=LR, weight_decay=DECAY),
        constructor=constructor,
        paramwise_cfg=dict(layer_decay_rate=1.0),
    )
    runner.train()
    return {name: tensor.clone() for name, tensor in runner.model.state_dict().items()}


def test_a_runner_resumes_a_former_checkpoint(tmp_path):
    """After its first epoch, inside the warm-up, as if it had never stopped."""
    whole = run(tmp_path / "former", "FormerConstructor")
    checkpoint = tmp_path / "former" / "epoch_1.pth"
    assert len(read_checkpoint(checkpoint)["optimizer"]["param_groups"]) == 4
    present = "LayerDecayOptimWrapperConstructor"
    resumed = run(tmp_path / "present", present, load_from=str(checkpoint), resume=True)
    for name, tensor in whole.items():
        assert torch.equal(resumed[name], tensor), name
    written = read_checkpoint(tmp_path / "present" / "epoch_2.pth")["optimizer"]["param_groups"]
    assert [sorted(group["param_names"]) for group in written] == [
        ["linear.bias", "norm.bias", "norm.weight"],
        ["linear.weight"],
    ]


def test_a_present_checkpoint_stays_as_it_is():
    model = classifier()
    wrapper = present(model)
    content = saved(wrapper, schedules(wrapper))
    assert in_present_groups(content, wrapper.param_groups) is content
    plain = OptimWrapper(torch.optim.AdamW(model.parameters()))
    content = dict(optimizer=plain.state_dict())
    assert in_present_groups(content, plain.param_groups) is content


def test_other_parameters_are_refused():
    model = classifier()
    content = saved(former(model), [])
    del content["optimizer"]["param_groups"][-1]
    with pytest.raises(CheckpointError, match=r"holds \d+ parameters, this run's \d+, and they"):
        in_present_groups(content, present(model).param_groups)


def test_other_groups_are_refused():
    """A checkpoint of a rate per depth in a run without one."""
    model = classifier()
    with pytest.raises(CheckpointError, match="other settings for"):
        in_present_groups(saved(former(model), []), present(model, rate=1.0).param_groups)
