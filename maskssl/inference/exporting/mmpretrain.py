"""mmpretrain's VisionTransformer: a checkpoint and the config of its backbone."""

from pathlib import Path

import torch
from mmengine.runner.checkpoint import load_state_dict
from mmpretrain.models.backbones import VisionTransformer

from ...checkpoints.reading import read_file
from ...models.pretrained.naming import without, written
from ...models.pretrained.sources.mmpretrain import MMPRETRAIN
from ..backbone import PretrainedViT
from .plain import metadata
from .target import Model, Target, inexpressible, is_gated, num_registers

FILE = "backbone.pth"


def settings(backbone: PretrainedViT) -> dict[str, object]:
    """Arguments of mmpretrain's class."""
    inexpressible(
        backbone,
        "mmpretrain's VisionTransformer",
        registers=num_registers(backbone) > 0,
        rotary_positions=backbone.rotary is not None,
        relative_positions=backbone.blocks[0].rel_pos is not None,
        no_position_table=backbone.pos_embed is None,
        gated_MLPs=is_gated(backbone),
        no_qkv_bias=backbone.blocks[0].attn.qkv.bias is None,
        a_position_rule_other_than_bicubic=backbone.pos_resize != "bicubic",
    )
    return dict(
        arch=dict(
            embed_dims=backbone.embed_dims,
            num_layers=len(backbone.blocks),
            num_heads=backbone.num_heads,
            feedforward_channels=backbone.blocks[0].mlp.fc1.out_features,
        ),
        img_size=backbone.img_size,
        patch_size=backbone.patch_size,
        in_channels=backbone.patch_embed.proj.in_channels,
        with_cls_token=backbone.with_cls_token,
        final_norm=backbone.with_final_norm,
        norm_cfg=dict(type="LN", eps=backbone.norm_eps),
        layer_scale_init_value=0.0 if backbone.layer_scale_init is None else 1.0,
        out_type="raw",
    )


def write(backbone: PretrainedViT, folder: Path) -> None:
    """``init_cfg=dict(type='Pretrained', checkpoint=FILE, prefix='backbone.')`` loads it."""
    told = settings(backbone)
    names = written(backbone.state_dict(), without(MMPRETRAIN.names, "q_bias", "v_bias"))
    state = {f"backbone.{name}": value for name, value in names.items()}
    meta = metadata(backbone) | dict(cfg=f"model = {dict(backbone=told)!r}")
    torch.save(dict(state_dict=state, meta=meta), folder / FILE)


def reload(backbone: PretrainedViT, folder: Path) -> Model:
    """By its class, every tensor in its place."""
    model = VisionTransformer(**settings(backbone))
    model.eval()  # it returns nothing
    state = read_file(folder / FILE)["state_dict"]
    stripped = {name.removeprefix("backbone."): value for name, value in state.items()}
    load_state_dict(model, stripped, strict=True)
    return lambda images: model(images)[-1]


MMPRETRAIN_TARGET = Target("mmpretrain", write, reload)
