"""Every map: our loader's features are those of the source's own class, at every block.

Of a package that is installed its class runs beside ours. Of the others names, shapes and features
were recorded from the authors' class, run outside of this repository with weights that the names
determine (``cases.drawn``); ``commit`` in the record says of which.
"""

from functools import partial
from pathlib import Path

import pytest
import timm
import torch
from mmpretrain.models.backbones import BEiTViT, VisionTransformer
from mmpretrain.models.selfsup import BEiTPretrainViT, MAEViT, MoCoV3ViT
from timm.layers import SwiGLUPacked
from timm.models import beit, eva
from timm.models import vision_transformer as vit
from torch import nn

import maskssl
from maskssl.checkpoints.errors import CheckpointError
from maskssl.models.pretrained.recognition import encoder_weights
from tests.models.pretrained.cases import drawn, filled, pictures

RECORD = torch.load(Path(__file__).parents[2] / "data" / "vit_sources.pt", weights_only=True)
SIZES = [(16, 16), (24, 20)]
CLOSE = dict(rtol=1e-5, atol=1e-5)
NORM = partial(nn.LayerNorm, eps=1e-6)
ONE = torch.ones(1)


def loaded(content, folder: Path, size=None, **settings):
    path = folder / "weights.pth"
    torch.save(content, path)
    settings = dict(num_heads=2, out_indices=[0, 1], img_size=size) | settings
    return maskssl.load_backbone(path, **settings)


def compared(backbone, blocks, last, images) -> None:
    """Both blocks before the norm, and the second behind it (None where there is none)."""
    with torch.no_grad():
        tokens, grid = backbone.embed(images)
        ours = backbone.run_blocks(tokens, grid=grid)
        final = backbone(images)[-1]
    assert len(ours) == len(blocks) == 2
    for mine, theirs in zip(ours, blocks, strict=True):
        torch.testing.assert_close(mine, theirs, **CLOSE)
    if last is not None:
        torch.testing.assert_close(final, last, **CLOSE)


def hooked(model, blocks, images):
    """Outputs of a model's blocks, and the model's own."""
    outputs: list[torch.Tensor] = []
    hooks = [block.register_forward_hook(lambda *x: outputs.append(x[2])) for block in blocks]
    with torch.no_grad():
        last = model(images)
    for hook in hooks:
        hook.remove()
    return outputs, last


# timm

TIMM = dict(img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=2, num_classes=3)
TIMM_CASES = {
    "AugReg, DeiT": (vit.VisionTransformer, dict(), "timm ViT"),
    "without a head": (vit.VisionTransformer, dict(num_classes=0), "plain ViT"),
    "fine-tuned MAE": (vit.VisionTransformer, dict(fc_norm=True, global_pool="avg"), "MAE"),
    "DINOv2": (vit.VisionTransformer, dict(num_classes=0, init_values=1.0), "timm ViT"),
    "DINOv2 with registers": (
        vit.VisionTransformer,
        dict(num_classes=0, init_values=1.0, reg_tokens=3, no_embed_class=True),
        "timm ViT",
    ),
    "DINOv2-g": (
        vit.VisionTransformer,
        dict(init_values=1.0, mlp_layer=SwiGLUPacked, act_layer=nn.SiLU, mlp_ratio=5.33334),
        "timm ViT",
    ),
    "BEiT": (beit.Beit, dict(use_abs_pos_emb=False, use_rel_pos_bias=True), "BEiT-style ViT"),
    "BEiTv2": (
        beit.Beit,
        dict(use_abs_pos_emb=False, use_shared_rel_pos_bias=True, init_values=0.1, num_classes=0),
        "BEiTv2 pretraining",
    ),
    "BEiT, scaled": (
        beit.Beit,
        dict(use_abs_pos_emb=False, use_rel_pos_bias=True, init_values=0.1),
        "BEiT-style ViT",
    ),
    "BEiT, shared table": (
        beit.Beit,
        dict(use_abs_pos_emb=False, use_shared_rel_pos_bias=True, init_values=0.1),
        "BEiT-style ViT",
    ),
}
ROTARY = dict(
    rope_type="dinov3",
    rope_temperature=100,
    rope_rotate_half=True,
    use_rot_pos_emb=True,
    use_abs_pos_emb=False,
    num_reg_tokens=3,
    use_fc_norm=False,
    init_values=0.1,
    dynamic_img_size=True,
    norm_layer=partial(nn.LayerNorm, eps=1e-5),
)
for _name, _more in {
    "DINOv3": dict(qkv_bias=False),
    "DINOv3, biased": dict(qkv_bias=True),
    "DINOv3, gated": dict(qkv_bias=False, swiglu_mlp=True, swiglu_align_to=8),
}.items():
    TIMM_CASES[_name] = (eva.Eva, ROTARY | _more, "timm DINOv3")


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("case", TIMM_CASES)
def test_timm(case, size, tmp_path):
    build, options, source = TIMM_CASES[case]
    options = dict(qkv_bias=True, norm_layer=NORM) | TIMM | options
    state = filled(build(**options)).state_dict()
    reference = build(**(options | dict(img_size=size)))
    filters = {vit.VisionTransformer: vit, beit.Beit: beit, eva.Eva: eva}[build]
    antialias = source not in ("MAE", "plain ViT")  # whose authors resize without
    theirs = filters.checkpoint_filter_fn(dict(state), reference, antialias=antialias)
    reference.load_state_dict(theirs, strict=build is not eva.Eva)
    if case == "BEiTv2":  # what pretraining has on top, and timm's class has not
        state |= {"cls_pt_layers.0.norm1.weight": ONE, "lm_head.weight": ONE, "mask_token": ONE}
    images = pictures(*size)
    blocks, _ = hooked(reference.eval(), reference.blocks, images)
    backbone = loaded(state, tmp_path, size)
    normed = isinstance(getattr(reference, "norm", None), nn.LayerNorm)
    compared(backbone, blocks, reference.norm(blocks[-1]).detach() if normed else None, images)
    assert backbone.ledger.source == source
    counted(backbone.ledger, state)


