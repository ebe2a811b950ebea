"""A pretrained encoder from any file that the loader reads."""

from pathlib import Path
from typing import Any

import torch

from ..models.backbones.plain_vit import PlainViT
from ..models.pretrained.architecture import pixels_of, pooling_of, vit_settings
from ..models.pretrained.ledger import Ledger
from ..models.pretrained.loading import load_weights, read_pretrained


class PretrainedViT(PlainViT):
    """A PlainViT that knows where its weights came from and how its images are normalised.

    Attributes:
        mean: per channel in RGB of 0..255.
        std: the same.
        img_size: (h, w) in pixels that its position table is for.
        ledger: what became of every tensor of the file.
        settings: arguments of PlainViT that it was built with.
        trained_pooling: what of its tokens the file says that a loss has trained; None: nothing.
    """

    trained_pooling: str | None = None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    img_size: tuple[int, int]
    ledger: Ledger
    settings: dict[str, Any]


def load_backbone(
    path: str | Path,
    out_type: str = "tokens",
    img_size: int | tuple[int, int] | None = None,
    branch: str | None = None,
    num_heads: int | None = None,
    unverified: bool = False,
    **settings: Any,
) -> PretrainedViT:
    """Build the encoder that a checkpoint holds, and load it completely or not at all.

    Architecture, patch size, tokens and positions follow from the tensors; the number of heads, eps
    and normalisation from the config in the file or beside it, or else as its source has them:
    ``ledger.assumed`` says which.

    Args:
        path: a checkpoint of any source that docs/sources.md lists, a folder with config.json, a
            URL, or a work dir, for its last one.
        out_type: 'tokens' (B, [1 +] [R +] N, C), 'cls' (B, C), 'avg' (B, C), or 'featmap'
            (B, C, h, w).
        img_size: side or (h, w) in pixels; default that of the pretraining. Positions are resized
            as the source's authors do.
        branch: 'student' or 'teacher'; None for the one that its authors evaluate.
        num_heads: for files that do not tell; instead of what they tell, as the ledger says.
        unverified: take sources too that were compared with nobody's code.
        settings: further arguments of PlainViT, e.g. ``out_indices`` or ``frozen_stages``; what
            the checkpoint has otherwise (``norm_eps``, ``pos_resize``), and another pooling, is
            taken as given; the ledger says so.

    Returns:
        The encoder in eval mode, with ``mean``, ``std``, ``img_size`` and ``ledger``. It returns a
        tuple, one output per out index.

    Raises:
        CheckpointError: no file, no known encoder, or nothing tells the number of heads.
        MaskSSLError: settings that do not go together.
    """
    file = read_pretrained(path, branch, unverified)
    told = vit_settings(file.weights, file.config, num_heads)
    if out_type != "cls":
        told["class_attention"] = None
    if img_size is not None:
        told["img_size"] = img_size
    told |= {"out_type": out_type, **settings}
    backbone = PretrainedViT(**told)
    backbone.settings = told
    heads = {"num_heads"} if num_heads or "arch" in settings else set()
    load_weights(backbone, file, accept={*settings, *heads, "pooling"})
    pixels = pixels_of(file.weights, file.config)
    backbone.mean, backbone.std = pixels.mean, pixels.std
    pooling, said = pooling_of(file.weights, file.config)
    backbone.trained_pooling = pooling if said else None
    height, width = backbone.grid_size
    backbone.img_size = (height * backbone.patch_size, width * backbone.patch_size)
    return backbone.eval()


def random_like(backbone: PretrainedViT, seed: int = 0) -> PretrainedViT:
    """The same architecture and preprocessing with the random weights that training starts from.

    Args:
        backbone: of ``load_backbone``.
        seed: of the weights.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        fresh = PretrainedViT(**backbone.settings)
    fresh.settings, fresh.img_size = backbone.settings, backbone.img_size
    fresh.mean, fresh.std = backbone.mean, backbone.std
    fresh.ledger = Ledger(f"random weights, seed {seed}")
    return fresh.eval()
