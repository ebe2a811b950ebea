"""Pictures tiled on one sheet."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

_LINE, _FRAME = 14, 4  # pixels


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
