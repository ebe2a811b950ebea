"""ONNX: tokens of any number of images of the backbone's size, run by onnxruntime."""

from pathlib import Path

import torch
from torch import Tensor, nn

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


def write(backbone: PretrainedViT, folder: Path) -> None:
    """One file for images of ``img_size``; settings and ledger travel in its metadata.

    The number of images is free. Their size is not: positions are fitted to it beforehand.
    """
    import onnx

    inexpressible(backbone, "ONNX", autocast=backbone.autocast)
    height, width = backbone.img_size
    example = torch.zeros(2, backbone.patch_embed.proj.in_channels, height, width)
    batch = torch.export.Dim("batch", min=1)
    program = torch.onnx.export(
        _Tokens(backbone).eval(),
        (example,),
        dynamo=True,
        input_names=["images"],
        output_names=["tokens"],
        dynamic_shapes=dict(images={0: batch}),
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


ONNX = Target("onnx", write, reload, packages=("onnx", "onnxscript", "onnxruntime"))
