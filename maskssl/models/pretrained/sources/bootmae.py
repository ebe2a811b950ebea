"""BootMAE's release, pretraining: student and, where it was saved, teacher."""

from ..source import DECODER, HALF_PIXELS, Place, Source
from .beit import BEIT_NAMES

BOOTMAE = Source(
    name="BootMAE release",
    places={"student": (Place("model"), Place()), "teacher": (Place("model_ema"),)},
    marks=(r"blocks\.0\.attn\.q_bias$", r"decode_blocks_1\.0\."),
    names=BEIT_NAMES,
    drops={
        r"(decode_blocks|decode_norm|down|lm_head)(_1)?\.": DECODER,
        r"(mask_token(_1)?|de_pos_embed)$": DECODER,
    },
    pixels=HALF_PIXELS,
    pooling="avg",
    reference="recorded figures of the authors' code",
)
