"""Learning-rate scale and weight decay of every parameter, in all three scopes."""

import importlib.util
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from maskssl import config_file
from maskssl.engine.optimizers import layer_decay
from maskssl.errors import MaskSSLError

BASE_LR, BASE_DECAY, RATE = 2e-3, 0.05, 0.5
ARCH = dict(embed_dims=16, num_layers=2, num_heads=2)


def needs(*modules: str):
    absent = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(absent), reason=f"{absent} not installed")


def build(scope: str, model):
    with DefaultScope.overwrite_default_scope(scope):
        return MODELS.build(model)


def classifier(**backbone):
    encoder = dict(type="PlainViT", arch=ARCH, img_size=32, patch_size=8, out_type="avg")
    head = dict(type="PooledLinearHead", in_channels=16, num_classes=3)
    model = dict(type="ImageClassifier", backbone={**encoder, **backbone}, head=head)
    return build("mmpretrain", model)


def dense(name: str, **backbone):
    """A shipped model of six blocks."""
    cfg = Config.fromfile(config_file(name))
    cfg.model.backbone.arch = dict(embed_dims=96, num_layers=6, num_heads=3)
    cfg.model.backbone.update(init_cfg=None, out_indices=[1, 2, 4, 5], **backbone)
    return build(cfg.default_scope, cfg.model)


def groups(model: nn.Module, rate: float | None = RATE):
    """name -> (lr / base lr, weight decay, parameter), each name once."""
    cfg = dict(
        type="OptimWrapper",
        optimizer=dict(type="AdamW", lr=BASE_LR, weight_decay=BASE_DECAY),
        constructor="LayerDecayOptimWrapperConstructor",
    )
    if rate is not None:
        cfg["paramwise_cfg"] = dict(layer_decay_rate=rate)
    found = {}
    names = {parameter: name for name, parameter in model.named_parameters()}
    for group in build_optim_wrapper(model, cfg).optimizer.param_groups:
        assert group["lr"] == pytest.approx(BASE_LR * group["lr_scale"])
        for parameter, name in zip(group["params"], group["param_names"], strict=True):
            assert names[parameter] == name not in found
            found[name] = (group["lr"] / BASE_LR, group["weight_decay"], parameter)
    return found


def decayed(model: nn.Module) -> set[str]:
    """Names of what weight decay is for: matrices, kernels, tables of biases, mask tokens."""
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    names = {f"{name}.weight" for name, part in model.named_modules() if isinstance(part, kinds)}
    others = (".rel_pos.table", ".mask_token")
    return names | {name for name, _ in model.named_parameters() if name.endswith(others)}


def scale(name: str, num_layers: int, rate: float = RATE) -> float:
    """The last block and all behind it is next to 1; the stem is num_layers + 1 steps away."""
    if re.match(r"backbone\.(cls_token|pos_embed|patch_embed)", name):
        return rate ** (num_layers + 1)
    block = re.match(r"backbone\.blocks\.(\d+)\.", name)
    return rate ** (num_layers - int(block[1])) if block else 1.0


def assert_as_ruled(model: nn.Module, num_layers: int) -> dict:
    found = groups(model)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert found.keys() == trained
    for name, (lr_scale, decay, _) in found.items():
        assert lr_scale == pytest.approx(scale(name, num_layers)), name
        assert decay == (BASE_DECAY if name in decayed(model) else 0), name
    return found


# Two blocks: the stem at 1/8, the blocks at 1/4 and 1/2, the rest at 1.
BLOCK = {
    "norm1.weight": 0, "norm1.bias": 0,
    "attn.qkv.weight": 0.05, "attn.qkv.bias": 0, "attn.proj.weight": 0.05, "attn.proj.bias": 0,
    "norm2.weight": 0, "norm2.bias": 0,
    "mlp.fc1.weight": 0.05, "mlp.fc1.bias": 0, "mlp.fc2.weight": 0.05, "mlp.fc2.bias": 0,
}  # fmt: skip
CLASSIFIER = {
    "backbone.cls_token": (1 / 8, 0),
    "backbone.patch_embed.proj.weight": (1 / 8, 0.05),
    "backbone.patch_embed.proj.bias": (1 / 8, 0),
    **{f"backbone.blocks.0.{name}": (1 / 4, decay) for name, decay in BLOCK.items()},
    **{f"backbone.blocks.1.{name}": (1 / 2, decay) for name, decay in BLOCK.items()},
    "backbone.norm.weight": (1, 0),
    "backbone.norm.bias": (1, 0),
    "head.norms.0.weight": (1, 0),
    "head.norms.0.bias": (1, 0),
    "head.fc.weight": (1, 0.05),
    "head.fc.bias": (1, 0),
}