@pytest.mark.parametrize("name", ["medium_{}1", "mediumd_{}1", "betwixt_{}4", "base_{}1"])
def test_timms_other_rotary_vits_are_refused(name, tmp_path):
    """Registers, scales and qkv are named as DINOv3's, and every angle is another."""
    name = f"vit_{name.format('patch16_rope_reg')}_gap_256"
    state = filled(timm.create_model(name, embed_dim=24, depth=2, num_heads=2)).state_dict()
    with pytest.raises(CheckpointError, match=r"(reg_token|gamma_1) .* and has no place in"):
        loaded(state, tmp_path)


def counted(ledger, state) -> None:
    """Every tensor of the file is of a part, dropped or outside, and of one of them alone."""
    parts = {name for names in ledger.parts.values() for name in names}
    groups = [parts, ledger.dropped.keys(), ledger.outside.keys()]
    assert sum(map(len, groups)) == len(state)
    assert sorted(ledger.parts) == sorted([*ledger.used, *ledger.resized, *_unbuilt(ledger)])


def _unbuilt(ledger):
    return [name for name in ledger.parts if name in ledger.dropped and name not in ledger.used]


# mmpretrain

MM = dict(
    arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48),
    img_size=16,
    patch_size=4,
)
MM_CASES = {
    "ViT": (VisionTransformer, dict(out_type="raw")),
    "ViT, scaled": (VisionTransformer, dict(out_type="raw", layer_scale_init_value=0.1)),
    "ViT without cls": (VisionTransformer, dict(out_type="raw", with_cls_token=False)),
    "MAE": (MAEViT, dict()),
    "MoCo v3": (MoCoV3ViT, dict(stop_grad_conv1=False, out_type="raw")),
    "BEiT": (BEiTViT, dict(out_type="raw")),
    "BEiT, pretraining": (BEiTPretrainViT, dict(out_type="raw")),
}


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("case", MM_CASES)
def test_mmpretrain(case, size, tmp_path):
    build, options = MM_CASES[case]
    reference = filled(build(**MM, **options))
    state = reference.state_dict()
    if "BEiT" in case and size != SIZES[0]:
        pytest.skip("mmpretrain's BEiT interpolates by a function that scipy has removed")
    outputs: list[torch.Tensor] = []
    images = pictures(*size)
    for block in reference.layers:
        block.register_forward_hook(lambda *x: outputs.append(x[2]))
    with torch.no_grad():
        reference(images, **(dict(mask=None) if build in (MAEViT, BEiTPretrainViT) else {}))
    content = dict(state_dict={f"backbone.{name}": value for name, value in state.items()})
    content["state_dict"]["head.fc.weight"] = torch.ones(3, 24)
    backbone = loaded(content, tmp_path, size)
    last = getattr(reference, "ln1", None)
    compared(backbone, outputs, last(outputs[-1]).detach() if last else None, images)
    assert backbone.ledger.source == "mmpretrain"
    assert backbone.ledger.outside == {"head.fc.weight": "outside the encoder"}


