"""Cores, GPUs, mixed precision, fused attention, and running several processes.

Without importing torch: cores, and the GPUs that the driver shows.
"""

from collections.abc import Collection
from typing import Any

from .machine import Finding, Machine, one_line

NATIVE_BF16 = frozenset({"amx_bf16", "avx512_bf16", "bf16"})  # x86, x86, Arm
SPOKEN = {"cpu": "the CPU", "cuda": "the GPU"}


def check_hardware(machine: Machine) -> list[Finding]:
    """What torch can use here; cores only, if torch cannot be imported."""
    cores = Finding("processor cores", "ok", str(machine.cores))
    if not machine.deep:
        return [cores, _gpus_of_the_driver(machine)]
    if machine.failure("torch"):
        return [cores]
    torch = machine.load("torch")
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    return [
        cores,
        *_gpus(torch),
        *(_bf16(torch, device, machine.flags) for device in devices),
        *(_fused_attention(torch, device) for device in devices),
        *_backends(torch.distributed),
    ]


def _gpus_of_the_driver(machine: Machine) -> Finding:
    if not machine.gpus:
        remedy = "if there is one, make nvidia-smi list it; otherwise the CPU is used"
        return Finding("GPU", "absent", "the driver shows none", remedy)
    if machine.versions.get("torch", "").endswith("+cpu"):
        remedy = "to use them, install the CUDA builds of torch and torchvision from PyPI"
        return Finding("GPU", "warn", f"{machine.gpus}, and a torch without CUDA", remedy)
    return Finding("GPU", "ok", f"{machine.gpus} shown by the driver")


def _gpus(torch: Any) -> list[Finding]:
    if torch.cuda.is_available():
        devices = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
        return [
            Finding(f"GPU {index}", "ok", f"{item.name}, {item.total_memory / 2**30:.0f} GiB")
            for index, item in enumerate(devices)
        ]
    if torch.version.cuda is None:
        remedy = "to use a GPU, install the CUDA builds of torch and torchvision from PyPI"
        return [Finding("GPU", "absent", "this torch is a build without CUDA", remedy)]
    remedy = "if there is one, make nvidia-smi list it; otherwise the CPU is used"
    return [Finding("GPU", "absent", f"torch (CUDA {torch.version.cuda}) sees none", remedy)]


def _bf16(torch: Any, device: str, flags: Collection[str]) -> Finding:
    name = f"bf16 on {SPOKEN[device]}"
    matrix = torch.ones(8, 8, device=device)
    try:
        with torch.autocast(device, dtype=torch.bfloat16):
            product = matrix @ matrix
    except (RuntimeError, ValueError) as error:
        return Finding(name, "warn", one_line(error), "train in fp32: leave out --amp")
    if product.dtype != torch.bfloat16:
        return Finding(name, "warn", f"autocast gave {product.dtype}", "leave out --amp")
    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = bool(NATIVE_BF16 & set(flags))
    if native:
        return Finding(name, "ok", "native")
    return Finding(name, "warn", "emulated, often slower than fp32", "leave out --amp")


def _fused_attention(torch: Any, device: str) -> Finding:
    name = f"fused attention on {SPOKEN[device]}"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    query = torch.ones(1, 2, 16, 64, device=device, dtype=dtype)
    attention = torch.nn.attention
    fused = [attention.SDPBackend.FLASH_ATTENTION, attention.SDPBackend.EFFICIENT_ATTENTION]
    try:
        with attention.sdpa_kernel(fused):
            torch.nn.functional.scaled_dot_product_attention(query, query, query)
    except RuntimeError as error:
        remedy = "nothing need be done: it runs unfused, slower and with more memory"
        return Finding(name, "warn", one_line(error), remedy)
    return Finding(name, "ok", "scaled_dot_product_attention has a fused kernel")


def _backends(distributed: Any) -> list[Finding]:
    there = distributed.is_available()
    gloo = there and distributed.is_gloo_available()
    nccl = there and distributed.is_nccl_available()
    without = "this torch was built without it"
    remedy = "to run several processes, install torch from PyPI"
    return [
        Finding("gloo", "ok", "several processes on CPUs")
        if gloo
        else Finding("gloo", "warn", without, remedy),
        Finding("nccl", "ok", "several processes on GPUs")
        if nccl
        else Finding("nccl", "absent", without, remedy),
    ]