def test_every_parameter_of_a_classifier(monkeypatch):
    said = []
    monkeypatch.setattr(layer_decay, "print_log", lambda text, **_: said.append(text))
    found = groups(classifier())
    assert said == [
        "learning-rate scales (scale x parameters): 0.125 x 3, 0.25 x 12, 0.5 x 12, 1 x 6"
    ]
    assert {name: entry[:2] for name, entry in found.items()} == CLASSIFIER


def test_options_of_the_backbone():
    """A trained position table: depth 0, not decayed. Scales: not. Relative tables: decayed."""
    options = dict(pos_embed_trainable=True, layer_scale_init=1.0, rel_pos_bias=True)
    found = groups(classifier(**options))
    more = {
        "backbone.pos_embed": (1 / 8, 0),
        "backbone.blocks.0.ls1.gamma": (1 / 4, 0),
        "backbone.blocks.0.ls2.gamma": (1 / 4, 0),
        "backbone.blocks.0.rel_pos.table": (1 / 4, 0.05),
        "backbone.blocks.1.ls1.gamma": (1 / 2, 0),
        "backbone.blocks.1.ls2.gamma": (1 / 2, 0),
        "backbone.blocks.1.rel_pos.table": (1 / 2, 0.05),
    }
    assert {name: entry[:2] for name, entry in found.items()} == {**CLASSIFIER, **more}


def test_frozen_parameters_have_no_group():
    found = groups(classifier(frozen_stages=1))
    stem = ("backbone.cls_token", "backbone.patch_embed", "backbone.blocks.0.")
    expected = {name: entry for name, entry in CLASSIFIER.items() if not name.startswith(stem)}
    assert {name: entry[:2] for name, entry in found.items()} == expected


def test_a_cut_backbone_keeps_the_depths_of_the_whole_one():
    found = groups(classifier(out_indices=[0], final_norm=False))
    assert found["backbone.patch_embed.proj.weight"][0] == 1 / 8
    assert found["backbone.blocks.0.mlp.fc1.weight"][0] == 1 / 4
    assert "backbone.norm.weight" not in found


@needs("mmseg", "mmcv._ext")
@pytest.mark.parametrize(
    "options",
    [dict(), dict(pos_embed_trainable=True, layer_scale_init=1.0, rel_pos_bias=True)],
    ids=["as shipped", "as released"],
)
def test_every_parameter_of_a_segmentor(options):
    found = assert_as_ruled(
        dense("seg/bootmae_vit-mini-p8_upernet_1xb8-amp-400i_scenes.py", **options), num_layers=6
    )
    assert ("backbone.pos_embed" in found) == bool(options)
    for name, expected in {
        "backbone.cls_token": (1 / 128, 0),
        "backbone.blocks.0.attn.qkv.weight": (1 / 64, BASE_DECAY),
        "backbone.blocks.5.attn.qkv.weight": (1 / 2, BASE_DECAY),
        "neck.scales.0.0.weight": (1, BASE_DECAY),  # a transposed convolution
        "decode_head.conv_seg.weight": (1, BASE_DECAY),
        "decode_head.conv_seg.bias": (1, 0),
        "decode_head.bottleneck.bn.weight": (1, 0),
        "auxiliary_head.conv_seg.weight": (1, BASE_DECAY),
    }.items():
        assert found[name][:2] == pytest.approx(expected), name


@needs("mmdet", "mmcv._ext")
def test_every_parameter_of_a_detector():
    found = assert_as_ruled(
        dense("det/bootmae_vit-mini-p8_mask-rcnn_1xb8-coslr-120e_scenes.py"), num_layers=6
    )
    for name, expected in {
        "backbone.patch_embed.proj.weight": (1 / 128, BASE_DECAY),
        "backbone.blocks.4.norm1.weight": (1 / 4, 0),
        "neck.0.scales.0.0.bias": (1, 0),
        "neck.1.fpn_convs.0.conv.weight": (1, BASE_DECAY),
        "rpn_head.rpn_cls.bias": (1, 0),
        "roi_head.bbox_head.fc_reg.weight": (1, BASE_DECAY),
        "roi_head.mask_head.convs.0.conv.weight": (1, BASE_DECAY),
    }.items():
        assert found[name][:2] == pytest.approx(expected), name


def pretraining():
    encoder = dict(type="PlainViT", arch=ARCH, img_size=32, patch_size=8)
    neck = dict(type="TargetAwareDecoders", pixel=dict(embed_dims=8))
    model = dict(
        type="BootMAE",
        backbone=encoder,
        neck=neck,
        head=dict(type="BootMAEHead"),
        target_generator=dict(type="MomentumEncoder"),
    )
    return build("mmpretrain", model)