# Recorded


def of_two(state, strong: str, weak: str, prefix: str, **more):
    """A file of two networks, of which the one that is not asked for is zero."""
    return {
        strong: {f"{prefix}{k}": v for k, v in state.items()} | more,
        weak: {f"{prefix}{k}": 0 * v for k, v in state.items()},
    }


def franca(state):
    """Its release keeps the teacher with both of its heads."""
    return dict(teacher={f"backbone.{k}": v for k, v in state.items()} | {"dino_head.mlp.0.w": ONE})


WRAPPED = {
    "dino": lambda state: of_two(
        state, "teacher", "student", "module.backbone.", **{"module.head.mlp.0.weight": ONE}
    ),
    "ibot": lambda state: of_two(
        state, "student", "teacher", "module.backbone.", **{"module.head.mlp.0.weight": ONE}
    ),
    "franca": franca,
    "franca_mlp": franca,
    "mocov3": lambda state: dict(
        state_dict={f"module.base_encoder.{k}": v for k, v in state.items()}
        | {f"module.momentum_encoder.{k}": 0 * v for k, v in state.items()}
        | {"module.predictor.0.weight": ONE}
    ),
    "ijepa": lambda state: of_two(state, "target_encoder", "encoder", "module."),
    "dinov2_registers": lambda state: dict(
        teacher={f"backbone.{k}": v for k, v in state.items()}
    ),
    "simmim": lambda state: dict(
        model={f"encoder.{k}": v for k, v in state.items()}
        | {"encoder.mask_token": ONE, "decoder.0.weight": ONE}
    ),
    "simmim_absolute": lambda state: dict(
        model={f"encoder.{k}": v for k, v in state.items()} | {"encoder.mask_token": ONE}
    ),
    "cae_pretraining": lambda state: dict(model=state),
}  # fmt: skip
SOURCE = {
    "dino": "DINO",
    "ibot": "iBOT",
    "dinov2": "DINOv2, Franca",
    "dinov2_registers": "DINOv2 with registers",
    "dinov2_swiglu_chunked": "DINOv2, Franca",
    "franca": "DINOv2, Franca",
    "franca_mlp": "DINOv2, Franca",
    "mocov3": "MoCo v3",
    "dinov3": "DINOv3",
    "dinov3_swiglu": "DINOv3",
    "ijepa": "I-JEPA",
    "simmim": "SimMIM pretraining",
    "simmim_absolute": "SimMIM pretraining",
    "cae_pretraining": "CAE pretraining",
    "hf_vit": "Hugging Face ViT",
    "hf_vitmae": "Hugging Face ViT",
    "hf_ijepa": "Hugging Face ViT",
    "hf_dinov2": "Hugging Face DINOv2",
    "hf_dinov2_swiglu": "Hugging Face DINOv2",
    "hf_dinov2_registers": "Hugging Face DINOv2 with registers",
    "hf_dinov3": "Hugging Face DINOv3",
    "hf_dinov3_gated": "Hugging Face DINOv3",
}


def recorded_weights(case: str) -> dict[str, torch.Tensor]:
    record = RECORD[case]
    state = {name: drawn(name, shape) for name, shape in record["shapes"].items()}
    return state | record["kept"]


@pytest.mark.parametrize(
    ("case", "size"), [(case, size) for case in RECORD for size in RECORD[case]["features"]]
)
def test_recorded(case, size, tmp_path):
    state = recorded_weights(case)
    size_ = tuple(map(int, size.split("x")))
    content = WRAPPED.get(case, dict)(state)
    branch = "student" if case == "ibot" else None  # whose weights the record's model had
    backbone = loaded(content, tmp_path, size_, branch=branch)
    *blocks, last = RECORD[case]["features"][size]
    compared(backbone, blocks, last, pictures(*size_))
    ledger = backbone.ledger
    assert ledger.source == SOURCE[case]
    parts = {name for names in ledger.parts.values() for name in names}
    named = parts | ledger.dropped.keys()
    if case == "cae_pretraining":  # a whole model
        named = {f"encoder.{name}" for name in named} | ledger.outside.keys()
        reasons = {why for name, why in ledger.outside.items() if name.startswith("teacher.")}
        assert reasons == {"of the teacher"}
    assert named - state.keys() <= {"mask_token"}  # SimMIM's, which the class does not have
    assert state.keys() <= named


