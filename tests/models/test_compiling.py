"""Stages compiled as whole graphs compute what the plain methods do, gradients included."""

import copy
import os

import pytest
import torch
from mmpretrain.registry import MODELS

from maskssl.errors import MaskSSLError
from maskssl.models.compiling import compile_stages

ARCH = dict(embed_dims=32, num_layers=3, num_heads=2)
SMALL = dict(arch=dict(ARCH, num_layers=1))  # a compiler of C++ is slow
CLOSE = dict(rtol=1e-4, atol=1e-6)


def bootmae(**backbone):
    return MODELS.build(
        dict(
            type="BootMAE",
            backbone=dict(dict(type="PlainViT", arch=ARCH, img_size=32, patch_size=8), **backbone),
            neck=dict(type="TargetAwareDecoders", pixel=dict(embed_dims=24, num_layers=1)),
            head=dict(type="BootMAEHead"),
            target_generator=dict(type="MomentumEncoder"),
        )
    ).train()


def extrema(**backbone):
    encoder = dict(
        type="PlainViT",
        arch=ARCH,
        img_size=32,
        patch_size=8,
        with_cls_token=False,
        class_attention=dict(num_layers=2),
        out_type="cls",
    )
    mlp = dict(type="ProjectionMLP", hidden_channels=48, out_channels=16)
    return MODELS.build(
        dict(
            type="ExtreMA",
            backbone=dict(encoder, **backbone),
            neck=mlp,
            head=dict(type="ExtreMAHead", predictor=dict(mlp, num_layers=2)),
            target_generator=dict(type="MomentumProjector", schedule=dict(type="cosine")),
            mask_ratio=0.7,
            num_masks=3,
        )
    ).train()


METHODS = dict(bootmae=bootmae, extrema=extrema)


def step(model, seed=0):
    """Losses and gradients of one step on images and masks that the seed draws."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(2, 3, 32, 32, generator=generator)
    ids = torch.rand(2, 16, generator=generator).argsort(dim=1)
    masks = dict(ids_shuffle=ids, ids_keep=ids[:, :12].unflatten(1, (3, 4)))
    model.zero_grad()
    torch.manual_seed(seed)  # of drop path
    losses = model.loss(images, **masks)
    sum(value for name, value in losses.items() if name.startswith("loss")).backward()
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {name: value.detach() for name, value in losses.items()}, grads


# one model takes the C++ compiler five minutes of a core; on a GPU it is seconds
COMPILES = torch.cuda.is_available() or "MASKSSL_TEST_INDUCTOR" in os.environ
INDUCTOR = pytest.param(
    *("inductor", SMALL),
    marks=pytest.mark.skipif(not COMPILES, reason="no GPU; MASKSSL_TEST_INDUCTOR=1 is slow"),
)


WHOLE = dict(drop_path_rate=0.5, with_cp=[0, 2])  # drop path, and blocks that are recomputed


@pytest.mark.parametrize(("backend", "options"), [("aot_eager", WHOLE), INDUCTOR])
@pytest.mark.parametrize("method", METHODS)
def test_losses_and_gradients_are_those_of_the_plain_step(method, backend, options):
    model = METHODS[method](**options)
    losses, grads = step(model)
    names = list(model.state_dict())
    compile_stages(model, backend=backend)
    assert list(model.state_dict()) == names
    for _ in range(2):  # the first compiles
        compiled_losses, compiled_grads = step(model)
        torch.testing.assert_close(compiled_losses, losses, **CLOSE)
        torch.testing.assert_close(compiled_grads, grads, **CLOSE)


def counted(model):
    """Replace the stages by the methods, and list those that run."""
    calls = []

    def count(name, function):
        def run(self, *inputs):
            calls.append((name, self))
            return function(self, *inputs)

        return run

    model.replace_stages(count)
    return calls


@pytest.mark.parametrize("method", METHODS)
def test_stages_run_in_their_order_and_in_training_alone(method):
    model = METHODS[method]()
    calls = counted(model)
    step(model)
    assert [name for name, _ in calls] == list(model.stages)
    calls.clear()
    step(model.eval())
    assert calls == []
    step(model.train())
    assert calls
    calls.clear()
    model.replace_stages(None)
    step(model)
    assert calls == []


def test_a_copy_runs_on_its_own_weights():
    model = bootmae()
    calls = counted(model)
    copied = copy.deepcopy(model)
    step(copied)
    assert all(owner is copied for _, owner in calls)
    before = {name: value.clone() for name, value in step(copied)[0].items()}
    with torch.no_grad():
        for parameter in copied.neck.parameters():
            parameter.add_(0.1)
    assert not torch.equal(step(copied)[0]["loss_pixel"], before["loss_pixel"])
    torch.testing.assert_close(step(model)[0], before)


def test_the_teacher_s_moves_are_seen():
    """Weights are inputs of the graph, not constants in it."""
    model, plain = extrema(), extrema()
    plain.load_state_dict(model.state_dict())
    compile_stages(model, backend="aot_eager")
    for one in (model, plain):
        step(one)
        with torch.no_grad():
            for parameter in one.backbone.parameters():
                parameter.add_(0.05 * torch.linspace(-1, 1, parameter.numel()).view_as(parameter))
        one.target_generator.update(one, 0.5)
    torch.testing.assert_close(step(model), step(plain), **CLOSE)


def test_an_unknown_mode_is_refused():
    with pytest.raises(MaskSSLError, match="compile mode='fast' is unknown; use one of default"):
        compile_stages(bootmae(), mode="fast")


@pytest.mark.parametrize(("mode", "begun"), [("reduce-overhead", [0]), ("default", [])])
def test_a_step_of_cuda_graphs_begins_once_before_the_teacher(mode, begun, monkeypatch):
    model, taught, marks = bootmae(), [], []
    model.target_generator.register_forward_hook(lambda *_: taught.append(1))
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    monkeypatch.setattr(
        torch.compiler, "cudagraph_mark_step_begin", lambda: marks.append(len(taught))
    )
    compile_stages(model, mode)
    step(model)
    assert (marks, taught) == (begun, [1])


@pytest.mark.parametrize(("mode", "deterministic"), [("default", True), ("max-autotune", False)])
def test_what_the_compiler_is_asked_for(mode, deterministic, monkeypatch):
    """Whole graphs of one shape; by default no kernel is chosen by timing it."""
    asked = []
    monkeypatch.setattr(
        torch, "compile", lambda function, **options: asked.append(options) or function
    )
    compile_stages(bootmae(), mode, deterministic)
    assert len(asked) == len(bootmae().stages)
    known = "deterministic" in torch._inductor.list_options()
    options = dict(torch._inductor.list_mode_options(mode))
    if deterministic and known:
        options["deterministic"] = True
    expected = dict(fullgraph=True, dynamic=False, backend="inductor", options=options)
    assert all(entry == expected for entry in asked)
    asked.clear()
    compile_stages(bootmae(), backend="eager")
    assert {entry["options"] for entry in asked} == {None}
