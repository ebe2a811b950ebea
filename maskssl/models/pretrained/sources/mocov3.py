"""MoCo v3: timm's names; the stored table is used, its sin-cos order is neither of ours."""

from ..source import PROJECTOR, Place, Source

MOCOV3 = Source(
    name="MoCo v3",
    places={
        "student": (Place(prefix="base_encoder."),),
        "teacher": (Place(prefix="momentum_encoder."),),
    },
    marks=(r"blocks\.0\.attn\.qkv\.weight$", r"cls_token$", r"pos_embed$"),
    never=(r"blocks_token\.",),
    drops={r"head\.": PROJECTOR},
    pooling="cls",
    heads={(384, 12): 12},  # its ViT-S has as many as its ViT-B
    reference="timm, and the authors' code at c349e6e",
)
