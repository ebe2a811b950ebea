"""Pictures tiled on one sheet."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ..errors import MaskSSLError

_LINE, _FRAME = 14, 4  # pixels


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


def framed(
    picture: Image.Image, side: int, caption: str = "", frame: str | None = None
) -> Image.Image:
    """A picture ``side`` wide, in a coloured frame where there is one, above a line of words."""
    height = round(side * picture.height / picture.width)
    cell = Image.new("RGB", (side, height + (_LINE if caption else 0)), "white")
    cell.paste(picture.convert("RGB").resize((side, height), Image.Resampling.BICUBIC))
    pen = ImageDraw.Draw(cell)
    if frame:
        pen.rectangle((0, 0, side - 1, height - 1), outline=frame, width=_FRAME)
    while caption and pen.textlength(caption) > side - 4:
        caption = f"{caption.rstrip('…')[:-1]}…"
    pen.text((2, height + 1), caption, fill=frame or "black")
    return cell


def grid_of(rows: Sequence[Sequence[Image.Image]], titles: Sequence[str], side: int) -> Image.Image:
    """Lay pictures of one width in rows, under the titles of their columns.

    Args:
        rows: pictures, ``side`` wide; the first row is whole.
        titles: one per column.
        side: width of a cell in pixels.
    """
    gap, head = 4, 18
    height = max(picture.height for row in rows for picture in row)
    size = len(titles) * (side + gap) + gap, head + len(rows) * (height + gap)
    page = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(page)
    for x, (title, _) in enumerate(zip(titles, rows[0], strict=True)):
        draw.text((gap + x * (side + gap) + 2, 3), title, fill="black")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            page.paste(picture, (gap + x * (side + gap), head + y * (height + gap)))
    return page