@pytest.mark.parametrize("case", RECORD)
def test_a_tensor_that_a_map_does_not_explain_refuses_the_file(case, tmp_path):
    """One in the first block and one in front of all, whatever the prefix and the container."""
    state = recorded_weights(case)
    inner = next(name for name in state if ".0." in name or "layer.0" in name).split("0")[0]
    for odd in (f"{inner}0.surprise", f"{'encoder.' if case == 'cae_pretraining' else ''}surprise"):
        content = WRAPPED.get(case, dict)(state | {odd: ONE})
        with pytest.raises(
            CheckpointError, match=r"surprise \(1,\) is in the checkpoint and has no"
        ):
            loaded(content, tmp_path)


def test_other_entries_of_a_file_are_told(tmp_path):
    state = filled(vit.VisionTransformer(**TIMM)).state_dict()
    content = dict(state_dict=state, state_dict_ema={k: 0 * v for k, v in state.items()}, epoch=3)
    outside = loaded(content, tmp_path).ledger.outside
    assert outside == {f"state_dict_ema: {len(state)} tensors": "another entry of the file"}


def test_the_teacher_of_ibot_is_taken_where_nothing_is_said(tmp_path):
    state = recorded_weights("ibot")
    content = of_two(state, "teacher", "student", "backbone.")
    del content["teacher"]["backbone.masked_embed"]  # as the authors build it
    backbone = loaded(content, tmp_path)
    assert (backbone.ledger.source, backbone.ledger.branch) == ("iBOT", "teacher")
    assert backbone.ledger.dropped == {}
    alone = loaded(state, tmp_path)  # "backbone (s)" of the authors' page
    assert (alone.ledger.source, alone.ledger.branch) == ("iBOT", "student")
    assert alone.ledger.dropped == {"masked_embed": "stands for masked patches in pretraining"}


@pytest.mark.parametrize(
    ("case", "container", "prefix", "branch"),
    [
        ("dinov2", "teacher", "backbone.", "teacher"),
        ("dinov2", "student", "backbone.", "student"),
        ("dinov2", "teacher", "", "teacher"),
        ("dinov3", "teacher", "backbone.", "teacher"),
        ("dinov3", "student", "backbone.", "student"),
        ("ijepa", "encoder", "", "student"),
    ],
)
def test_a_branch_is_found_alone_in_its_place(case, container, prefix, branch):
    state = {prefix + name: value for name, value in recorded_weights(case).items()}
    weights = encoder_weights({container: state})
    assert (weights.source.name, weights.branch) == (SOURCE[case], branch)


def test_the_norm_that_dinov3_has_for_local_crops_is_dropped():
    state = recorded_weights("dinov3") | {"local_cls_norm.weight": ONE}
    assert "local_cls_norm.weight" in encoder_weights(state).dropped


@pytest.mark.parametrize(
    ("case", "prefix"),
    [
        ("hf_vit", "vit."),
        ("hf_ijepa", "ijepa."),
        ("hf_dinov2", "dinov2."),
        ("hf_dinov2_registers", "dinov2_with_registers."),
        ("hf_dinov3", "dinov3_vit."),
    ],
)
def test_a_classifier_of_transformers_leaves_its_encoder_the_same(case, prefix):
    """Beside an encoder with its prefix it is outside, among names without one it is dropped."""
    classifier, state = {"classifier.weight": ONE}, recorded_weights(case)
    bare = encoder_weights(state | classifier)
    assert "classifier.weight" in bare.dropped
    whole = encoder_weights({prefix + name: value for name, value in state.items()} | classifier)
    assert whole.source.name == SOURCE[case]
    assert whole.outside == {"classifier.weight": "outside the encoder"}
    assert whole.tensors.keys() == bare.tensors.keys() == encoder_weights(state).tensors.keys()


@pytest.mark.parametrize("case", [case for case in RECORD if "saved" in RECORD[case]])
def test_the_names_that_transformers_saves(case, tmp_path):
    """Files keep the names of the earlier generation, which differ from the modules'."""
    state = recorded_weights(case)
    saved = {}
    for name, now in RECORD[case]["saved"].items():
        if now is None:  # gate and up in one
            gate = name.replace("weights_in", "gate_proj")
            saved[name] = torch.cat([state[gate], state[gate.replace("gate_proj", "up_proj")]])
        else:
            saved[name] = state[now]
    size = next(iter(RECORD[case]["features"]))
    *blocks, last = RECORD[case]["features"][size]
    backbone = loaded(saved, tmp_path)
    compared(backbone, blocks, last, pictures(*map(int, size.split("x"))))
