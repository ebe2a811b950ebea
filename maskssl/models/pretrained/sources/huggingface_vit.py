"""Hugging Face's ViT and ViTMAE, under the names of both generations of transformers."""

from ..source import DECODER, HEAD, Place, Source

_OLD = (
    ("encoder.layer.{i}.attention.attention.query.", "blocks.{i}.attn.q."),
    ("encoder.layer.{i}.attention.attention.key.", "blocks.{i}.attn.k."),
    ("encoder.layer.{i}.attention.attention.value.", "blocks.{i}.attn.v."),
    ("encoder.layer.{i}.attention.output.dense.", "blocks.{i}.attn.proj."),
    ("encoder.layer.{i}.intermediate.dense.", "blocks.{i}.mlp.fc1."),
    ("encoder.layer.{i}.output.dense.", "blocks.{i}.mlp.fc2."),
    ("encoder.layer.{i}.layernorm_before.", "blocks.{i}.norm1."),
    ("encoder.layer.{i}.layernorm_after.", "blocks.{i}.norm2."),
)
_NEW = (
    ("layers.{i}.attention.q_proj.", "blocks.{i}.attn.q."),
    ("layers.{i}.attention.k_proj.", "blocks.{i}.attn.k."),
    ("layers.{i}.attention.v_proj.", "blocks.{i}.attn.v."),
    ("layers.{i}.attention.o_proj.", "blocks.{i}.attn.proj."),
    ("layers.{i}.mlp.", "blocks.{i}.mlp."),
    ("layers.{i}.layernorm_before.", "blocks.{i}.norm1."),
    ("layers.{i}.layernorm_after.", "blocks.{i}.norm2."),
)

HUGGINGFACE_VIT = Source(
    name="Hugging Face ViT",
    places={"student": tuple(Place(prefix=prefix) for prefix in ("", "vit.", "ijepa."))},
    marks=(r"embeddings\.patch_embeddings\.projection\.weight$", r".*\.0\.layernorm_before\."),
    names=(
        ("embeddings.cls_token", "cls_token"),
        ("embeddings.position_embeddings", "pos_embed"),
        ("embeddings.patch_embeddings.projection.", "patch_embed.proj."),
        *_OLD,
        *_NEW,
        ("layernorm.", "norm."),
    ),
    drops={
        r"(embeddings\.mask_token|decoder\.)": DECODER,
        r"(pooler|classifier)\.": HEAD,
    },
    norm_eps=1e-12,
    reference="transformers 5.24.0, recorded",
)
