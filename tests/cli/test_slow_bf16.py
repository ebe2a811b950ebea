"""A CPU that emulates bf16 trains in fp32, and says so; others keep what the config asks for."""

import pytest
import torch
from mmengine.config import Config

from maskssl.cli import launch

SETTINGS = dict(optimizer=dict(type="SGD", lr=0.1), clip_grad=dict(max_norm=3.0))


@pytest.fixture
def built(monkeypatch):
    """What build_runner hands to the runner, on a CPU of some capability, and what it says."""
    said = []
    monkeypatch.setattr(launch, "check_data", lambda cfg, loaders: None)
    monkeypatch.setattr(launch.MaskSSLRunner, "from_cfg", lambda cfg: cfg)
    monkeypatch.setattr(launch, "print_log", lambda text, **kwargs: said.append(text))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def build(capability: str, **wrapper):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
        cfg = Config(dict(model=dict(type="X"), optim_wrapper={**SETTINGS, **wrapper}))
        return launch.build_runner(cfg, []).optim_wrapper.to_dict(), said

    return build


@pytest.mark.parametrize("capability", ["AVX2", "DEFAULT"])
def test_without_bf16_instructions_training_is_in_fp32(built, capability):
    wrapper, said = built(capability, type="AutocastOptimWrapper", dtype="bfloat16")
    assert wrapper == dict(SETTINGS, type="OptimWrapper")
    assert said == [f"this CPU ({capability}) has no bf16 instructions: trains in fp32"]


@pytest.mark.parametrize(
    ("capability", "wrapper"),
    [
        ("AVX512", dict(type="AutocastOptimWrapper", dtype="bfloat16")),
        ("AVX512_BF16", dict(type="AutocastOptimWrapper", dtype="bfloat16")),
        ("AVX2", dict(type="OptimWrapper")),
        ("AVX2", dict()),
    ],
)
def test_everything_else_stays(built, capability, wrapper):
    assert built(capability, **wrapper) == ({**SETTINGS, **wrapper}, [])
