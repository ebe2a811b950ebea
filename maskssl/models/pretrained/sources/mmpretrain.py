"""mmpretrain's VisionTransformer and BEiTViT, and what pretrains them: MAE, BEiT, MoCo v3."""

from ..source import MASK_TOKEN, POOLED_NORM, RECOMPUTED, Place, Source

MMPRETRAIN = Source(
    name="mmpretrain",
    places={
        "student": (Place(prefix="backbone."), Place()),
        "teacher": (Place(prefix="momentum_encoder.module.0."),),
    },
    marks=(r"layers\.0\.attn\.qkv\.weight$", r"layers\.0\.ffn\.layers\.0\.0\.weight$"),
    names=(
        ("patch_embed.projection.", "patch_embed.proj."),
        ("layers.{i}.ln1.", "blocks.{i}.norm1."),
        ("layers.{i}.ln2.", "blocks.{i}.norm2."),
        ("layers.{i}.attn.gamma1.weight", "blocks.{i}.ls1.gamma"),
        ("layers.{i}.ffn.gamma2.weight", "blocks.{i}.ls2.gamma"),
        ("layers.{i}.gamma_1", "blocks.{i}.ls1.gamma"),
        ("layers.{i}.gamma_2", "blocks.{i}.ls2.gamma"),
        ("layers.{i}.attn.q_bias", "blocks.{i}.attn.q.bias"),
        ("layers.{i}.attn.v_bias", "blocks.{i}.attn.v.bias"),
        ("layers.{i}.attn.relative_position_bias_table", "blocks.{i}.rel_pos.table"),
        ("layers.{i}.attn.", "blocks.{i}.attn."),
        ("layers.{i}.ffn.layers.0.0.", "blocks.{i}.mlp.fc1."),
        ("layers.{i}.ffn.layers.1.", "blocks.{i}.mlp.fc2."),
        ("rel_pos_bias.relative_position_bias_table", "rel_pos.table"),
        ("ln1.", "norm."),
    ),
    drops={
        r"mask_token$": MASK_TOKEN,
        r".*relative_position_index$": RECOMPUTED,
        r"ln2\.": POOLED_NORM,
    },
    heads={(384, 12): None},  # 6 in DeiT's, 12 in MoCo v3's
    reference="mmpretrain",
)
