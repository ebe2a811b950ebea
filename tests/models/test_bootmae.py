"""BootMAE's behaviour on other settings than the reference's: leaks, teacher, losses, refusals."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from maskssl.errors import MaskSSLError
from maskssl.masking import (
    Split,
    block_mask,
    gather_patches,
    order_visible_first,
    split_ordering,
)
from maskssl.models.heads.bootmae_head import BootMAEHead, loss_weight
from maskssl.models.layers.patches import patchify, standardise, unpatchify
from maskssl.models.layers.position import sincos_position
from maskssl.models.target_generators.momentum_encoder import MomentumEncoder


def build(seed: int = 0, backbone=None, head=None, depth: int = 2, **options):
    torch.manual_seed(seed)
    arch = dict(embed_dims=16, num_layers=depth, num_heads=2)
    encoder = dict(type="PlainViT", arch=arch, img_size=32, patch_size=8)
    settings = dict(
        type="BootMAE",
        backbone={**encoder, **(backbone or {})},
        neck=dict(type="TargetAwareDecoders", pixel=dict(embed_dims=24)),
        head=dict(type="BootMAEHead", **(head or {})),
        target_generator=dict(type="MomentumEncoder"),
    )
    return MODELS.build({**settings, **options})


def images(height: int = 32, width: int = 32, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


def ordering(patches: int = 16, count: int = 2, seed: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, patches, generator=generator).argsort(dim=1)


def total(losses: dict[str, torch.Tensor]) -> torch.Tensor:
    return sum(value for name, value in losses.items() if name.startswith("loss"))


def perturb(module: torch.nn.Module, seed: int = 3) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)


# Masked pixels


def test_masked_pixels_reach_no_prediction():
    model = build().train()
    split = split_ordering(ordering(), 4)
    hidden = split.mask.unflatten(1, (4, 4)).float()
    hidden = F.interpolate(hidden[:, None], scale_factor=8, mode="nearest")  # (B, 1, 32, 32)
    pictures = images()
    with torch.no_grad():
        before = model.predict_targets(pictures, split)
        after = model.predict_targets(pictures + 50 * hidden * torch.randn_like(pictures), split)
        other = model.predict_targets(pictures + (1 - hidden), split)
    for one, two, three in zip(before, after, other, strict=True):
        torch.testing.assert_close(two, one, rtol=0, atol=0)
        assert not torch.allclose(three, one)


def test_no_gradient_reaches_masked_pixels():
    model = build().train()
    split = split_ordering(ordering(), 4)
    pictures = images().requires_grad_()
    pixels, features = model.predict_targets(pictures, split)
    (pixels.square().sum() + features.square().sum()).backward()
    per_patch = F.max_pool2d(pictures.grad.abs().amax(dim=1, keepdim=True), 8).flatten(1)
    assert (per_patch[split.mask] == 0).all()
    assert (per_patch[~split.mask] > 0).all()


def test_the_visible_patches_are_found_at_their_places():
    """Each prediction depends on where a visible patch stands, not on its place in the order."""
    model = build().eval()
    ids = ordering()
    shuffled = ids.clone()
    shuffled[:, :4], shuffled[:, 4:] = ids[:, [2, 0, 3, 1]], ids[:, 4:].flip(1)
    for one, two in zip(
        model.predict_targets(images(), split_ordering(ids, 4)),
        model.predict_targets(images(), split_ordering(shuffled, 4)),
        strict=True,
    ):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_decoders_attend_to_their_level():
    """Pixels to the shallow block, features to the last one."""
    model = build(depth=3, shallow_index=1)
    perturb(model.neck)
    split = split_ordering(ordering(), 4)
    seen = {}
    for name in ("pixel", "feature"):
        decoder = getattr(model.neck, name)
        decoder.register_forward_hook(lambda _, inputs, __, name=name: seen.update({name: inputs}))
    model.predict_targets(images(), split)
    hidden = model.backbone.run_blocks(model.backbone.embed(images(), split.ids_keep)[0])
    latent = F.layer_norm(hidden[-1], (16,), eps=1e-6)
    for name, level in (("pixel", hidden[1]), ("feature", hidden[2])):
        torch.testing.assert_close(seen[name][0], latent)
        torch.testing.assert_close(seen[name][1], level)


# Steps


def test_equal_targets_have_no_spread():
    model = build().train()
    several, one = images(), images()[:1].expand_as(images())
    assert model.loss(one, ids_shuffle=ordering())["spread_teacher"].item() < 1e-3
    assert 0.01 < model.loss(several, ids_shuffle=ordering())["spread_teacher"].item() < 1.5


def test_the_same_ordering_replays_a_step():
    model = build(backbone=dict(drop_path_rate=0.0)).train()
    first = model.loss(images(), ids_shuffle=ordering())
    torch.rand(7)
    second = model.loss([images()], ids_shuffle=ordering())
    assert (
        first.keys()
        == second.keys()
        == {
            *("loss_pixel", "loss_feature", "feature_error", "spread_teacher"),
        }
    )
    for name, value in first.items():
        assert value.item() == second[name].item()
    other = model.loss(images(), ids_shuffle=ordering(seed=5))
    assert other["loss_pixel"] != first["loss_pixel"]


def test_block_masks_are_rotated_and_cut():
    """The samples' masks decide: unmasked first, up to three masked become visible."""
    model = build(mask_num=8)
    generator = torch.Generator().manual_seed(0)
    masks = torch.stack([block_mask((4, 4), 10, generator=generator) for _ in range(2)])
    samples = [DataSample(), DataSample()]
    for sample, mask in zip(samples, masks, strict=True):
        sample.set_field(mask.numpy(), "mask")
    seen = set()
    for seed in range(30):
        generator = torch.Generator().manual_seed(seed)
        split = model.draw_split(images(), samples, generator=generator)
        assert split.mask.sum(dim=1).tolist() == [8, 8]
        # 6 unmasked patches; 8 visible ones hold them and, at least, 2 masked ones
        visible_masked = (masks.flatten(1) & ~split.mask).sum(dim=1)
        assert visible_masked[0] == visible_masked[1]
        seen.add(int(visible_masked[0]))
        ids = order_visible_first(masks.flatten(1), generator=torch.Generator().manual_seed(seed))
        torch.testing.assert_close(split_ordering(ids, 8).mask, split.mask)
    assert seen == {2, 3}
    torch.manual_seed(11)
    drawn = model.loss(images(), samples)
    torch.manual_seed(11)
    ids = order_visible_first(masks.flatten(1))
    replayed = model.loss(images(), ids_shuffle=ids)
    assert drawn["loss_pixel"].item() == replayed["loss_pixel"].item()


