"""What a pretraining sees of a user's images, and makes of them, as one picture."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, default_collate
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ..checkpoints.reading import checkpoint_at, read_checkpoint
from ..datasets.folders import image_files
from ..errors import MaskSSLError
from ..models.algorithms.bootmae import BootMAE
from ..visualization.masks import mask_sheet
from ..visualization.reconstruction import picture_grid, reconstruct
from .config import load_config


def draw_reconstructions(
    config: str, checkpoint: str, images: Sequence[str], out: str, limit: int = 8, seed: int = 0
) -> str:
    """Load a pretrained model and draw what it makes of some images.

    Args:
        config: of the pretraining; its pipeline prepares the images.
        checkpoint: all of its weights, or the work dir that holds them.
        images: files or folders.
        out: picture to write.
        limit: most images.
        seed: of crops and masks.

    Returns:
        The path written.

    Raises:
        MaskSSLError: no images, a method that predicts no pixels, or a checkpoint that does not fit
            the model.
    """
    cfg, files = load_config(config), _files(images, limit)
    model = _model(cfg)
    if not isinstance(model, BootMAE):
        raise MaskSSLError(
            f"{config} pretrains {type(model).__name__}, which predicts no pixels; what it learnt "
            f"is seen by maskssl visualize attention, pca or neighbours {checkpoint} IMAGES"
        )
    weights = read_checkpoint(checkpoint_at(checkpoint)).get("state_dict", {})
    load_whole(model, weights, checkpoint, config)
    pixels, samples = _batch(cfg, model, files, seed)
    picture_grid(reconstruct(model, pixels, data_samples=samples)).save(out)
    return out


def draw_masks(config: str, images: Sequence[str], out: str, limit: int = 6, seed: int = 0) -> str:
    """Draw what a pretraining hides of some images.

    Args:
        config: of the pretraining; its pipeline prepares the images.
        images: files or folders.
        out: picture to write.
        limit: most images.
        seed: of crops and masks.

    Returns:
        The path written.

    Raises:
        MaskSSLError: no images, or a model that masks none.
    """
    cfg, files = load_config(config), _files(images, limit)
    model = _model(cfg)
    pixels, samples = _batch(cfg, model, files, seed)
    mask_sheet(model, pixels, samples).save(out)
    return out


def load_whole(
    model: nn.Module, weights: Mapping[str, Tensor], checkpoint: str, config: str
) -> None:
    """Load all weights of a pretraining, or none.

    Raises:
        MaskSSLError: they are not those of the model.
    """
    ours, theirs = (
        {name: value.shape for name, value in x.items()} for x in (model.state_dict(), weights)
    )
    if ours != theirs:
        differing = sorted({name for name, _ in ours.items() ^ theirs.items()})
        raise MaskSSLError(
            f"{checkpoint} is no checkpoint of {config}: {len(differing)} tensors are missing, "
            f"unexpected or of another shape ({', '.join(differing[:3])}…); give the config that "
            "it was trained with"
        )
    model.load_state_dict(weights)


def _files(images: Sequence[str], limit: int) -> list[Any]:
    files = [path for name in images for path in image_files(name)]
    if not files:
        raise MaskSSLError(f"no images in {', '.join(images)}; give files or folders of images")
    count = min(limit, len(files))
    return [files[place * len(files) // count] for place in range(count)]  # over all classes


def _model(cfg: Config) -> nn.Module:
    init_default_scope(cfg.get("default_scope", "mmpretrain"))
    return MODELS.build(cfg.model)


def _batch(cfg: Config, model: nn.Module, files: Sequence[Any], seed: int) -> tuple[Tensor, list]:
    """Images (B, 3, H, W), normalised, and their samples, as training has them."""
    if not cfg.get("train_dataloader"):
        raise MaskSSLError("the config trains nothing; name that of a pretraining")
    torch.manual_seed(seed)
    np.random.seed(seed)
    pipeline = Compose(cfg.train_dataloader.dataset.pipeline)
    batch = default_collate([pipeline(dict(img_path=str(file))) for file in files])
    batch = model.data_preprocessor(batch, training=True)
    inputs = batch["inputs"]
    return inputs if isinstance(inputs, Tensor) else inputs[0], batch["data_samples"]
