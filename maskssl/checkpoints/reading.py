"""Read a checkpoint file safely, whoever wrote it."""

import argparse
import hashlib
import pickle
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .errors import CheckpointError
from .folders import POINTER, last_checkpoint, named_last
from .parts import SUFFIX, read_parts
from .plain import HISTORIES, mmengine_hub
from .shards import KEY, StoredTensor, stored_tensors
from .tree import map_leaves

# (path, tensor of a checkpoint) -> this process's share of it, wherever that belongs
Place = Callable[[str, Tensor | StoredTensor], Tensor]

# What a pickle that is damaged, or was written to be, may raise while it is parsed.
BROKEN = (
    RuntimeError, EOFError, zipfile.BadZipFile, OSError, ValueError, LookupError, TypeError,
    AttributeError, AssertionError, ArithmeticError, MemoryError, struct.error,
)  # fmt: skip
# Where the tensors may lie inside a file, most specific first.
CONTAINERS = ("state_dict", "model", "module")
# of a folder with config.json
WEIGHTS = tuple(
    f"{name}{end}" for name in ("model.safetensors", "pytorch_model.bin") for end in ("", SUFFIX)
)
_HASH_DIGITS = 8  # at least, in the name of a file that torch.hub publishes
MAGIC = (b"PK", b"\x80")  # a zip archive; a pickle, as torch wrote before 1.6
# How numpy rebuilds an array and a scalar; it has changed the name of their module.
_REBUILDERS: tuple[Any, ...] = (np.zeros(0).__reduce__()[0], np.float64().__reduce__()[0])


def _method(owner: Any, name: str) -> Any:
    """What stands in for getattr in a file: HistoryBuffer keeps its own methods, by name."""
    if owner is not HistoryBuffer and not isinstance(owner, HistoryBuffer):
        raise pickle.UnpicklingError(f"it takes {name!r} from something else than a HistoryBuffer")
    return getattr(owner, name)


# What checkpoints of mmengine's own (message hub, log buffers), of former releases of ours, numpy's
# arrays and the authors' files consist of; ours need none of it.
# torch calls what is listed, to rebuild an object, and nothing that _method finds.
ALLOWED = (
    slice,
    (_method, "builtins.getattr"),
    HistoryBuffer,
    argparse.Namespace,
    np.ndarray,
    np.dtype,
    *(
        (each, f"{home}.multiarray.{each.__name__}")
        for each in _REBUILDERS
        for home in ("numpy.core", "numpy._core")
    ),
    *{type(np.dtype(kind)) for kind in np.typecodes["AllInteger"] + np.typecodes["Float"] + "?"},
)


def checkpoint_at(path: str) -> str:
    """A checkpoint file or index: itself, the last of a work dir, a folder's, or a download.

    Raises:
        CheckpointError: nothing is there.
    """
    if "://" in path:
        return _downloaded(path)
    if Path(path).is_file():
        return path
    if named := named_last(path):
        last = last_checkpoint(path)
        if last is None:
            raise CheckpointError(
                f"{Path(path, POINTER)} names {named}, which is not there; give the file itself, "
                "wherever it is now"
            )
        return str(last)
    weights = [Path(path, name) for name in WEIGHTS if Path(path, name).is_file()]
    if weights:
        return str(weights[0])
    raise CheckpointError(
        f"there is no checkpoint at {path}; give a .pth or .safetensors file, the work dir of a "
        f"finished run, or a folder with {' or '.join(WEIGHTS)}"
    )


def _downloaded(url: str) -> str:
    """Where torch.hub keeps the file; it is fetched once, and its name's checksum compared.

    Many addresses end alike, in ``model.safetensors``: of a name that holds no checksum, each
    address has a folder of its own.
    """
    name = url.split("?")[0].rstrip("/").rsplit("/", 1)[-1]
    digits = torch.hub.HASH_REGEX.search(name)
    if digits and len(digits[1]) < _HASH_DIGITS:  # of 'vit-b.pth'
        digits = None
    place = "" if digits else hashlib.sha256(url.encode()).hexdigest()[:16]
    path = Path(torch.hub.get_dir(), "checkpoints", place, name)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), digits and digits[1])
        except (OSError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"{url} cannot be downloaded ({error}); download it by other means and give its "
                "path"
            ) from error
    return str(path)