def test_without_rotation_the_masked_patches_are_those_of_the_block_mask():
    model = build(mask_num=6, max_rotation=0)  # as many as the mask has: 10 of 16 stay visible
    mask = block_mask((4, 4), 6)
    sample = DataSample()
    sample.set_field(mask, "mask")
    for _ in range(8):
        assert torch.equal(model.draw_split(images(count=1), [sample]).mask[0], mask.flatten())


def test_only_the_first_of_several_views_is_learnt_from():
    model = build().train()
    alone = model.loss(images(), ids_shuffle=ordering())["loss_pixel"]
    among_two = model.loss([images(), -images()], ids_shuffle=ordering())["loss_pixel"]
    assert among_two.item() == alone.item()


@pytest.mark.parametrize("layout", ["bootmae", "mae"])
def test_decoders_and_losses_know_the_rows_and_columns_of_the_backbone(layout):
    """2 x 6 patches, which 6 x 2 would not be."""
    model = build(backbone=dict(img_size=(16, 48), pos_embed_layout=layout))
    position = sincos_position((2, 6), 24, layout, num_prefix=1)
    torch.testing.assert_close(model.neck.pixel_position, position)
    grids = []
    feature_loss = model.head.feature_loss
    model.head.feature_loss = lambda *given: grids.append(given[3]) or feature_loss(*given)
    model.loss(images(16, 48), ids_shuffle=ordering(12))
    assert grids == [(2, 6)]


OTHER_NECK = dict(
    type="TargetAwareDecoders",
    pixel=dict(embed_dims=8, num_layers=1),
    feature=dict(num_layers=3, mlp_ratio=2),
)


