"""ExtreMA against figures of the authors' code: loss, gradients, teacher, training."""

from pathlib import Path

import pytest
import torch
from mmpretrain.registry import MODELS

from maskssl.engine.optimizers.layer_decay import LayerDecayOptimWrapperConstructor
from maskssl.errors import MaskSSLError
from maskssl.models.pretrained.extrema_release import from_released, to_released

DATA = Path(__file__).parents[1] / "data" / "extrema_a.pt"
CLOSE = dict(rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def reference():
    return torch.load(DATA, weights_only=True)


def build(cfg, arch=None, **changes):
    arch = arch or dict(embed_dims=cfg["dim"], num_layers=cfg["depth"], num_heads=cfg["heads"])
    pooling = dict(num_layers=cfg["class_attention_layers"], layer_scale_init=cfg["init_values"])
    mlp = dict(type="ProjectionMLP", hidden_channels=cfg["mlp_dim"], out_channels=cfg["proj_dim"])
    settings = dict(
        type="ExtreMA",
        backbone=dict(
            type="PlainViT",
            arch=arch,
            with_cls_token=False,
            class_attention=pooling,
            pos_embed_layout="mae",
            out_type="cls",
        ),
        neck=dict(mlp, num_layers=3),
        head=dict(
            type="ExtreMAHead",
            predictor=dict(mlp, num_layers=2),
            loss=cfg["loss"],
            temperature=cfg["T"],
        ),
        target_generator=dict(type="MomentumProjector", schedule=dict(type="cosine")),
        mask_ratio=cfg["mask_ratio"],
        num_masks=cfg["num_masks"],
    )
    return MODELS.build({**settings, **changes})


@pytest.fixture
def model(reference):
    model = build(reference["cfg"])
    model.load_state_dict(from_released(reference["state_dict"]), strict=False)
    return model.train()


@pytest.fixture
def views(reference):
    return [reference["x1"].float(), reference["x2"].float()]


def kept(masks):
    """The authors list masks first: (K, B, V) -> (B, K, V)."""
    return masks.long().transpose(0, 1)


def test_loss_and_every_gradient_norm(model, reference, views):
    # the authors move the teacher before its forward
    model.target_generator.update(model, reference["cfg"]["momentum"])
    losses = model.loss(views, ids_keep=kept(reference["masks"]))
    assert losses["loss_byol"].item() == pytest.approx(reference["loss"], rel=1e-4)
    losses["loss_byol"].backward()

    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert not any(name.startswith("target_generator") for name in grads)
    norms = {name: grad.norm().item() for name, grad in to_released(grads).items()}
    assert norms.keys() == reference["grad_norms"].keys()
    for name, expected in reference["grad_norms"].items():
        assert norms[name] == pytest.approx(expected, rel=1e-4, abs=1e-6), name


def test_the_momentum_encoder_after_its_update(model, reference, views):
    model.target_generator.update(model, reference["cfg"]["momentum"])
    teacher = to_released(model.state_dict())
    assert reference["momentum_after"]
    for name, expected in reference["momentum_after"].items():
        key = name if name.startswith("momentum_encoder.") else f"momentum_encoder.{name}"
        torch.testing.assert_close(teacher[key], expected, **CLOSE)

    encoder = model.target_generator.encoder
    with torch.no_grad():
        normed = encoder.encode(views[0])[-1]
        encoder.norm = torch.nn.Identity()
        plain = encoder.encode(views[0])[-1]
    torch.testing.assert_close(normed, reference["momentum_cls"], **CLOSE)
    torch.testing.assert_close(plain, reference["probe_feature"], **CLOSE)


def test_eight_steps(model, reference, views):
    options = reference["traj_opt"]
    wrapper = LayerDecayOptimWrapperConstructor(
        dict(
            type="OptimWrapper",
            optimizer=dict(
                type="AdamW", lr=options["lr"], betas=options["betas"], weight_decay=options["wd"]
            ),
        )
    )(model)
    # the steps follow the single one above, which had moved the teacher once
    model.target_generator.update(model, reference["cfg"]["momentum"])
    for masks, expected in zip(reference["traj_masks"], reference["traj"], strict=True):
        model.target_generator.update(model, options["momentum"])
        loss = model.loss(views, ids_keep=kept(masks))["loss_byol"]
        assert loss.item() == pytest.approx(expected, rel=1e-3)
        wrapper.update_params(loss)


def test_release_names_round_trip(model, reference):
    released = to_released(model.state_dict())
    assert released.keys() == reference["state_dict"].keys()
    for name, value in reference["state_dict"].items():
        torch.testing.assert_close(released[name], value, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("arch", "width", "depth"), [("small", 384, 12), ("base", 768, 12), ("large", 1024, 24)]
)
def test_released_shapes_at_paper_scale(arch, width, depth, reference):
    with torch.device("meta"):
        model = build(dict(reference["cfg"], mlp_dim=4096, proj_dim=256), arch=arch)
    shapes = {name: tuple(value.shape) for name, value in to_released(model.state_dict()).items()}
    assert shapes["base_encoder.pos_embed"] == (1, 196, width)
    assert shapes[f"base_encoder.blocks.{depth - 1}.attn.qkv.weight"] == (3 * width, width)
    assert shapes["base_encoder.blocks_token.1.attn.k.weight"] == (width, width)
    assert shapes["momentum_encoder.head.6.weight"] == (256, 4096)
    assert shapes["predictor.3.weight"] == (256, 4096)
    assert "predictor.6.weight" not in shapes


def test_another_method_s_tensor_is_named(reference):
    theirs = {**reference["state_dict"], "decoder.weight": torch.ones(1)}
    with pytest.raises(MaskSSLError, match="decoder.weight is no tensor of an ExtreMA release"):
        from_released(theirs)
