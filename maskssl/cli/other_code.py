"""Code from outside the project, named on the command line as MODULE:FUNCTION."""

import importlib
from collections.abc import Callable
from typing import Any

from ..errors import MaskSSLError


def function_named(name: str) -> Callable[..., Any]:
    """The function.

    Args:
        name: MODULE:FUNCTION, as ``--against`` has it.

    Raises:
        MaskSSLError: it cannot be imported, or is not there.
    """
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise MaskSSLError(
            f"--against {name}: {error}; name MODULE:FUNCTION, with MODULE on PYTHONPATH"
        ) from error
