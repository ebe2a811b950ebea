"""ExtreMA's behaviour: leaks, masks, teacher, losses, views, refusals."""

import math
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS

from maskssl.errors import MaskSSLError
from maskssl.masking import multi_masks
from maskssl.models.heads import extrema_head
from maskssl.models.heads.extrema_head import byol_loss, infonce_loss
from maskssl.models.layers.feature_spread import feature_spread

POOLING = dict(num_layers=2, layer_scale_init=0.1)


def build(seed: int = 0, backbone=None, head=None, **options):
    torch.manual_seed(seed)
    arch = dict(embed_dims=16, num_layers=2, num_heads=2)
    encoder = dict(
        type="PlainViT",
        arch=arch,
        img_size=32,
        patch_size=8,
        with_cls_token=False,
        class_attention=POOLING,
        pos_embed_layout="mae",
        split_qkv_init=False,
        out_type="cls",
    )
    mlp = dict(type="ProjectionMLP", hidden_channels=24, out_channels=8)
    settings = dict(
        type="ExtreMA",
        backbone={**encoder, **(backbone or {})},
        neck=dict(mlp, num_layers=3),
        head=dict(type="ExtreMAHead", predictor=dict(mlp, num_layers=2), **(head or {})),
        target_generator=dict(type="MomentumProjector", schedule=dict(type="cosine")),
        mask_ratio=0.75,
        num_masks=3,
    )
    return MODELS.build({**settings, **options})


def images(count: int = 4, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def kept(model, count: int = 4, seed: int = 2) -> torch.Tensor:
    return model.draw_masks(count, generator=torch.Generator().manual_seed(seed))


def perturb(module: torch.nn.Module, seed: int = 3) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)


# Masks


@pytest.mark.parametrize(
    ("patches", "ratio", "masks", "each"), [(196, 0.8, 5, 39), (196, 0.9, 8, 19), (36, 0.5, 2, 18)]
)
def test_disjoint_masks_never_overlap_and_cover_what_they_should(patches, ratio, masks, each):
    ids = multi_masks(64, patches, ratio, masks, generator=torch.Generator().manual_seed(0))
    assert ids.shape == (64, masks, each)
    for image in ids.flatten(1).tolist():
        assert len(set(image)) == masks * each
    seen = Counter(ids.flatten().tolist())
    assert set(seen) == set(range(patches))  # every patch comes up, whatever its place
    expected = 64 * masks * each / patches
    assert max(abs(count - expected) for count in seen.values()) < 6 * math.sqrt(expected)


def test_independent_masks_may_overlap():
    ids = multi_masks(8, 16, 0.5, 4, disjoint=False, generator=torch.Generator().manual_seed(0))
    assert ids.shape == (8, 4, 8)
    assert all(len(set(mask)) == 8 for mask in ids.flatten(0, 1).tolist())
    assert any(len(set(image)) < 32 for image in ids.flatten(1).tolist())
    assert not torch.equal(ids[:, 0], ids[:, 1])


def test_a_generator_replays_the_masks():
    draws = [
        multi_masks(3, 16, 0.75, 2, generator=torch.Generator().manual_seed(7)) for _ in range(2)
    ]
    assert torch.equal(*draws)
    assert not torch.equal(draws[0], multi_masks(3, 16, 0.75, 2))


@pytest.mark.parametrize(
    ("ratio", "masks", "said"),
    [
        (0.8, 6, r"6 disjoint masks of 39 visible patches .* use 1 to 5 masks"),
        (0.8, 0, "0 disjoint masks"),
        (0.999, 2, "mask_ratio=0.999 leaves 0 of 196"),
        (0.0, 1, "mask_ratio=0.0 leaves 196 of 196"),
    ],
)
def test_masks_that_do_not_fit_are_refused(ratio, masks, said):
    with pytest.raises(MaskSSLError, match=said):
        multi_masks(2, 196, ratio, masks)


def test_the_algorithm_refuses_them_before_any_data():
    with pytest.raises(MaskSSLError, match="5 disjoint masks of 4 visible patches"):
        build(num_masks=5)
    assert build(num_masks=5, disjoint=False).draw_masks(2).shape == (2, 5, 4)


