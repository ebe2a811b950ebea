"""I-JEPA: no cls token; the target encoder is what its authors evaluate."""

from ..source import Place, Source

IJEPA = Source(
    name="I-JEPA",
    places={"teacher": (Place("target_encoder"),), "student": (Place("encoder"),)},
    marks=(r"blocks\.0\.attn\.qkv\.weight$", r"pos_embed$"),
    never=(r"cls_token$",),
    pooling="avg",
    reference="the authors' code at 52c1ae9",
)
