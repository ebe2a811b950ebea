"""What an image file says of itself: size, channels, bits, orientation, and whether it is whole."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from ..transforms.channels import read_channels
from ..transforms.loading import UNREADABLE
from .errors import DataError

QUICK = 64  # files of a loader that are opened where not all are

Look = Callable[[str | Path], "Picture"]

_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
_PNG_DEPTH = 24  # position of the bit depth in a PNG
_BITS_PER_SAMPLE = 258  # TIFF tag
_DOUBT = 0.01  # chance at most that a sample condemns a set of no more than is allowed


class UnreadablePictureError(DataError):
    """A file that should be an image is missing, cut short, or none."""


@dataclass(frozen=True)
class Picture:
    """The head of an image file.

    Attributes:
        path: of the file.
        width: columns of the file's own raster.
        height: its rows.
        mode: Pillow's, e.g. 'RGB', 'L', 'P', 'RGBA', 'I;16'.
        bits: of a channel.
        orientation: EXIF's, 1 to 8; 1 is upright.
        highest: stored value, where it was looked for.
    """

    path: str
    width: int
    height: int
    mode: str
    bits: int = 8
    orientation: int = 1
    highest: float | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as stored."""
        return self.width, self.height

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height once EXIF's orientation is applied."""
        sideways = self.orientation in _SIDEWAYS
        return (self.height, self.width) if sideways else (self.width, self.height)

    def loaded(self, applies_orientation: bool) -> tuple[int, int]:
        """Width and height as a loading transform gives them."""
        return self.upright if applies_orientation else self.size