def test_pretraining_decays_mask_tokens_and_leaves_the_teacher_out():
    model = pretraining()
    found = groups(model, rate=None)
    assert found.keys() == {name for name, p in model.named_parameters() if p.requires_grad}
    assert not any(name.startswith("target_generator") for name in found)
    assert "backbone.pos_embed" not in found
    for name, (lr_scale, decay, _) in found.items():
        assert lr_scale == 1
        assert decay == (BASE_DECAY if name in decayed(model) else 0), name
    assert found["neck.pixel.mask_token"][1] == BASE_DECAY
    assert found["neck.feature.mask_token"][1] == BASE_DECAY
    assert found["backbone.cls_token"][1] == 0
    assert found["neck.to_pixels.weight"][1] == BASE_DECAY


def test_a_step_moves_each_parameter_by_its_own_rate():
    """SGD on a gradient of one everywhere: lr x scale, and lr x scale x decay x weight."""
    model = classifier()
    cfg = dict(
        type="OptimWrapper",
        optimizer=dict(type="SGD", lr=0.1, weight_decay=0.5),
        constructor="LayerDecayOptimWrapperConstructor",
        paramwise_cfg=dict(layer_decay_rate=RATE),
    )
    wrapper = build_optim_wrapper(model, cfg)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    wrapper.step()
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            torch.testing.assert_close(parameter, before[name])
            continue
        lr_scale, decay = CLASSIFIER[name]
        expected = before[name] - 0.1 * lr_scale * (1 + 10 * decay * before[name])
        torch.testing.assert_close(parameter.detach(), expected)


# Refusals


@pytest.mark.parametrize(
    ("paramwise", "said"),
    [
        (dict(layer_decay=0.65), r"\['layer_decay'\].*it takes layer_decay_rate"),
        (dict(layer_decay_rate=0.65, norm_decay_mult=0.0), r"\['norm_decay_mult'\]"),
        (dict(layer_decay_rate=0.0), "layer_decay_rate=0.0 must lie in"),
        (dict(layer_decay_rate=1.5), "layer_decay_rate=1.5 must lie in"),
    ],
)
def test_options_that_it_does_not_know_are_refused(paramwise, said):
    cfg = dict(
        type="OptimWrapper",
        optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.1),
        constructor="LayerDecayOptimWrapperConstructor",
        paramwise_cfg=paramwise,
    )
    with pytest.raises(MaskSSLError, match=said):
        build_optim_wrapper(classifier(), cfg)


def test_a_model_without_depths_is_refused():
    with pytest.raises(MaskSSLError, match=r"layer_decay_rate=0.5 needs a backbone.*Sequential"):
        groups(nn.Sequential(nn.Linear(2, 2)))
    assert len(groups(nn.Sequential(nn.Linear(2, 2)), rate=1.0)) == 2


def test_the_backbone_may_have_an_lr_of_its_own():
    """BootMAE's --backbone_decay: every depth but the last, norm and head, on top of the decay."""
    model = classifier()
    cfg = dict(
        type="OptimWrapper",
        optimizer=dict(type="AdamW", lr=BASE_LR, weight_decay=BASE_DECAY),
        constructor="LayerDecayOptimWrapperConstructor",
        paramwise_cfg=dict(layer_decay_rate=RATE, backbone_lr_mult=0.1),
    )
    found = build_optim_wrapper(model, cfg).optimizer.param_groups
    for name, (lr_scale, _) in CLASSIFIER.items():
        (group,) = (group for group in found if name in group["param_names"])
        assert group["lr"] == pytest.approx(BASE_LR * lr_scale * (0.1 if lr_scale < 1 else 1))
    cfg["paramwise_cfg"] = dict(backbone_lr_mult=0.1)
    for group in build_optim_wrapper(model, cfg).optimizer.param_groups:
        (inside,) = {CLASSIFIER[name][0] < 1 for name in group["param_names"]}
        assert group["lr"] == pytest.approx(BASE_LR * (0.1 if inside else 1))
    with pytest.raises(MaskSSLError, match=r"backbone_lr_mult=0.1 needs a backbone.*Sequential"):
        build_optim_wrapper(nn.Sequential(nn.Linear(2, 2)), cfg)
    cfg["paramwise_cfg"] = dict(backbone_lr_mult=0)
    with pytest.raises(MaskSSLError, match="backbone_lr_mult=0 must be positive"):
        build_optim_wrapper(model, cfg)


def test_lars_gets_matrices_and_vectors_apart():
    """It scales the one and not the other; tokens and biases share their decay."""
    model = classifier()
    cfg = dict(
        type="OptimWrapper",
        optimizer=dict(type="AdamW", lr=BASE_LR, weight_decay=BASE_DECAY),
        constructor="LayerDecayOptimWrapperConstructor",
        paramwise_cfg=dict(layer_decay_rate=1.0),
    )
    found = build_optim_wrapper(model, cfg).optimizer.param_groups
    kinds = [{param.ndim > 1 for param in group["params"]} for group in found]
    assert all(len(kind) == 1 for kind in kinds) and len(found) == 3
    tokens = next(group for group in found if "backbone.cls_token" in group["param_names"])
    assert tokens["weight_decay"] == 0.0 and {p.ndim for p in tokens["params"]} == {3}
