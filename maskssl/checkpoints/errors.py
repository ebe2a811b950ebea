"""What can be wrong with a checkpoint."""


class CheckpointError(ValueError):
    """A checkpoint cannot be read or does not fit."""


class DiskFullError(ValueError):
    """A file could not be written for want of space; nothing of it is left."""
