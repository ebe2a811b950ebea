"""Draw what a pretrained model makes of a user's images."""

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.dataset import Compose, default_collate
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from torch import Tensor

from ..checkpoints.reading import checkpoint_at, read_checkpoint
from ..datasets.folders import image_files
from ..errors import MaskSSLError
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
        MaskSSLError: no images, or a checkpoint that does not fit the model.
    """
    cfg = load_config(config)
    init_default_scope(cfg.get("default_scope", "mmpretrain"))
    files = [path for name in images for path in image_files(name)][:limit]
    if not files:
        raise MaskSSLError(f"no images in {', '.join(images)}; give files or folders of images")
    model = MODELS.build(cfg.model)
    weights = read_checkpoint(checkpoint_at(checkpoint)).get("state_dict", {})
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
    torch.manual_seed(seed)
    np.random.seed(seed)
    pipeline = Compose(cfg.train_dataloader.dataset.pipeline)
    batch = default_collate([pipeline(dict(img_path=str(file))) for file in files])
    batch = model.data_preprocessor(batch, training=True)
    inputs = batch["inputs"]
    pixels = inputs if isinstance(inputs, Tensor) else inputs[0]
    picture_grid(reconstruct(model, pixels, data_samples=batch["data_samples"])).save(out)
    return out
