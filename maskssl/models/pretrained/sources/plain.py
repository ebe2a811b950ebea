"""A bare encoder under timm's names, which many write: nothing tells whose it is."""

from ..source import Place, Source

PLAIN = Source(
    name="plain ViT",
    places={"student": (Place(), Place(prefix="encoder."))},
    marks=(r"blocks\.0\.attn\.qkv\.weight$",),
    drops={r"mask_token$": "of the pretraining"},
    reference="timm",
)
