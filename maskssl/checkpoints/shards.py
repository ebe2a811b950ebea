"""Checkpoints in shares: tensors in a folder that all processes write, the rest in the file.

``epoch_3.pth`` then holds everything but tensors, and under 'shards' the name of the folder
beside it with size and SHA-256 of every file there. The folder is complete on the disk
before the file is, and has a name of its own at each save, so the file never speaks of
anything but what it was written with. Tensors are torch.distributed.checkpoint's: any
number of processes reads what another number has written, one process alone included.
"""

import copy
import errno
import hashlib
import pickle
import secrets
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from mmengine.dist import (
    all_gather_object,
    barrier,
    broadcast_object_list,
    get_rank,
    is_main_process,
)
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorStorageMetadata

from .errors import CheckpointError
from .hidden_files import hidden_name, nothing_left, sync_folder

KEY = "shards"  # of the checkpoint's content
SUFFIX = ".shards"  # of the folder
INDEX = ".metadata"  # which file holds which part of which tensor; torch's name
_CHUNK = 1 << 22  # bytes
# what a folder's index is made of; anything else in it could run code
_INDEX_CLASSES = {
    "pathlib": {"PosixPath"},
    "torch": {"Size", "float32", "float64", "float16", "bfloat16", "int64", "int32", "bool"},
    "torch.serialization": {"_get_layout"},
    "torch.distributed.checkpoint.filesystem": {"_StorageInfo"},
    "torch.distributed.checkpoint.metadata": {
        *("ChunkStorageMetadata", "Metadata", "_MEM_FORMAT_ENCODING"),
        *("MetadataIndex", "StorageMeta", "TensorProperties", "TensorStorageMetadata"),
    },
}

# (path, size, dtype) -> the tensor to read into
Allocate = Callable[[str, torch.Size, torch.dtype], Tensor]


def take_out(node: Any, found: dict[str, Tensor], path: str = "") -> Any:
    """A copy of nested dicts and lists with None for tensors, which ``found`` collects.

    Args:
        node: e.g. ``dict(state_dict=..., optimizer=...)``.
        found: gets 'state_dict/backbone.cls_token', 'optimizer/state/0/exp_avg' and so on.
        path: of the node.
    """
    if isinstance(node, Tensor):
        found[path] = node
        return None
    if isinstance(node, dict):
        rest = copy.copy(node)  # a state_dict's _metadata too
        for key, value in node.items():
            rest[key] = take_out(value, found, _join(path, key))
        return rest
    if isinstance(node, (list, tuple)):
        return type(node)(take_out(value, found, _join(path, i)) for i, value in enumerate(node))
    return node


def put_back(node: Any, tensors: Mapping[str, Tensor], path: str = "") -> Any:
    """The inverse of ``take_out``; dicts are filled in place."""
    if node is None:
        return tensors.get(path)
    if isinstance(node, dict):
        for key, value in node.items():
            node[key] = put_back(value, tensors, _join(path, key))
    elif isinstance(node, (list, tuple)):
        return type(node)(put_back(value, tensors, _join(path, i)) for i, value in enumerate(node))
    return node


def write_shards(tensors: Mapping[str, Tensor], checkpoint: str | Path) -> dict[str, Any]:
    """Write the shares of all processes; every process calls it.

    Args:
        tensors: by path; DTensors are written by those that hold them, others by the first.
        checkpoint: the file that will name the folder, on a file system that all share.

    Returns:
        What belongs under KEY in the file's content, on every process.

    Raises:
        DiskFullError: on every process, if one had no space; nothing is left.
    """
    checkpoint = Path(checkpoint)
    final = checkpoint.with_name(f"{checkpoint.stem}.{secrets.token_hex(4)}{SUFFIX}")
    agreed = [final, hidden_name(final)]
    broadcast_object_list(agreed)
    final, hidden = agreed
    needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    own_to_remove = [hidden] if is_main_process() else []
    with nothing_left(checkpoint, lambda: needed, *own_to_remove):
        try:
            # what all have (BN's statistics, counters) is the first one's, as in whole files
            planner = DefaultSavePlanner(dedup_save_to_lowest_rank=True)
            dcp.save(dict(tensors), checkpoint_id=hidden, planner=planner)  # the index last
        except CheckpointException as error:  # the same on every process
            raise _cause(error, checkpoint.parent) from error
        files = _facts_of_all(hidden)
        if is_main_process():
            sync_folder(hidden)
            hidden.rename(final)
            sync_folder(checkpoint.parent)
    barrier()  # it is there when any process goes on
    return dict(folder=final.name, files=files)


