"""DINO and iBOT, whole checkpoints, and iBOT's student alone; other backbones are ``plain``."""

from dataclasses import replace

from ..source import HEAD, MASK_TOKEN, Place, Source

DINO = Source(
    name="DINO",
    places={
        "teacher": (Place("teacher", "backbone."), Place("teacher")),
        "student": (Place("student", "backbone."), Place("student")),
    },
    marks=(r"blocks\.0\.attn\.qkv\.weight$", r"pos_embed$", r"cls_token$"),
    drops={r"head\.": HEAD},
    pos_resize="offset",
    pooling="cls",
    reference="the authors' code at 7c446df",
)

IBOT = replace(
    DINO,
    name="iBOT",
    places={**DINO.places, "student": (*DINO.places["student"], Place())},
    marks=(*DINO.marks, r"masked_embed$"),  # its student alone has one
    drops={r"head\.": HEAD, r"masked_embed$": MASK_TOKEN},
    reference="the authors' code at da316d8",
)