@pytest.mark.parametrize("shape", [(4, 4), (3, 3, 4), (4, 3, 17)])
def test_handed_in_masks_of_another_shape_are_refused(shape):
    with pytest.raises(MaskSSLError, match="images, masks, patches"):
        build().loss(images(), ids_keep=torch.zeros(shape, dtype=torch.long))


# What the student and the teacher see


def test_pixels_outside_a_mask_reach_nothing_of_that_mask():
    model = build().eval()
    ids = kept(model)
    hidden = torch.ones(4, 16).scatter(1, ids[:, 1], 0.0).unflatten(1, (4, 4))
    hidden = F.interpolate(hidden[:, None], scale_factor=8, mode="nearest")  # (B, 1, 32, 32)
    with torch.no_grad():
        before = model.encode_masked(images(), ids)
        after = model.encode_masked(images() + 50 * hidden * images(seed=5), ids)
    torch.testing.assert_close(after[:, 1], before[:, 1], rtol=0, atol=0)
    assert not torch.allclose(after[:, 0], before[:, 0], atol=1e-3)


def test_the_student_runs_short_sequences_only_and_one_patch_embedding():
    model = build()
    calls = []
    model.backbone.patch_embed.proj.register_forward_hook(
        lambda _, inputs, __: calls.append(("patches", len(inputs[0])))
    )
    model.backbone.blocks[0].register_forward_hook(
        lambda _, inputs, __: calls.append(("block", tuple(inputs[0].shape)))
    )
    model.encode_masked(images(), kept(model))
    # 4 images x 3 masks, 4 patches each
    assert calls == [("patches", 48), ("block", (12, 4, 16))]


def test_the_teacher_sees_all_patches():
    model = build()
    perturb(model.target_generator)
    shapes = []
    model.target_generator.encoder.blocks[0].register_forward_hook(
        lambda _, inputs, __: shapes.append(tuple(inputs[0].shape))
    )
    view = images().requires_grad_()
    with torch.enable_grad():
        keys = model.target_generator.projector(model.target_generator.encoder.encode(view)[-1])
        keys.sum().backward()
    per_patch = F.max_pool2d(view.grad.abs().amax(dim=1, keepdim=True), 8)
    assert (per_patch > 0).all()
    assert shapes == [(4, 16, 16)]


def test_no_gradient_reaches_the_teacher_and_all_of_the_student_gets_one():
    model = build().train()
    model.loss(images(), ids_keep=kept(model))["loss_byol"].backward()
    assert all(p.grad is None for p in model.target_generator.parameters())
    student = [model.backbone, model.neck, model.head]
    without = [
        name
        for part in student
        for name, p in part.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.any())
    ]
    assert without == []
    assert not model.target_generator.training


def test_only_the_student_drops_paths():
    model = build(backbone=dict(drop_path_rate=0.5)).train()
    assert [block.drop_path.drop_prob for block in model.backbone.blocks] == [0.0, 0.5]
    teacher = model.target_generator
    assert [block.drop_path.drop_prob for block in teacher.encoder.blocks] == [0.0, 0.0]
    torch.testing.assert_close(teacher(images()), teacher(images()), rtol=0, atol=0)
    names = [type(m).__name__ for m in model.backbone.class_attention.modules()]
    assert "DropPath" not in names


# Teacher


def test_the_teacher_covers_encoder_class_attention_and_projector():
    model = build()
    perturb(model.target_generator)
    model.init_weights()
    for mine, theirs in (
        (model.target_generator.encoder, model.backbone),
        (model.target_generator.projector, model.neck),
    ):
        for name, value in mine.state_dict().items():
            assert torch.equal(value, theirs.state_dict()[name]), name

    before = {n: v.clone() for n, v in model.target_generator.state_dict().items()}
    perturb(model.backbone)
    perturb(model.neck)
    model.target_generator.update(model, 0.75)
    after = model.target_generator.state_dict()
    assert any("class_attention" in name for name in after)
    students = dict(encoder=model.backbone.state_dict(), projector=model.neck.state_dict())
    for name, value in after.items():
        part, key = name.split(".", 1)
        torch.testing.assert_close(value, 0.75 * before[name] + 0.25 * students[part][key])
        if "pos_embed" not in name:
            assert not torch.equal(value, before[name]), name


