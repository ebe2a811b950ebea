"""Our own names in one safetensors file, with settings and ledger in its metadata."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from ... import __version__
from ..backbone import PretrainedViT, load_backbone
from .target import Model, Target, num_registers

FILE = "model.safetensors"


def write(backbone: PretrainedViT, folder: Path) -> None:
    """Tensors, and as metadata what ``load_backbone`` reads back."""
    tensors = {name: value.contiguous() for name, value in backbone.state_dict().items()}
    save_file(tensors, folder / FILE, metadata=metadata(backbone))


def metadata(backbone: PretrainedViT) -> dict[str, str]:
    """Text alone, as safetensors and ONNX take it."""
    model = dict(
        backbone=dict(
            arch=dict(num_heads=backbone.num_heads),
            img_size=backbone.img_size,
            num_registers=num_registers(backbone),
            pos_embed_layout=backbone.pos_embed_layout,
            pos_resize=backbone.pos_resize,
            rotary_base=backbone.rotary_base,
            norm_eps=backbone.norm_eps,
            out_type=backbone.trained_pooling,
        ),
        data_preprocessor=dict(mean=list(backbone.mean), std=list(backbone.std)),
    )
    return dict(
        format="pt",
        maskssl=__version__,
        cfg=f"model = {model!r}",
        ledger=json.dumps(backbone.ledger.as_json() if backbone.ledger else {}),
    )


def reload(backbone: PretrainedViT, folder: Path) -> Model:
    """By ``load_backbone``."""
    out_type: Any = "tokens"
    model = load_backbone(folder / FILE, out_type, img_size=backbone.img_size)
    return lambda images: model(images)[-1]


SAFETENSORS = Target("safetensors", write, reload)
