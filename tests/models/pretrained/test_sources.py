"""The maps as data: each is documented, invertible where it is written, and recognised alone."""

from pathlib import Path

import pytest
import torch

from maskssl.checkpoints.errors import CheckpointError
from maskssl.models.pretrained import recognition
from maskssl.models.pretrained.loading import read_pretrained
from maskssl.models.pretrained.naming import inverse, our_name, written
from maskssl.models.pretrained.recognition import encoder_weights
from maskssl.models.pretrained.source import HALF_PIXELS, IMAGENET_PIXELS, Place, Source
from maskssl.models.pretrained.sources import SOURCES
from tests.models.pretrained.cases import drawn

PAGE = Path(__file__).parents[3] / "docs" / "sources.md"
ENCODER = {
    "cls_token": (1, 1, 8),
    "pos_embed": (1, 5, 8),
    "patch_embed.proj.weight": (8, 3, 4, 4),
    "patch_embed.proj.bias": (8,),
    "norm.weight": (8,),
    "blocks.0.attn.qkv.weight": (24, 8),
    "blocks.0.attn.qkv.bias": (24,),
    "blocks.0.mlp.fc1.weight": (16, 8),
    "blocks.0.mlp.fc2.weight": (8, 16),
    "blocks.11.norm1.weight": (8,),
}


def encoder() -> dict[str, torch.Tensor]:
    return {name: drawn(name, shape) for name, shape in ENCODER.items()}


def test_every_source_has_its_row_with_its_eps():
    rows = {
        line.split("|")[1].strip(): line for line in PAGE.read_text().splitlines() if "|" in line
    }
    for source in SOURCES:
        assert f"| {source.norm_eps:.0e}".replace("e-0", "e-") in rows[source.name], source.name
        assert ("rotary" in rows[source.name]) == (source.rotary_base is not None)
        assert ("antialiased" in rows[source.name]) == (source.pos_resize == "antialiased")
        assert ("0.1" in rows[source.name]) == (source.pos_resize == "offset")
    assert all(source.reference for source in SOURCES)


def test_what_no_tensor_tells_is_what_their_authors_trained_with():
    """ViT-S of 12 heads, H+ of 20, and pictures in -1..1 where they are not ImageNet's."""
    heads = {source.name: source.heads for source in SOURCES if source.heads}
    assert heads == {
        "mmpretrain": {(384, 12): None},  # its names have 6 or 12
        "MoCo v3": {(384, 12): 12},
        "CAE pretraining": {(384, 12): 12},
        "DINOv3": {(1280, 32): 20},
        "timm DINOv3": {(1280, 32): 20},
        "Hugging Face DINOv3": {(1280, 32): 20},
    }
    half = {source.name for source in SOURCES if source.pixels == HALF_PIXELS}
    assert half == {"BootMAE release", "BEiT-style ViT"}
    assert {source.pixels for source in SOURCES} == {HALF_PIXELS, IMAGENET_PIXELS}


def test_pooling_is_what_their_authors_trained_or_evaluated():
    pooled = {source.name: source.pooling for source in SOURCES if source.pooling}
    by_mean = ("BootMAE release", "BEiT-style ViT", "SimMIM pretraining", "I-JEPA")
    by_cls_token = (
        *("ExtreMA release", "MoCo v3", "DINO", "iBOT"),
        *("DINOv2, Franca", "DINOv2 with registers", "DINOv3", "timm DINOv3"),
        *("Hugging Face DINOv2", "Hugging Face DINOv2 with registers", "Hugging Face DINOv3"),
    )
    assert pooled == dict.fromkeys(by_mean, "avg") | dict.fromkeys(by_cls_token, "cls")


def test_of_two_entries_that_hold_an_encoder_the_usual_one_is_read():
    twice = {name: 2 * value for name, value in encoder().items()}
    weights = encoder_weights(dict(model=twice, state_dict=encoder()))
    assert torch.equal(weights.tensors["cls_token"], encoder()["cls_token"])
    assert weights.outside == {f"model: {len(twice)} tensors": "another entry of the file"}


def test_a_prefix_that_some_keys_lack_is_no_wrapper():
    one = torch.zeros(1)
    assert list(recognition._unwrapped({"module.a": one, "module.b": one})) == ["a", "b"]
    assert list(recognition._unwrapped({"module.a": one, "b": one})) == ["module.a", "b"]
    assert recognition._unwrapped({}) == {}


