"""DINO and iBOT, whole checkpoints; the backbone alone is a ``plain`` file."""

from ..source import HEAD, MASK_TOKEN, Place, Source

DINO = Source(
    name="DINO, iBOT",
    places={
        "teacher": (Place("teacher", "backbone."), Place("teacher")),
        "student": (Place("student", "backbone."), Place("student")),
    },
    marks=(r"blocks\.0\.attn\.qkv\.weight$", r"pos_embed$", r"cls_token$"),
    drops={r"head\.": HEAD, r"(masked_embed|mask_token)$": MASK_TOKEN},
    pos_resize="offset",
    reference="the authors' code at 7c446df",
)
