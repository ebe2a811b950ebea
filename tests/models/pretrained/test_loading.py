"""Pretrained weights: the branch that was asked for, completely, or a refusal that lists why."""

import argparse
import copy
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from torch import nn

import maskssl
from maskssl.checkpoints.errors import CheckpointError
from maskssl.checkpoints.reading import read_checkpoint
from maskssl.errors import MaskSSLError
from maskssl.models.backbones.plain_vit import PlainViT
from maskssl.models.pretrained.ledger import Ledger
from maskssl.models.pretrained.loading import check_pixels, load_pretrained
from maskssl.models.pretrained.naming import without

RELEASE = Path(__file__).parents[2] / "data" / "bootmae_a.pt"
ARCH = dict(embed_dims=16, num_layers=2, num_heads=2)


def build(seed: int = 0, **options) -> PlainViT:
    torch.manual_seed(seed)
    model = PlainViT(**{**dict(arch=ARCH, img_size=32, patch_size=8), **options})
    for parameter in model.parameters():
        if parameter is not model.pos_embed:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def images(height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))


def saved(content, folder: Path, name: str = "checkpoint.pth") -> Path:
    torch.save(content, folder / name)
    return folder / name


def with_config(state, **backbone):
    """A checkpoint of a runner: ours, and the config that it was made with."""
    cfg = f"model = dict(backbone={backbone!r})"
    content = {f"backbone.{name}": value for name, value in state.items()}
    return dict(state_dict=content, meta=dict(cfg=cfg))


def pretraining_model(seed: int = 0):
    """A BootMAE whose teacher differs from its student."""
    torch.manual_seed(seed)
    model = MODELS.build(
        dict(
            type="BootMAE",
            backbone=dict(type="PlainViT", arch=ARCH, img_size=32, patch_size=8),
            neck=dict(type="TargetAwareDecoders", pixel=dict(embed_dims=8)),
            head=dict(type="BootMAEHead"),
            target_generator=dict(type="MomentumEncoder"),
        )
    )
    for parameter in model.target_generator.parameters():
        if parameter is not model.target_generator.encoder.pos_embed:
            parameter.data += torch.randn_like(parameter)
    return model


def assert_same(backbone: PlainViT, other: PlainViT) -> None:
    assert backbone.state_dict().keys() == other.state_dict().keys()
    for name, value in other.state_dict().items():
        torch.testing.assert_close(backbone.state_dict()[name], value, rtol=0, atol=0)


def assert_refused(backbone: PlainViT, path, *said: str, branch: str = "student") -> str:
    """Refused, with all of ``said`` in the message, and nothing in the backbone changed."""
    before = copy.deepcopy(backbone.state_dict())
    with pytest.raises(CheckpointError) as refusal:
        load_pretrained(backbone, path, branch)
    for words in said:
        assert words in str(refusal.value)
    for name, value in backbone.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    return str(refusal.value)


# Whose weights


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("branch", ["student", "teacher"])
def test_student_and_teacher_of_a_pretraining_checkpoint(branch, prefix, tmp_path):
    model = pretraining_model()
    state = {prefix + name: value for name, value in model.state_dict().items()}
    path = saved(dict(state_dict=state, meta=dict(epoch=3)), tmp_path)
    backbone = build(seed=5)
    ledger = load_pretrained(backbone, path, branch)
    expected = dict(student=model.backbone, teacher=model.target_generator.encoder)[branch]
    assert_same(backbone, expected)
    assert sorted(ledger.used) == sorted(backbone.state_dict())
    assert not ledger.resized and not ledger.dropped and not ledger.fresh
    assert f"maskssl, {branch}" in str(ledger)


def test_init_cfg_names_the_branch(tmp_path):
    model = pretraining_model()
    path = saved(dict(state_dict=model.state_dict()), tmp_path)
    for branch, source in (
        ("student", model.backbone),
        ("teacher", model.target_generator.encoder),
        (None, model.backbone),
    ):
        init = dict(type="Pretrained", checkpoint=str(path))
        backbone = build(seed=5, init_cfg=init if branch is None else dict(init, branch=branch))
        backbone.init_weights()
        assert_same(backbone, source)