def sample(count: int, limit: int | None = QUICK) -> list[int]:
    """Numbers from 0 to count - 1, evenly spread, ``limit`` of them or all."""
    if limit is None or count <= limit:
        return list(range(count))
    return [number * count // limit for number in range(limit)]


def look_at(path: str | Path) -> Picture:
    """Open an image and decode all of it.

    Raises:
        UnreadablePictureError: names the file and what is wrong with it.
    """
    try:
        with Image.open(path) as image:
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            picture = Picture(
                str(path),
                *image.size,
                image.mode,
                bits_of(image, path),
                orientation if orientation in range(1, 9) else 1,
            )
            image.load()
    except FileNotFoundError as error:
        raise UnreadablePictureError(f"there is no file {path}") from error
    except UNREADABLE as error:
        raise UnreadablePictureError(
            f"{path} cannot be read as an image ({_reason(error, Path(path))})"
        ) from error
    return picture


def look_at_channels(path: str | Path, channels: int) -> Picture:
    """Open an image or array as LoadChannels does.

    Raises:
        UnreadablePictureError: it cannot be read.
        DataError: it has other channels.
    """
    try:
        stored = read_channels(str(path))
    except FileNotFoundError as error:
        raise UnreadablePictureError(f"there is no file {path}") from error
    except UNREADABLE as error:
        raise UnreadablePictureError(
            f"{path} cannot be read as an image or array ({error})"
        ) from error
    found = 1 if stored.ndim == 2 else stored.shape[2]
    if found != channels:
        raise DataError(
            f"{path} has {found} channels, and --channels {channels} asks for {channels} of every "
            "picture; write it anew, or give the number that all have"
        )
    height, width = stored.shape[:2]
    mode = f"{found} x {stored.dtype}"
    return Picture(str(path), width, height, mode, 8 * stored.itemsize, highest=float(stored.max()))


def range_notes(pictures: Sequence[Picture], high: float) -> list[str]:
    """Whether stored values use the range that they are said to have."""
    highest = max((picture.highest or 0 for picture in pictures), default=high)
    if high / 8 <= highest <= high:
        return []
    return [
        f"the highest value of {len(pictures)} pictures looked at is {highest:g}, and 255 stands "
        f"for {high:g}: give --value-range LOW HIGH as the values have it."
    ]


def bits_of(image: Image.Image, path: str | Path | None = None) -> int:
    """Bits of a channel: by an image's file, whose colours Pillow opens in 8, else by its mode."""
    if path and image.format == "PNG":
        with open(path, "rb") as file:
            return file.read(_PNG_DEPTH + 1)[_PNG_DEPTH]
    if image.format == "TIFF":
        bits = image.tag_v2.get(_BITS_PER_SAMPLE, 8)  # type: ignore[attr-defined]
        return max(bits) if isinstance(bits, tuple) else int(bits)
    return 32 if image.mode in ("I", "F") else 16 if image.mode.startswith("I;16") else 8


def _reason(error: Exception, path: Path) -> str:
    if path.is_file() and path.stat().st_size == 0:
        return "it is empty"
    if isinstance(error, UnidentifiedImageError):
        with open(path, "rb") as file:
            return f"it starts with {file.read(12)!r}"
    return str(error)


def look_at_all(
    paths: Iterable[str],
    allowed: float,
    consequence: Callable[[str, int, int], str],
    look: Look = look_at,
    among: int | None = None,
) -> tuple[list[Picture], list[str]]:
    """Look at images, of which a share may be unreadable.

    A sample is judged with care: of 64 files one is more than 1%, and says little of 6,400.

    Args:
        paths: files.
        allowed: share of them that may be unreadable.
        consequence: of (first message, unreadable, looked at), what to say if they are more.
        look: opens one.
        among: files of which these are a sample; None where they are all.

    Returns:
        Those that can be read, and the messages of the others.

    Raises:
        DataError: more than allowed are unreadable, certainly or by all that a sample can tell.
    """
    pictures, unreadable = [], []
    for path in paths:
        try:
            pictures.append(look(path))
        except UnreadablePictureError as error:
            unreadable.append(str(error))
    total = len(pictures) + len(unreadable)
    if _are_more(len(unreadable), total, allowed, total if among is None else among):
        raise DataError(consequence(unreadable[0], len(unreadable), total))
    return pictures, unreadable


def _are_more(unreadable: int, looked_at: int, allowed: float, files: int) -> bool:
    """Whether more than a share of all files are unreadable, by those that were looked at."""
    if unreadable > allowed * files:
        return True
    if looked_at == files:
        return False
    # of as many or more in a sample of a set that has just the share that is allowed
    chance = sum(
        math.comb(looked_at, n) * allowed**n * (1 - allowed) ** (looked_at - n)
        for n in range(unreadable, looked_at + 1)
    )
    return chance < _DOUBT


def check_depth(pictures: Sequence[Picture]) -> None:
    """Refuse what an 8-bit pipeline would load as something else.

    Raises:
        DataError: more than 8 bits, whose upper 8 alone would be kept, or colours of CIE Lab.
    """
    for picture in pictures:
        # OpenCV makes more red and less blue of it than Pillow, which converts by profiles
        if picture.mode == "LAB":
            raise DataError(
                f"{picture.path} is in the colours of CIE Lab, which loading would make yellowish; "
                "convert such files to RGB"
            )
        if picture.bits > 8 or picture.mode in ("I", "F"):
            raise DataError(
                f"{picture.path} has {picture.bits} bits a channel, of which loading keeps the "
                "upper 8, so that a 12-bit picture becomes nearly black; give --channels N "
                "--value-range LOW HIGH, which keep them, or scale such files to 8 bits"
            )


def check_raster(
    picture: Picture, annotated: tuple[int, int], where: str, applies_orientation: bool
) -> None:
    """Refuse annotations of another raster than the one that is loaded.

    Args:
        picture: the image.
        annotated: width and height that the annotations speak of.
        where: the file that says so.
        applies_orientation: whether loading turns pictures upright by EXIF.

    Raises:
        DataError: names both files and sizes, and the remedy.
    """
    loaded = picture.loaded(applies_orientation)
    if annotated == loaded:
        return
    other = picture.loaded(not applies_orientation)
    if annotated == other:
        drawn, wanted = (
            ("the file's own raster", "color_ignore_orientation")
            if applies_orientation
            else ("the upright picture", "color")
        )
        raise DataError(
            f"{picture.path} is turned by EXIF (orientation {picture.orientation}), and its "
            f"annotations in {where} are drawn on {drawn}: set color_type={wanted!r} for LoadImage "
            "in the train and test pipelines, or write the pictures anew, upright"
        )
    raise DataError(
        f"{where} speaks of {annotated[0]} x {annotated[1]} pixels, and {picture.path} has "
        f"{loaded[0]} x {loaded[1]}; bring the picture that was annotated, or correct the "
        "annotations"
    )


def orientation_notes(pictures: Sequence[Picture]) -> list[str]:
    """What EXIF leaves open: turns that sizes do not show."""
    open_ones = [
        picture
        for picture in pictures
        if picture.orientation != 1 and picture.size == picture.upright
    ]
    if not open_ones:
        return []
    first = open_ones[0]
    return [
        f"{len(open_ones)} of {len(pictures)} pictures looked at are turned or mirrored by EXIF "
        f"in a way that their size does not show, e.g. {first.path} (orientation "
        f"{first.orientation}): see with --show that annotations lie where they should."
    ]