def fill(content: dict[str, Any], checkpoint: str | Path, allocate: Allocate | None = None) -> None:
    """Read the tensors into the content of a checkpoint; each process reads for itself.

    Args:
        content: of the file.
        checkpoint: the file.
        allocate: gives the tensor to read into; a DTensor gets this process's share.
            None reads everything.

    Raises:
        CheckpointError: the folder is missing, incomplete, or its index holds other things.
    """
    facts = content.pop(KEY)
    folder = shards_folder(checkpoint, facts["folder"])
    if reason := _incomplete(folder, facts):
        raise CheckpointError(f"{checkpoint} keeps its tensors in a folder, and {reason}")
    reader = _Reader(folder)
    allocate = allocate or (lambda path, size, dtype: torch.empty(size, dtype=dtype))
    tensors = {
        path: allocate(path, entry.size, entry.properties.dtype)
        for path, entry in reader.read_metadata().state_dict_metadata.items()
        if isinstance(entry, TensorStorageMetadata)
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")  # as asked for
        dcp.load(tensors, storage_reader=reader, no_dist=True)
    put_back(content, tensors)


def check_shards(checkpoint: str | Path, facts: dict[str, Any]) -> str | None:
    """Why the folder of a checkpoint is not whole; None if it is. Every file is read."""
    folder = shards_folder(checkpoint, facts["folder"])
    if reason := _incomplete(folder, facts):
        return reason
    for name, known in facts["files"].items():
        if sha256_of(folder / name) != known["sha256"]:
            return f"{folder.name}/{name} is damaged: its SHA-256 is another one"
    return None


def shards_folder(checkpoint: str | Path, name: str) -> Path:
    """Beside the file, whatever the name says."""
    return Path(checkpoint).with_name(Path(name).name)


def orphans(folder: str | Path, named: Callable[[Path], str | None]) -> list[Path]:
    """Folders of shards that no checkpoint speaks of, left behind by a run that was killed.

    Args:
        folder: a work dir.
        named: the folder that a checkpoint file names; None where that is not known, which
            keeps all that may be its own.
    """
    found = []
    for shards in sorted(Path(folder).glob(f"*{SUFFIX}")):
        checkpoint = shards.with_name(shards.name.rsplit(".", 2)[0] + ".pth")
        if not checkpoint.exists() or named(checkpoint) not in (None, shards.name):
            found.append(shards)
    return found


def sha256_of(path: Path) -> str:
    """Of a file, hexadecimal."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()


class _Reader(FileSystemReader):
    """torch's, but an index that holds anything else than a description of tensors is refused."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        path = Path(self.path, INDEX)
        try:
            with path.open("rb") as file:
                found = _IndexUnpickler(file).load()
        except (pickle.UnpicklingError, EOFError, AttributeError, ValueError) as error:
            raise CheckpointError(f"{path} is no index of shards: {error}") from error
        found.storage_meta = found.storage_meta or StorageMeta()
        found.storage_meta.load_id = self.load_id
        return found


class _IndexUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name not in _INDEX_CLASSES.get(module, ()):
            raise pickle.UnpicklingError(f"it refers to {module}.{name}, which could run code")
        return super().find_class(module, name)


def _join(path: str, key: Any) -> str:
    return f"{path}/{key}" if path else str(key)


def _incomplete(folder: Path, facts: dict[str, Any]) -> str | None:
    for name, known in facts["files"].items():
        file = folder / Path(name).name
        if not file.is_file():
            return f"{file} is missing; copy {folder.name} along with the file"
        if file.stat().st_size != known["bytes"]:
            return f"{file} has {file.stat().st_size} bytes and not {known['bytes']}"
    return None


def _facts_of_all(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and checksum of every file; each process reads those that it has written."""
    mine = [*folder.glob(f"__{get_rank()}_*"), *([folder / INDEX] if is_main_process() else [])]
    facts = {
        path.name: dict(bytes=path.stat().st_size, sha256=sha256_of(path)) for path in sorted(mine)
    }
    return {name: known for part in all_gather_object(facts) for name, known in part.items()}


def _cause(error: CheckpointException, folder: Path) -> BaseException:
    """The first failure of any process; torch's writer may tell a full disk as a RuntimeError."""
    causes = [wrapped[0] for wrapped in error.failures.values()]
    for cause in causes:
        if isinstance(cause, OSError):
            return cause
    if shutil.disk_usage(folder).free < _CHUNK:
        return OSError(errno.ENOSPC, "No space left on device")
    return causes[0]
