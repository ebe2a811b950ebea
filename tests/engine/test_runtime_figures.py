"""Losses are read together, and their history stays short."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.hooks import RuntimeInfoHook
from mmengine.logging import HistoryBuffer, MessageHub

from maskssl.engine.hooks.runtime_figures import RuntimeFiguresHook
from maskssl.errors import MaskSSLError
from maskssl.models.logged_losses import LoggedLosses
from tests.models.test_extrema import build, images

LOSSES = dict(loss=torch.tensor(0.1), loss_byol=torch.tensor([2.5]), spread=torch.tensor(3.0))


@pytest.fixture
def hub(request):
    return MessageHub(request.node.name)


def step(hook, hub, outputs):
    hook.after_train_iter(SimpleNamespace(message_hub=hub), 0, None, outputs)


def history(hub, name):
    return hub.get_scalar(name).data[0].tolist()


@pytest.mark.parametrize("outputs", [LOSSES, LoggedLosses(LOSSES), dict(LOSSES, epoch=3)])
def test_the_record_is_mmengine_s_without_reading_value_by_value(outputs, hub, monkeypatch):
    theirs = MessageHub("theirs of " + hub.instance_name)
    step(RuntimeInfoHook(), theirs, outputs)

    def refuse(tensor):
        raise AssertionError("a value was read by itself")

    monkeypatch.setattr(torch.Tensor, "item", refuse)
    step(RuntimeFiguresHook(), hub, outputs)
    for name in outputs:
        assert history(hub, f"train/{name}") == history(theirs, f"train/{name}")


def test_steps_without_outputs_log_nothing(hub):
    step(RuntimeFiguresHook(), hub, None)
    step(RuntimeFiguresHook(), hub, {})
    assert not hub.log_scalars


def test_a_history_keeps_the_latest(hub):
    """Of every name, whoever has logged it, and of a history that a long run has left."""
    hook = RuntimeFiguresHook(max_history=3)
    hub.log_scalars["train/lr"] = HistoryBuffer(np.arange(1000.0), np.ones(1000))
    for index in range(6):
        hub.update_scalar("train/lr", -float(index))
        step(hook, hub, dict(loss=torch.tensor(float(index))))
    assert history(hub, "train/loss") == [3.0, 4.0, 5.0]
    assert history(hub, "train/lr") == [-3.0, -4.0, -5.0]
    assert hub.get_scalar("train/loss").mean(2) == 4.5


def test_a_history_of_nothing_is_refused():
    with pytest.raises(MaskSSLError, match="max_history=0: keep 1 or more values"):
        RuntimeFiguresHook(max_history=0)


def test_pretraining_hands_over_its_losses_together():
    model = build().train()
    losses = model(images(), mode="loss")
    total, logged = model.parse_losses(losses)
    assert isinstance(logged, LoggedLosses)
    assert logged.on_host() == {name: float(value) for name, value in logged.items()}
    assert set(logged) == {"loss", *losses}
    total.backward()
    assert model.backbone.patch_embed.proj.weight.grad is not None
