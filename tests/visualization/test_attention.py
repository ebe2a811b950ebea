"""Attention: the weights with which the model itself mixes its values, and where they are lit."""

import numpy as np
import pytest
import torch

from maskssl.models.backbones.plain_vit import PlainViT
from maskssl.visualization.attention import attention_maps, head_titles, heat_over

ARCH = dict(embed_dims=24, num_layers=2, num_heads=2)
KINDS = {
    "cls": dict(),
    "none": dict(with_cls_token=False),
    "registers": dict(num_registers=3),
    "rotary": dict(arch=ARCH | dict(embed_dims=32), rotary_base=100.0, pos_embed_layout=None),
    "relative": dict(rel_pos_bias=True),
    "one block": dict(arch=ARCH | dict(num_layers=1)),
}
IMAGES = torch.randn(3, 3, 16, 24, generator=torch.Generator().manual_seed(0))


def built(**settings) -> PlainViT:
    torch.manual_seed(1)
    options = dict(arch=ARCH, img_size=(16, 24), patch_size=4)
    backbone = PlainViT(**(options | settings)).eval()
    for parameter in backbone.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)  # heads that differ, and a bias
    return backbone


def values_into(backbone: PlainViT) -> list[torch.Tensor]:
    """What goes into and comes out of the last block's projections."""
    seen: list[torch.Tensor] = []
    attention = backbone.blocks[-1].attn
    attention.qkv.register_forward_hook(lambda _, __, out: seen.append(out))
    attention.proj.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    with torch.no_grad():
        backbone(IMAGES)
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_the_weights_of_the_models_own_attention(kind):
    """Weights that solve: mixed = weights @ values, of every head, as torch's kernel mixed them.

    There are more tokens than channels of a head, so what is compared is the mixture.
    """
    backbone = built(**KINDS[kind])
    maps = attention_maps(backbone, IMAGES)
    assert maps.shape == (3, 2, 4, 6)
    qkv, mixed = values_into(backbone)
    values = qkv.chunk(3, dim=-1)[2].unflatten(2, (2, -1)).transpose(1, 2)  # (B, H, T, D)
    mixed = mixed.unflatten(2, (2, -1)).transpose(1, 2)
    prefix = backbone.num_prefix
    patches = maps.flatten(2)[:, :, None] @ values[:, :, prefix:]  # (B, H, 1, D)
    asking = mixed[:, :, :1] if backbone.with_cls_token else mixed[:, :, prefix:].mean(2, True)
    if prefix:  # what the tokens in front got is not drawn
        rest = 1 - maps.sum(dim=(2, 3))
        assert (rest > -1e-5).all() and (rest > 1e-5).any()  # one head may look at patches alone
        if prefix == 1:
            patches = patches + rest[:, :, None, None] * values[:, :, :1]
        else:
            return
    torch.testing.assert_close(patches, asking, rtol=1e-4, atol=1e-5)


def test_class_attention_asks_where_there_is_one():
    pooling = dict(num_layers=2, layer_scale_init=0.5)
    backbone = built(with_cls_token=False, class_attention=pooling, out_type="cls")
    maps = attention_maps(backbone, IMAGES)
    seen: list[torch.Tensor] = []
    attention = backbone.class_attention.blocks[-1].attn
    attention.v.register_forward_hook(lambda _, __, out: seen.append(out))
    attention.proj.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    with torch.no_grad():
        backbone(IMAGES)
    values, mixed = (one.unflatten(2, (2, -1)).transpose(1, 2) for one in seen)
    weights = torch.cat([1 - maps.sum(dim=(2, 3))[..., None], maps.flatten(2)], dim=2)
    torch.testing.assert_close(weights[:, :, None] @ values, mixed, rtol=1e-4, atol=1e-5)


def test_a_picture_is_lit_where_the_heat_is():
    grey = np.full((40, 40, 3), 200, np.uint8)
    heat = np.zeros((4, 4), np.float32)
    heat[1, 2] = 0.01  # each map by its own highest value
    drawn = np.asarray(heat_over(grey, heat, 80)).astype(int).sum(axis=2)
    assert drawn.shape == (80, 80)
    y, x = np.unravel_index(drawn.argmax(), drawn.shape)
    assert 20 <= y < 40 <= x < 60  # the patch, of 20 pixels
    assert drawn[70, 10] == 3 * 50
    assert head_titles(2) == ["picture", "mean", "head 1", "head 2"]


def test_an_oblong_picture_is_lit_in_its_own_shape():
    grey = np.full((20, 60, 3), 200, np.uint8)
    heat = np.zeros((2, 6), np.float32)
    heat[1, 5] = 3.0
    drawn = heat_over(grey, heat, 120)
    assert drawn.size == (120, 40)
    pixels = np.asarray(drawn).astype(int).sum(axis=2)
    y, x = np.unravel_index(pixels.argmax(), pixels.shape)
    assert y >= 20 and x >= 100 and pixels[5, 5] == 3 * 50
