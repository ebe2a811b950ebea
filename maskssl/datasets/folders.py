"""Image files in folders."""

from collections.abc import Iterator
from pathlib import Path

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".webp", ".tif", ".tiff")


def image_files(path: str | Path) -> Iterator[Path]:
    """Images below a folder at any depth, sorted, or the path itself when it is a file."""
    path = Path(path)
    if path.is_file():
        yield path
    else:
        yield from sorted(file for file in path.rglob("*") if is_image(file))


def holds_images(folder: Path) -> bool:
    """Whether a folder holds an image at any depth; stops at the first."""
    return any(is_image(file) for file in folder.rglob("*"))


def is_image(file: Path) -> bool:
    """Whether a path ends like an image."""
    return file.suffix.lower() in ENDINGS