def test_the_teacher_s_projector_has_the_student_s_statistics_of_batches():
    """Buffers are taken over as they are, not averaged."""
    norm = dict(type="BN1d")
    neck = dict(type="ProjectionMLP", hidden_channels=24, out_channels=8, norm_cfg=norm)
    model = build(neck=neck)
    for name, buffer in model.neck.named_buffers():
        if "running_mean" in name:
            buffer.fill_(3.0)
    model.target_generator.update(model, 0.9)
    buffers = dict(model.target_generator.projector.named_buffers())
    means = [value for name, value in buffers.items() if "running_mean" in name]
    assert means and all((mean == 3).all() for mean in means)


# Losses


def test_one_image_is_both_views():
    model = build().train()
    ids = kept(model)
    alone = model.loss(images(), ids_keep=ids)["loss_byol"].item()
    assert alone == model.loss([images(), images()], ids_keep=ids)["loss_byol"].item()
    assert alone == model.loss([images()], ids_keep=ids)["loss_byol"].item()
    for views in ([images(), images(seed=9)], [images(seed=9), images()]):
        assert alone != model.loss(views, ids_keep=ids)["loss_byol"].item()


def test_different_views_go_to_student_and_teacher():
    model = build().train()
    ids = kept(model)
    one, two = images(), images(seed=9)
    first = model.loss([one, two], ids_keep=ids)["loss_byol"].item()
    assert first != model.loss([two, one], ids_keep=ids)["loss_byol"].item()
    keys = model.target_generator(two)
    queries = model.head.predictor(model.neck(model.encode_masked(one, ids)))
    assert first == pytest.approx(byol_loss(queries, keys).item())


@pytest.mark.parametrize("loss", ["byol", "infonce"])
def test_many_masks_are_the_mean_of_single_ones(loss):
    """Loss and gradients of K masks at once equal the mean over K steps with one each."""
    # in double precision but for the loss
    model = build(head=dict(loss=loss, temperature=0.5)).train().double()
    ids = kept(model)
    key = f"loss_{loss}"
    views = [images().double(), images(seed=4).double()]

    def step(masks: torch.Tensor) -> tuple[float, dict[str, torch.Tensor]]:
        model.zero_grad()
        value = model.loss(views, ids_keep=masks)[key]
        value.backward()
        return value.item(), {
            n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None
        }

    together, gradients = step(ids)
    single = [step(ids[:, k : k + 1]) for k in range(3)]
    assert together == pytest.approx(sum(value for value, _ in single) / 3, rel=1e-6)
    for name, gradient in gradients.items():
        mean = sum(grads[name] for _, grads in single) / 3
        torch.testing.assert_close(gradient, mean, rtol=1e-4, atol=1e-7)


def test_infonce_is_the_cross_entropy_of_the_own_key():
    queries, keys = torch.randn(4, 3, 8), torch.randn(4, 8)
    total = 0.0
    for k in range(3):
        q, n = F.normalize(queries[:, k], dim=1), F.normalize(keys, dim=1)
        total += F.cross_entropy(q @ n.T / 0.2, torch.arange(4)).item() * 2 * 0.2
    assert infonce_loss(queries, keys, 0.2).item() == pytest.approx(total / 3, rel=1e-5)


def test_infonce_of_the_head_has_the_heads_temperature():
    head = build(head=dict(loss="infonce", temperature=0.2)).head
    projections, keys = torch.randn(4, 3, 8), torch.randn(4, 8)
    expected = infonce_loss(head.predictor(projections), keys, 0.2).item()
    assert head.loss(projections, keys)["loss_infonce"].item() == pytest.approx(expected)


