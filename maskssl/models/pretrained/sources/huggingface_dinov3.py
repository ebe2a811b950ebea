"""Hugging Face's DINOv3, names of both generations; no periods stored, so those of base 100."""

from ..source import HEAD, MASK_TOKEN, Place, Source


def _block(prefix: str) -> tuple[tuple[str, str], ...]:
    return (
        (prefix + "attention.q_proj.", "blocks.{i}.attn.q."),
        (prefix + "attention.k_proj.", "blocks.{i}.attn.k."),
        (prefix + "attention.v_proj.", "blocks.{i}.attn.v."),
        (prefix + "attention.o_proj.", "blocks.{i}.attn.proj."),
        (prefix + "layer_scale1.lambda1", "blocks.{i}.ls1.gamma"),
        (prefix + "layer_scale2.lambda1", "blocks.{i}.ls2.gamma"),
        (prefix + "norm1.", "blocks.{i}.norm1."),
        (prefix + "norm2.", "blocks.{i}.norm2."),
    )


# without a gate up_proj is the one layer in front, with one it is half of it: see ``naming``
_MLP = (
    ("mlp.gate_proj.", "mlp.gate."),
    ("mlp.up_proj.", "mlp.up."),
    ("mlp.down_proj.", "mlp.fc2."),
)

HUGGINGFACE_DINOV3 = Source(
    name="Hugging Face DINOv3",
    places={"student": (Place(), Place(prefix="dinov3_vit."))},
    marks=(r"embeddings\.register_tokens$", r"(model\.)?layer\.0\.attention\.q_proj\.weight$"),
    names=(
        ("embeddings.cls_token", "cls_token"),
        ("embeddings.register_tokens", "register_tokens"),
        ("embeddings.patch_embeddings.", "patch_embed.proj."),
        *(
            (f"{at}{theirs}", f"blocks.{{i}}.{ours}")
            for at in ("layer.{i}.", "model.layer.{i}.")
            for theirs, ours in _MLP
        ),
        *_block("layer.{i}."),
        *_block("model.layer.{i}."),
    ),
    drops={r"embeddings\.mask_token$": MASK_TOKEN, r"classifier\.": HEAD},
    norm_eps=1e-5,
    rotary_base=100.0,
    pooling="cls",
    heads={(1280, 32): 20},  # its H+
    reference="transformers 5.24.0, recorded",
)
