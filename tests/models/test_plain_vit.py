"""The backbone: positions on any grid, outputs, freezing, options, initialisation."""

import copy
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from timm.layers import DropPath

from maskssl.errors import MaskSSLError
from maskssl.masking import gather_patches
from maskssl.models.backbones.plain_vit import PlainViT
from maskssl.models.layers.position import resize_position, sincos_position
from maskssl.models.layers.relative_position import RelativePositionBias

DATA = Path(__file__).parents[1] / "data"


def build(seed: int = 0, **options) -> PlainViT:
    torch.manual_seed(seed)
    arch = dict(embed_dims=16, num_layers=3, num_heads=2)
    return PlainViT(**{**dict(arch=arch, img_size=32, patch_size=8), **options})


def images(height: int = 32, width: int = 32, count: int = 2, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def blank(model: PlainViT) -> PlainViT:
    """Tokens of a blank model are the position table alone."""
    for parameter in (*model.patch_embed.parameters(), model.cls_token):
        if parameter is not None:
            torch.nn.init.zeros_(parameter)
    return model


# Positions


def test_sincos_table_by_hand():
    """Width 8: two frequencies, 1 and 10000 ** -0.5 = 0.01; sines, then cosines; row first."""
    table = sincos_position((2, 3), 8, "bootmae", num_prefix=1)[0]
    assert table.shape == (7, 8)
    assert not table[0].any()
    for row in range(2):
        for col in range(3):
            angles = [
                (math.sin(x), math.sin(0.01 * x), math.cos(x), math.cos(0.01 * x))
                for x in (row, col)
            ]
            expected = torch.tensor([*angles[0], *angles[1]])
            torch.testing.assert_close(table[1 + row * 3 + col], expected)
            column_first = sincos_position((2, 3), 8, "mae")[0, row * 3 + col]
            torch.testing.assert_close(column_first, torch.tensor([*angles[1], *angles[0]]))


def test_sincos_table_is_the_released_one():
    released = torch.load(DATA / "bootmae_a.pt", weights_only=True)["state_dict"]
    table = sincos_position((14, 14), 48, "bootmae", num_prefix=1)
    torch.testing.assert_close(table, released["pos_embed"], rtol=0, atol=1e-6)
    table = sincos_position((14, 14), 24, "bootmae", num_prefix=1)
    torch.testing.assert_close(table, released["de_pos_embed"], rtol=0, atol=1e-6)


def test_mae_layout_is_the_grid_transpose():
    ours = build(pos_embed_layout="bootmae").pos_embed[:, 1:].unflatten(1, (4, 4))
    theirs = build(pos_embed_layout="mae").pos_embed[:, 1:].unflatten(1, (4, 4))
    torch.testing.assert_close(theirs, ours.transpose(1, 2))
    assert not torch.equal(theirs, ours)


@pytest.mark.parametrize(
    ("dim", "layout", "said"),
    [(10, "mae", "divisible by 4, got 10"), (8, "x", "'x' is unknown; use 'bootmae' or 'mae'")],
)
def test_impossible_tables_are_refused(dim, layout, said):
    with pytest.raises(MaskSSLError, match=said):
        sincos_position((4, 4), dim, layout)


@pytest.mark.parametrize("size", [(64, 64), (24, 56), (56, 24), (16, 16)])
@pytest.mark.parametrize("with_cls_token", [True, False])
def test_positions_are_resized_bicubic_and_cls_is_not(size, with_cls_token):
    model = blank(build(with_cls_token=with_cls_token))
    model.pos_embed.data.normal_()
    prefix = int(with_cls_token)
    tokens, grid = model.embed(images(*size))
    assert grid == (size[0] // 8, size[1] // 8)

    image = model.pos_embed[:, prefix:].reshape(1, 4, 4, 16).permute(0, 3, 1, 2)
    resized = F.interpolate(image, size=grid, mode="bicubic", align_corners=False)
    expected = resized.permute(0, 2, 3, 1).reshape(1, -1, 16).expand(2, -1, -1)
    torch.testing.assert_close(tokens[:, prefix:], expected)
    torch.testing.assert_close(tokens[:, :prefix], model.pos_embed[:, :prefix].expand(2, -1, -1))


def test_own_grid_is_taken_as_it_is():
    table = torch.randn(1, 17, 16)
    assert resize_position(table, (4, 4), (4, 4), 1) is table
    model = blank(build(img_size=(16, 48)))
    assert model.grid_size == (2, 6)
    tokens, _ = model.embed(images(16, 48))
    torch.testing.assert_close(tokens[:1], sincos_position((2, 6), 16, num_prefix=1))


@pytest.mark.parametrize("source", [(4, 4), (4, 6), (4, 2)])
def test_resizing_keeps_rows_apart_from_columns(source):
    """What varies down the image alone still does on a grid of another shape."""
    table = torch.arange(4.0).repeat_interleave(source[1])[None, :, None]  # the row number
    wide = resize_position(table, source, (4, 9)).reshape(4, 9)
    torch.testing.assert_close(wide, torch.arange(4.0)[:, None].expand(4, 9))


# Inputs


def test_patches_are_numbered_row_by_row():
    model = build()
    plain = images(24, 40)  # 3 x 5 patches
    changed = plain.clone()
    changed[:, :, 8:16, 24:32] += 1  # row 1, column 3
    difference = (model.embed(changed)[0] - model.embed(plain)[0]).abs().sum(dim=(0, 2))
    assert difference.nonzero().flatten().tolist() == [1 + 1 * 5 + 3]


def test_only_kept_patches_are_encoded_in_their_order():
    model = build()
    ids = torch.tensor([[3, 0, 15], [7, 2, 1]])
    everything, _ = model.embed(images())
    kept, _ = model.embed(images(), ids)
    torch.testing.assert_close(kept[:, 1:], gather_patches(everything[:, 1:], ids))
    torch.testing.assert_close(kept[:, :1], everything[:, :1])


@pytest.mark.parametrize("size", [(32, 36), (30, 32), (4, 32)])
def test_a_size_that_the_patch_does_not_divide_is_refused(size):
    said = f"{size[0]} x {size[1]} pixels cannot be cut into patches of 8; .*multiples of 8"
    with pytest.raises(MaskSSLError, match=said):
        build()(images(*size))
    with pytest.raises(MaskSSLError, match=said):
        build(img_size=size)


# Outputs


@pytest.mark.parametrize("with_cls_token", [True, False])
@pytest.mark.parametrize("final_norm", [True, False])
@pytest.mark.parametrize("out_indices", [[0, 2], [1], [-1], [0, 1]])
def test_outputs_are_those_of_the_blocks(with_cls_token, final_norm, out_indices):
    options = dict(with_cls_token=with_cls_token, final_norm=final_norm, out_indices=out_indices)
    model = build(**options).eval()
    if final_norm:
        torch.nn.init.normal_(model.norm.weight)
    with torch.no_grad():
        hidden = model.run_blocks(model.embed(images(16, 40))[0])
        expected = [hidden[i] for i in out_indices]
        if final_norm:  # of the last output alone
            weight, bias = model.norm.weight, model.norm.bias
            expected[-1] = F.layer_norm(expected[-1], (16,), weight, bias, eps=1e-6)
        tokens = model(images(16, 40))
        assert len(tokens) == len(out_indices)
        prefix = int(with_cls_token)
        assert tokens[0].shape == (2, prefix + 10, 16)
        for got, wanted in zip(tokens, expected, strict=True):
            torch.testing.assert_close(got, wanted)

        model.out_type = "avg"
        for got, wanted in zip(model(images(16, 40)), expected, strict=True):
            torch.testing.assert_close(got, wanted[:, prefix:].sum(dim=1) / 10)
        model.out_type = "featmap"
        for got, wanted in zip(model(images(16, 40)), expected, strict=True):
            assert got.shape == (2, 16, 2, 5) and got.is_contiguous()
            torch.testing.assert_close(got[:, :, 1, 3], wanted[:, prefix + 1 * 5 + 3])
            torch.testing.assert_close(got[:, :, 0, 4], wanted[:, prefix + 4])
        if with_cls_token:
            model.out_type = "cls"
            for got, wanted in zip(model(images(16, 40)), expected, strict=True):
                torch.testing.assert_close(got, wanted[:, 0])


def test_blocks_behind_the_last_output_are_not_built():
    whole, cut = build(), build(out_indices=[0, 1], final_norm=False)
    assert (len(whole.blocks), len(cut.blocks), cut.num_layers) == (3, 2, 3)
    cut.load_state_dict({k: v for k, v in whole.state_dict().items() if k in cut.state_dict()})
    hidden = whole.eval().run_blocks(whole.embed(images())[0])
    for got, wanted in zip(cut.eval()(images()), hidden[:2], strict=True):
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(out_indices=[3]), r"out_indices=\[3\] must increase and lie in 0..2"),
        (dict(out_indices=[-4]), r"out_indices=\[-4\]"),
        (dict(out_indices=[1, 0]), r"out_indices=\[1, 0\]"),
        (dict(out_indices=[1, 1]), r"out_indices=\[1, 1\]"),
        (dict(out_indices=[]), r"out_indices=\[\]"),
        (dict(out_type="mean"), "out_type='mean' is unknown"),
        (dict(out_type="cls", with_cls_token=False), "needs with_cls_token=True"),
        (dict(arch="giant"), r"arch='giant' is unknown; use one of \['base', 'large', 'mini'"),
        (dict(arch=dict(embed_dims=16, depth=2, num_heads=2)), r"\['num_layers'\].*\['depth'\]"),
        (dict(frozen_stages=4), "frozen_stages=4 with 3 blocks"),
        (dict(frozen_stages=-2), "frozen_stages=-2 with 3 blocks"),
        (dict(num_registers=2, rel_pos_bias=True), "relative positions know no registers"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, said):
    with pytest.raises(MaskSSLError, match=said):
        build(**options)


def test_class_attention_that_is_not_there_is_named():
    with pytest.raises(MaskSSLError, match=r"no class attention; set class_attention=dict"):
        build().class_token(torch.zeros(1, 4, 16))


@pytest.mark.parametrize(
    ("arch", "width", "depth", "heads"),
    [("mini", 96, 4, 3), ("small", 384, 12, 6), ("base", 768, 12, 12), ("large", 1024, 24, 16)],
)
def test_named_architectures(arch, width, depth, heads):
    """The heads show in no shape of a weight."""
    with torch.device("meta"):
        model = PlainViT(arch=arch)
    assert (model.embed_dims, model.num_layers, model.num_heads) == (width, depth, heads)
    assert len(model.blocks) == depth
    assert {block.attn.num_heads for block in model.blocks} == {heads}
    assert {block.mlp.fc1.out_features for block in model.blocks} == {4 * width}


# Freezing


@pytest.mark.parametrize("stages", [-1, 0, 2, 3])
def test_frozen_stages_stay_frozen_and_in_eval_mode(stages):
    model = build(frozen_stages=stages, drop_path_rate=0.4, pos_embed_trainable=True).train()
    model.eval()
    model.train()
    assert model.train() is model
    modes = {name: module.training for name, module in model.named_modules() if name}
    stem = ("patch_embed", "pos_embed", "cls_token")
    frozen = stem * (stages >= 0) + tuple(f"blocks.{i}." for i in range(stages))
    frozen += ("norm",) * (stages == 3)
    for name, mode in modes.items():
        assert mode == (not f"{name}.".startswith(frozen) if frozen else True), name

    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = model(images())[0].square().sum()
    assert loss.requires_grad == (stages < 3)
    if loss.requires_grad:
        loss.backward()
    optimizer.step()
    for name, value in model.state_dict().items():
        moved = not torch.equal(value, before[name])
        assert moved == (not name.startswith(frozen) if frozen else True), name


def test_registers_belong_to_the_stem():
    """They are frozen with it, and layer-wise decay counts them to layer 0 of 5."""
    model = build(num_registers=2, frozen_stages=0)
    assert not model.register_tokens.requires_grad
    assert model.get_layer_depth("backbone.register_tokens", "backbone.") == (0, 5)


def test_frozen_blocks_do_not_drop_paths():
    model = build(frozen_stages=3, drop_path_rate=0.9).train()
    torch.testing.assert_close(model(images()), model.eval()(images()))


# Gradient checkpointing and drop path


def test_gradient_checkpointing_changes_nothing():
    options = dict(drop_path_rate=0.5, layer_scale_init=0.5, rel_pos_bias=True)
    plain = build(**options).train()
    saving = build(with_cp=True, **options).train()
    saving.load_state_dict(plain.state_dict())
    calls = []
    saving.blocks[1].attn.register_forward_hook(lambda *_: calls.append(1))
    results = []
    for model in (plain, saving):
        torch.manual_seed(5)
        output = model(images(count=8))[0]
        output.square().sum().backward()
        results.append(output.detach())
    assert len(calls) == 2  # once more in the backward: it does save memory
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)
    expected, actual = gradients(plain), gradients(saving)
    assert expected.keys() == actual.keys() and len(actual) > 40
    for name, gradient in expected.items():
        torch.testing.assert_close(actual[name], gradient, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("training", "with_grad", "expected"), [(True, True, 2), (False, True, 1), (True, False, 1)]
)
def test_gradient_checkpointing_is_for_training_alone(training, with_grad, expected):
    """A backward in eval mode, e.g. for attention maps, computes no block twice."""
    model = build(with_cp=True).train(training)
    calls = []
    model.blocks[1].attn.register_forward_hook(lambda *_: calls.append(1))
    with torch.set_grad_enabled(with_grad):
        output = model(images())[0]
    if with_grad:
        output.square().sum().backward()
    assert len(calls) == expected


