"""What can be wrong with a checkpoint."""

from ..errors import MaskSSLError


class CheckpointError(MaskSSLError):
    """A checkpoint cannot be read or does not fit."""


class DiskFullError(MaskSSLError):
    """A file could not be written for want of space; nothing of it is left."""
