"""ONNX: tokens of any number of images of any size that patches divide, run by onnxruntime.

The position table is resized in the graph, by the source's rule. Relative positions are of one
size, and so is a graph that has them.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..backbone import PretrainedViT
from .plain import metadata
from .target import Model, Target, inexpressible

FILE = "model.onnx"


class _Tokens(nn.Module):
    """The last output alone, without the check of what was loaded."""

    def __init__(self, backbone: PretrainedViT) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        return self.backbone.encode(images)[-1]


def _any_size(backbone: PretrainedViT) -> bool:
    return backbone.blocks[0].rel_pos is None


def sizes(backbone: PretrainedViT) -> list[tuple[int, int]]:
    """Where the graph is compared: at its own size, and where it takes others at two of them."""
    (height, width), patch = backbone.img_size, backbone.patch_size
    others = [(height + 2 * patch, width + patch), (patch, 2 * patch)]
    return [backbone.img_size, *(others if _any_size(backbone) else [])]


def write(backbone: PretrainedViT, folder: Path) -> None:
    """One file; settings and ledger travel in its metadata."""
    import onnx

    inexpressible(backbone, "ONNX", autocast=backbone.autocast)
    height, width = backbone.img_size
    example = torch.zeros(2, backbone.patch_embed.proj.in_channels, height, width)
    free: dict[int, Any] = {0: torch.export.Dim("batch", min=1)}
    if _any_size(backbone):
        sides = (torch.export.Dim(name, min=1, max=1024) for name in ("rows", "columns"))
        free |= {axis: backbone.patch_size * side for axis, side in zip((2, 3), sides, strict=True)}
    # other kernels of attention lay their result out as its decomposition does not
    with sdpa_kernel(SDPBackend.MATH):
        program = torch.onnx.export(
            _Tokens(backbone).eval(),
            (example,),
            dynamo=True,
            input_names=["images"],
            output_names=["tokens"],
            dynamic_shapes=dict(images=free),
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    program.save(folder / FILE)
    model = onnx.load(folder / FILE)
    onnx.helper.set_model_props(model, metadata(backbone))
    onnx.save(model, folder / FILE)


def reload(backbone: PretrainedViT, folder: Path) -> Model:
    """By onnxruntime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / FILE), providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, dict(images=images.numpy()))[0])

    return run


ONNX = Target("onnx", write, reload, packages=("onnx", "onnxscript", "onnxruntime"), sizes=sizes)