def test_infonce_looks_among_the_keys_of_all_ranks(monkeypatch):
    """Two ranks of four images make the task of one rank of eight."""
    queries, keys = torch.randn(8, 3, 6), torch.randn(8, 6)
    whole = infonce_loss(queries, keys, 0.3).item()
    normalised = F.normalize(keys, dim=-1)
    monkeypatch.setattr(extrema_head, "all_gather", lambda mine: list(normalised.split(4)))
    shares = []
    for rank, (own_queries, own_keys) in enumerate(
        zip(queries.split(4), keys.split(4), strict=True)
    ):
        monkeypatch.setattr(extrema_head, "get_rank", lambda rank=rank: rank)
        shares.append(infonce_loss(own_queries, own_keys, 0.3).item())
    assert sum(shares) / 2 == pytest.approx(whole, rel=1e-5)
    assert shares[0] != pytest.approx(whole, rel=1e-2)


def test_byol_is_two_minus_twice_the_cosine():
    queries, keys = torch.randn(4, 3, 8), torch.randn(4, 8)
    cosine = F.cosine_similarity(queries, keys[:, None], dim=-1)
    assert byol_loss(queries, keys).item() == pytest.approx((2 - 2 * cosine).mean().item())
    assert byol_loss(keys[:, None], 3 * keys).item() == pytest.approx(0, abs=1e-6)


def test_losses_are_fp32_under_autocast():
    model = build().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model.loss(images(), ids_keep=kept(model))
    assert {name: value.dtype for name, value in losses.items()} == dict.fromkeys(
        ("loss_byol", "spread_student", "spread_teacher"), torch.float32
    )


def test_the_head_tells_the_spread_of_the_projections_and_of_the_keys():
    """Of the student before its predictor, which no teacher has."""
    projections, keys = torch.randn(4, 3, 8), torch.randn(4, 8)
    losses = build().head.loss(projections, keys)
    assert losses["spread_student"] == feature_spread(projections)
    assert losses["spread_teacher"] == feature_spread(keys)


def test_the_spread_by_hand():
    """Directions (1, 0) and (0, 1): deviation 1/2 in both channels, times sqrt(2)."""
    two = torch.tensor([[3.0, 0.0], [0.0, 5.0]])
    assert feature_spread(two).item() == pytest.approx(math.sqrt(2) / 2)
    # three images in one dimension: the mean is 1/3, the variance 8/9
    three = torch.tensor([[2.0], [7.0], [-1.0]])
    assert feature_spread(three).item() == pytest.approx(math.sqrt(8 / 9))
    # over the images and not over the masks of one
    masks = torch.stack([two, -two])  # (2 images, 2 masks, 2)
    assert feature_spread(masks).item() == pytest.approx(1.0)
    assert feature_spread(torch.ones(1, 4)).item() == 0  # one image has none
    assert feature_spread(two.bfloat16()).dtype == torch.float32
    assert not feature_spread(two.requires_grad_()).requires_grad


def test_the_spread_tells_a_collapse():
    even = torch.randn(4000, 32)
    assert feature_spread(even).item() == pytest.approx(1, abs=0.02)
    assert feature_spread(torch.ones(64, 1, 32).expand(-1, 3, -1)).item() < 1e-3
    nearby = torch.ones(64, 32) + 0.01 * torch.randn(64, 32)
    assert 0.005 < feature_spread(nearby).item() < 0.02


# Settings


def test_what_is_left_out_is_as_published():
    """Five disjoint masks of 39 visible patches each, the BYOL loss, temperature 1."""
    encoder = dict(type="PlainViT", with_cls_token=False, class_attention=POOLING, out_type="cls")
    mlp = dict(type="ProjectionMLP")
    with torch.device("meta"):
        model = MODELS.build(
            dict(
                type="ExtreMA",
                backbone=encoder,
                neck=mlp,
                head=dict(type="ExtreMAHead", predictor=dict(mlp, num_layers=2)),
                target_generator=dict(type="MomentumProjector", schedule=dict(type="cosine")),
            )
        )
    ids = model.draw_masks(2)
    assert ids.shape == (2, 5, 39)
    assert all(len(set(image)) == 195 for image in ids.flatten(1).tolist())
    assert (model.head.loss_name, model.head.temperature) == ("byol", 1.0)
    widths = [tuple(p.shape) for p in model.head.predictor.parameters() if p.ndim == 2]
    assert widths == [(4096, 256), (256, 4096)]
    assert model.target_generator.momentum_at(3, 0.5) == pytest.approx(0.998)


