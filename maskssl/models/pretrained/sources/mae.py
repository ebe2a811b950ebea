"""MAE, pretrained or fine-tuned (fc_norm): timm's names, fixed positions."""

from ..source import DECODER, HEAD, POOLED_NORM, Place, Source

MAE = Source(
    name="MAE",
    places={"student": (Place(),)},
    marks=(r"blocks\.0\.attn\.qkv\.weight$", r"(decoder_embed|decoder_blocks|fc_norm)\."),
    never=(r"reg_token$", r"blocks\.0\.ls1\."),
    drops={
        r"(decoder_|mask_token$)": DECODER,
        r"head\.": HEAD,
        r"fc_norm\.": POOLED_NORM,
    },
    reference="timm and mmpretrain",
)
