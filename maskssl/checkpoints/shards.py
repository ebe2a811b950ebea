"""Checkpoints in shares: tensors in a folder that all processes write, the rest in the file.

``epoch_3.pth`` then holds everything but tensors, and under 'shards' the name of the folder
beside it, size and SHA-256 of every file there, and which file holds which rows of which
tensor. The folder is complete on the disk before the file is, and has a name of its own at each
save, so the file never speaks of anything but what it was written with. Every process writes
one safetensors file. Any number of processes reads what another number has written, one process
alone included.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, broadcast_object_list, get_rank
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.tensor import DTensor, Shard

from .errors import CheckpointError
from .hidden_files import full_disk_told, hidden, sync_file, sync_folder

KEY = "shards"  # of the checkpoint's content
SUFFIX = ".shards"  # of the folder
_CHUNK = 1 << 22  # bytes


class StoredTensor:
    """A tensor that lies in shards; ``stored[2:5]`` reads these rows and no others.

    Attributes:
        shape: of the whole tensor.
    """

    def __init__(self, path: str, shape: list[int], parts: list[tuple[Any, int, int]]) -> None:
        self.shape = torch.Size(shape)
        self._path, self._parts = path, parts  # (open file, first row, last row + 1)

    def __getitem__(self, rows: slice) -> Tensor:
        """These rows, with positive bounds; ``[:]`` reads all, of a number too."""
        if not self.shape:
            return self._parts[0][0].get_tensor(self._path).clone()
        start = rows.start or 0
        stop = self.shape[0] if rows.stop is None else rows.stop
        found = [
            file.get_slice(self._path)[max(start, first) - first : min(stop, last) - first]
            for file, first, last in self._parts
            if max(start, first) < min(stop, last)
        ]
        if not found:
            file = self._parts[0][0]
            return file.get_slice(self._path)[0:0].clone()
        return torch.cat(found)


class ShardsWriter:
    """The shares of all processes on their way to the disk.

    All processes make one at the same time, each calls ``write``, in any thread of its own, and
    then all together ``finish``.

    Args:
        tensors: by path; copied. Of DTensors that are split by rows each process writes its own,
            other tensors are written by the first process.
        checkpoint: the file that will name the folder, on a file system that all share.
    """

    def __init__(self, tensors: Mapping[str, Tensor], checkpoint: str | Path) -> None:
        self._checkpoint = Path(checkpoint)
        self._shapes = {path: list(tensor.shape) for path, tensor in tensors.items()}
        self._own = _own_rows(tensors)
        self._told: _Told | OSError | None = None
        self._folder = ExitStack()  # keeps the hidden folder, in the first process
        name = f"{self._checkpoint.stem}.{secrets.token_hex(4)}{SUFFIX}"
        final = self._checkpoint.with_name(name)
        try:
            self._final, self._part = _by_first(
                lambda: (final, self._folder.enter_context(hidden(final, is_folder=True)))
            )
        except OSError as error:
            self._told = error

    def write(self) -> None:
        """Write this process's share; what fails is told by ``finish``."""
        if self._told is not None:
            return
        with ExitStack() as undo:  # nobody finishes what ends in another error
            undo.callback(self._folder.close)
            self._told = _written(self._own, self._part / f"{get_rank():05d}.safetensors")
            undo.pop_all()

    def finish(self, wanted: bool = True) -> dict[str, Any]:
        """Give the folder its name once every process has written, or remove it if not wanted.

        Returns:
            What belongs under KEY in the file's content, on every process.

        Raises:
            DiskFullError: on every process, if one had no space; nothing is left.
        """
        needed = sum(tensor.numel() * tensor.element_size() for tensor in self._own.values())
        with full_disk_told(self._checkpoint, lambda: needed), self._folder:
            told = all_gather_object(self._told)
            if not wanted:
                return {}
            for found in told:
                if isinstance(found, OSError):  # the same on every process
                    raise found
            _by_first(lambda: _complete(self._part, self._final))
        files = {name: known for name, known, _ in told}  # all see the folder by now
        return dict(folder=self._final.name, files=files, tensors=_index(self._shapes, told))


