"""How many layers something may have."""

from ...errors import MaskSSLError


def checked_depth(owner: str, num_layers: int) -> int:
    """``num_layers``, of which there is one at least.

    Args:
        owner: what has them, as the message names it.
        num_layers: as given.

    Raises:
        MaskSSLError: there would be none.
    """
    if num_layers < 1:
        raise MaskSSLError(f"num_layers={num_layers} leaves {owner} without a layer; use 1 or more")
    return num_layers
