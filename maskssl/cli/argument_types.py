"""What an argument of a command may be: numbers, files and folders, looked at before any work."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path


def at_least(least: int) -> Callable[[str], int]:
    """An argument that is a whole number, and no smaller one."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text} is no whole number of {least} or more")
        return value

    return number


def output_folder(text: str) -> str:
    """An argument that names a folder to write into: where a file stands it is refused."""
    path = Path(text).expanduser()
    there = next(one for one in (path, *path.absolute().parents) if os.path.lexists(one))
    if not there.is_dir():
        raise argparse.ArgumentTypeError(f"{there} is no folder; give another")
    if not os.access(there, os.W_OK):
        raise argparse.ArgumentTypeError(f"{there} cannot be written into; give another folder")
    return str(Path(text).expanduser())  # --out=~/runs leaves the shell as it is written


def output_file(text: str) -> str:
    """An argument that names a file to write: its folder is made, or refused, before any work."""
    path = Path(text).expanduser()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        told = f"{path.parent}: {error.strerror}; no file fits there"
        raise argparse.ArgumentTypeError(told) from error
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text} cannot be written; give another file")
    return str(path)


# that Pillow and Matplotlib both write
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".pdf")


def output_picture(text: str) -> str:
    """An argument that names a picture to write; its ending says of which kind."""
    if Path(text).suffix.lower() not in _PICTURES:
        known = ", ".join(_PICTURES)
        raise argparse.ArgumentTypeError(f"{text} ends with none of {known}; give such a file")
    return output_file(text)
