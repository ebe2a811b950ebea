"""Attention in wider heads with zeros behind computes what it does in its own."""

import pytest
import torch
import torch.nn.functional as F

from maskssl.models.layers import attention, class_attention
from maskssl.models.layers.attention import CrossAttention, SelfAttention, short_kernels
from maskssl.models.layers.class_attention import ClassAttention

CLOSE = dict(rtol=1e-5, atol=1e-6)


def outputs_and_gradients(module, *inputs, **options):
    inputs = [one.clone().requires_grad_() for one in inputs]
    module.zero_grad()
    output = module(*inputs, **options)
    weights = torch.linspace(-1, 1, output.numel()).view_as(output)
    (weights * output.square()).sum().backward()
    named = {name: p.grad.clone() for name, p in module.named_parameters()}
    return output.detach(), [one.grad for one in inputs], named


def drawn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


CASES = {
    "self": (lambda: SelfAttention(26, 4), (drawn(2, 7, 26),), {}),
    "self, last queries": (lambda: SelfAttention(26, 4), (drawn(2, 7, 26),), dict(num_queries=3)),
    "self, no bias": (lambda: SelfAttention(26, 4, qkv_bias=False), (drawn(2, 7, 26),), {}),
    "self, bias": (lambda: SelfAttention(24, 4), (drawn(2, 7, 24), drawn(4, 7, 7)), {}),
    "cross": (lambda: CrossAttention(26, 10, 4), (drawn(2, 7, 26), drawn(2, 5, 10)), {}),
}


@pytest.mark.parametrize("case", CASES)
def test_wider_heads_change_nothing(case, monkeypatch):
    """6 channels per head, once as they are and once in 8."""
    torch.manual_seed(0)
    build, inputs, options = CASES[case]
    module = build()
    as_it_is = outputs_and_gradients(module, *inputs, **options)
    monkeypatch.setitem(attention.HEAD_MULTIPLE, "cpu", 8)
    seen = []
    attend = F.scaled_dot_product_attention

    def look(q, k, v, *args, **kwargs):
        seen.append((q.shape[-1], k.shape[-1], v.shape[-1]))
        return attend(q, k, v, *args, **kwargs)

    monkeypatch.setattr(attention.F, "scaled_dot_product_attention", look)
    widened = outputs_and_gradients(module, *inputs, **options)
    assert seen == [(8, 8, 8)]
    torch.testing.assert_close(widened, as_it_is, **CLOSE)


def test_a_bias_is_of_the_dtype_of_the_queries_under_autocast(monkeypatch):
    """Kernels of a GPU want it, and a CPU's takes any: so look at what is handed over."""
    seen = []
    attend = F.scaled_dot_product_attention

    def look(q, k, v, bias, **options):
        seen.append((q.dtype, bias.dtype))
        return attend(q, k, v, bias, **options)

    monkeypatch.setattr(attention.F, "scaled_dot_product_attention", look)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        SelfAttention(8, 2)(drawn(1, 5, 8), drawn(2, 5, 5))
    assert seen == [(torch.bfloat16, torch.bfloat16)]


@pytest.mark.parametrize(("head_dim", "device", "width"), [(42, "cpu", 42), (42, "cuda", 48)])
def test_heads_are_widened_on_a_gpu(head_dim, device, width):
    assert attention._head_width(head_dim, torch.device(device)) == width
    assert attention._head_width(64, torch.device(device)) == 64


@pytest.mark.parametrize("longest", [attention.GPU_SHORT_SEQUENCE, 1000])
def test_a_gpu_s_choice_of_kernels_breaks_no_graph(longest):
    q = drawn(1, 2, 5, 8)

    def attend(x):
        with short_kernels(torch.device("cuda"), longest):
            return F.scaled_dot_product_attention(x, x, x)

    compiled = torch.compile(attend, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(q), F.scaled_dot_product_attention(q, q, q))


def test_short_sequences_take_the_memory_efficient_kernel_on_a_gpu():
    gpu = torch.device("cuda")
    with short_kernels(gpu, attention.GPU_SHORT_SEQUENCE):
        assert torch.backends.cuda.mem_efficient_sdp_enabled()
        assert not torch.backends.cuda.flash_sdp_enabled()
        assert not torch.backends.cuda.cudnn_sdp_enabled()
    with short_kernels(gpu, attention.GPU_SHORT_SEQUENCE + 1):
        assert torch.backends.cuda.flash_sdp_enabled()


@pytest.mark.parametrize("patches", [39, 196, 400])
def test_one_query_takes_a_kernel_that_repeats_whatever_it_reads(patches, monkeypatch):
    """cuDNN's does not; see docs/speed.md."""
    lengths = []
    monkeypatch.setattr(
        class_attention,
        "short_kernels",
        lambda device, longest: lengths.append(longest) or short_kernels(device, longest),
    )
    pooled = ClassAttention(24, 2)(torch.randn(2, patches, 24))
    assert pooled.shape == (2, 24)
    [longest] = lengths
    with short_kernels(torch.device("cuda"), longest):
        assert torch.backends.cuda.mem_efficient_sdp_enabled()
        assert not torch.backends.cuda.cudnn_sdp_enabled()
