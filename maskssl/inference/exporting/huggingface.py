"""Hugging Face: ViT, DINOv2 with LayerScale, with registers too, DINOv3 with rotary positions."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from ...models.pretrained.naming import without, written
from ...models.pretrained.source import Source
from ...models.pretrained.sources.huggingface_dinov2 import HUGGINGFACE_DINOV2
from ...models.pretrained.sources.huggingface_dinov3 import HUGGINGFACE_DINOV3
from ...models.pretrained.sources.huggingface_vit import HUGGINGFACE_VIT
from ..backbone import PretrainedViT
from .target import Model, Target, inexpressible, is_gated, num_registers

FILE, CONFIG, PICTURES = "model.safetensors", "config.json", "preprocessor_config.json"


def _kind(backbone: PretrainedViT) -> tuple[str, Source, dict[str, Any]]:
    """Class, names, and the arguments that this class alone has."""
    scaled, gated = backbone.layer_scale_init is not None, is_gated(backbone)
    registers, hidden = num_registers(backbone), backbone.blocks[0].mlp.fc2.in_features
    if backbone.rotary is not None:
        more = dict(
            intermediate_size=hidden,
            num_register_tokens=registers,
            use_gated_mlp=gated,
            hidden_act="silu" if gated else "gelu",
            rope_theta=backbone.rotary_base,
            query_bias=True,
            key_bias=False,
            value_bias=True,
        )
        return "DINOv3ViT", HUGGINGFACE_DINOV3, more
    if not scaled:
        return "ViT", HUGGINGFACE_VIT, dict(intermediate_size=hidden)
    ratio = hidden / backbone.embed_dims
    more = dict(mlp_ratio=ratio, use_swiglu_ffn=gated)
    if registers:
        more["num_register_tokens"] = registers
    return "Dinov2WithRegisters" if registers else "Dinov2", HUGGINGFACE_DINOV2, more


def write(backbone: PretrainedViT, folder: Path) -> None:
    """A folder that ``AutoModel.from_pretrained`` takes."""
    kind, source, more = _kind(backbone)
    rotary = backbone.rotary is not None
    gated_of_other_width = False
    if more.get("use_swiglu_ffn"):  # the class fixes the width: two thirds of four times, in 8s
        hidden = backbone.blocks[0].mlp.fc2.in_features
        more["mlp_ratio"] = 4
        gated_of_other_width = hidden != (int(backbone.embed_dims * 8 / 3) + 7) // 8 * 8
    inexpressible(
        backbone,
        f"Hugging Face's {kind}",
        relative_positions=backbone.blocks[0].rel_pos is not None,
        no_cls_token=not backbone.with_cls_token,
        no_final_norm=not backbone.with_final_norm,
        no_qkv_bias=backbone.blocks[0].attn.qkv.bias is None,
        no_position_table=backbone.pos_embed is None and not rotary,
        both_kinds_of_positions=backbone.pos_embed is not None and rotary,
        no_layer_scale=rotary and backbone.layer_scale_init is None,
        registers=kind == "ViT" and num_registers(backbone) > 0,
        gated_MLPs=kind == "ViT" and is_gated(backbone),
        gated_MLPs_of_another_width=gated_of_other_width,
    )
    state = dict(backbone.state_dict())
    state.pop("rotary.periods", None)
    tensors = _tensors(state, source, is_gated(backbone))
    save_file(tensors, folder / FILE, metadata=dict(format="pt"))
    config = dict(
        model_type=dict(
            ViT="vit",
            Dinov2="dinov2",
            Dinov2WithRegisters="dinov2_with_registers",
            DINOv3ViT="dinov3_vit",
        )[kind],
        architectures=[f"{kind}Model"],
        hidden_size=backbone.embed_dims,
        num_hidden_layers=len(backbone.blocks),
        num_attention_heads=backbone.num_heads,
        image_size=backbone.img_size[0]
        if backbone.img_size[0] == backbone.img_size[1]
        else backbone.img_size,
        patch_size=backbone.patch_size,
        num_channels=backbone.patch_embed.proj.in_channels,
        layer_norm_eps=backbone.norm_eps,
        **(dict(hidden_act="gelu") | more),
    )
    (folder / CONFIG).write_text(json.dumps(config, indent=1))
    pictures = dict(
        image_processor_type="BitImageProcessor",
        do_normalize=True,
        do_rescale=True,
        do_resize=True,
        image_mean=[value / 255 for value in backbone.mean],
        image_std=[value / 255 for value in backbone.std],
        size=dict(height=backbone.img_size[0], width=backbone.img_size[1]),
        resample=3,
    )
    (folder / PICTURES).write_text(json.dumps(pictures, indent=1))


def _tensors(state: dict[str, Tensor], source: Source, gated: bool) -> dict[str, Tensor]:
    """Under the names that files have: up_proj is the whole of fc1 where nothing is gated."""
    if source is HUGGINGFACE_DINOV3:
        if not gated:
            state = {name.replace(".mlp.fc1.", ".mlp.up."): value for name, value in state.items()}
        tensors = written(state, source.names)
        return {n: value for n, value in tensors.items() if not n.endswith("k_proj.bias")}
    names = without(source.names, "_proj", *(() if gated else ("weights_",)))
    return written(state, names)


def reload(backbone: PretrainedViT, folder: Path) -> Model:
    """By ``AutoModel.from_pretrained``; what it misses or does not expect is an error."""
    from transformers import AutoModel

    model, info = AutoModel.from_pretrained(folder, output_loading_info=True)
    lost = {
        name
        for what in ("missing_keys", "unexpected_keys", "mismatched_keys")
        for name in info[what]
        if "pooler" not in str(name) and "mask_token" not in str(name)
    }
    if lost:
        raise RuntimeError(f"transformers did not take {sorted(map(str, lost))[:5]}")
    model.eval()
    return lambda images: model(pixel_values=images).last_hidden_state


HUGGINGFACE = Target("huggingface", write, reload, packages=("transformers",))