@pytest.mark.parametrize("branch", ["student", "teacher"])
def test_student_and_teacher_of_the_release(branch, tmp_path):
    release = torch.load(RELEASE, weights_only=True)
    files = dict(model=release["state_dict"], model_ema=release["teacher"])
    path = saved(dict(files, args=argparse.Namespace(lr=1.0), epoch=1), tmp_path)
    backbone = PlainViT(arch=dict(embed_dims=48, num_layers=3, num_heads=3))
    ledger = load_pretrained(backbone, path, branch)
    assert f"BootMAE release, {branch}" in str(ledger)
    theirs = files["model" if branch == "student" else "model_ema"]
    for name, value in backbone.state_dict().items():
        if not name.endswith("qkv.bias"):
            torch.testing.assert_close(value, theirs[name], rtol=0, atol=0)
            continue
        q_bias, k_bias, v_bias = value.chunk(3)
        torch.testing.assert_close(q_bias, theirs[name.replace("qkv.bias", "q_bias")])
        torch.testing.assert_close(v_bias, theirs[name.replace("qkv.bias", "v_bias")])
        assert not k_bias.any()
    # what belongs to the decoders is dropped by name, and nothing else is
    roots = {name.split(".")[0] for name in ledger.dropped}
    assert roots == {
        "mask_token", "mask_token_1", "de_pos_embed", "down", "down_1", "lm_head", "lm_head_1",
        "decode_blocks", "decode_blocks_1", "decode_norm", "decode_norm_1",
    }  # fmt: skip
    if branch == "teacher":
        features = backbone.eval().run_blocks(backbone.embed(release["images"].float())[0])[-1]
        torch.testing.assert_close(features[:, 1:], release["get_feature"], rtol=1e-4, atol=1e-6)


def test_a_whole_model_of_ours(tmp_path):
    """E.g. a fine-tuned classifier, for segmentation."""
    encoder = build(seed=2)
    state = {f"backbone.{name}": value for name, value in encoder.state_dict().items()}
    state["head.fc.weight"] = torch.ones(3, 16)
    backbone = build(seed=5)
    load_pretrained(backbone, saved(dict(state_dict=state), tmp_path))
    assert_same(backbone, encoder)
    path = saved(dict(state_dict=state), tmp_path)
    assert_refused(backbone, path, "holds no teacher; use branch='student'", branch="teacher")


