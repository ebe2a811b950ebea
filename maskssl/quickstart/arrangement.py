"""Folders of links, in the layouts that ``maskssl transfer`` reads, to files wherever they lie."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from ..errors import MaskSSLError


@dataclass(frozen=True)
class Arrangement:
    """What a folder is to hold; nothing is written before ``write``.

    Attributes:
        links: path below the folder -> file or folder that it links to.
        texts: path below the folder -> what is written there.
    """

    links: Mapping[str, Path]
    texts: Mapping[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Make the folder anew.

        Raises:
            MaskSSLError: a path that leads out of the folder, or a disk that holds no links.
        """
        if folder.exists():
            shutil.rmtree(folder)
        for name, target in self.links.items():
            if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
                raise MaskSSLError(f"{name} leads out of its folder; give names below it")
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                os.symlink(target, folder / name)
            except OSError as error:
                raise MaskSSLError(
                    f"{folder / name} cannot be a link ({error.strerror}); give another --out"
                ) from error
        for name, text in self.texts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, "utf-8", "surrogateescape")
