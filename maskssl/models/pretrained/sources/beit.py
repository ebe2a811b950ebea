"""BEiT and all that write as it does: BEiTv2, CAE, SimMIM's ViT, the released BootMAE fine-tuned.

Pretrainings tell whose they are. What is fine-tuned does not: it is taken for BEiT's, and how its
images were normalised is for its config to say.
"""

from dataclasses import replace

from ..source import (
    DECODER,
    HALF_PIXELS,
    HEAD,
    IMAGENET_PIXELS,
    MASK_TOKEN,
    POOLED_NORM,
    RECOMPUTED,
    Place,
    Source,
)

BEIT_NAMES = (
    ("blocks.{i}.gamma_1", "blocks.{i}.ls1.gamma"),
    ("blocks.{i}.gamma_2", "blocks.{i}.ls2.gamma"),
    ("blocks.{i}.attn.q_bias", "blocks.{i}.attn.q.bias"),
    ("blocks.{i}.attn.v_bias", "blocks.{i}.attn.v.bias"),
    ("blocks.{i}.attn.relative_position_bias_table", "blocks.{i}.rel_pos.table"),
    ("rel_pos_bias.relative_position_bias_table", "rel_pos.table"),
)
_MARKS = (r"blocks\.0\.attn\.q_bias$", r"patch_embed\.proj\.weight$")

BEIT = Source(
    name="BEiT-style ViT",
    places={
        "student": (Place(), Place(prefix="encoder."), Place(prefix="backbone.")),
        "teacher": (Place("model_ema"),),
    },
    marks=_MARKS,
    names=BEIT_NAMES,
    drops={
        r"fc_norm\.": POOLED_NORM,
        r"(head|lm_head)\.": HEAD,
        r"mask_token$": MASK_TOKEN,
        r".*relative_position_index$": RECOMPUTED,
    },
    pixels=HALF_PIXELS,
    pooling="avg",
    reference="timm",
)

BEITV2 = replace(
    BEIT,
    name="BEiTv2 pretraining",
    places={"student": (Place(),)},
    marks=(*_MARKS, r"cls_pt_layers\."),
    drops={**BEIT.drops, r"cls_pt_layers\.": DECODER},
    pixels=IMAGENET_PIXELS,
    pooling=None,  # the layers that are dropped train its cls token
)

SIMMIM = replace(
    BEIT,
    name="SimMIM pretraining",
    places={"student": (Place(prefix="encoder."),)},
    marks=(*_MARKS, r"mask_token$"),
    pixels=IMAGENET_PIXELS,
    reference="the authors' code at d3e29bc",
)

CAE = replace(
    BEIT,
    name="CAE pretraining",
    places={"student": (Place(prefix="encoder."),), "teacher": (Place(prefix="teacher."),)},
    marks=(*_MARKS, r"pos_embed$"),
    never=(r"mask_token$", r".*relative_position"),
    pixels=IMAGENET_PIXELS,
    pooling=None,
    heads={(384, 12): 12},
    reference="the authors' code at d725971",
)
