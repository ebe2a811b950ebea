"""How many forwards make an optimizer step."""

from mmengine.optim import OptimWrapper


def accumulation_of(wrapper: OptimWrapper) -> int:
    """The config's ``accumulative_counts``, which mmengine's wrappers do not tell by a public name.

    Args:
        wrapper: built, or one around it.
    """
    return wrapper._accumulative_counts
