"""Configs find every part of the package by custom_imports alone."""

from pathlib import Path

import maskssl
from maskssl.registration import MODULES


def test_every_module_that_registers_a_part_is_imported():
    package = Path(maskssl.__file__).parent
    registering = {
        ".".join(path.relative_to(package).with_suffix("").parts)
        for path in package.rglob("*.py")
        if "\n@" in (text := path.read_text()) and ".register_module(" in text
    }
    assert registering == set(MODULES)
