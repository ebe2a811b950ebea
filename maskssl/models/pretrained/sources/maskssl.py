"""Ours: a pretraining with its teacher, or any model with a PlainViT."""

from ..source import Place, Source

MASKSSL = Source(
    name="maskssl",
    places={
        "student": (Place(prefix="backbone."),),
        "teacher": (Place(prefix="target_generator.encoder."),),
    },
    marks=(r"blocks\.0\.attn\.qkv\.weight$", r"blocks\.0\.mlp\.fc1\.weight$"),
    never=(r"blocks\.0\.attn\.q_bias$",),  # a segmentor or detector of BEiT's kind
    reference="the model that was saved",
)
