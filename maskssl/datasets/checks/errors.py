"""The one error of the data checks."""

from ...errors import MaskSSLError


class DataError(MaskSSLError):
    """Data that a config names is not there, or is not what the config says."""
