"""Hugging Face's DINOv2, with registers and without, names of both generations."""

from dataclasses import replace

from ..source import HEAD, MASK_TOKEN, Place, Source

_BLOCK = "encoder.layer.{i}."

HUGGINGFACE_DINOV2 = Source(
    name="Hugging Face DINOv2",
    places={
        "student": tuple(
            Place(prefix=prefix) for prefix in ("", "dinov2.", "dinov2_with_registers.")
        )
    },
    marks=(r"embeddings\.position_embeddings$", r"encoder\.layer\.0\.layer_scale1\.lambda1$"),
    names=(
        ("embeddings.cls_token", "cls_token"),
        ("embeddings.register_tokens", "register_tokens"),
        ("embeddings.position_embeddings", "pos_embed"),
        ("embeddings.patch_embeddings.projection.", "patch_embed.proj."),
        (_BLOCK + "attention.attention.query.", "blocks.{i}.attn.q."),
        (_BLOCK + "attention.attention.key.", "blocks.{i}.attn.k."),
        (_BLOCK + "attention.attention.value.", "blocks.{i}.attn.v."),
        (_BLOCK + "attention.output.dense.", "blocks.{i}.attn.proj."),
        (_BLOCK + "attention.q_proj.", "blocks.{i}.attn.q."),
        (_BLOCK + "attention.k_proj.", "blocks.{i}.attn.k."),
        (_BLOCK + "attention.v_proj.", "blocks.{i}.attn.v."),
        (_BLOCK + "attention.o_proj.", "blocks.{i}.attn.proj."),
        (_BLOCK + "layer_scale1.lambda1", "blocks.{i}.ls1.gamma"),
        (_BLOCK + "layer_scale2.lambda1", "blocks.{i}.ls2.gamma"),
        (_BLOCK + "mlp.weights_in.", "blocks.{i}.mlp.fc1."),
        (_BLOCK + "mlp.weights_out.", "blocks.{i}.mlp.fc2."),
        (_BLOCK + "mlp.gate_proj.", "blocks.{i}.mlp.gate."),
        (_BLOCK + "mlp.up_proj.", "blocks.{i}.mlp.up."),
        (_BLOCK + "mlp.down_proj.", "blocks.{i}.mlp.fc2."),
        (_BLOCK, "blocks.{i}."),
        ("layernorm.", "norm."),
    ),
    drops={r"embeddings\.mask_token$": MASK_TOKEN, r"classifier\.": HEAD},
    pooling="cls",
    reference="transformers 5.24.0, recorded",
)

HUGGINGFACE_DINOV2_REGISTERS = replace(
    HUGGINGFACE_DINOV2,
    name="Hugging Face DINOv2 with registers",
    marks=(*HUGGINGFACE_DINOV2.marks, r"embeddings\.register_tokens$"),
    pos_resize="antialiased",
)
