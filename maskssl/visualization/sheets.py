"""Pictures tiled on one sheet."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import MaskSSLError


def tile_pictures(
    files: Sequence[str | Path], path: str | Path, width: int = 384, columns: int = 2
) -> None:
    """Tile pictures of equal shape on one sheet.

    Args:
        files: pictures.
        path: PNG to write.
        width: of a tile in pixels.
        columns: tiles side by side.

    Raises:
        MaskSSLError: there are no pictures.
    """
    if not files:
        raise MaskSSLError(f"no pictures to put on {path}")
    images = [Image.open(file).convert("RGB") for file in files]
    height = round(width * float(np.median([im.height / im.width for im in images])))
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (width + 6), rows * (height + 6)), "white")
    for index, image in enumerate(images):
        place = (index % columns * (width + 6) + 3, index // columns * (height + 6) + 3)
        sheet.paste(image.resize((width, height), Image.Resampling.LANCZOS), place)
    sheet.save(path)