def test_gradient_checkpointing_by_choice_of_blocks():
    saving = build(with_cp=[0, 2]).train()
    calls = []
    for index, block in enumerate(saving.blocks):
        block.attn.register_forward_hook(lambda *_, index=index: calls.append(index))
    saving(images())[0].square().sum().backward()
    assert calls == [0, 1, 2, 2, 0]
    with pytest.raises(MaskSSLError, match=r"with_cp=\[0, 3\] names blocks \[3\] of 3.*0 to 2"):
        build(with_cp=[0, 3])


def test_recomputed_blocks_learn_behind_a_frozen_stem():
    """Their input needs no gradient then, and their weights do."""
    model = build(with_cp=True, frozen_stages=0).train()
    model(images())[0].square().sum().backward()
    assert model.blocks[0].attn.qkv.weight.grad.any()


def test_drop_path_rises_from_zero_at_the_first_block():
    model = build(drop_path_rate=0.3).train()
    rates = [block.drop_path.drop_prob for block in model.blocks]
    assert rates == pytest.approx([0, 0.15, 0.3])
    assert all(isinstance(block.drop_path, DropPath) for block in model.blocks)
    # a cut model keeps the rates of the whole one
    cut = build(drop_path_rate=0.3, out_indices=[1])
    assert [block.drop_path.drop_prob for block in cut.blocks] == pytest.approx([0, 0.15])
    many = images(count=64)
    torch.manual_seed(0)
    hidden = model.run_blocks(model.embed(many)[0])
    kept = model.eval().run_blocks(model.embed(many)[0])
    torch.testing.assert_close(hidden[0], kept[0])
    assert not torch.allclose(hidden[1], kept[1])


