"""bf16 autocast on a CPU: the forward in bf16, weights, gradients and updates in fp32."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.optim import AmpOptimWrapper, build_optim_wrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from maskssl.engine.optimizers.autocast import AutocastOptimWrapper, without_loss_scaling
from maskssl.errors import MaskSSLError


class Net(BaseModel):
    """Two linear layers that remember what they computed in."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 4))
        self.seen: list[torch.dtype] = []
        self.layers[2].register_forward_hook(lambda *io: self.seen.append(io[2].dtype))

    def forward(self, inputs, data_samples=None, mode="loss"):
        return dict(loss=F.mse_loss(self.layers(inputs).float(), torch.ones(len(inputs), 4)))


def batch(seed: int = 1) -> dict:
    return dict(inputs=torch.randn(6, 8, generator=torch.Generator().manual_seed(seed)))


def wrap(model: nn.Module, **options) -> AutocastOptimWrapper:
    cfg = dict(
        type="AutocastOptimWrapper", optimizer=dict(type="SGD", lr=0.1, momentum=0.9), **options
    )
    return build_optim_wrapper(model, cfg)


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setattr("maskssl.engine.optimizers.autocast.get_device", lambda: "cpu")


def test_forward_in_bf16_weights_and_gradients_in_fp32():
    model = Net()
    wrapper = wrap(model)
    before = model.layers[0].weight.detach().clone()
    with wrapper.optim_context(model):
        loss = model(**batch())["loss"]
    assert model.seen == [torch.bfloat16]
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.dtype == parameter.grad.dtype == torch.float32, name
    model.zero_grad()
    model.train_step(batch(), wrapper)
    assert model.seen == [torch.bfloat16] * 2
    assert model.layers[0].weight.dtype == torch.float32
    assert not torch.equal(model.layers[0].weight, before)
    states = wrapper.optimizer.state.values()
    assert {state["momentum_buffer"].dtype for state in states} == {torch.float32}
    with torch.no_grad():  # autocast ends with the step
        model(**batch())
    assert model.seen[-1] == torch.float32


def test_steps_are_those_of_fp32_up_to_rounding():
    exact, rounded = Net(), Net()
    plain = build_optim_wrapper(
        exact, dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.1, momentum=0.9))
    )
    wrapper = wrap(rounded)
    for seed in range(5):
        expected = exact.train_step(batch(seed), plain)["loss"]
        actual = rounded.train_step(batch(seed), wrapper)["loss"]
        torch.testing.assert_close(actual, expected, rtol=0.03, atol=0)
    assert exact.seen == [torch.float32] * 5 and rounded.seen == [torch.bfloat16] * 5
    for name, value in exact.state_dict().items():
        torch.testing.assert_close(rounded.state_dict()[name], value, rtol=0, atol=5e-3)


def test_bf16_does_not_hang_on_what_the_device_would_take():
    """A GPU's own choice under autocast is fp16, which would need loss scaling."""
    own = torch.get_autocast_dtype("cpu")
    torch.set_autocast_dtype("cpu", torch.float16)
    try:
        model = Net()
        model.train_step(batch(), wrap(model))
        assert model.seen == [torch.bfloat16]
    finally:
        torch.set_autocast_dtype("cpu", own)


def test_updates_below_bf16s_resolution_are_kept():
    """1e-4 of a weight of 1 is lost in bf16: the update itself must be fp32."""
    model = Net()
    nn.init.ones_(model.layers[2].weight)
    wrapper = wrap(model)
    wrapper.optimizer.param_groups[0]["lr"] = 1e-6
    model.train_step(batch(), wrapper)
    moved = (model.layers[2].weight - 1).abs()
    assert 0 < moved.max() < 1e-3


def test_clipping_and_accumulation_are_those_of_mmengine():
    model = Net()
    wrapper = wrap(model, accumulative_counts=2, clip_grad=dict(max_norm=1e-3))
    wrapper.initialize_count_status(model, 0, 4)
    before = model.layers[0].weight.detach().clone()
    model.train_step(batch(), wrapper)
    torch.testing.assert_close(model.layers[0].weight.detach(), before, rtol=0, atol=0)
    model.train_step(batch(2), wrapper)
    change = sum(
        state["momentum_buffer"].square().sum() for state in wrapper.optimizer.state.values()
    )
    assert change.sqrt().item() == pytest.approx(1e-3, rel=1e-3)
    assert not torch.equal(model.layers[0].weight, before)


def test_nothing_is_scaled():
    """No loss scaling: a checkpoint of the wrapper is that of its optimizer."""
    wrapper = wrap(Net())
    assert wrapper.scale_loss(torch.tensor(3.0)).item() == 3
    assert wrapper.state_dict().keys() == wrapper.optimizer.state_dict().keys()


@pytest.mark.parametrize("dtype", ["float16", "fp16", "float32", "bf16"])
def test_another_dtype_is_refused(dtype):
    with pytest.raises(MaskSSLError, match=rf"dtype='{dtype}'.*bfloat16.*AmpOptimWrapper"):
        wrap(Net(), dtype=dtype)


@pytest.mark.parametrize("kind", ["AmpOptimWrapper", "mmengine.AmpOptimWrapper", AmpOptimWrapper])
@pytest.mark.parametrize(
    ("device", "dtype", "replaced"),
    [
        ("cpu", "float16", True),  # it refuses to run there
        ("cpu", None, True),
        ("cuda", "bfloat16", True),  # which needs no loss scaling
        ("cuda", torch.bfloat16, True),
        ("cuda", "float16", False),
        ("cuda", None, False),
    ],
)
def test_amp_of_the_stock_tools(kind, device, dtype, replaced, monkeypatch):
    monkeypatch.setattr("maskssl.engine.optimizers.autocast.get_device", lambda: device)
    entry = dict(type=kind, loss_scale="dynamic", use_fsdp=True, optimizer=dict(type="SGD"))
    entry |= {} if dtype is None else dict(dtype=dtype)
    given = dict(entry)
    expected = dict(type="AutocastOptimWrapper", optimizer=dict(type="SGD"))
    assert without_loss_scaling(entry) == (expected if replaced else given)
    assert entry == given


@pytest.mark.parametrize("entry", [dict(type="OptimWrapper", dtype="bfloat16"), dict(lr=1.0)])
def test_other_wrappers_stay(entry):
    assert without_loss_scaling(entry) is entry


def test_it_is_registered_for_every_scope():
    assert OPTIM_WRAPPERS.get("AutocastOptimWrapper") is AutocastOptimWrapper
