"""Which encoder level each of BootMAE's decoders attends to: the authors' fea_list."""

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from maskssl.errors import MaskSSLError
from maskssl.masking import split_ordering


def build(**levels: int) -> nn.Module:
    """Four blocks of width 16 on 4 x 4 patches, none of whose weights are zero."""
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type="BootMAE",
            backbone=dict(
                type="PlainViT",
                arch=dict(embed_dims=16, num_layers=4, num_heads=2),
                img_size=32,
                patch_size=8,
            ),
            neck=dict(type="TargetAwareDecoders", pixel=dict(embed_dims=24)),
            head=dict(type="BootMAEHead"),
            target_generator=dict(type="MomentumEncoder"),
            **levels,
        )
    )
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    return model.eval()


def encoded_by_hand(model: nn.Module, images: Tensor, ids_keep: Tensor) -> list[Tensor]:
    """Tokens after each block, from the weights alone: (B, 1 + V, 16) each."""
    encoder = model.backbone
    patches = F.conv2d(images, *encoder.patch_embed.proj.parameters(), stride=8)
    patches = patches.flatten(2).transpose(1, 2) + encoder.pos_embed[:, 1:]
    patches = torch.stack([image[ids] for image, ids in zip(patches, ids_keep, strict=True)])
    cls_token = (encoder.cls_token + encoder.pos_embed[:, :1]).expand(len(patches), -1, -1)
    tokens, levels = torch.cat([cls_token, patches], dim=1), []
    for block in encoder.blocks:
        tokens = block(tokens, True)
        levels.append(tokens)
    return levels


@pytest.mark.parametrize(
    ("levels", "shallow", "deep"),
    [
        (dict(), 0, 3),
        (dict(shallow_index=1, deep_index=2), 1, 2),
        (dict(shallow_index=-4, deep_index=-2), 0, 2),
        (dict(shallow_index=2, deep_index=2), 2, 2),  # the authors' list of one
        (dict(shallow_index=3, deep_index=0), 3, 0),
    ],
)
def test_each_decoder_attends_to_the_level_it_is_given(levels, shallow, deep):
    model = build(**levels)
    images = torch.randn(2, 3, 32, 32)
    split = split_ordering(torch.rand(2, 16).argsort(dim=1), 4)
    seen: dict[str, Tensor] = {}
    for name in ("pixel", "feature"):
        decoder = getattr(model.neck, name)
        decoder.register_forward_hook(
            lambda _, inputs, __, name=name: seen.update({name: inputs[1]})
        )
    with torch.no_grad():
        pixels, features = model.predict_targets(images, split)
        by_hand = encoded_by_hand(model, images, split.ids_keep)
        default_pixels, default_features = build().predict_targets(images, split)
    torch.testing.assert_close(seen["pixel"], by_hand[shallow])
    torch.testing.assert_close(seen["feature"], by_hand[deep])
    assert torch.allclose(pixels, default_pixels) is (shallow == 0)
    assert torch.allclose(features, default_features) is (deep == 3)


@pytest.mark.parametrize("levels", [dict(shallow_index=4), dict(deep_index=-5)])
def test_a_level_that_is_not_there_is_refused(levels):
    ((name, index),) = levels.items()
    with pytest.raises(MaskSSLError, match=f"{name}={index} is none of the 4 blocks; use 0 to 3"):
        build(**levels)