def test_the_halves_of_a_gated_layer_are_written_by_name():
    (source,) = (one for one in SOURCES if one.name == "Hugging Face DINOv3")
    whole = torch.arange(8.0).view(4, 2)
    halves = written({"blocks.3.mlp.fc1.weight": whole}, source.names)
    assert halves.keys() == {f"layer.3.mlp.{part}_proj.weight" for part in ("gate", "up")}
    assert torch.equal(halves["layer.3.mlp.gate_proj.weight"], whole[:2])
    assert torch.equal(halves["layer.3.mlp.up_proj.weight"], whole[2:])


@pytest.mark.parametrize("kind", ["module.", ""])
@pytest.mark.parametrize("branch", ["student", "teacher", None])
def test_moco_v3_keeps_its_branches_apart(branch, kind):
    state = {f"{kind}base_encoder.{k}": v for k, v in encoder().items()}
    state |= {f"{kind}momentum_encoder.{k}": 2 * v for k, v in encoder().items()}
    state |= {f"{kind}base_encoder.head.0.weight": torch.ones(1)}
    state |= {f"{kind}predictor.0.weight": torch.ones(1)}
    weights = encoder_weights(dict(state_dict=state, arch="vit_base", epoch=300), branch)
    assert weights.source.name == "MoCo v3" and weights.branch == (branch or "student")
    factor = 2 if branch == "teacher" else 1
    for name, value in encoder().items():
        torch.testing.assert_close(weights.tensors[name], factor * value, rtol=0, atol=0)
    assert weights.tensors.keys() == ENCODER.keys()
    other = dict(teacher="student").get(branch or "", "teacher")
    reasons = {why for key, why in weights.outside.items() if "_encoder." in key}
    assert reasons == {f"of the {other}"}
    assert weights.outside["predictor.0.weight"] == "outside the encoder"
    dropped = {} if branch == "teacher" else {"head.0.weight": "projector of the pretraining"}
    assert weights.dropped == dropped


def test_a_prefix_is_taken_off_the_front_alone():
    names = (("layers.{i}.ln1.", "blocks.{i}.norm1."), ("ln1.", "norm."))
    assert our_name("layers.12.ln1.weight", names) == "blocks.12.norm1.weight"
    assert our_name("ln1.bias", names) == "norm.bias"
    assert our_name("x.layers.1.ln1.weight", names) == "x.layers.1.ln1.weight"
    assert our_name("layers.one.ln1.weight", names) == "layers.one.ln1.weight"
    assert our_name("blocks.12.norm1.weight", inverse(names)) == "layers.12.ln1.weight"


@pytest.mark.parametrize(
    "source",
    [source for source in SOURCES if source.name.startswith(("mm", "Hugging Face ViT", "BEiT-"))],
    ids=lambda source: source.name,
)
def test_what_is_written_is_read_back(source):
    state = encoder()
    state["blocks.0.attn.qkv.bias"][8:16] = 0
    theirs = written(state, source.names)
    assert theirs.keys() != state.keys()
    prefix = source.places["student"][0].prefix
    weights = encoder_weights(
        {prefix + name: value for name, value in theirs.items()} | _marks(source)
    )
    assert weights.source is source
    for name, value in state.items():
        torch.testing.assert_close(weights.tensors[name], value, rtol=0, atol=0)


def _marks(source: Source) -> dict[str, torch.Tensor]:
    return (
        {"encoder.layer.0.layernorm_before.weight": torch.ones(8)} if "Face" in source.name else {}
    )


def test_one_tensor_under_two_names_is_refused():
    state = written(encoder(), SOURCES[1].names)
    state |= {"layers.0.gamma_1": torch.ones(8), "layers.0.attn.gamma1.weight": torch.ones(8)}
    with pytest.raises(CheckpointError, match=r"holds blocks\.0\.ls1\.gamma twice, as layers\.0"):
        encoder_weights(state)


def test_an_unverified_source_needs_its_option(tmp_path, monkeypatch):
    source = Source("Nobody's", {"student": (Place(prefix="odd."),)}, (r"blocks\.",))
    monkeypatch.setattr(recognition, "SOURCES", (source,))
    torch.save({f"odd.{name}": value for name, value in encoder().items()}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="set unverified=True"):
        read_pretrained(tmp_path / "a.pth")
    assert read_pretrained(tmp_path / "a.pth", unverified=True).weights.source is source
