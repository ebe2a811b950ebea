"""Members of tar files under addresses that mmengine's fileio reads like file names.

``tar://SHARD#START+SIZE#MEMBER``: so every loading transform, mmcv's included, every picture hook
and every error message takes a member of a shard for a file.
"""

import os
import re
from functools import lru_cache
from pathlib import Path

from mmengine.fileio import BaseStorageBackend, register_backend

from ...errors import MaskSSLError

_OPEN_SHARDS = 128  # per process; systems allow 1024 files, and loaders need some of them
_URI = re.compile(r"tar://([^#]*)#(\d+)\+(\d+)#(.*)", re.DOTALL)


class TarMemberError(MaskSSLError):
    """A member of a tar file cannot be read where the index has it."""


def member_uri(shard: str, start: int, size: int, member: str) -> str:
    """The address of ``size`` bytes from byte ``start`` of a shard.

    Raises:
        TarMemberError: a name holds what would make the address ambiguous.
    """
    if "#" in shard or "://" in shard or "://" in member:
        raise TarMemberError(
            f"{member} in {shard} has no address, as the shard's path has '#' or one of the names "
            "'://'; rename it"
        )
    return f"tar://{shard}#{start}+{size}#{member}"


@register_backend("tar", prefixes="tar", force=True)
class TarBackend(BaseStorageBackend):
    """Reads members of local tar files; knows ``get`` and ``get_text`` only."""

    def get(self, filepath: str | Path) -> bytes:
        """The bytes of a member, by its address.

        Raises:
            TarMemberError: names shard and member, and what is wrong.
        """
        match = _URI.fullmatch(str(filepath))
        if match is None:
            raise TarMemberError(f"{filepath} is no address tar://SHARD#START+SIZE#MEMBER")
        shard, start, size, member = match[1], int(match[2]), int(match[3]), match[4]
        try:
            data = _opened(shard).read(start, size)
        except OSError as error:
            raise TarMemberError(
                f"{member} in {shard} cannot be read ({error.strerror}); bring the shard back, or "
                "start again to index those that are there"
            ) from error
        if len(data) < size:
            raise TarMemberError(
                f"{shard} ends within {member}: {len(data):,} of {size:,} bytes behind byte "
                f"{start:,}; write the shard anew and start again, which indexes it"
            )
        return data

    def get_text(self, filepath: str | Path, encoding: str = "utf-8") -> str:
        """The text of a member, by its address."""
        return self.get(filepath).decode(encoding)


class _Shard:
    """An open shard, closed when the last one who reads it lets go."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, start: int, size: int) -> bytes:
        # pread moves no position: forked workers and threads share the descriptor
        return os.pread(self.descriptor, size, start)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


@lru_cache(maxsize=_OPEN_SHARDS)
def _opened(shard: str) -> _Shard:
    return _Shard(shard)