@pytest.mark.parametrize(
    ("backbone", "size", "patches", "options"),
    [
        (dict(), (32, 32), 16, dict(mask_num=1)),
        (dict(), (32, 32), 16, dict(mask_num=15)),
        (dict(img_size=(16, 48)), (16, 48), 12, dict()),
        (dict(img_size=(64, 32), patch_size=16), (64, 32), 8, dict(mask_num=5)),
        (dict(img_size=24, patch_size=4), (24, 24), 36, dict(depth=1)),
        (dict(pos_embed_layout="mae"), (32, 32), 16, dict(depth=3, shallow_index=2)),
        (dict(with_cp=True, drop_path_rate=0.1), (32, 32), 16, dict(max_rotation=0)),
        (dict(), (32, 32), 16, dict(neck=OTHER_NECK)),
    ],
)
def test_other_settings_train(backbone, size, patches, options):
    model = build(backbone=backbone, **options).train()
    expected = options.get("mask_num", round(0.75 * patches))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    history = []
    for _ in range(12):
        losses = model.loss(images(*size), ids_shuffle=ordering(patches))
        history.append(losses["loss_pixel"].item())
        optimizer.zero_grad()
        total(losses).backward()
        optimizer.step()
    split = model.draw_split(images(*size), None, ordering(patches))
    assert split.mask.sum(dim=1).tolist() == [expected] * 2
    pixels, features = model.predict_targets(images(*size), split)
    assert pixels.shape == (2, 3, *size) and features.shape == (2, patches, 16)
    assert history[-1] < history[0]
    assert torch.tensor(history).isfinite().all()


@pytest.mark.parametrize("feature_weight", [1.0, 0.0])
def test_every_trainable_parameter_gets_a_gradient(feature_weight):
    """So DistributedDataParallel needs no search for unused parameters."""
    model = build(depth=3, head=dict(feature_weight=feature_weight)).train()
    total(model.loss(images(), ids_shuffle=ordering())).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_without_feature_weight_there_is_no_feature_decoder():
    model = build(head=dict(feature_weight=0.0))
    assert model.neck.feature is None
    assert not [name for name, _ in model.named_parameters() if "feature" in name]
    called = []
    model.target_generator.register_forward_hook(lambda *_: called.append(1))
    losses = model.loss(images(), ids_shuffle=ordering())
    assert losses.keys() == {"loss_pixel"} and not called
    # the pixel loss is that of the model with features
    both = build()
    state = both.state_dict()
    model.load_state_dict({name: state[name] for name in model.state_dict()})
    expected = both.loss(images(), ids_shuffle=ordering())["loss_pixel"]
    actual = model.loss(images(), ids_shuffle=ordering())["loss_pixel"]
    torch.testing.assert_close(actual, expected)


def test_the_feature_loss_follows_its_current_weight():
    model = build().train()
    losses = model.loss(images(), ids_shuffle=ordering())
    torch.testing.assert_close(losses["loss_feature"], losses["feature_error"])
    model.head.current_feature_weight = 0.25
    quarter = model.loss(images(), ids_shuffle=ordering())
    torch.testing.assert_close(quarter["loss_feature"], losses["loss_feature"] / 4)
    torch.testing.assert_close(quarter["feature_error"], losses["feature_error"])
    assert not quarter["feature_error"].requires_grad  # logged, not minimised


# The teacher


def test_the_teacher_gets_no_gradient_and_stays_in_eval_mode():
    model = build(backbone=dict(drop_path_rate=0.5)).train()
    assert model.backbone.training
    for _ in range(2):
        assert not any(module.training for module in model.target_generator.modules())
        model.eval()
        model.train()
    assert model.target_generator.train() is model.target_generator
    assert not any(p.requires_grad for p in model.target_generator.parameters())
    pictures = images(count=16).requires_grad_()
    first, second = model.target_generator(pictures), model.target_generator(pictures)
    assert not first.requires_grad
    torch.testing.assert_close(second, first, rtol=0, atol=0)
    total(model.loss(images(), ids_shuffle=ordering())).backward()
    assert all(p.grad is None for p in model.target_generator.parameters())


