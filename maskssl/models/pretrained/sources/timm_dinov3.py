"""timm's conversion of DINOv3 (its class Eva): no periods stored, so those of base 100.

Its other ViTs with rotary positions and registers have no cls token, and other angles.
"""

from ..source import HEAD, POOLED_NORM, Place, Source

TIMM_DINOV3 = Source(
    name="timm DINOv3",
    places={"student": (Place(),)},
    marks=(
        r"reg_token$",
        r"cls_token$",
        r"blocks\.0\.gamma_1$",
        r"blocks\.0\.attn\.qkv\.weight$",
    ),
    never=(r"pos_embed$",),
    names=(
        ("reg_token", "register_tokens"),
        ("blocks.{i}.gamma_1", "blocks.{i}.ls1.gamma"),
        ("blocks.{i}.gamma_2", "blocks.{i}.ls2.gamma"),
        ("blocks.{i}.attn.q_bias", "blocks.{i}.attn.q.bias"),
        ("blocks.{i}.attn.v_bias", "blocks.{i}.attn.v.bias"),
        ("blocks.{i}.mlp.fc1_g.", "blocks.{i}.mlp.gate."),
        ("blocks.{i}.mlp.fc1_x.", "blocks.{i}.mlp.up."),
    ),
    drops={r"head\.": HEAD, r"fc_norm\.": POOLED_NORM},
    norm_eps=1e-5,
    rotary_base=100.0,
    pooling="cls",
    heads={(1280, 32): 20},  # its H+
    reference="timm",
)
