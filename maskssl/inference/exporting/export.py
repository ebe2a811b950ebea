"""Write a backbone for another library, load it back by that library, and compare."""

import tempfile
from pathlib import Path

import torch

from ...errors import MaskSSLError
from ..backbone import PretrainedViT
from .huggingface import HUGGINGFACE
from .mmpretrain import MMPRETRAIN_TARGET
from .onnx import ONNX
from .plain import SAFETENSORS
from .target import Target
from .timm import TIMM

TARGETS: dict[str, Target] = {
    target.name: target for target in (MMPRETRAIN_TARGET, TIMM, HUGGINGFACE, SAFETENSORS, ONNX)
}
TOLERANCE = 1e-4


def export_backbone(backbone: PretrainedViT, to: str, folder: str | Path) -> float:
    """Write files that another library reads; they appear only when they compare.

    Args:
        backbone: of ``load_backbone``, with all its blocks and out_type 'tokens'.
        to: a key of ``TARGETS``.
        folder: made when missing; files of the same names are replaced.

    Returns:
        The largest difference of a feature, of the library's model and ours, over three images.

    Raises:
        MaskSSLError: the target cannot express the backbone, is not installed, or computes
            something else.
    """
    if to not in TARGETS:
        raise MaskSSLError(f"--to {to!r} is unknown; use one of {', '.join(TARGETS)}")
    if backbone.out_type != "tokens" or len(backbone.blocks) < backbone.num_layers:
        raise MaskSSLError(
            f"a backbone with out_type={backbone.out_type!r} and {len(backbone.blocks)} of "
            f"{backbone.num_layers} blocks is not exported; load it with out_type='tokens' and "
            "without out_indices"
        )
    target, folder = TARGETS[to], Path(folder)
    target.check_installed()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as part:
        target.write(backbone, Path(part))
        difference = _difference(backbone, target, Path(part))
        if not difference <= TOLERANCE:
            raise MaskSSLError(
                f"{to} computes features that differ by up to {difference:.2g} from ours "
                f"(allowed: {TOLERANCE:g}), and nothing was written; --to safetensors keeps "
                "everything"
            )
        for file in Path(part).iterdir():
            file.replace(folder / file.name)
    return difference


@torch.no_grad()
def _difference(backbone: PretrainedViT, target: Target, folder: Path) -> float:
    generator = torch.Generator().manual_seed(0)
    channels = backbone.patch_embed.proj.in_channels
    model = target.reload(backbone, folder)
    found: list[torch.Tensor] = []
    for size in target.sizes(backbone):
        images = torch.randn(3, channels, *size, generator=generator)
        ours, theirs = backbone(images)[-1], model(images)
        if ours.shape != theirs.shape:
            return float("inf")
        found.append((ours - theirs).abs().max())
    return torch.stack(found).max().item()  # NaN, if one is: Python's max would lose it
