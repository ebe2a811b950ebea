"""BootMAE's release, pretraining: student and, where it was saved, teacher."""

from ..source import DECODER, HALF_PIXELS, Place, Source
from .beit import BEIT_NAMES

BOOTMAE = Source(
    name="BootMAE release",
    places={"student": (Place("model"), Place()), "teacher": (Place("model_ema"),)},
    marks=(r"blocks\.0\.attn\.q_bias$", r"decode_blocks_1\.0\."),
    names=BEIT_NAMES,
    drops={r"(decode_|down|lm_head|mask_token|de_pos_embed)": DECODER},
    pixels=HALF_PIXELS,
    reference="recorded figures of the authors' code",
)
