"""Fine-tuned models and the probe's feature against figures of the authors' code."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS

from maskssl.checkpoints.errors import CheckpointError

DATA = Path(__file__).parents[1] / "data" / "finetune.pt"
CLOSE = dict(rtol=1e-4, atol=1e-6)
METHODS = dict(
    bootmae_ft=dict(pos_embed_layout="bootmae"),
    extrema_ft=dict(pos_embed_layout="mae", with_cls_token=False, pos_embed_trainable=True),
)


@pytest.fixture(scope="module")
def reference():
    return torch.load(DATA, weights_only=True)


def build(cfg, checkpoint, norms=None, **backbone):
    arch = dict(embed_dims=cfg["dim"], num_layers=cfg["depth"], num_heads=cfg["heads"])
    init = dict(type="Pretrained", checkpoint=str(checkpoint))
    head = dict(type="PooledLinearHead", in_channels=cfg["dim"], num_classes=7)
    encoder = dict(
        type="PlainViT", arch=arch, out_type="avg", final_norm=False, init_cfg=init, **backbone
    )
    model = MODELS.build(
        dict(
            type="ImageClassifier",
            backbone=encoder,
            head=head if norms is None else dict(head, norms=norms),
        )
    )
    model.init_weights()
    return model.eval()


def saved(state_dict, folder, drop=()):
    path = folder / "finetuned.pth"
    torch.save(dict(model={k: v for k, v in state_dict.items() if k not in drop}), path)
    return path


@pytest.mark.parametrize("method", METHODS)
def test_features_and_logits(method, reference, tmp_path):
    weights = reference[method]["state_dict"]
    drop = ["cls_token"] if method == "extrema_ft" else []  # held, and not used, by its model
    path = saved(weights, tmp_path, drop)
    model = build(reference[method]["cfg"], path, **METHODS[method])
    head = {
        "norms.0.weight": weights["fc_norm.weight"],
        "norms.0.bias": weights["fc_norm.bias"],
        "fc.weight": weights["head.weight"],
        "fc.bias": weights["head.bias"],
    }
    model.head.load_state_dict(head)

    images = reference["images"].float()
    with torch.no_grad():
        pooled = model.backbone(images)
        features = model.head.pre_logits(pooled)
        logits = model(images)
    torch.testing.assert_close(features, reference[method]["features"], **CLOSE)
    torch.testing.assert_close(logits, reference[method]["logits"], **CLOSE)


def test_extrema_with_its_cls_token_is_refused(reference, tmp_path):
    """It could be of a model that uses it: to drop it is for the user to say."""
    path = saved(reference["extrema_ft"]["state_dict"], tmp_path)
    with pytest.raises(CheckpointError, match="pretrained with a cls token"):
        build(reference["extrema_ft"]["cfg"], path, **METHODS["extrema_ft"])


def test_linear_probe_feature(reference, tmp_path):
    """Cut behind two blocks; patch mean, a LayerNorm that never trains; then the BatchNorm."""
    method = reference["bootmae_ft"]
    weights, images = method["state_dict"], reference["images"].float()
    norms = [
        dict(type="LN", eps=1e-6, requires_grad=False),
        dict(type="BN1d", eps=1e-6, affine=False),
    ]
    path = saved(weights, tmp_path)
    model = build(method["cfg"], path, norms, out_indices=[1], frozen_stages=3)
    assert len(model.backbone.blocks) == 2
    norm = model.head.norms[0]
    with torch.no_grad():
        pooled = model.backbone(images)[-1]
        feature = norm(pooled)
    torch.testing.assert_close(feature, F.layer_norm(pooled, (48,), eps=1e-6))

    model.train()
    model(images).square().sum().backward()
    trained = [name for name, p in model.named_parameters() if p.grad is not None]
    assert trained == ["head.fc.weight", "head.fc.bias"]
    # in training the BatchNorm takes the batch's own statistics
    scale = (feature.var(dim=0, unbiased=False) + 1e-6).sqrt()
    expected = model.head.fc((feature - feature.mean(dim=0)) / scale)
    torch.testing.assert_close(model(images), expected, rtol=1e-3, atol=1e-5)

    # the authors' figure was taken behind the fine-tuned model's own LayerNorm
    norm.load_state_dict(dict(weight=weights["fc_norm.weight"], bias=weights["fc_norm.bias"]))
    expected = reference["bootmae_linear_depth2"]["features_before_bn"]
    torch.testing.assert_close(norm(pooled), expected, **CLOSE)
