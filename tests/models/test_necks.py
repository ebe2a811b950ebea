"""The pyramid on known maps, the MLPs on top of a pooled feature, the decoders' options."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import nn

from maskssl.errors import MaskSSLError
from maskssl.models.necks.feature_pyramid import FeaturePyramid
from maskssl.models.necks.projection_mlp import ProjectionMLP
from maskssl.models.necks.target_aware_decoders import TargetAwareDecoders

BN = dict(type="BN", eps=1e-3)


def maps(count: int, channels: int = 2) -> list[torch.Tensor]:
    return [torch.randn(3, channels, 4, 6) for _ in range(count)]


def doubled(x: torch.Tensor, layer: nn.ConvTranspose2d) -> torch.Tensor:
    """Every pixel becomes 2 x 2 of its own: kernel and stride are 2."""
    out = torch.einsum("bchw,cdij->bdhiwj", x, layer.weight).flatten(4, 5).flatten(2, 3)
    return out + layer.bias[:, None, None]


def test_four_scales_of_known_maps():
    pyramid = MODELS.build(dict(type="FeaturePyramid", in_channels=2, norm_cfg=BN)).eval()
    given = maps(4)
    four, two, one, half = pyramid(given)

    first, norm, _, last = pyramid.scales[0]
    norm.running_mean.copy_(torch.tensor([0.3, -0.2]))
    norm.running_var.copy_(torch.tensor([2.0, 0.5]))
    four = pyramid(given)[0]
    inner = doubled(given[0], first) - norm.running_mean[:, None, None]
    inner = inner / (norm.running_var + 1e-3).sqrt()[:, None, None]
    torch.testing.assert_close(four, doubled(F.gelu(inner), last), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(two, doubled(given[1], pyramid.scales[1][0]))
    assert torch.equal(one, given[2])
    for row in range(2):
        for col in range(3):
            block = given[3][:, :, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2]
            assert torch.equal(half[:, :, row, col], block.amax(dim=(2, 3)))
    assert half.shape == (3, 2, 2, 3) and four.shape == (3, 2, 16, 24)


def test_scales_come_in_the_order_asked_for():
    pyramid = FeaturePyramid(2, scales=(0.5, 1), norm_cfg=BN)
    assert [tuple(x.shape[2:]) for x in pyramid(maps(2))] == [(2, 3), (4, 6)]


def test_the_norm_is_synchronised_as_released():
    assert isinstance(FeaturePyramid(2).scales[0][1], nn.SyncBatchNorm)


def test_impossible_pyramids_are_refused():
    with pytest.raises(MaskSSLError, match="a pyramid scale of 8 is unknown; use 4, 2, 1 or 0.5"):
        FeaturePyramid(2, scales=(8,))
    for count in (3, 5):
        with pytest.raises(MaskSSLError, match=f"4 scales need as many maps, got {count}"):
            FeaturePyramid(2, norm_cfg=BN)(maps(count))


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_projection_by_hand(num_layers):
    """Linear, then LayerNorm and GELU before each further linear layer."""
    mlp = ProjectionMLP(6, hidden_channels=10, out_channels=4, num_layers=num_layers)
    for parameter in mlp.parameters():
        nn.init.normal_(parameter)
    linears = [layer for layer in mlp.layers if isinstance(layer, nn.Linear)]
    norms = [layer for layer in mlp.layers if isinstance(layer, nn.LayerNorm)]
    assert (len(linears), len(norms)) == (num_layers, num_layers - 1)
    given = torch.randn(3, 5, 6)
    expected = given @ linears[0].weight.T + linears[0].bias
    for norm, linear in zip(norms, linears[1:], strict=True):
        expected = F.gelu(F.layer_norm(expected, (10,), norm.weight, norm.bias))
        expected = expected @ linear.weight.T + linear.bias
    assert mlp(given).shape == (3, 5, 4)
    torch.testing.assert_close(mlp(given), expected, rtol=1e-4, atol=1e-4)


def test_published_widths_are_the_defaults():
    with torch.device("meta"):
        mlp = ProjectionMLP(768)
    widths = [tuple(layer.weight.shape) for layer in mlp.layers if isinstance(layer, nn.Linear)]
    assert widths == [(4096, 768), (4096, 4096), (256, 4096)]
    assert mlp.out_channels == 256


def test_norms_over_the_batch_are_of_all_views_in_training_and_in_eval_mode():
    batch = dict(type="BN1d", track_running_stats=False)
    options = dict(norm_cfg=batch, last_norm_cfg=dict(batch, affine=False))
    mlp = ProjectionMLP(6, hidden_channels=10, out_channels=4, num_layers=2, **options)
    first, _, gelu, second, _ = mlp.layers
    assert isinstance(gelu, nn.GELU)
    given = 5 + 3 * torch.randn(7, 5, 6)

    def normed(rows: torch.Tensor) -> torch.Tensor:
        deviation = (rows.var(0, unbiased=False) + 1e-5).sqrt()
        return (rows - rows.mean(0)) / deviation

    expected = normed(second(F.gelu(normed(first(given.flatten(0, 1)))))).unflatten(0, (7, 5))
    for mode in (True, False):
        torch.testing.assert_close(mlp.train(mode)(given), expected, rtol=1e-4, atol=1e-4)
    assert not [key for key in mlp.state_dict() if "running" in key]


def test_options_of_both_decoders_stand_beside_those_of_one():
    pixel = dict(embed_dims=24, mlp_ratio=2)
    neck = TargetAwareDecoders(16, 2, (4, 4), 8, pixel=pixel, feature={}, num_layers=3)
    assert [len(decoder.blocks) for decoder in (neck.pixel, neck.feature)] == [3, 3]
    assert neck.pixel.blocks[0].mlp.fc1.out_features == 48
    assert neck.feature.blocks[0].mlp.fc1.out_features == 64
