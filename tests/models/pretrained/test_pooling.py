"""What of the tokens a config takes, beside what the checkpoint was trained with."""

import json

import pytest
import torch

import maskssl
from maskssl.checkpoints.errors import CheckpointError
from maskssl.errors import MaskSSLError
from maskssl.models.backbones.plain_vit import PlainViT
from maskssl.models.pretrained.loading import load_pretrained

OPTIONS = dict(arch=dict(embed_dims=16, num_layers=2, num_heads=4), img_size=16, patch_size=8)


def encoder(**options) -> dict[str, torch.Tensor]:
    return PlainViT(**OPTIONS, **options).state_dict()


def fine_tuned() -> dict[str, torch.Tensor]:
    """By the mean of patches behind a norm, as MAE's authors have it: no norm of tokens."""
    state = {name: value for name, value in encoder().items() if not name.startswith("norm.")}
    return state | {"fc_norm.weight": torch.ones(16), "head.weight": torch.ones(3, 16)}


def saved(content, folder):
    torch.save(content, folder / "weights.pth")
    return folder / "weights.pth"


def test_a_cls_token_that_a_fine_tuning_never_looked_at_is_refused(tmp_path):
    path = saved(fine_tuned(), tmp_path)
    said = "out_type='cls', and the checkpoint was trained with the mean of its patches"
    with pytest.raises(CheckpointError, match=f"{said}; set out_type='avg'") as refusal:
        load_pretrained(PlainViT(**OPTIONS, final_norm=False, out_type="cls"), path)
    assert "accept=['pooling'] in init_cfg" in str(refusal.value)
    init = dict(type="Pretrained", checkpoint=str(path), accept=["pooling"])
    backbone = PlainViT(**OPTIONS, final_norm=False, out_type="cls", init_cfg=init)
    backbone.init_weights()
    assert backbone.ledger.accepted == [said]
    for out_type in ("avg", "tokens", "featmap"):  # and the dense outputs pool nothing
        ledger = load_pretrained(PlainViT(**OPTIONS, final_norm=False, out_type=out_type), path)
        assert not ledger.accepted and not ledger.notes
        assert ledger.assumed["trained with"] == "the mean of its patches, the file's config"


def test_the_mean_of_patches_of_what_was_trained_by_its_cls_token_is_said(tmp_path):
    state = encoder(pos_resize="offset")
    path = saved(dict(teacher={f"backbone.{k}": v for k, v in state.items()}), tmp_path)
    ledger = load_pretrained(PlainViT(**OPTIONS, pos_resize="offset", out_type="avg"), path)
    said = "out_type='avg', and the checkpoint was trained with its cls token"
    assert ledger.notes == [said] and f"note: {said}" in str(ledger)
    assert ledger.as_json()["notes"] == [said]
    ledger = load_pretrained(PlainViT(**OPTIONS, pos_resize="offset", out_type="cls"), path)
    assert not ledger.notes and ledger.assumed["trained with"] == "its cls token, as DINO"


def test_what_a_source_alone_says_refuses_nothing(tmp_path):
    """The cls token of BEiT's pretraining has no loss of its own; fine-tuning may take it."""
    release = "tests/data/bootmae_a.pt"
    backbone = maskssl.load_backbone(release, "cls", num_heads=3)
    assert backbone.ledger.notes == [
        "out_type='cls', and the checkpoint was trained with the mean of its patches"
    ]


@pytest.mark.parametrize(
    ("theirs", "mine", "refused"),
    [("avg", "cls", True), ("avg", "avg", False), ("avg_featmap", "cls", True),
     ("cls_token", "cls", False), ("cls", "avg", False), ("tokens", "cls", False)],
)  # fmt: skip
def test_a_config_in_the_file_says_what_its_head_saw(theirs, mine, refused, tmp_path):
    cfg = f"model = dict(backbone=dict(out_type={theirs!r}))"
    state = {f"backbone.{name}": value for name, value in encoder().items()}
    path = saved(dict(state_dict=state, meta=dict(cfg=cfg)), tmp_path)
    backbone = PlainViT(**OPTIONS, out_type=mine)
    if refused:
        with pytest.raises(CheckpointError, match="trained with the mean of its patches"):
            load_pretrained(backbone, path)
    else:
        load_pretrained(backbone, path)


@pytest.mark.parametrize(("classes", "refused"), [(1000, True), (0, False)])
def test_timms_config_is_read_where_there_was_a_head(classes, refused, tmp_path):
    state = encoder() | {"head.weight": torch.ones(3, 16)}
    torch.save(state, tmp_path / "pytorch_model.bin")
    told = dict(num_classes=classes, global_pool="avg")
    (tmp_path / "config.json").write_text(json.dumps(told))
    backbone = PlainViT(**OPTIONS, pos_resize="antialiased", out_type="cls")
    if refused:
        with pytest.raises(CheckpointError, match="trained with the mean of its patches"):
            load_pretrained(backbone, tmp_path)
    else:
        load_pretrained(backbone, tmp_path)


def test_pooling_may_be_accepted_and_slips_not():
    with pytest.raises(MaskSSLError, match=r"accept=\['pool'\] of init_cfg is unknown"):
        init = dict(type="Pretrained", checkpoint="x", accept=["pool"])
        PlainViT(**OPTIONS, init_cfg=init).init_weights()
