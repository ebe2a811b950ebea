"""ExtreMA's release. Its cls token belongs to the class attention; the patch encoder has none."""

from ..source import PROJECTOR, Place, Source

EXTREMA = Source(
    name="ExtreMA release",
    places={
        "student": (Place(prefix="base_encoder."),),
        "teacher": (Place(prefix="momentum_encoder."),),
    },
    marks=(r"blocks_token\.0\.", r"blocks\.0\.attn\.qkv\.weight$"),
    names=(
        ("blocks_token.", "class_attention.blocks."),
        ("cls_token", "class_attention.cls_token"),
    ),
    drops={r"head\.": PROJECTOR},
    pooling="cls",
    reference="recorded figures of the authors' code",
)