def test_autocast_of_the_backbone_alone():
    """bf16 inside, fp32 out, for heads that know no bf16."""
    plain, mixed = (build(autocast=flag, out_indices=[0, 2]).train() for flag in (False, True))
    seen = []
    mixed.blocks[2].mlp.register_forward_hook(lambda *io: seen.append(io[2].dtype))
    outputs = mixed(images())
    assert seen == [torch.bfloat16]
    for mine, exact in zip(outputs, plain(images()), strict=True):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine, exact, rtol=0, atol=0.05)
        assert not torch.equal(mine, exact)
    outputs[-1].square().sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in mixed.parameters() if p.requires_grad)
    assert (images() @ torch.eye(32)).dtype == torch.float32  # nothing lingers


# Options


def with_weights_of(model: PlainViT, **options) -> PlainViT:
    """A model with more options and the weights of a plain one."""
    larger = build(seed=9, **options)
    more = larger.state_dict().keys() - model.state_dict().keys()
    assert more and all(name.endswith((".gamma", ".rel_pos.table")) for name in more)
    larger.load_state_dict({**larger.state_dict(), **model.state_dict()})
    return larger.eval()


@pytest.mark.parametrize("with_cls_token", [True, False])
def test_fresh_layer_scale_of_one_and_fresh_relative_positions_change_nothing(with_cls_token):
    plain = build(with_cls_token=with_cls_token).eval()
    options = dict(layer_scale_init=1.0, rel_pos_bias=True, with_cls_token=with_cls_token)
    released = with_weights_of(plain, **options)
    torch.testing.assert_close(released(images()), plain(images()))
    # and both matter as soon as they are trained
    for parameter in ("ls1.gamma", "ls2.gamma", "rel_pos.table"):
        changed = copy.deepcopy(released)
        changed.blocks[1].get_parameter(parameter).data += torch.rand_like(
            changed.blocks[1].get_parameter(parameter)
        )
        assert (changed(images())[0] - plain(images())[0]).abs().max() > 1e-3, parameter