def test_norms_are_as_fine_as_published():
    """The encoder's 1e-6; the projector and the predictor keep PyTorch's 1e-5."""
    model = build()
    for part, eps in ((model.backbone, 1e-6), (model.neck, 1e-5), (model.head, 1e-5)):
        norms = [norm for norm in part.modules() if isinstance(norm, torch.nn.LayerNorm)]
        assert norms and {norm.eps for norm in norms} == {eps}


def test_a_temperature_below_one_is_allowed():
    assert build(head=dict(loss="infonce", temperature=0.05)).head.temperature == 0.05
    with pytest.raises(MaskSSLError, match="temperature=-0.1 must be greater"):
        build(head=dict(temperature=-0.1))


def test_other_settings_work():
    settings = dict(
        img_size=(16, 48), patch_size=4, arch=dict(embed_dims=8, num_layers=1, num_heads=1)
    )
    model = build(backbone=settings, mask_ratio=0.9, num_masks=8).train()
    assert model.draw_masks(2).shape == (2, 8, 4)
    losses = model.loss(torch.randn(2, 3, 16, 48))
    assert losses["loss_byol"].isfinite()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dict(backbone=dict(with_cls_token=True, class_attention=None)), "has no cls token"),
        (dict(backbone=dict(class_attention=None)), "out_type='cls' needs"),
        (dict(backbone=dict(out_type="avg")), "out_type='cls' in the backbone"),
        (dict(backbone=dict(with_cls_token=True)), "set with_cls_token=False"),
        (dict(head=dict(loss="simclr")), "use one of"),
        (dict(head=dict(temperature=0.0)), "temperature=0.0 must be greater"),
    ],
)
def test_impossible_settings_are_refused(changes, said):
    with pytest.raises(MaskSSLError, match=said):
        build(**changes)


def test_initialisation_is_the_authors():
    model = build(backbone=dict(arch=dict(embed_dims=64, num_layers=2, num_heads=2)))
    encoder = model.backbone
    qkv = encoder.blocks[0].attn.qkv.weight
    bound = math.sqrt(6 / (64 + 3 * 64))  # xavier over the fused projection
    assert bound * 0.98 < qkv.abs().max().item() <= bound
    assert encoder.patch_embed.proj.bias.any()  # PyTorch's default
    bound = math.sqrt(6 / (3 * 64 + 64))
    assert bound * 0.98 < encoder.patch_embed.proj.weight.abs().max().item() <= bound
    token = encoder.class_attention.cls_token
    assert 0.014 < token.std().item() < 0.026
    assert not encoder.class_attention.blocks[0].attn.k.bias.any()
    assert (encoder.class_attention.blocks[0].gamma_1 == 0.1).all()
    bound = math.sqrt(6 / (24 + 24))
    assert bound * 0.95 < model.neck.layers[3].weight.abs().max().item() <= bound
    assert not encoder.pos_embed.requires_grad


def test_init_cfg_is_of_the_whole_model():
    model = build(init_cfg=dict(type="Constant", layer="Linear", val=0.5))
    model.init_weights()
    for part in (model.backbone, model.neck, model.head, model.target_generator):
        linears = [layer for layer in part.modules() if isinstance(layer, torch.nn.Linear)]
        assert linears and all((layer.weight == 0.5).all() for layer in linears)


@pytest.mark.parametrize("side", [24, 48, 64])
def test_another_size_than_the_masks_are_drawn_for_is_refused(side):
    """Masks of 4 x 4 patches would show the first rows of a larger picture alone."""
    with pytest.raises(MaskSSLError, match=rf"\(32, 32\) pixels, got \({side}, {side}\)"):
        build().loss([torch.zeros(2, 3, side, side), images(2)])


@pytest.mark.parametrize("option", [dict(num_registers=4), dict(rel_pos_bias=True)])
def test_an_encoder_that_leaves_no_patch_out_is_refused(option):
    (name,) = option
    with pytest.raises(MaskSSLError, match=f"{name}=.*neither registers nor a relative position"):
        build(backbone=option)
