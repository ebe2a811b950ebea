"""Pictures beside those whose features are nearest to theirs."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from .sheets import framed, grid_of

RIGHT, WRONG = "#18843a", "#d22222"


@dataclass(frozen=True)
class Found:
    """A picture on the sheet.

    Attributes:
        picture: it.
        caption: below it.
        right: whether its class is the query's; None where that is not asked.
    """

    picture: Image.Image
    caption: str
    right: bool | None = None


def neighbour_grid(rows: Sequence[Sequence[Found]], side: int = 112) -> Image.Image:
    """Lay each query in front of its neighbours, framed green if of its class, red if of another.

    Args:
        rows: query, then its neighbours, the nearest first; all rows are of one length.
        side: width of a picture in pixels.
    """
    frames = {True: RIGHT, False: WRONG, None: None}
    cells = [[framed(f.picture, side, f.caption, frames[f.right]) for f in row] for row in rows]
    titles = ["query", *(f"neighbour {number}" for number in range(1, len(rows[0])))]
    return grid_of(cells, titles, side)
