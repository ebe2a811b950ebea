"""The classifier's head: its start, its norms, its logits by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn


def build(in_channels: int = 64, num_classes: int = 50, **options):
    torch.manual_seed(0)
    head = dict(type="PooledLinearHead", in_channels=in_channels, num_classes=num_classes)
    return MODELS.build({**head, **options})


@pytest.mark.parametrize(("options", "deviation"), [(dict(), 2e-5), (dict(init_std=0.01), 0.01)])
def test_the_linear_layer_starts_small(options, deviation):
    """Fine-tuning starts from almost equal logits, a probe from a deviation of 0.01."""
    head = build(in_channels=256, **options)
    assert head.fc.weight.std().item() == pytest.approx(deviation, rel=0.03)
    assert abs(head.fc.weight.mean().item()) < deviation / 20
    assert not head.fc.bias.any()


def test_fine_tuning_trains_one_layer_norm():
    head = build(in_channels=4, num_classes=3, init_std=0.5)
    (norm,) = head.norms
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    nn.init.normal_(head.fc.bias)
    features = 1e-3 * torch.randn(2, 4)  # so small that the eps shows
    centred = features - features.mean(dim=1, keepdim=True)
    normed = centred / (centred.square().mean(dim=1, keepdim=True) + 1e-6).sqrt()
    expected = (normed * norm.weight + norm.bias) @ head.fc.weight.T + head.fc.bias
    torch.testing.assert_close(head([torch.zeros(2, 4), features]), expected)
    assert all(p.requires_grad for p in head.parameters())


def test_a_probe_runs_its_norms_one_after_the_other():
    frozen = dict(type="LN", eps=1e-6, requires_grad=False)
    head = build(in_channels=4, norms=[frozen, dict(type="BN", eps=1e-3, affine=False)])
    first, second = head.norms
    assert isinstance(second, nn.BatchNorm1d) and not list(second.parameters())
    assert not any(p.requires_grad for p in first.parameters())
    features = torch.randn(6, 4)
    normed = F.layer_norm(features, (4,), eps=1e-6)
    deviation = (normed.var(dim=0, unbiased=False) + 1e-3).sqrt()
    expected = (normed - normed.mean(dim=0)) / deviation
    torch.testing.assert_close(head.train().pre_logits([features]), expected)


def test_further_options_are_those_of_mmpretrain_s_head():
    assert build(topk=(1, 3)).topk == (1, 3)


def test_the_loss_is_the_cross_entropy():
    head = build(in_channels=4, num_classes=3, init_std=0.5)
    features = torch.randn(2, 4)
    samples = [DataSample().set_gt_label(2), DataSample().set_gt_label(0)]
    logits = head([features])
    by_hand = [math.log(sum(row.exp().tolist())) for row in logits]
    expected = (by_hand[0] - logits[0, 2].item() + by_hand[1] - logits[1, 0].item()) / 2
    assert head.loss([features], samples)["loss"].item() == pytest.approx(expected, rel=1e-5)
    doubled = dict(type="CrossEntropyLoss", loss_weight=2.0)
    other = build(in_channels=4, num_classes=3, init_std=0.5, loss=doubled)
    assert other.loss([features], samples)["loss"].item() == pytest.approx(2 * expected, rel=1e-5)
