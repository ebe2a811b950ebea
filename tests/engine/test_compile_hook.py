"""Where the step compiles, what is said of it, and what it does not touch."""

import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from torch import nn

from maskssl.engine.hooks import compiling
from maskssl.engine.hooks.compiling import CompileHook
from maskssl.errors import MaskSSLError
from maskssl.models.compiling import Staged


class Model(Staged):
    stages = ("double",)

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def double(self, x):
        return 2 * x * self.weight

    def loss(self, x):
        return self.stage("double")(x).sum()


@pytest.fixture
def compiled(monkeypatch):
    """Calls of compile_stages."""
    calls = []
    monkeypatch.setattr(compiling, "compile_stages", lambda *inputs: calls.append(inputs))
    return calls


def runner(model, **cfg):
    parts = dict(logger=logging.getLogger("test"), message_hub=MessageHub("test"))
    return SimpleNamespace(model=model, cfg=cfg, iter=0, max_iters=5000, **parts)


@pytest.fixture
def on_gpu(monkeypatch):
    """Models of Model seem to be on one, and Triton to be installed."""
    device = SimpleNamespace(device=torch.device("cuda"))
    monkeypatch.setattr(Model, "parameters", lambda self: iter([device]))
    monkeypatch.setattr(compiling.importlib.util, "find_spec", lambda name: name == "triton")


def test_without_a_gpu_auto_leaves_it(compiled):
    CompileHook().before_train(runner(Model()))
    assert compiled == []


def test_auto_means_a_gpu_and_a_run_that_earns_the_time_back(compiled, on_gpu, caplog):
    model = Model()
    CompileHook().before_train(runner(model))
    assert compiled == [(model, "default", True)]
    CompileHook(enabled=False).before_train(runner(model))
    short = runner(model)
    short.max_iters = 4999
    with caplog.at_level(logging.INFO):
        CompileHook().before_train(short)
    assert len(compiled) == 1
    assert "a run of 4999 steps would not earn back" in caplog.text
    CompileHook(enabled=True).before_train(short)
    assert len(compiled) == 2


@pytest.mark.parametrize(("begun", "lengthened"), [(4999, 5000), (5000, 4999)])
def test_a_run_of_another_length_goes_on_as_it_began(compiled, on_gpu, caplog, begun, lengthened):
    run = runner(Model())
    run.max_iters = begun
    CompileHook().before_train(run)
    resumed = runner(Model())
    resumed.message_hub.load_state_dict(run.message_hub.state_dict())
    resumed.max_iters = lengthened
    with caplog.at_level(logging.INFO):
        CompileHook().before_train(resumed)
    assert len(compiled) == (2 if begun == 5000 else 0)
    assert ("this run, when it began, was too short to earn back" in caplog.text) == (begun < 5000)


def test_a_switch_turns_it_on_anywhere_and_the_time_is_told_once(compiled, caplog):
    model = Model()
    hook, run = (
        CompileHook(enabled=True, mode="reduce-overhead", deterministic=False),
        runner(model),
    )
    with caplog.at_level(logging.INFO):
        hook.before_train(run)
        for _ in range(2):
            hook.before_train_iter(run, 0)
            hook.after_train_iter(run, 0)
    assert compiled == [(model, "reduce-overhead", False)]
    told = [record.message for record in caplog.records]
    assert len(told) == 2
    assert "compiles double (mode 'reduce-overhead')" in told[0]
    assert "default_hooks.compile.enabled=False turns it off" in told[0]
    assert told[1].startswith("compiled: the first step took ")


def test_sharding_stays_uncompiled_and_says_so(compiled, caplog):
    CompileHook(enabled=True).before_train(runner(Model(), sharding=dict(type="fsdp2")))
    assert compiled == []
    assert "the step stays uncompiled: sharding" in caplog.text


def test_other_models_are_left_alone_or_refused(compiled):
    CompileHook().before_train(runner(nn.Linear(2, 2)))
    with pytest.raises(MaskSSLError, match="Linear has no stages.*enabled='auto' or False"):
        CompileHook(enabled=True).before_train(runner(nn.Linear(2, 2)))
    with pytest.raises(MaskSSLError, match="enabled='on'"):
        CompileHook(enabled="on")


def test_after_training_the_methods_run_again():
    model = Model().train()
    model.replace_stages(lambda name, function: lambda self, x: function(self, x) + 1)
    assert model.loss(torch.ones(2)) == 6
    CompileHook().after_train(runner(model))
    assert model.loss(torch.ones(2)) == 4
