"""BootMAE against figures of the authors' code: predictions, losses, gradients, training."""

from pathlib import Path

import pytest
import torch
from mmpretrain.registry import MODELS

from maskssl.engine.optimizers.layer_decay import LayerDecayOptimWrapperConstructor
from maskssl.errors import MaskSSLError
from maskssl.masking import split_ordering
from maskssl.models.pretrained.bootmae_release import from_released, to_released

DATA = Path(__file__).parents[1] / "data" / "bootmae_a.pt"
CLOSE = dict(rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def reference():
    return torch.load(DATA, weights_only=True)


def build(cfg, **changes):
    arch = dict(embed_dims=cfg["embed_dim"], num_layers=cfg["depth"], num_heads=cfg["num_heads"])
    settings = dict(
        type="BootMAE",
        backbone=dict(type="PlainViT", arch=arch),
        neck=dict(type="TargetAwareDecoders", pixel=dict(embed_dims=cfg["decode_dim"])),
        head=dict(type="BootMAEHead", weight_mask=cfg["weight_mask"]),
        target_generator=dict(type="MomentumEncoder"),
        mask_num=cfg["mask_len"],
    )
    return MODELS.build({**settings, **changes})


@pytest.fixture
def model(reference):
    model = build(reference["cfg"])
    model.load_state_dict(from_released(reference["state_dict"], reference["teacher"]))
    return model.train()


def test_predictions(model, reference):
    split = split_ordering(reference["ids_shuffle"], 196 - reference["cfg"]["mask_len"])
    with torch.no_grad():
        pixels, features = model.predict_targets(reference["images"].float(), split)
        target = model.target_generator(reference["images"].float())
    torch.testing.assert_close(pixels, reference["pixel"].float(), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(pixels.sum().item(), reference["pixel_sum"], rtol=1e-4, atol=0)
    torch.testing.assert_close(features, reference["feature"], **CLOSE)
    torch.testing.assert_close(target, reference["get_feature"], **CLOSE)


def test_losses_and_every_gradient_norm(model, reference):
    losses = model.loss(reference["images"].float(), ids_shuffle=reference["ids_shuffle"])
    assert losses["loss_pixel"].item() == pytest.approx(reference["R"], rel=1e-4)
    assert losses["loss_feature"].item() == pytest.approx(reference["P"], rel=1e-4)
    (losses["loss_pixel"] + losses["loss_feature"]).backward()

    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert not any(name.startswith("target_generator") for name in grads)
    norms = {name: grad.norm() for name, grad in to_released(grads).items()}
    assert norms.keys() == reference["grad_norms"].keys()
    for name, expected in reference["grad_norms"].items():
        assert norms[name].item() == pytest.approx(expected, rel=1e-4, abs=1e-6), name


def test_eight_steps(model, reference):
    options = reference["traj_opt"]
    wrapper = LayerDecayOptimWrapperConstructor(
        dict(
            type="OptimWrapper",
            optimizer=dict(
                type="AdamW", lr=options["lr"], betas=options["betas"], weight_decay=options["wd"]
            ),
        )
    )(model)
    for ids, expected in zip(reference["traj_ids"], reference["traj"], strict=True):
        losses = model.loss(reference["images"].float(), ids_shuffle=ids)
        actual = [losses["loss_pixel"].item(), losses["loss_feature"].item()]
        assert actual == pytest.approx(list(expected), rel=1e-3)
        wrapper.update_params(losses["loss_pixel"] + losses["loss_feature"])
        model.target_generator.update(model, options["ema"])


def test_release_names_round_trip(model, reference):
    released = to_released(model.state_dict())
    assert released.keys() == reference["state_dict"].keys()
    for name, value in reference["state_dict"].items():
        torch.testing.assert_close(released[name], value, rtol=0, atol=0)


@pytest.mark.parametrize(("arch", "encoder", "depth"), [("base", 768, 12), ("large", 1024, 24)])
def test_released_shapes_at_paper_scale(arch, encoder, depth):
    with torch.device("meta"):
        model = build(
            dict(embed_dim=1, depth=1, num_heads=1, decode_dim=512, weight_mask=True, mask_len=147),
            backbone=dict(type="PlainViT", arch=arch),
        )
    shapes = {name: tuple(value.shape) for name, value in to_released(model.state_dict()).items()}
    heads = dict(base=12, large=16)[arch]
    inner = 512 // heads * heads
    assert shapes["decode_blocks.0.attn.proj.weight"] == (512, inner)
    assert shapes["decode_blocks.1.c_attn.kv.weight"] == (2 * inner, encoder)
    assert shapes["decode_blocks.0.attn.q_bias"] == (inner,)
    assert shapes[f"blocks.{depth - 1}.attn.qkv.weight"] == (3 * encoder, encoder)
    assert shapes["lm_head.proj.weight"] == (512, 3, 16, 16)
    assert shapes["de_pos_embed"] == (1, 197, 512)


def test_another_method_s_tensor_is_named(reference):
    theirs = {**reference["state_dict"], "momentum_encoder.weight": torch.ones(1)}
    with pytest.raises(MaskSSLError, match=r"momentum_encoder\.weight is no tensor of a BootMAE"):
        from_released(theirs)


def test_a_release_without_its_teacher_starts_it_as_the_student(reference):
    model = build(reference["cfg"])
    model.load_state_dict(from_released(reference["state_dict"]))
    student, teacher = model.backbone.state_dict(), model.target_generator.encoder.state_dict()
    torch.testing.assert_close(teacher, student, rtol=0, atol=0)
    theirs = reference["state_dict"]["blocks.0.mlp.fc1.weight"]
    assert torch.equal(teacher["blocks.0.mlp.fc1.weight"], theirs)
