"""What is hidden of pictures: grey there, the picture elsewhere, by the model's own masks."""

import numpy as np
import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

from maskssl.errors import MaskSSLError
from maskssl.masking import block_mask
from maskssl.visualization.masks import hidden_patches, mask_sheet
from tests.visualization.test_reconstruction import build, normalised, pixels


def samples(count: int = 2) -> list[DataSample]:
    found = []
    for number in range(count):
        generator = torch.Generator().manual_seed(number)
        found.append(DataSample())
        found[-1].set_field(block_mask((2, 3), generator=generator).numpy(), "mask")
    return found


def extrema() -> nn.Module:
    arch = dict(embed_dims=16, num_layers=2, num_heads=2)
    backbone = dict(type="PlainViT", arch=arch, img_size=(16, 24), patch_size=4, out_type="cls")
    backbone |= dict(with_cls_token=False, class_attention=dict(num_layers=1))
    neck = dict(type="ProjectionMLP", hidden_channels=8, out_channels=8)
    return MODELS.build(
        dict(
            type="ExtreMA",
            backbone=backbone,
            neck=neck,
            head=dict(type="ExtreMAHead", predictor=dict(neck)),
            target_generator=dict(type="MomentumProjector"),
            mask_ratio=0.75,
            num_masks=3,
            data_preprocessor=dict(type="SelfSupDataPreprocessor", mean=[0] * 3, std=[1] * 3),
        )
    )


def test_blocks_and_what_is_not_encoded_of_bootmae():
    model, drawn = build(), samples()
    hidden = hidden_patches(model, normalised(pixels()), drawn)
    expected = np.stack([sample.mask.flatten() for sample in drawn])
    np.testing.assert_array_equal(hidden["hidden blocks"].numpy(), expected)
    assert (hidden["not encoded"].sum(dim=1) == model.mask_num).all()


def test_views_of_extrema_share_no_patch():
    torch.manual_seed(3)
    hidden = torch.stack(list(hidden_patches(extrema(), pixels(), []).values()))  # (K, B, N)
    assert hidden.shape == (3, 2, 24) and (hidden.sum(dim=2) == 18).all()
    assert ((~hidden).sum(dim=0) <= 1).all()


def test_a_sheet_is_grey_where_patches_are_hidden():
    model, images = build(), pixels()
    torch.manual_seed(0)
    page = np.asarray(mask_sheet(model, normalised(images), samples()))
    torch.manual_seed(0)
    hidden = hidden_patches(model, normalised(images), samples())
    height = round(128 * 16 / 24)
    for column, mask in enumerate(hidden.values(), start=1):
        for row in range(2):
            top, left = 18 + row * (height + 4), 4 + column * 132
            cell = page[top : top + height, left : left + 128]
            for patch, is_hidden in enumerate(mask[row].tolist()):
                y, x = patch // 3 * height // 2 + 8, patch % 3 * 128 // 3 + 8
                inner = cell[y : y + height // 2 - 16, x : x + 128 // 3 - 16]
                assert ((inner == 128).all()) == is_hidden, (column, row, patch)


def test_another_method_is_refused():
    with pytest.raises(MaskSSLError, match="Linear masks no patches"):
        hidden_patches(nn.Linear(1, 1), pixels(), [])