def test_the_target_is_the_last_block_before_its_norm():
    model = build(depth=3)
    perturb(model.target_generator)
    teacher = model.target_generator.encoder
    tokens, _ = teacher.embed(images())
    for block in teacher.blocks:
        tokens = block(tokens)
    torch.testing.assert_close(model.target_generator(images()), tokens[:, 1:])


def test_the_teacher_moves_exactly():
    model = build()
    perturb(model.target_generator)
    teacher, student = model.target_generator.encoder, model.backbone
    before = copy.deepcopy(teacher.state_dict())
    model.target_generator.update(model, 0.9)
    for name, value in teacher.state_dict().items():
        expected = 0.9 * before[name].double() + 0.1 * student.state_dict()[name].double()
        torch.testing.assert_close(value.double(), expected, rtol=1e-6, atol=1e-8)
    # a weight as small as the last of the schedule still moves it
    before = copy.deepcopy(teacher.state_dict())
    for _ in range(10):
        model.target_generator.update(model, 0.99999)
    share = 1 - 0.99999**10
    for name in ("blocks.0.attn.qkv.weight", "blocks.1.mlp.fc2.weight"):
        expected = share * (student.state_dict()[name] - before[name])
        moved = teacher.state_dict()[name] - before[name]
        torch.testing.assert_close(moved, expected, rtol=0.05, atol=2e-7)


def test_the_teacher_moves_by_its_schedule():
    schedule = dict(type="bootmae", start=0.5, end=0.9, ramp_epochs=4, dynamic=False)
    teacher = build(target_generator=dict(type="MomentumEncoder", schedule=schedule))
    moments = [teacher.target_generator.momentum_at(epoch) for epoch in range(6)]
    assert moments == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9, 0.9])
    assert build().target_generator.momentum_at(0) == 0.999


@pytest.mark.parametrize(
    ("schedule", "said"),
    [(dict(type="cosin"), "type='cosin' is unknown"), (dict(begin=0.9), "begin")],
)
def test_a_misspelt_schedule_is_refused_at_once(schedule, said):
    with pytest.raises(MaskSSLError, match=said):
        MomentumEncoder(build().backbone, schedule)


