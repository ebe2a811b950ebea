"""timm's VisionTransformer: AugReg, DeiT, its conversions of DINOv2."""

from ..source import HEAD, POOLED_NORM, Place, Source

TIMM_VIT = Source(
    name="timm ViT",
    places={"student": (Place(),)},
    marks=(r"blocks\.0\.attn\.qkv\.weight$", r"(head\.weight|reg_token|blocks\.0\.ls1\.gamma)$"),
    names=(("reg_token", "register_tokens"),),
    drops={r"head\.": HEAD, r"fc_norm\.": POOLED_NORM, r"mask_token$": "of the pretraining"},
    pos_resize="antialiased",
    patches_alone=True,  # no_embed_class: DINOv2 with registers, DeiT III
    reference="timm",
)