def test_layer_scale_scales_the_branches():
    shut = build(layer_scale_init=0.0).eval()
    tokens, _ = shut.embed(images())
    torch.testing.assert_close(shut.run_blocks(tokens)[-1], tokens)


def test_relative_position_bias_depends_on_the_offset_alone():
    bias = RelativePositionBias((3, 4), num_heads=1)
    rows = 5 * 7 + 3
    bias.table.data = torch.arange(float(rows))[:, None]
    table = bias()[0]
    assert table.shape == (13, 13)
    by_offset: dict[tuple[int, int], set[float]] = {}
    for i in range(12):
        for j in range(12):
            offset = (i // 4 - j // 4, i % 4 - j % 4)
            by_offset.setdefault(offset, set()).add(table[1 + i, 1 + j].item())
    assert len(by_offset) == 35
    assert all(len(values) == 1 for values in by_offset.values())
    assert set().union(*by_offset.values()) == set(range(35))
    assert by_offset[0, 0] == {17.0}  # the middle of the table, as in BEiT
    assert by_offset[-2, -3] == {0.0} and by_offset[2, 3] == {34.0} and by_offset[0, 1] == {18.0}
    assert table[0, 1:].unique().tolist() == [rows - 3]  # cls -> patch
    assert table[1:, 0].unique().tolist() == [rows - 2]  # patch -> cls
    assert table[0, 0] == rows - 1
    torch.testing.assert_close(bias(with_cls_token=False)[0], table[1:, 1:])


def test_relative_positions_fix_the_input_size():
    model = build(rel_pos_bias=True)
    model(images())
    with pytest.raises(MaskSSLError, match=r"grid of \(4, 4\), the input has \(4, 6\)"):
        model(images(32, 48))


def test_without_a_cls_token_patches_are_alone():
    model = build(with_cls_token=False, out_type="avg")
    assert "cls_token" not in model.state_dict()
    assert model.pos_embed.shape == (1, 16, 16)
    tokens, _ = model.embed(images())
    assert tokens.shape == (2, 16, 16)
    hidden = model.norm(model.run_blocks(tokens)[-1])
    torch.testing.assert_close(model(images())[0], hidden.mean(dim=1))


def test_the_position_table_is_trained_only_when_asked():
    for trainable in (False, True):
        model = build(pos_embed_trainable=trainable)
        model(images(16, 48))[0].square().sum().backward()
        assert (model.pos_embed.grad is not None) == trainable


def test_qkv_bias_is_an_option():
    assert "blocks.0.attn.qkv.bias" not in build(qkv_bias=False).state_dict()
    assert "blocks.0.attn.qkv.bias" in build().state_dict()


# Initialisation


def assert_uniform(weight: torch.Tensor, fan_in: int, fan_out: int) -> None:
    bound = math.sqrt(6 / (fan_in + fan_out))
    assert 0.98 * bound < weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.04)
    assert abs(weight.mean().item()) < 0.05 * bound


