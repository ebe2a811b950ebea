"""The parts below the models, each against its formula written out."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from maskssl.models.layers.attention import CrossAttention, SelfAttention
from maskssl.models.layers.class_attention import ClassAttention
from maskssl.models.layers.decoder_block import DecoderBlock
from maskssl.models.layers.encoder_block import EncoderBlock
from maskssl.models.layers.initialisation import init_mask_token
from maskssl.models.layers.patches import (
    paste_prediction,
    patch_statistics,
    spread,
    standardise,
)


def randomised(module: nn.Module, std: float = 0.5) -> nn.Module:
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=std)
    return module.eval()


# Attention


def attended(q, k, v, heads: int, bias=None) -> torch.Tensor:
    """softmax(q k^T / sqrt(D) + bias) v, head by head; (B, N, C) and twice (B, M, C)."""
    width = q.shape[-1] // heads
    outputs = []
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        logits = q[..., part] @ k[..., part].mT / math.sqrt(width)
        if bias is not None:
            logits = logits + bias[head]
        outputs.append(logits.softmax(dim=-1) @ v[..., part])
    return torch.cat(outputs, dim=-1)


@pytest.mark.parametrize("with_grad", [True, False])
@pytest.mark.parametrize("count", [5, 300])  # short sequences take another kernel on a CPU
@pytest.mark.parametrize("with_bias", [True, False])
def test_self_attention_by_hand(count, with_grad, with_bias):
    attention = randomised(SelfAttention(8, num_heads=2), std=0.2)
    x, bias = torch.randn(2, count, 8), torch.randn(2, count, count) if with_bias else None
    q, k, v = F.linear(x, attention.qkv.weight, attention.qkv.bias).split(8, dim=-1)
    expected = F.linear(attended(q, k, v, 2, bias), attention.proj.weight, attention.proj.bias)
    with torch.set_grad_enabled(with_grad):
        torch.testing.assert_close(attention(x, bias), expected, rtol=1e-4, atol=1e-5)


def test_cross_attention_by_hand():
    attention = randomised(CrossAttention(8, context_dim=6, num_heads=2), std=0.3)
    x, context = torch.randn(2, 5, 8), torch.randn(2, 7, 6)
    q = F.linear(x, attention.q.weight, attention.q.bias)
    k, v = F.linear(context, attention.kv.weight, attention.kv.bias).split(8, dim=-1)
    expected = F.linear(attended(q, k, v, 2), attention.proj.weight, attention.proj.bias)
    torch.testing.assert_close(attention(x, context), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("dim", "heads", "inner"), [(512, 12, 504), (512, 16, 512), (9, 2, 8)])
def test_heads_that_do_not_divide_the_width_are_cut(dim, heads, inner):
    own, cross = SelfAttention(dim, heads), CrossAttention(dim, 10, heads)
    assert own.qkv.weight.shape == (3 * inner, dim)
    assert own.proj.weight.shape == cross.proj.weight.shape == (dim, inner)
    assert cross.q.weight.shape == (inner, dim) and cross.kv.weight.shape == (2 * inner, 10)
    assert own(torch.randn(1, 3, dim)).shape == (1, 3, dim)
    assert SelfAttention(dim, heads, qkv_bias=False).qkv.bias is None
    without = CrossAttention(dim, 10, heads, qkv_bias=False)
    assert without.q.bias is None and without.kv.bias is None


# Blocks


def normed(x: torch.Tensor, norm: nn.LayerNorm, eps: float = 1e-6) -> torch.Tensor:
    centred = x - x.mean(dim=-1, keepdim=True)
    deviation = (centred.square().mean(dim=-1, keepdim=True) + eps).sqrt()
    return centred / deviation * norm.weight + norm.bias


def mlp(x: torch.Tensor, layers: nn.Module) -> torch.Tensor:
    hidden = F.gelu(F.linear(x, layers.fc1.weight, layers.fc1.bias))
    return F.linear(hidden, layers.fc2.weight, layers.fc2.bias)


# so small that an eps of 1e-5 would show
def small(*shape: int) -> torch.Tensor:
    return 1e-3 * torch.randn(*shape)


def test_encoder_block_by_hand():
    block = randomised(EncoderBlock(8, num_heads=2, layer_scale_init=0.3))
    given = small(2, 5, 8)
    x = given + block.attn(normed(given, block.norm1)) * block.ls1.gamma
    expected = x + mlp(normed(x, block.norm2), block.mlp) * block.ls2.gamma
    torch.testing.assert_close(block(given), expected, rtol=1e-3, atol=1e-5)
    # the second norm sees small values only when the attention adds nothing
    nn.init.zeros_(block.ls1.gamma)
    expected = given + mlp(normed(given, block.norm2), block.mlp) * block.ls2.gamma
    torch.testing.assert_close(block(given), expected, rtol=1e-3, atol=1e-5)


def test_drop_path_leaves_out_either_branch_and_doubles_what_it_keeps():
    """At a rate of one half: all four cases come up among 64 equal images, and no other."""
    block = randomised(EncoderBlock(8, num_heads=2, drop_path=0.5)).train()
    given = torch.randn(1, 5, 8)
    outputs = block(given.expand(64, -1, -1))
    attended_to = given + 2 * block.attn(block.norm1(given))
    possible = [
        x + scale * block.mlp(block.norm2(x)) for x in (given, attended_to) for scale in (0, 2)
    ]
    matches = [
        [torch.allclose(output[None], case, atol=1e-4) for case in possible] for output in outputs
    ]
    assert {match.index(True) for match in matches} == {0, 1, 2, 3}


def test_decoder_block_by_hand():
    block = randomised(DecoderBlock(8, context_dim=6, num_heads=2))
    given, context = small(2, 5, 8), small(2, 7, 6)

    def expected() -> torch.Tensor:
        x = given + block.attn(normed(given, block.norm1))
        x = x + block.cross_attn(normed(x, block.norm3), normed(context, block.norm4))
        return x + mlp(normed(x, block.norm2), block.mlp)

    torch.testing.assert_close(block(given, context), expected(), rtol=1e-3, atol=1e-5)
    for attention in (block.attn, block.cross_attn):  # so that the norms behind see small values
        nn.init.zeros_(attention.proj.weight)
        nn.init.zeros_(attention.proj.bias)
        torch.testing.assert_close(block(given, context), expected(), rtol=1e-3, atol=1e-5)


def test_blocks_are_as_wide_as_published():
    with torch.device("meta"):
        for block in (EncoderBlock(16, 2), DecoderBlock(16, 24, 2)):
            assert block.mlp.fc1.weight.shape == (64, 16)
        assert EncoderBlock(16, 2, mlp_ratio=2.5).mlp.fc1.weight.shape == (40, 16)
        assert DecoderBlock(16, 24, 2, mlp_ratio=2.5).mlp.fc1.weight.shape == (40, 16)
        plain = EncoderBlock(16, 2)
        assert plain.rel_pos is None and plain.drop_path.drop_prob == 0
        assert plain.attn.qkv.bias is not None
        assert not [name for name, _ in plain.named_parameters() if name.startswith("ls")]


def test_layer_scales_of_a_block_start_at_their_value():
    block = EncoderBlock(8, 2, layer_scale_init=0.3)
    assert (block.ls1.gamma == 0.3).all() and (block.ls2.gamma == 0.3).all()


def test_class_attention_reads_the_patches_and_pools_them():
    pooling = ClassAttention(16, num_heads=2)
    assert len(pooling.blocks) == 2
    for block in pooling.blocks:
        assert (block.gamma_1 == 0.1).all() and (block.gamma_2 == 0.1).all()
        assert block.mlp.fc1.weight.shape == (64, 16)
        assert block.attn.q.bias is not None and block.attn.num_heads == 2
    assert len(ClassAttention(16, 2, num_layers=3, mlp_ratio=2.0).blocks) == 3
    assert ClassAttention(16, 2, mlp_ratio=2.0).blocks[0].mlp.fc1.weight.shape == (32, 16)

    randomised(pooling)
    patches = torch.randn(3, 5, 16)
    pooled = pooling(patches)
    assert pooled.shape == (3, 16)
    torch.testing.assert_close(pooling(patches.flip(1)), pooled)  # patches have no order
    changed = patches.clone()
    changed[1, 4] += torch.randn(16)
    difference = (pooling(changed) - pooled).abs().amax(dim=1)
    assert difference[1] > 1e-3 and difference[0] == difference[2] == 0
    token = pooling.cls_token.expand(3, -1, -1)
    for block in pooling.blocks:
        token = block(patches, token)
    torch.testing.assert_close(pooled, token[:, 0])


# Patches


def test_values_per_patch_are_spread_over_its_pixels():
    values = torch.arange(6.0).view(1, 1, 2, 3)
    wide = spread(values, 2)
    assert wide.shape == (1, 1, 4, 6)
    assert wide[0, 0].tolist() == [
        [0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 5, 5], [3, 3, 4, 4, 5, 5],
    ]  # fmt: skip


def test_a_prediction_is_pasted_where_masked_with_the_true_mean_and_contrast():
    pictures = 5 * torch.randn(2, 3, 4, 8) + 2
    prediction = torch.randn(2, 3, 4, 8)
    mask = torch.tensor([[[True, False]], [[False, True]]])
    pasted = paste_prediction(pictures, prediction, mask)
    for image, masked in ((0, slice(0, 4)), (1, slice(4, 8))):
        visible = slice(4, 8) if image == 0 else slice(0, 4)
        assert torch.equal(pasted[image, ..., visible], pictures[image, ..., visible])
        patch = pictures[image, ..., masked]
        mean = patch.mean(dim=(1, 2), keepdim=True)
        deviation = (patch.var(dim=(1, 2), keepdim=True, unbiased=False) + 1e-5).sqrt()
        expected = prediction[image, ..., masked] * deviation + mean
        torch.testing.assert_close(pasted[image, ..., masked], expected)


def test_statistics_are_fp32_and_constant_inside_a_patch():
    mean, deviation = patch_statistics(torch.rand(1, 3, 4, 8).bfloat16(), 4)
    assert mean.dtype == deviation.dtype == torch.float32
    for values in (mean, deviation):
        for part in values.split(4, dim=-1):
            assert part.flatten(2).std(dim=2).max() < 1e-6
    assert not torch.allclose(mean[..., 0], mean[..., 4])


def test_standardised_patches_are_fp32():
    assert standardise(torch.randn(1, 2, 3, 16).bfloat16()).dtype == torch.float32


# Initialisation


@pytest.mark.parametrize("std", [0.02, 0.5])
def test_a_mask_token_is_cut_at_one_deviation(std):
    token = nn.Parameter(torch.zeros(1, 1, 4096))
    init_mask_token(token, std)
    assert 0.99 * std < token.abs().max() <= std
    assert token.std().item() == pytest.approx(0.54 * std, rel=0.05)
    if std == 0.02:
        init_mask_token(token)
        assert 0.99 * std < token.abs().max() <= std
