"""A model whose weights never arrived is not scored, under mmengine's loose loading too."""

import copy

import pytest
import torch
from mmengine.runner.checkpoint import load_state_dict
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from maskssl.models.pretrained.guard import UnloadedWeightsError

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2)


def build(seed: int = 0, num_classes: int = 3, norm=None, **backbone):
    torch.manual_seed(seed)
    encoder = dict(
        type="PlainViT", arch=ARCH, img_size=32, patch_size=8, out_type="avg", **backbone
    )
    head = dict(type="PooledLinearHead", in_channels=16, num_classes=num_classes, init_std=0.1)
    head["norms"] = [norm or dict(type="LN", eps=1e-6)]
    return MODELS.build(dict(type="ImageClassifier", backbone=encoder, head=head))


def images() -> torch.Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def loose_load(model, state, strict: bool = False) -> None:
    """What a Runner does with load_from."""
    load_state_dict(model, state, strict=strict)


def without(state, *prefixes: str):
    return {name: value for name, value in state.items() if not name.startswith(prefixes)}


def refusal(model) -> str:
    with pytest.raises(UnloadedWeightsError) as refused:
        model.eval()(images())
    return str(refused.value)


def test_a_complete_load_is_scored():
    trained, model = build(seed=3), build()
    loose_load(model, trained.state_dict())
    torch.testing.assert_close(model.eval()(images()), trained.eval()(images()))


def test_a_missing_head_is_refused_by_name():
    model = build()
    loose_load(model, without(build(seed=3).state_dict(), "head."))
    message = refusal(model)
    for name in ("head.norms.0.weight", "head.norms.0.bias", "head.fc.weight", "head.fc.bias"):
        assert f"{name}: not in the checkpoint" in message
    assert message.startswith("4 tensors of the model were never loaded")
    assert "maskssl train" in message
    with pytest.raises(UnloadedWeightsError):  # by whichever way the test goes in
        model.test_step(dict(inputs=images() * 255, data_samples=[DataSample(), DataSample()]))
    assert refusal(model)  # it stays refused


def test_a_missing_backbone_tensor_is_refused_by_name():
    model = build()
    loose_load(model, without(build(seed=3).state_dict(), "backbone.blocks.1.mlp.fc1.weight"))
    assert "backbone.blocks.1.mlp.fc1.weight: not in the checkpoint" in refusal(model)


def test_a_head_of_another_size_is_refused():
    model = build(num_classes=3)
    loose_load(model, build(seed=3, num_classes=5).state_dict())
    message = refusal(model)
    assert message.startswith("2 tensors")
    assert "size mismatch for head.fc.weight" in message
    assert "size mismatch for head.fc.bias" in message


def test_a_backbone_of_another_size_is_refused():
    model = build()
    loose_load(model, build(seed=3, in_channels=1).state_dict())
    assert "size mismatch for backbone.patch_embed.proj.weight" in refusal(model)


def test_after_training_it_is_scored():
    """Fine-tuning starts from a checkpoint without head, and validates it later."""
    model = build()
    loose_load(model, without(build(seed=3).state_dict(), "head."))
    model.train()
    samples = [DataSample().set_gt_label(0), DataSample().set_gt_label(1)]
    model(images(), samples, mode="loss")["loss"].backward()
    assert model.eval()(images()).shape == (2, 3)


def test_training_mode_alone_is_not_training():
    model = build()
    loose_load(model, without(build(seed=3).state_dict(), "head."))
    model.train()
    assert "head.fc.weight" in refusal(model)


def test_a_second_complete_load_lifts_the_refusal():
    model = build()
    state = build(seed=3).state_dict()
    loose_load(model, without(state, "head."))
    refusal(model)
    loose_load(model, state)
    model.eval()(images())
    loose_load(model, without(state, "head."))
    refusal(model)


def test_batch_counters_may_be_missing():
    """Older checkpoints lack them; nothing is computed from them."""
    norm = dict(type="BN1d")
    model = build(norm=norm)
    loose_load(model, without(build(seed=3, norm=norm).state_dict(), "head.norms.0.num_batches"))
    model.eval()(images())
    loose_load(model, without(build(seed=3, norm=norm).state_dict(), "head.norms.0.running"))
    assert "head.norms.0.running_mean: not in the checkpoint" in refusal(model)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "state",
    [
        {"layer1.conv.weight": torch.ones(3)},
        {"blocks.0.norm1.weight": torch.ones(16)},  # the names of a bare encoder
        {"head.fc.weight": torch.ones(3, 16)},
        {},
    ],
    ids=["another net", "bare encoder", "head alone", "empty"],
)
def test_a_checkpoint_without_any_backbone_tensor_is_refused_at_once(state, strict):
    model = build()
    with pytest.raises(UnloadedWeightsError, match=r"no tensor named 'backbone\.…' for PlainViT"):
        loose_load(model, state, strict)


def test_torchs_own_loading_is_guarded_too():
    model = build()
    model.load_state_dict(without(build(seed=3).state_dict(), "head."), strict=False)
    assert "head.fc.weight: not in the checkpoint" in refusal(model)


def test_pretrained_weights_that_were_never_loaded_are_refused(tmp_path):
    path = tmp_path / "encoder.pth"
    torch.save(build(seed=3).backbone.state_dict(), path)
    init = dict(type="Pretrained", checkpoint=str(path))
    model = build(init_cfg=init)
    message = refusal(model)
    assert "random weights" in message and str(path) in message
    # a checkpoint of the whole model does as well
    loose_load(model, build(seed=3).state_dict())
    model.eval()(images())
    # and so does initialising
    model = build(init_cfg=init)
    model.init_weights()
    model.eval()(images())
    expected = build(seed=3).backbone.eval()(images())
    torch.testing.assert_close(model.backbone(images()), expected)


def test_loading_the_backbone_does_not_hide_a_missing_head(tmp_path):
    path = tmp_path / "encoder.pth"
    torch.save(build(seed=3).backbone.state_dict(), path)
    model = build(init_cfg=dict(type="Pretrained", checkpoint=str(path)))
    model.init_weights()
    loose_load(model, without(build(seed=4).state_dict(), "head."))
    assert "head.fc.weight" in refusal(model)


def test_random_weights_may_be_looked_at_when_nothing_was_promised():
    """Neither init_cfg nor a checkpoint: e.g. a model that a user has just built."""
    build().eval()(images())


def test_a_copy_is_guarded_by_itself():
    """As an average of the model is, which mmengine copies and loads."""
    model = build()
    average = copy.deepcopy(model)
    loose_load(average, without(build(seed=3).state_dict(), "head.fc."))
    assert "head.fc.weight: not in the checkpoint" in refusal(average)
    loose_load(model, build(seed=3).state_dict())
    model.eval()(images())
