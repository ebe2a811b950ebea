"""BEiT, BEiTv2, CAE and SimMIM's ViT, the released BootMAE fine-tuned or in an UperNet."""

from ..source import DECODER, HALF_PIXELS, HEAD, MASK_TOKEN, POOLED_NORM, RECOMPUTED, Place, Source

BEIT_NAMES = (
    ("blocks.{i}.gamma_1", "blocks.{i}.ls1.gamma"),
    ("blocks.{i}.gamma_2", "blocks.{i}.ls2.gamma"),
    ("blocks.{i}.attn.q_bias", "blocks.{i}.attn.q.bias"),
    ("blocks.{i}.attn.v_bias", "blocks.{i}.attn.v.bias"),
    ("blocks.{i}.attn.relative_position_bias_table", "blocks.{i}.rel_pos.table"),
    ("rel_pos_bias.relative_position_bias_table", "rel_pos.table"),
)

BEIT = Source(
    name="BEiT-style ViT",
    places={
        "student": (Place(), Place(prefix="encoder."), Place(prefix="backbone.")),
        "teacher": (Place("model_ema"),),
    },
    marks=(r"blocks\.0\.attn\.q_bias$", r"patch_embed\.proj\.weight$"),
    names=BEIT_NAMES,
    drops={
        r"fc_norm\.": POOLED_NORM,
        r"(head|lm_head)\.": HEAD,
        r"mask_token$": MASK_TOKEN,
        r".*relative_position_index$": RECOMPUTED,
        r"(cls_pt_layers|decoder)\.": DECODER,
    },
    pixels=HALF_PIXELS,
    reference="timm",
)
