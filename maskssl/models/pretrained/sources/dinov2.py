"""DINOv2 and Franca, with registers and without, backbone alone or a whole checkpoint."""

from dataclasses import replace

from ..source import HEAD, MASK_TOKEN, Place, Source

DINOV2 = Source(
    name="DINOv2, Franca",
    places={
        "teacher": (Place("teacher", "backbone."), Place("teacher"), Place()),
        "student": (Place("student", "backbone."),),
    },
    marks=(r"blocks\.(\d+\.)+ls1\.gamma$", r"mask_token$", r"pos_embed$"),
    names=(
        ("blocks.{i}.mlp.w12.", "blocks.{i}.mlp.fc1."),
        ("blocks.{i}.mlp.w3.", "blocks.{i}.mlp.fc2."),
        ("blocks.{c}.{i}.mlp.w12.", "blocks.{i}.mlp.fc1."),
        ("blocks.{c}.{i}.mlp.w3.", "blocks.{i}.mlp.fc2."),
        ("blocks.{c}.{i}.", "blocks.{i}."),
    ),
    drops={r"mask_token$": MASK_TOKEN, r"(dino_|ibot_)?head\.": HEAD},
    pos_resize="offset",
    pooling="cls",
    reference="the authors' code at b8931f7, Franca's at 24f8c60",
)

DINOV2_REGISTERS = replace(
    DINOV2,
    name="DINOv2 with registers",
    marks=(*DINOV2.marks, r"register_tokens$"),
    pos_resize="antialiased",
)