@pytest.mark.parametrize("container", [None, "model", "state_dict", "module"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_plain_vit(container, prefix, tmp_path):
    encoder = build(seed=2)
    state = {**encoder.state_dict(), "head.weight": torch.ones(5, 16), "head.bias": torch.ones(5)}
    state["decoder_embed.weight"] = state["mask_token"] = torch.ones(1, 1, 16)
    state = {prefix + name: value for name, value in state.items()}
    path = saved(state if container is None else {container: state}, tmp_path)
    backbone = build(seed=5)
    ledger = load_pretrained(backbone, path)
    assert_same(backbone, encoder)
    assert sorted(ledger.dropped) == [
        "decoder_embed.weight", "head.bias", "head.weight", "mask_token"
    ]  # fmt: skip
    assert "dropped 2 (head of another task): head.weight, head.bias" in str(ledger)
    assert_refused(backbone, path, "holds no teacher", branch="teacher")


def test_a_released_upernet_brings_layer_scale_and_relative_positions(tmp_path):
    options = dict(layer_scale_init=1.0, rel_pos_bias=True)
    encoder = build(seed=2, **options)
    state = {}
    for name, value in encoder.state_dict().items():
        name = name.replace(".ls1.gamma", ".gamma_1").replace(".ls2.gamma", ".gamma_2")
        name = name.replace(".rel_pos.table", ".attn.relative_position_bias_table")
        if name.endswith("qkv.bias"):
            value[16:32] = 0  # the release has no k bias
            state[name.replace("qkv.bias", "q_bias")] = value[:16]
            state[name.replace("qkv.bias", "v_bias")] = value[32:]
        else:
            state[name] = value
    state["blocks.0.attn.relative_position_index"] = torch.zeros(17, 17).long()
    path = saved(dict(model=state), tmp_path)
    backbone = build(seed=5, **options)
    ledger = load_pretrained(backbone, path)
    assert_same(backbone, encoder)
    assert ledger.dropped == {"blocks.0.attn.relative_position_index": "recomputed from the grid"}
    # without a place for them they are refused, each with its remedy
    message = assert_refused(
        build(seed=5), path, "blocks.1.ls2.gamma (16,)", "blocks.0.rel_pos.table (52, 2)"
    )
    assert "set layer_scale_init" in message and "set rel_pos_bias=True" in message


# What is left out, and said


def test_deeper_blocks_and_the_final_norm_are_dropped_and_said(tmp_path):
    whole = build(seed=2, arch=dict(ARCH, num_layers=4))
    path = saved(whole.state_dict(), tmp_path)
    backbone = build(seed=5, arch=dict(ARCH, num_layers=4), out_indices=[0, 1], final_norm=False)
    ledger = load_pretrained(backbone, path)
    for name, value in backbone.state_dict().items():
        torch.testing.assert_close(value, whole.state_dict()[name], rtol=0, atol=0)
    expected = whole.state_dict().keys() - backbone.state_dict().keys()
    assert ledger.dropped.keys() == expected
    assert ledger.dropped["norm.weight"] == "final_norm=False"
    assert ledger.dropped["blocks.3.attn.qkv.weight"] == "behind the last out index 1"
    assert "(behind the last out index 1): blocks.2, blocks.3" in str(ledger)
    assert "dropped 2 (final_norm=False)" in str(ledger)


@pytest.mark.parametrize("size", [(64, 64), (32, 48), (48, 24)])
@pytest.mark.parametrize("with_cls_token", [True, False])
def test_positions_are_resized_to_any_grid_and_said(size, with_cls_token, tmp_path):
    encoder = build(seed=2, with_cls_token=with_cls_token)
    encoder.pos_embed.data.normal_()
    prefix = int(with_cls_token)
    backbone = build(seed=5, with_cls_token=with_cls_token, img_size=size)
    ledger = load_pretrained(backbone, saved(encoder.state_dict(), tmp_path))
    grid = (size[0] // 8, size[1] // 8)
    image = encoder.pos_embed[:, prefix:].reshape(1, 4, 4, 16).permute(0, 3, 1, 2)
    resized = F.interpolate(image, size=grid, mode="bicubic", align_corners=False)
    expected = resized.permute(0, 2, 3, 1).reshape(1, -1, 16)
    torch.testing.assert_close(backbone.pos_embed[:, prefix:], expected)
    torch.testing.assert_close(backbone.pos_embed[:, :prefix], encoder.pos_embed[:, :prefix])
    assert ledger.resized == {"pos_embed": f"4 x 4 -> {grid[0]} x {grid[1]}"}
    assert f"resized pos_embed: 4 x 4 -> {grid[0]} x {grid[1]}" in str(ledger)
    # a backbone of the pretraining's size that is given other images does the same
    same_size = build(seed=5, with_cls_token=with_cls_token)
    load_pretrained(same_size, saved(encoder.state_dict(), tmp_path))
    torch.testing.assert_close(backbone.eval()(images(*size)), same_size.eval()(images(*size)))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ((32, 32), (16, 64)),  # 16 patches on both sides
        ((16, 64), (32, 32)),
        ((16, 64), (64, 16)),
        ((16, 32), (32, 16)),  # 8 patches: no square
        ((16, 48), (48, 64)),
        ((32, 32), (48, 64)),
    ],
)
def test_a_fixed_table_shows_its_grid(theirs, ours, tmp_path):
    """As many patches do not make the same grid: rows and columns would be mixed up."""
    encoder = build(seed=2, img_size=theirs)
    backbone = build(seed=5, img_size=ours)
    source, target = ((size[0] // 8, size[1] // 8) for size in (theirs, ours))
    for dtype in (torch.float32, torch.bfloat16):
        path = saved(encoder.to(dtype).state_dict(), tmp_path)
        for _ in range(2):  # what an earlier load left behind does not matter
            ledger = load_pretrained(backbone, path)
            said = " -> ".join(" x ".join(map(str, grid)) for grid in (source, target))
            assert ledger.resized == {"pos_embed": said}
            image = encoder.pos_embed[0, 1:].float().T.reshape(1, 16, *source)
            resized = F.interpolate(image, size=target, mode="bicubic", align_corners=False)
            expected = resized.flatten(2).mT
            torch.testing.assert_close(backbone.pos_embed[:, 1:], expected, rtol=0, atol=1e-2)
    itself = build(seed=5, img_size=theirs)
    assert not load_pretrained(itself, path).resized


@pytest.mark.parametrize("size", [(72, 128), (32, 72), (128, 72)])  # 144 and 36 patches: squares
@pytest.mark.parametrize("layout", ["bootmae", "mae", "learnt"])
def test_the_config_tells_the_grid_of_a_table(layout, size, tmp_path):
    options = {} if layout == "learnt" else dict(pos_embed_layout=layout)
    encoder = build(seed=2, img_size=size, **options)
    if layout == "learnt":
        encoder.pos_embed.data.normal_()
    config = dict(arch=ARCH, img_size=size)
    path = saved(with_config(encoder.state_dict(), **config), tmp_path)
    for seed, own in ((5, {}), (6, options)):  # whichever layout the backbone begins with
        backbone = build(seed=seed, img_size=size, **own)
        assert not load_pretrained(backbone, path).resized
        assert_same(backbone, encoder)
    loaded = maskssl.load_backbone(path)
    assert loaded.img_size == size and not loaded.ledger.resized
    assert_same(loaded, encoder)
    if layout != "learnt":  # a fixed table shows it alone
        bare = saved(encoder.state_dict(), tmp_path)
        assert maskssl.load_backbone(bare, num_heads=2).img_size == size


def test_offsets_of_another_oblong_grid_are_refused(tmp_path):
    """As many as those of the transposed grid."""
    encoder = build(seed=2, img_size=(16, 32), rel_pos_bias=True, pos_embed_layout=None)
    config = dict(arch=ARCH, img_size=(16, 32), rel_pos_bias=True)
    path = saved(with_config(encoder.state_dict(), **config), tmp_path)
    options = dict(seed=5, rel_pos_bias=True, pos_embed_layout=None)
    said = "blocks.0.rel_pos.table has 24 offsets, which are those of no square grid"
    assert_refused(build(img_size=(32, 16), **options), path, said)
    same = build(img_size=(16, 32), **options)
    load_pretrained(same, path)
    assert_same(same, encoder)
    assert maskssl.load_backbone(path).img_size == (16, 32)


def test_a_trained_table_is_square_or_the_own_grid(tmp_path):
    """Nothing tells the grid of a trained table without a config; a square one was the rule."""
    backbone = build(seed=5, img_size=(16, 64))  # 2 x 8
    encoder = build(seed=2)
    encoder.pos_embed.data.normal_()
    ledger = load_pretrained(backbone, saved(encoder.state_dict(), tmp_path))
    assert ledger.resized == {"pos_embed": "4 x 4 -> 2 x 8"}
    oblong, same = (build(seed=seed, img_size=(16, 48)) for seed in (2, 5))  # 2 x 6
    oblong.pos_embed.data.normal_()
    assert not load_pretrained(same, saved(oblong.state_dict(), tmp_path)).resized
    torch.testing.assert_close(same.pos_embed, oblong.pos_embed)


def test_a_fresh_layer_scale_must_be_one(tmp_path):
    encoder = build(seed=2)
    path = saved(encoder.state_dict(), tmp_path)
    scaled = PlainViT(arch=ARCH, img_size=32, patch_size=8, layer_scale_init=1.0, rel_pos_bias=True)
    ledger = load_pretrained(scaled, path)
    torch.testing.assert_close(scaled.eval()(images()), encoder.eval()(images()))
    assert len(ledger.fresh) == 6
    assert "fresh 4 x layer scale, one" in str(ledger)
    assert "fresh 2 x relative position table, zero" in str(ledger)
    for value in (0.1, 1e-5):
        assert_refused(
            build(seed=5, layer_scale_init=value),
            path,
            f"blocks.0.ls1.gamma would start at {value}",
            "blocks.1.ls2.gamma",
            "set layer_scale_init=None or 1.0",
        )


def test_a_ledger_groups_what_became_of_the_tensors():
    ledger = Ledger("FILE", used=["a", "b"], resized=dict(c="4 x 4 -> 2 x 8"))
    ledger.fresh = dict(d="scale", e="scale", f="table")
    ledger.dropped = {f"x.{part}.weight": "head" for part in range(6)} | {"x.0.bias": "head"}
    lines = str(ledger).splitlines()
    assert lines == [
        "loaded 3 tensors from FILE",
        "  resized c: 4 x 4 -> 2 x 8",
        "  fresh 2 x scale",
        "  fresh 1 x table",
        "  dropped 7 (head): x.0, x.1, x.2, x.3, x.4, x.5",
    ]
    ledger.dropped |= {"y.0": "head", "z": "norm"}
    assert str(ledger).splitlines()[-2:] == [
        "  dropped 8 (head): x.0, x.1, x.2, x.3, x.4, x.5, …",
        "  dropped 1 (norm): z",
    ]


# Refusals


def test_a_missing_tensor_is_refused_by_name(tmp_path):
    state = build(seed=2).state_dict()
    del state["blocks.1.mlp.fc2.bias"], state["patch_embed.proj.weight"]
    assert_refused(
        build(seed=5),
        saved(state, tmp_path),
        "blocks.1.mlp.fc2.bias is not in the checkpoint",
        "patch_embed.proj.weight is not in the checkpoint",
        "nothing was loaded",
    )


def test_an_unexpected_tensor_is_refused_by_name(tmp_path):
    state = build(seed=2).state_dict()
    state["blocks.0.attn.sinks"] = torch.ones(2)
    state["reg_token"] = torch.ones(1, 4, 16)
    assert_refused(
        build(seed=5),
        saved(state, tmp_path),
        "blocks.0.attn.sinks (2,) is in the checkpoint and has no place",
        "register_tokens (1, 4, 16) is in the checkpoint and has no place",
        "set num_registers=4",
        "set arch to the depth of the checkpoint",
    )


def test_another_width_is_refused(tmp_path):
    other = build(seed=2, arch=dict(ARCH, embed_dims=32))
    assert_refused(
        build(seed=5),
        saved(other.state_dict(), tmp_path),
        "blocks.0.norm1.weight has shape (32,), the backbone needs (16,)",
        "patch_embed.proj.weight has shape (32, 3, 8, 8), the backbone needs (16, 3, 8, 8)",
        "set arch, patch_size and swiglu",
    )


def test_another_patch_size_is_refused(tmp_path):
    other = build(seed=2, patch_size=16)
    assert_refused(
        build(seed=5),
        saved(other.state_dict(), tmp_path),
        "patch_embed.proj.weight has shape (16, 3, 16, 16), the backbone needs (16, 3, 8, 8)",
    )


@pytest.mark.parametrize(
    ("theirs", "ours", "said"),
    [
        (2, 3, "blocks.2.norm1.weight is not in the checkpoint"),
        (3, 2, "blocks.2.norm1.weight (16,) is in the checkpoint and has no place"),
    ],
)
def test_another_depth_is_refused(theirs, ours, said, tmp_path):
    other = build(seed=2, arch=dict(ARCH, num_layers=theirs))
    backbone = build(seed=5, arch=dict(ARCH, num_layers=ours))
    assert_refused(backbone, saved(other.state_dict(), tmp_path), said)


@pytest.mark.parametrize("last", [0, 2])
def test_a_shallower_file_does_not_fill_a_cut_backbone(last, tmp_path):
    """Every tensor has its place, and drop path and learning rates would be of another depth."""
    path = saved(build(seed=2).state_dict(), tmp_path)
    backbone = build(seed=5, arch=dict(ARCH, num_layers=4), out_indices=[last])
    assert_refused(backbone, path, "the checkpoint has 2 blocks, arch has 4; set num_layers")


def test_a_file_that_was_cut_alike_fills_a_cut_backbone(tmp_path):
    options = dict(arch=dict(ARCH, num_layers=4), out_indices=[1])
    encoder, backbone = build(seed=2, **options), build(seed=5, **options)
    load_pretrained(backbone, saved(encoder.state_dict(), tmp_path))
    assert_same(backbone, encoder)


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        (True, "with a cls token, as BootMAE's; set with_cls_token=True"),
        (False, "no cls token in its patch encoder, as ExtreMA's; set with_cls_token=False"),
    ],
)
@pytest.mark.parametrize("img_size", [32, 64])
def test_cls_token_and_none_are_told_apart(theirs, said, img_size, tmp_path):
    other = build(seed=2, with_cls_token=theirs)
    backbone = build(seed=5, with_cls_token=not theirs, img_size=img_size)
    assert_refused(backbone, saved(other.state_dict(), tmp_path), said)


def test_a_table_of_no_square_grid_is_refused(tmp_path):
    other = build(seed=2, img_size=(16, 48))  # 2 x 6: 12 patches
    other.pos_embed.data.normal_()
    assert_refused(
        build(seed=5), saved(other.state_dict(), tmp_path), "13 rows, which is no square grid"
    )


def test_a_table_without_patches_is_refused(tmp_path):
    state = build(seed=2).state_dict()
    for rows in (0, 1):  # the cls token's alone, and none
        state["pos_embed"] = torch.zeros(1, rows, 16)
        assert_refused(
            build(seed=5), saved(state, tmp_path), f"{rows} rows, which is no square grid"
        )


def of_moco(state):
    return dict(state_dict={f"base_encoder.{name}": value for name, value in state.items()})


THIN = dict(embed_dims=384, num_layers=12, mlp_ratio=0.25)  # ViT-S's size, where heads differ


@pytest.mark.parametrize(
    ("arch", "theirs", "mine", "content"),
    [
        (THIN, 12, 6, of_moco),  # as its authors' ViT-S has it
        (ARCH, 4, 2, lambda state: with_config(state, arch=dict(ARCH, num_heads=4))),
        (ARCH, 2, 4, lambda state: with_config(state, arch=dict(ARCH, num_heads=2))),
    ],
)
def test_other_heads_are_refused_unless_accepted(arch, theirs, mine, content, tmp_path):
    """Shapes are the same, and every feature would be another."""
    encoder = build(seed=2, arch=dict(arch, num_heads=theirs))
    path = saved(content(encoder.state_dict()), tmp_path)
    other = dict(arch=dict(arch, num_heads=mine))
    said = f"num_heads={mine}, and the checkpoint was made with {theirs}"
    assert_refused(build(seed=5, **other), path, said, f"set num_heads={theirs} in arch of the")
    init = dict(type="Pretrained", checkpoint=str(path), accept=["num_heads"])
    accepting = build(seed=5, **other, init_cfg=init)
    accepting.init_weights()
    assert accepting.ledger.accepted == [said]
    assert accepting.ledger.assumed["num_heads"].startswith(f"{theirs}, ")
    same = build(seed=5, arch=dict(arch, num_heads=theirs))
    assert not load_pretrained(same, path).accepted


def test_heads_that_nothing_tells_are_the_backbones_own(tmp_path):
    path = saved(build(seed=2, arch=dict(ARCH, num_heads=4)).state_dict(), tmp_path)
    for heads in (2, 4):
        ledger = load_pretrained(build(seed=5, arch=dict(ARCH, num_heads=heads)), path)
        assert not ledger.accepted
        said = f"{heads}, usual at this width and depth, or as given"
        assert ledger.assumed["num_heads"] == said


def test_long_lists_are_cut(tmp_path):
    other = build(seed=2, arch=dict(ARCH, embed_dims=32))
    message = assert_refused(build(seed=5), saved(other.state_dict(), tmp_path))
    problems = len(other.state_dict())
    assert len(message.splitlines()) == 22
    assert f"and {problems - 20} more" in message


def test_a_released_file_without_teacher_is_refused(tmp_path):
    release = torch.load(RELEASE, weights_only=True)
    path = saved(dict(model=release["state_dict"]), tmp_path)
    backbone = PlainViT(arch=dict(embed_dims=48, num_layers=3, num_heads=3))
    assert_refused(backbone, path, "holds no teacher", "branch='student'", branch="teacher")


def test_an_unknown_branch_is_refused(tmp_path):
    path = saved(dict(state_dict=pretraining_model().state_dict()), tmp_path)
    assert_refused(build(), path, "holds no ema; use branch='student' or 'teacher'", branch="ema")


@pytest.mark.parametrize(
    "content",
    [
        dict(state_dict=nn.Conv2d(3, 4, 3).state_dict()),
        {"layer1.0.conv1.weight": torch.ones(2)},
        dict(model={}, epoch=3),
        {},
    ],
    ids=["another net", "bare", "empty model", "empty"],
)
def test_what_holds_no_vit_is_refused(content, tmp_path):
    assert_refused(build(), saved(content, tmp_path), "no ViT encoder is recognised")


def test_what_is_no_dict_is_refused(tmp_path):
    path = saved([torch.ones(3)], tmp_path)
    assert_refused(build(), path, str(path), "holds a list", "save model.state_dict()")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_refused(share, tmp_path):
    path = saved(build().state_dict(), tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    size = path.stat().st_size
    assert_refused(build(seed=5), path, f"{path} ({size} bytes) is no complete checkpoint")


def test_a_missing_file_is_refused(tmp_path):
    assert_refused(build(), tmp_path / "none.pth", f"there is no checkpoint at {tmp_path}/none.pth")
    assert_refused(build(), tmp_path, f"there is no checkpoint at {tmp_path}")


class Touch:
    """Unpickling an instance would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_file_that_could_run_code_is_refused(tmp_path):
    witness = tmp_path / "was-here"
    path = saved(dict(model=build().state_dict(), extra=Touch(witness)), tmp_path)
    assert_refused(build(seed=5), path, str(path), "it refers to", "could run code", "re-save")
    assert not witness.exists()


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"version of a pointer file\n"])
def test_what_torch_did_not_write_is_refused(content, tmp_path):
    path = tmp_path / "downloaded.pth"
    path.write_bytes(content)
    assert_refused(build(), path, f"{path} is no file of torch.save", repr(content[:24]))


def test_reading_keeps_what_mmengine_and_the_authors_save(tmp_path):
    content = dict(model={"a": torch.ones(2)}, args=argparse.Namespace(lr=0.5), epoch=7)
    assert read_checkpoint(saved(content, tmp_path))["args"].lr == 0.5


@pytest.mark.parametrize(
    ("init", "said"),
    [
        (dict(type="Xavier"), "is not understood; use dict(type='Pretrained'"),
        (dict(type="Pretrained", checkpoint="x", prefix="backbone."), "is not understood"),
        ([dict(type="Pretrained", checkpoint="x"), dict(type="Xavier")], "is not understood"),
        (dict(type="Pretrained", checkpoint=None), "--pretrained none for random weights"),
        (dict(type="Pretrained", checkpoint="/nowhere/x.pth"), "no checkpoint at /nowhere/x.pth"),
    ],
)
def test_an_init_cfg_that_cannot_be_meant_is_refused(init, said):
    with pytest.raises(MaskSSLError, match=re.escape(said)):
        build(init_cfg=init).init_weights()


def test_without_init_cfg_weights_stay_as_drawn():
    backbone = build()
    before = copy.deepcopy(backbone)
    backbone.init_weights()
    assert_same(backbone, before)


@pytest.mark.parametrize(
    ("mean", "std", "fits"),
    [
        ([127.5] * 3, [127.5] * 3, True),
        ([127.9, 127.5, 127.1], [127.5] * 3, True),  # rounded otherwise
        ([128.1, 127.5, 127.5], [127.5] * 3, False),
        ([127.5] * 3, [127.5, 127.5, 126.9], False),
        ([127.5], [127.5], False),  # other channels
    ],
)
def test_pixels_are_those_of_the_pretraining(mean, std, fits):
    ledger = SimpleNamespace(mean=(127.5,) * 3, std=(127.5,) * 3, origin="a.pth", accepted=[])
    if fits:
        check_pixels(ledger, mean, std, ())
    else:
        with pytest.raises(CheckpointError, match=re.escape(f"has mean={mean} and std={std}")):
            check_pixels(ledger, mean, std, ())
        check_pixels(ledger, mean, std, ("pixels",))
    assert len(ledger.accepted) == (not fits)


def test_names_without_a_part_on_either_side():
    names = (("a.q_bias", "b"), ("a", "b.v_bias"), ("a.bias", "b.bias"))
    assert without(names, "q_bias", "v_bias") == (("a.bias", "b.bias"),)
    assert without(names) == names


def test_a_segmentor_of_beits_kind_is_read_as_mmseg_saves_it(tmp_path):
    """The encoder below 'backbone.', as BEiT's and BootMAE's UperNet have it, and the heads."""
    encoder = build(seed=2, layer_scale_init=1.0, rel_pos_bias=True, pos_embed_layout=None)
    state = {}
    for name, value in encoder.state_dict().items():
        name = name.replace(".ls1.gamma", ".gamma_1").replace(".ls2.gamma", ".gamma_2")
        name = name.replace(".rel_pos.table", ".attn.relative_position_bias_table")
        if name.endswith("qkv.bias"):
            value[16:32] = 0
            state[name.replace("qkv.bias", "q_bias")] = value[:16]
            state[name.replace("qkv.bias", "v_bias")] = value[32:]
        else:
            state[name] = value
    content = {f"backbone.{name}": value for name, value in state.items()}
    path = saved(dict(state_dict=content | {"decode_head.conv.weight": torch.ones(1)}), tmp_path)
    loaded = maskssl.load_backbone(path)  # heads by the tables
    assert loaded.ledger.source == "BEiT-style ViT" and loaded.num_heads == 2
    assert loaded.ledger.outside == {"decode_head.conv.weight": "outside the encoder"}
    images = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(loaded(images), encoder.eval()(images))
