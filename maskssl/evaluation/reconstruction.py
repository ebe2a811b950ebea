"""Pictures of what a pretrained model fills in."""

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.dataset import Compose, default_collate
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from PIL import Image, ImageDraw
from torch import Tensor

from ..checkpoints.reading import checkpoint_at, read_checkpoint
from ..datasets.folders import image_files
from ..engine.launching.config import load_config
from ..models.algorithms.bootmae import BootMAE
from ..models.layers.patches import paste_prediction, spread

MASK_GREY = 0.5
TITLES = ("original", "masked input", "reconstruction")


@torch.no_grad()
def reconstruct(
    model: BootMAE,
    images: Tensor,
    ids_shuffle: Tensor | None = None,
    data_samples: list | None = None,
) -> list[Tensor]:
    """Original, masked input and reconstruction, each (B, 3, H, W) in 0..1 RGB.

    Args:
        model: in any mode; it is left as it was.
        images: (B, 3, H, W), normalised by the model's preprocessor.
        ids_shuffle: (B, N) ordering; from the samples' block masks when None.
        data_samples: with block masks.
    """
    was_training = model.training
    model.eval()
    split = model.draw_split(images, data_samples, ids_shuffle)
    prediction, _ = model.predict_targets(images, split)
    model.train(was_training)
    mask = split.mask.unflatten(1, model.backbone.grid_size)
    filled = paste_prediction(images, prediction, mask)
    mean, std = model.data_preprocessor.mean, model.data_preprocessor.std
    original, filled = (((x * std + mean) / 255).clamp(0, 1).cpu() for x in (images, filled))
    hidden = spread(mask[:, None].float(), images.shape[-1] // mask.shape[-1]).cpu()
    return [original, original * (1 - hidden) + MASK_GREY * hidden, filled]


def picture_grid(
    columns: Sequence[Tensor], titles: Sequence[str] = TITLES, side: int = 128
) -> Image.Image:
    """Lay columns of images side by side under their titles.

    Args:
        columns: per column (B, 3, H, W) in 0..1 RGB.
        titles: one per column.
        side: width of a cell in pixels; small images are enlarged without smoothing.
    """
    rows, gap, head = len(columns[0]), 4, 18
    height = round(side * columns[0].shape[-2] / columns[0].shape[-1])
    page = Image.new(
        "RGB", (len(columns) * (side + gap) + gap, head + rows * (height + gap)), "white"
    )
    draw = ImageDraw.Draw(page)
    for x, (column, title) in enumerate(zip(columns, titles, strict=True)):
        left = gap + x * (side + gap)
        draw.text((left + 2, 3), title, fill="black")
        for y, image in enumerate(column):
            array = (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
            nearest = array.shape[1] < side
            method = Image.Resampling.NEAREST if nearest else Image.Resampling.BICUBIC
            cell = Image.fromarray(array).resize((side, height), method)
            page.paste(cell, (left, head + y * (height + gap)))
    return page


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
        ValueError: no images, or a checkpoint that does not fit the model.
    """
    cfg = load_config(config)
    init_default_scope(cfg.get("default_scope", "mmpretrain"))
    files = [path for name in images for path in image_files(name)][:limit]
    if not files:
        raise ValueError(f"no images in {', '.join(images)}; give files or folders of images")
    model = MODELS.build(cfg.model)
    weights = read_checkpoint(checkpoint_at(checkpoint)).get("state_dict", {})
    ours, theirs = (
        {name: value.shape for name, value in x.items()} for x in (model.state_dict(), weights)
    )
    if ours != theirs:
        differing = sorted({name for name, _ in ours.items() ^ theirs.items()})
        raise ValueError(
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