def read_checkpoint(path: str | Path, place: Place | None = None) -> dict[str, Any]:
    """Load a checkpoint on the CPU; nothing in it can run code.

    Args:
        path: as of ``read_file``; if it names a folder of shards, they are read too.
        place: called with each tensor's path (see ``tree.map_leaves``); of a tensor in shards
            what it does not ask for is not read. None takes everything whole.

    Raises:
        CheckpointError: missing, truncated, or holding objects other than tensors,
            plain values and the few classes that mmengine and the authors save.
    """
    content = read_file(path)
    stored = stored_tensors(content.pop(KEY), path) if KEY in content else {}
    if not stored and place is None:
        return content

    def placed(name: str, leaf: Any) -> Any:
        found = stored.get(name, leaf)
        if not isinstance(found, (Tensor, StoredTensor)):
            return found
        return found[:] if place is None else place(name, found)

    return map_leaves(content, placed)


def read_file(path: str | Path, facts_alone: bool = False) -> dict[str, Any]:
    """As ``read_checkpoint``, but tensors that lie in shards stay None.

    Args:
        path: a file written by torch.save, one of safetensors, or an index of such files.
        facts_alone: no tensor will be looked at, so none is read; the file must stay as it is.

    Raises:
        CheckpointError: missing, truncated, or holding objects other than tensors,
            plain values and the few classes that mmengine and the authors save.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            f"there is no checkpoint at {path}; give an existing file (pretraining writes "
            "epoch_N.pth into its work_dir)"
        )
    if path.name.endswith(SUFFIX):
        return read_parts(path, read_file)
    with path.open("rb") as file:
        start = file.read(24)
    if path.suffix == ".safetensors" or start[8:10] == b'{"':
        return _read_safetensors(path)
    if start and not start.startswith(MAGIC):
        raise CheckpointError(
            f"{path} is no file of torch.save (it starts with {start!r}); a web page or a pointer "
            "file may have been downloaded in its place"
        )
    try:
        with torch.serialization.safe_globals(list(ALLOWED)):
            mmap = facts_alone and start.startswith(MAGIC[0])
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
        hub = content.get("message_hub") if isinstance(content, dict) else None
        if isinstance(hub, dict) and HISTORIES in hub:
            content["message_hub"] = mmengine_hub(hub)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than tensors and plain values ({_offender(error)}), and loading it "
            "could run code. If you trust its origin, re-save its tensors alone: maskssl "
            "convert-checkpoint FILE NEW_FILE --trust"
        ) from error
    except BROKEN as error:
        raise CheckpointError(
            f"{path} ({path.stat().st_size} bytes) is no complete checkpoint: {error}. It may be "
            "truncated; copy it again or take an earlier one"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}, not a dict of tensors; save "
            "model.state_dict()"
        )
    return content


def _read_safetensors(path: Path) -> dict[str, Any]:
    """Tensors as 'state_dict', and the metadata, which is text, as 'meta'."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return dict(state_dict=tensors, meta=file.metadata() or {})
    except (SafetensorError, *BROKEN) as error:
        raise CheckpointError(
            f"{path} ({path.stat().st_size} bytes) is no complete safetensors file: {error}. It "
            "may be truncated or a pointer file; download it again"
        ) from error


def _offender(error: pickle.UnpicklingError) -> str:
    """What torch refused; its own text would advise to switch the protection off."""
    found = re.search(r"GLOBAL (\S+)", str(error))
    return f"it refers to {found[1]}" if found else "torch cannot parse it"