def stored_tensors(facts: dict[str, Any], checkpoint: str | Path) -> dict[str, StoredTensor]:
    """What a checkpoint keeps in its folder, by path; each process reads for itself.

    Args:
        facts: what stands under KEY in the content of the file.
        checkpoint: the file.

    Raises:
        CheckpointError: the folder is missing, incomplete, or of a former format.
    """
    folder = shards_folder(checkpoint, facts["folder"])
    if reason := _incomplete(folder, facts):
        raise CheckpointError(f"{checkpoint} keeps its tensors in a folder, and {reason}")
    try:
        files = {
            name: safe_open(folder / Path(name).name, framework="pt") for name in facts["files"]
        }
    except SafetensorError as error:
        raise CheckpointError(f"{folder} holds a file that is not safetensors: {error}") from error
    return {
        path: StoredTensor(
            path,
            known["shape"],
            [(files[name], first, last) for name, first, last in known["parts"]],
        )
        for path, known in facts["tensors"].items()
    }


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


def _complete(part: Path, final: Path) -> None:
    sync_folder(part)
    part.rename(final)
    sync_folder(final.parent)


def _by_first(action: Callable[[], Any]) -> Any:
    """What the first process gets from an action, on all; its OSError is raised on all too."""
    found: list[Any] = [None]
    if get_rank() == 0:
        try:
            found[0] = action()
        except OSError as error:
            found[0] = error
    broadcast_object_list(found)
    if isinstance(found[0], OSError):
        raise found[0]
    return found[0]


def _own_rows(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What this process writes, as CPU copies."""
    own = {}
    for path, tensor in tensors.items():
        if isinstance(tensor, DTensor):
            if tensor.placements != (Shard(0),):
                raise NotImplementedError(f"{path} is placed {tensor.placements}, not by rows")
            tensor = tensor.to_local()
            if not len(tensor):
                continue
        elif get_rank() != 0:  # what all have is the first one's, as in whole files
            continue
        own[path] = tensor.detach().to("cpu", copy=True).contiguous()
    return own


_Told = tuple[str, dict[str, Any], dict[str, int]]  # of one file: name, facts, path -> rows


def _written(own: dict[str, Tensor], file: Path) -> _Told | OSError:
    try:
        try:
            save_file(own, file)
        except SafetensorError as error:
            raise _as_os_error(error) from error
        file.chmod(file.parent.stat().st_mode & 0o666)  # it is made for its owner alone
        sync_file(file)
        facts = dict(bytes=file.stat().st_size, sha256=sha256_of(file))
    except OSError as error:
        return error  # raised by all processes together
    return file.name, facts, {path: len(t) if t.ndim else 1 for path, t in own.items()}


def _as_os_error(error: SafetensorError) -> Exception:
    """Safetensors tells the system's error in words alone."""
    code = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(code[1]), str(error)) if code else error


def _index(shapes: dict[str, list[int]], told: list[_Told]) -> dict[str, dict[str, Any]]:
    """Path -> shape, and (file, first row, last row + 1) of each part in the order of rows."""
    found: dict[str, dict[str, Any]] = {}
    for path, shape in shapes.items():
        parts, row = [], 0
        for name, _, rows in told:  # processes hold consecutive rows
            if path in rows:
                parts.append((name, row, row + rows[path]))
                row += rows[path]
        found[path] = dict(shape=shape, parts=parts)
    return found


def _incomplete(folder: Path, facts: dict[str, Any]) -> str | None:
    if "tensors" not in facts:
        return (
            f"{folder.name} is of a former release, whose pickled index is not read here; write "
            "the checkpoint as one file with that release: torch.save("
            "maskssl.checkpoints.reading.read_checkpoint(PATH), NEW_PATH)"
        )
    for name, known in facts["files"].items():
        file = folder / Path(name).name
        if not file.is_file():
            return f"{file} is missing; copy {folder.name} along with the file"
        if file.stat().st_size != known["bytes"]:
            return f"{file} has {file.stat().st_size} bytes and not {known['bytes']}"
    return None