def test_the_teacher_is_fp32_under_autocast_and_its_forward_is_not():
    model = build().train()
    seen = []
    first = model.target_generator.encoder.blocks[0].attn.qkv
    first.register_forward_hook(lambda *io: seen.append(io[2].dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model.loss(images(), ids_shuffle=ordering())
    assert seen == [torch.bfloat16]
    assert all(value.dtype == torch.float32 for value in losses.values())
    total(losses).backward()
    assert all(p.dtype == torch.float32 for p in model.parameters())
    exact = build().train().loss(images(), ids_shuffle=ordering())
    for name, value in exact.items():
        torch.testing.assert_close(losses[name], value, rtol=0.02, atol=0)


def test_a_teacher_built_from_a_bf16_student_is_fp32():
    teacher = MomentumEncoder(build().backbone.bfloat16())
    assert all(p.dtype == torch.float32 for p in teacher.parameters())
    student = build(seed=4).bfloat16()
    before = copy.deepcopy(teacher.encoder.blocks[0].mlp.fc1.weight)
    teacher.update(student, 0.9999)
    moved = (teacher.encoder.blocks[0].mlp.fc1.weight - before).abs()
    assert (moved > 0).float().mean() > 0.95  # in bf16 it would not move at all


def test_the_teacher_does_not_drop_paths():
    model = build(backbone=dict(drop_path_rate=0.5), depth=3)
    rates = [block.drop_path.drop_prob for block in model.target_generator.encoder.blocks]
    assert rates == [0, 0, 0]
    assert model.backbone.blocks[-1].drop_path.drop_prob == 0.5


def test_init_weights_starts_the_teacher_as_the_student():
    model = build()
    perturb(model.backbone)
    teacher = model.target_generator.encoder.state_dict()
    assert not torch.equal(
        teacher["blocks.0.attn.qkv.weight"], model.backbone.blocks[0].attn.qkv.weight
    )
    model.init_weights()
    for name, value in model.backbone.state_dict().items():
        torch.testing.assert_close(model.target_generator.encoder.state_dict()[name], value)
    perturb(model.backbone)  # a copy, not the same tensors
    assert not torch.equal(
        model.target_generator.encoder.patch_embed.proj.weight,
        model.backbone.patch_embed.proj.weight,
    )


def test_the_teacher_is_saved_and_restored(tmp_path):
    model = build()
    perturb(model.target_generator)
    torch.save(model.state_dict(), tmp_path / "state.pth")
    resumed = build(seed=8)
    resumed.load_state_dict(torch.load(tmp_path / "state.pth", weights_only=True))
    torch.testing.assert_close(
        resumed.target_generator(images()), model.target_generator(images()), rtol=0, atol=0
    )
    teacher, student = resumed.target_generator.encoder, resumed.backbone
    assert not torch.equal(teacher.norm.weight, student.norm.weight)


def test_the_loss_s_predictions_are_those_of_the_masked_patches_among_all():
    """Blocks and heads that stop at what the loss reads change nothing, gradients included."""
    model = build(depth=3, neck=dict(type="TargetAwareDecoders", pixel=dict(embed_dims=24)))
    perturb(model.neck)
    split = split_ordering(ordering(), 4)

    def outputs_and_gradients(only_masked):
        model.zero_grad()
        pixels, features = model.decode(model.encode(images(), split), split, only_masked)
        pixels = pixels.flatten(2)
        if not only_masked:
            pixels, features = (gather_patches(x, split.ids_masked) for x in (pixels, features))
        (pixels.square().mean() + features.square().mean()).backward()
        grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        return pixels, features, grads

    *some, some_grads = outputs_and_gradients(only_masked=True)
    *every, all_grads = outputs_and_gradients(only_masked=False)
    torch.testing.assert_close(some, every, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(some_grads, all_grads, rtol=1e-4, atol=1e-6)


def test_the_last_block_runs_from_the_masked_patches_alone():
    model = build()
    shapes = []
    for decoder in (model.neck.pixel, model.neck.feature):
        for block in decoder.blocks:
            block.mlp.register_forward_hook(lambda _, __, out: shapes.append(out.shape[1]))
    model.train().loss(images(), ids_shuffle=ordering())
    assert shapes == [17, 12, 17, 12]  # cls and 16 patches, of which 12 are masked


@pytest.mark.parametrize("with_cp", [True, [1]])
def test_decoders_may_recompute_their_blocks(with_cp):
    neck = dict(type="TargetAwareDecoders", pixel=dict(embed_dims=24))
    plain, saving = build(neck=neck), build(neck=dict(neck, with_cp=with_cp))
    saving.load_state_dict(plain.state_dict())
    calls = []
    saving.neck.pixel.blocks[0].attn.register_forward_hook(lambda *_: calls.append(0))
    saving.neck.pixel.blocks[1].attn.register_forward_hook(lambda *_: calls.append(1))
    grads = []
    for model in (plain, saving):
        total(model.train().loss(images(), ids_shuffle=ordering())).backward()
        grads.append({name: p.grad for name, p in model.named_parameters() if p.requires_grad})
    torch.testing.assert_close(grads[1], grads[0], rtol=1e-5, atol=1e-7)
    assert calls == ([0, 1, 1, 0] if with_cp is True else [0, 1, 1])


# Losses by hand


def masked_first_to_last(mask: torch.Tensor) -> Split:
    """The split of a mask (B, h, w), patches in the order of the image."""
    flat = mask.flatten(1)
    return split_ordering(flat.int().argsort(dim=1, stable=True), int((~flat[0]).sum()))


def standardised(pictures: torch.Tensor, side: int) -> torch.Tensor:
    return standardise(patchify(pictures, side))


def test_loss_weight_by_hand():
    """m * avgpool3x3(m, zero padded) + m."""
    mask = torch.tensor([[[1, 1, 0], [1, 1, 0], [0, 0, 1]]], dtype=torch.bool)
    expected = torch.tensor([[[4, 4, 0], [4, 5, 0], [0, 0, 2]]]) / 9 + mask
    torch.testing.assert_close(loss_weight(mask), expected)
    torch.testing.assert_close(loss_weight(mask, weight_mask=False), mask.float())
    torch.testing.assert_close(loss_weight(torch.ones(1, 3, 3).bool())[0, 1, 1], torch.tensor(2.0))


@pytest.mark.parametrize("weight_mask", [True, False])
def test_losses_are_divided_by_the_share_of_masked_patches(weight_mask):
    """Errors of 1 in every pixel: the sum of the weights over the number of masked patches."""
    head = BootMAEHead(weight_mask=weight_mask)
    mask = torch.tensor([[[1, 1, 0], [1, 1, 0], [0, 0, 1]]], dtype=torch.bool)
    # masked: weights 1 + 4/9, 4/9, 4/9, 5/9, 2/9; unmasked: 0
    expected = (5 + (4 + 4 + 4 + 5 + 2) / 9) / 5 if weight_mask else 1.0
    pictures = images(12, 12, count=1)
    split = masked_first_to_last(mask)
    prediction = standardised(pictures, 4)[:, split.ids_masked[0]] + 1
    assert head.pixel_loss(prediction, pictures, split).item() == pytest.approx(expected, rel=1e-5)


def test_pixel_loss_weighs_each_patch_by_hand():
    head = BootMAEHead()
    mask = torch.tensor([[[1, 1, 0], [1, 1, 0], [0, 0, 1]]], dtype=torch.bool)
    pictures = images(12, 12, count=1)
    error = torch.tensor([[1.0, 2, 9], [0, 3, 9], [9, 9, 4]])  # 9: not masked, does not count
    split = masked_first_to_last(mask)
    prediction = standardised(pictures, 4) + error.reshape(1, 9, 1, 1)
    prediction = prediction[:, split.ids_masked[0]]
    summed = 1 * 13 / 9 + 4 * 13 / 9 + 0 + 9 * 14 / 9 + 16 * 11 / 9
    # mean over 9 patches, divided by mean(m) = 5 / 9
    loss = head.pixel_loss(prediction, pictures, split)
    assert loss.item() == pytest.approx(summed / 5, rel=1e-5)


def test_feature_loss_by_hand():
    """Both sides are layer-normalised, so scale and offset do not matter."""
    head = BootMAEHead()
    mask = torch.tensor([[[True, False]]])
    target = torch.tensor([[[1.0, 3.0], [5.0, 5.5]]])  # normalised: -1, 1
    split, grid = masked_first_to_last(mask), (1, 2)
    prediction = torch.tensor([[[30.0, 10.0]]])  # of the masked patch; normalised: 1, -1
    # weight of the masked patch 1 + 1/9; error 4 in each of 2 channels; mean over 2 x 2
    expected = (1 + 1 / 9) * (4 + 4) / 4 / (1 / 2)
    loss = head.feature_loss(prediction, target, split, grid)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    same = head.feature_loss(7 * target[:, :1] + 3, target, split, grid)
    assert same.item() == pytest.approx(0, abs=1e-6)


def test_features_are_normalised_with_the_published_eps():
    """Of features of 1e-3 the variance is the eps, and half of them is left."""
    split = masked_first_to_last(torch.tensor([[[True, False]]]))
    target = torch.tensor([[[-1e-3, 1e-3], [0.0, 0.0]]])
    head = BootMAEHead(weight_mask=False)
    loss = head.feature_loss(torch.zeros(1, 1, 2), target, split, (1, 2))
    assert loss.item() == pytest.approx(1e-6 / (1e-6 + 1e-6), rel=1e-4)


def test_pixels_of_a_wide_image_are_weighed_by_their_own_neighbours():
    mask = torch.tensor([[[1, 1, 0, 0], [0, 0, 1, 0]]], dtype=torch.bool)
    pictures = images(8, 16, count=1)
    split = masked_first_to_last(mask)
    prediction = standardised(pictures, 4)[:, split.ids_masked[0]] + 1
    expected = loss_weight(mask)[mask].mean().item()
    loss = BootMAEHead().pixel_loss(prediction, pictures, split)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_losses_are_of_each_image_s_own_masked_patches():
    """Errors of 1 and 2 in two images whose masks differ: the mean is (1 + 4) / 2."""
    head = BootMAEHead(weight_mask=False)
    mask = torch.tensor([[[1, 1, 0, 0]], [[0, 1, 0, 1]]], dtype=torch.bool)
    pictures = images(4, 16)
    split = masked_first_to_last(mask)
    prediction = gather_patches(standardised(pictures, 4).flatten(2), split.ids_masked)
    prediction = prediction.unflatten(2, (3, 16))
    prediction[0] += 1
    prediction[1] += 2
    assert head.pixel_loss(prediction, pictures, split).item() == pytest.approx(2.5, rel=1e-5)
    targets = torch.randn(2, 4, 6)
    features = gather_patches(targets, split.ids_masked)
    loss = head.feature_loss(features, targets, split, (1, 4))
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_pixel_target_is_normalised_per_patch_and_channel():
    """Biased variance, eps 1e-5, every channel by its own statistics."""
    pictures = images(8, 12, count=2) * torch.tensor([1.0, 5.0, 0.01])[:, None, None] + 3
    target = unpatchify(standardised(pictures, 4), (2, 3))
    for image in range(2):
        for channel in range(3):
            for row in range(2):
                for col in range(3):
                    index = image, channel, slice(4 * row, 4 * row + 4), slice(4 * col, 4 * col + 4)
                    patch = pictures[index].double()
                    mean = patch.sum() / 16
                    variance = ((patch - mean) ** 2).sum() / 16
                    expected = (patch - mean) / (variance + 1e-5).sqrt()
                    torch.testing.assert_close(
                        target[index].double(), expected, rtol=1e-4, atol=1e-4
                    )
    flat = torch.full((1, 3, 4, 4), 0.7)
    torch.testing.assert_close(standardised(flat, 4), torch.zeros(1, 1, 3, 16), rtol=0, atol=1e-4)


# Defaults


def test_what_is_left_out_is_as_published():
    """147 of 196 masked; two blocks per decoder, 512 wide for pixels, 768 for features."""
    with torch.device("meta"):
        model = MODELS.build(
            dict(
                type="BootMAE",
                backbone=dict(type="PlainViT"),
                neck=dict(type="TargetAwareDecoders"),
                head=dict(type="BootMAEHead"),
                target_generator=dict(type="MomentumEncoder"),
            )
        )
    assert (model.backbone.embed_dims, model.backbone.patch_size) == (768, 16)
    assert model.backbone.grid_size == (14, 14)
    assert (model.mask_num, model.shallow_index, model.max_rotation) == (147, 0, 3)
    for decoder, width in ((model.neck.pixel, 512), (model.neck.feature, 768)):
        assert decoder.embed.weight.shape == (width, 768)
        assert len(decoder.blocks) == 2
        assert {block.mlp.fc1.out_features for block in decoder.blocks} == {4 * width}
        assert {block.cross_attn.num_heads for block in decoder.blocks} == {12}
    assert model.neck.to_pixels.weight.shape == (512, 3, 16, 16)
    head = model.head
    assert (head.feature_weight, head.current_feature_weight, head.feature_ramp) == (1, 1, 0.25)
    assert head.weight_mask
    assert model.target_generator.momentum_at(50) == pytest.approx(0.99945)


def test_norms_are_as_fine_as_published():
    norms = [part for part in build().modules() if isinstance(part, torch.nn.LayerNorm)]
    assert len(norms) > 20 and {norm.eps for norm in norms} == {1e-6}


def test_masks_scale_with_the_grid():
    assert build().mask_num == 12
    assert build(backbone=dict(img_size=24, patch_size=4)).mask_num == 27


# Refusals


@pytest.mark.parametrize("mask_num", [16, 40, 0, -1])
def test_a_mask_that_leaves_no_choice_is_refused(mask_num):
    with pytest.raises(MaskSSLError, match=rf"mask_num={mask_num} .*16 patches .*use 1 to 15"):
        build(mask_num=mask_num)


def test_another_image_size_is_refused():
    with pytest.raises(MaskSSLError, match=r"\(32, 32\) pixels.*got \(40, 32\)"):
        build().loss(images(40, 32), ids_shuffle=ordering())
    with pytest.raises(MaskSSLError, match="16 patches, got masks of 20"):
        build().loss(images(), ids_shuffle=ordering(20))


def test_an_ordering_from_outside_that_is_no_permutation_is_refused():
    twice = ordering()
    twice[1, 3] = twice[1, 0]
    with pytest.raises(MaskSSLError, match="each of the 16 patches once per image"):
        build().loss(images(), ids_shuffle=twice)


@pytest.mark.parametrize("samples", [None, [], [DataSample(), DataSample()]])
def test_missing_block_masks_are_refused(samples):
    with pytest.raises(MaskSSLError, match=r"no block masks.*BlockMask.*algorithm_keys=\['mask'\]"):
        build().loss(images(), samples)


@pytest.mark.parametrize("backbone", [dict(with_cls_token=False), dict(final_norm=False)])
def test_an_encoder_that_bootmae_cannot_use_is_refused(backbone):
    with pytest.raises(MaskSSLError, match="with_cls_token=True and final_norm=True"):
        build(backbone=backbone)


def test_a_feature_decoder_of_another_width_is_refused():
    neck = dict(type="TargetAwareDecoders", feature=dict(embed_dims=24))
    with pytest.raises(MaskSSLError, match="must be 16, got 24"):
        build(neck=neck)


# Initialisation


def test_decoder_initialisation():
    arch = dict(embed_dims=64, num_layers=1, num_heads=4)
    neck = dict(type="TargetAwareDecoders", pixel=dict(embed_dims=128))
    model = build(backbone=dict(arch=arch), neck=neck)
    for decoder, width in ((model.neck.pixel, 128), (model.neck.feature, 64)):
        token = decoder.mask_token
        assert 0.015 < token.abs().max() <= 0.02  # cut at one deviation of 0.02
        assert token.std().item() == pytest.approx(0.02 * 0.54, rel=0.25)
        block = decoder.blocks[0]
        bounds = {
            block.attn.qkv.weight: (6 / (2 * width)) ** 0.5,  # per q, k and v
            block.cross_attn.q.weight: (6 / (2 * width)) ** 0.5,
            block.cross_attn.kv.weight: (6 / (64 + 2 * width)) ** 0.5,  # one plain xavier
            decoder.embed.weight: (6 / (64 + width)) ** 0.5,
        }
        for weight, bound in bounds.items():
            assert 0.98 * bound < weight.abs().max() <= bound
    assert not model.neck.to_features.bias.any()
    assert model.neck.to_pixels.bias.any()  # PyTorch's default


def test_init_cfg_is_of_the_whole_model():
    model = build(init_cfg=dict(type="Constant", layer="Linear", val=0.5))
    model.init_weights()
    for part in (model.backbone, model.neck, model.target_generator):
        linears = [layer for layer in part.modules() if isinstance(layer, torch.nn.Linear)]
        assert linears and all((layer.weight == 0.5).all() for layer in linears)


def test_masks_of_another_grid_with_as_many_patches_are_refused():
    """Flattened, their blocks would be stripes."""
    model = build(backbone=dict(img_size=(16, 64)))
    pictures, samples = images(16, 64), [DataSample(), DataSample()]
    for shape in ((4, 4), (8, 2)):
        for sample in samples:
            sample.set_field(torch.zeros(shape, dtype=torch.bool), "mask")
        with pytest.raises(MaskSSLError, match=r"masks of \(\d, \d\) patches came for \(2, 8\)"):
            model.loss(pictures, samples)
    for sample in samples:
        sample.set_field(torch.zeros(2, 8, dtype=torch.bool), "mask")
    assert torch.isfinite(model.loss(pictures, samples)["loss_pixel"])


@pytest.mark.parametrize("option", [dict(num_registers=4), dict(rel_pos_bias=True)])
def test_an_encoder_that_leaves_no_patch_out_is_refused(option):
    (name,) = option
    with pytest.raises(MaskSSLError, match=f"{name}=.*neither registers nor a relative position"):
        build(backbone=option)
