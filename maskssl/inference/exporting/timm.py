"""timm: VisionTransformer, Beit with relative positions, Eva with rotary ones."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from timm.layers import LayerNorm, SwiGLUPacked
from timm.models.beit import Beit
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ...models.pretrained.naming import without, written
from ...models.pretrained.sources.beit import BEIT_NAMES
from ...models.pretrained.sources.timm_dinov3 import TIMM_DINOV3
from ...models.pretrained.sources.timm_vit import TIMM_VIT
from ..backbone import PretrainedViT
from .target import Model, Target, inexpressible, is_gated, num_registers

FILE, CONFIG = "model.safetensors", "config.json"
DINOV3_BASE = 100.0


def _model(backbone: PretrainedViT) -> tuple[nn.Module, dict[str, Any]]:
    """timm's class, without weights, and its arguments as JSON has them."""
    gated, mlp = is_gated(backbone), backbone.blocks[0].mlp
    shared: dict[str, Any] = dict(
        img_size=backbone.img_size,
        patch_size=backbone.patch_size,
        in_chans=backbone.patch_embed.proj.in_channels,
        num_classes=0,
        embed_dim=backbone.embed_dims,
        depth=len(backbone.blocks),
        num_heads=backbone.num_heads,
        mlp_ratio=mlp.fc1.out_features / backbone.embed_dims,
        qkv_bias=backbone.blocks[0].attn.qkv.bias is not None,
        init_values=None if backbone.layer_scale_init is None else 1.0,
    )
    norm: Any = partial(LayerNorm, eps=backbone.norm_eps)
    no_norm = dict(no_final_norm=not backbone.with_final_norm)
    if backbone.rotary is not None:
        inexpressible(
            backbone,
            "timm's Eva",
            a_position_table=backbone.pos_embed is not None,
            another_base_of_rotary_positions=backbone.rotary_base != DINOV3_BASE,
            no_cls_token=not backbone.with_cls_token,
            **no_norm,
        )
        if gated:
            shared |= dict(swiglu_mlp=True, swiglu_align_to=1, mlp_ratio=shared["mlp_ratio"] / 2)
        shared |= dict(
            num_reg_tokens=num_registers(backbone),
            rope_type="dinov3",
            rope_temperature=backbone.rotary_base,
            rope_rotate_half=True,
            use_rot_pos_emb=True,
            use_abs_pos_emb=False,
            use_fc_norm=False,
            dynamic_img_size=True,
        )
        return Eva(**shared, norm_layer=norm), shared
    if backbone.blocks[0].rel_pos is not None:
        inexpressible(
            backbone,
            "timm's Beit",
            gated_MLPs=gated,
            no_cls_token=not backbone.with_cls_token,
            **no_norm,
        )
        shared |= dict(
            use_abs_pos_emb=backbone.pos_embed is not None,
            use_rel_pos_bias=True,
            global_pool="token",
        )
        return Beit(**shared, norm_layer=norm), shared
    inexpressible(
        backbone,
        "timm's VisionTransformer",
        no_position_table=backbone.pos_embed is None,
        **no_norm,
    )
    registers = num_registers(backbone)
    shared |= dict(
        class_token=backbone.with_cls_token,
        global_pool="token" if backbone.with_cls_token else "avg",
        fc_norm=False,
        reg_tokens=registers,
        no_embed_class=registers > 0,
    )
    layers = dict(mlp_layer=SwiGLUPacked, act_layer=nn.SiLU) if gated else {}
    return VisionTransformer(**shared, norm_layer=norm, **layers), shared


def _tensors(backbone: PretrainedViT) -> dict[str, Tensor]:
    state = dict(backbone.state_dict())
    state.pop("rotary.periods", None)  # of the base, compared when it is loaded back
    if backbone.rotary is not None:
        names = TIMM_DINOV3.names
        return written(state, names if is_gated(backbone) else without(names, "mlp."))
    if backbone.blocks[0].rel_pos is not None:
        return written(state, BEIT_NAMES)
    if num_registers(backbone) and backbone.with_cls_token:
        # timm adds no position to tokens in front of the patches
        state["cls_token"] = state["cls_token"] + state["pos_embed"][:, :1]
        state["pos_embed"] = state["pos_embed"][:, 1:]
    return written(state, TIMM_VIT.names)


def write(backbone: PretrainedViT, folder: Path) -> None:
    """Weights and a config.json with the class, its arguments and the normalisation."""
    model, told = _model(backbone)
    save_file(_tensors(backbone), folder / FILE, metadata=dict(format="pt"))
    config = dict(
        architecture=type(model).__name__,
        model_args=told | dict(norm_eps=backbone.norm_eps, swiglu=is_gated(backbone)),
        pretrained_cfg=dict(
            mean=[value / 255 for value in backbone.mean],
            std=[value / 255 for value in backbone.std],
            input_size=[told["in_chans"], *backbone.img_size],
            interpolation="bicubic",
        ),
    )
    (folder / CONFIG).write_text(json.dumps(config, indent=1))


def reload(backbone: PretrainedViT, folder: Path) -> Model:
    """By timm's class, every tensor in its place."""
    model = _model(backbone)[0].eval()
    model.load_state_dict(load_file(folder / FILE), strict=True)
    return model.forward_features


TIMM = Target("timm", write, reload)
