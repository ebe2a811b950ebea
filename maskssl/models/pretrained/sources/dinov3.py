"""DINOv3: rotary positions whose periods are stored, storage tokens, a k bias that is masked."""

from ..source import HEAD, MASK_TOKEN, Place, Source

DINOV3 = Source(
    name="DINOv3",
    places={
        "teacher": (Place("teacher", "backbone."), Place()),
        "student": (Place("student", "backbone."),),
    },
    marks=(r"rope_embed\.periods$", r"blocks\.0\.attn\.qkv\.weight$"),
    names=(
        ("storage_tokens", "register_tokens"),
        ("rope_embed.periods", "rotary.periods"),
        ("blocks.{i}.mlp.w1.", "blocks.{i}.mlp.gate."),
        ("blocks.{i}.mlp.w2.", "blocks.{i}.mlp.up."),
        ("blocks.{i}.mlp.w3.", "blocks.{i}.mlp.fc2."),
    ),
    drops={
        r"mask_token$": MASK_TOKEN,
        r"(dino_|ibot_)?head\.": HEAD,
        r"local_cls_norm\.": "norm of local crops, which pretraining alone has",
    },
    norm_eps=1e-5,
    rotary_base=100.0,
    pooling="cls",
    heads={(1280, 32): 20},  # its H+
    reference="the authors' code at 6876159",
)