@pytest.mark.parametrize("split", [True, False])
def test_initialisation(split):
    """BootMAE: xavier per q, k and v, zero biases; ExtreMA: over the fused qkv."""
    arch = dict(embed_dims=64, num_layers=2, num_heads=4)
    model = build(arch=arch, split_qkv_init=split)
    for block in model.blocks:
        for part in block.attn.qkv.weight.chunk(3):
            assert_uniform(part, 64, 64 if split else 192)
        assert_uniform(block.attn.proj.weight, 64, 64)
        assert_uniform(block.mlp.fc1.weight, 64, 256)
        assert_uniform(block.mlp.fc2.weight, 256, 64)
    assert_uniform(model.patch_embed.proj.weight, 3 * 8 * 8, 64)
    for name, value in model.named_parameters():
        if name == "patch_embed.proj.bias" and not split:
            assert 0 < value.abs().max() <= 1 / math.sqrt(3 * 8 * 8)  # PyTorch's default
        elif name.endswith("bias"):
            assert not value.any(), name
        elif "norm" in name:
            assert (value == 1).all(), name


def test_cls_token_starts_close_to_zero():
    token = build(arch=dict(embed_dims=512, num_layers=1, num_heads=2)).cls_token
    assert token.std().item() == pytest.approx(1e-6, rel=0.15)
