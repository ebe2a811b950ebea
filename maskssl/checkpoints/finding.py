"""Find the checkpoint to go on from: the newest that is whole."""

import logging
import re
import zipfile
from pathlib import Path

from mmengine.logging import print_log

from ..errors import MaskSSLError
from .errors import CheckpointError
from .folders import checkpoint_folders, last_checkpoint
from .reading import read_file
from .shards import KEY, check_shards, sha256_of
from .writing import read_sidecar, sidecar_of, write_missing_checksum

# what training goes on from; best_*.pth and published files lack the optimizer
_NAME = re.compile(r"(?P<unit>epoch|iter)_(?P<number>\d+)\.pth")


def newest_valid(folder: str | Path) -> Path | None:
    """The whole checkpoint with the most iterations done, mid-epoch ones included.

    Progress is taken from sidecars and names; a file is opened for it only where epoch_N
    without a sidecar must be compared with other names.

    Args:
        folder: a work dir; it need not exist.

    Returns:
        None when there is no whole one. Each newer file passed over is logged with the
        reason.
    """
    return _first_whole(_newest_first(training_checkpoints(folder)))


def newest_written(
    work_dir: str | Path, out_dir: str | Path | None = None, since: float = 0.0
) -> Path | None:
    """The whole checkpoint that a run has written last, whatever lies there of runs before.

    Those may be further on. So ``last_checkpoint`` decides; where that file is older or not
    whole, the time at which the others were written.

    Args:
        work_dir: of the run.
        out_dir: of its checkpoint hook.
        since: seconds since 1970; what was written before is another run's.
    """
    written = {
        path: path.stat().st_mtime
        for folder in checkpoint_folders(work_dir, out_dir)
        for path in training_checkpoints(folder)
    }
    own = [path for path, time in written.items() if time >= since]
    last = last_checkpoint(work_dir)
    return _first_whole(sorted(own, key=lambda path: (path == last, written[path]), reverse=True))


def newest_to_resume(work_dir: str | Path, out_dir: str | Path | None = None) -> Path | None:
    """``newest_valid`` of a run, which gets the checksum that a kill has kept from it.

    A run that is killed between a file's name and its checksum's leaves the file without. It has
    just been read whole, so that its checksum is known to be that of a good file.

    Args:
        work_dir: in which the run that asks will go on.
        out_dir: of its checkpoint hook.

    Raises:
        CheckpointError: there are checkpoints, and none is whole: a run that starts anew would
            write over them.
    """
    folders = checkpoint_folders(work_dir, out_dir)
    path = next((path for path in map(newest_valid, folders) if path is not None), None)
    there = [one for folder in folders for one in training_checkpoints(folder)]
    if path is None and there:
        raise CheckpointError(
            f"there are {len(there)} checkpoints in {there[0].parent}, {there[0].name} among them, "
            "and none is whole and can be read. A run that starts anew would write over them: "
            "bring whole ones, or move these away"
        )
    if path is None or read_sidecar(path) is not None:
        return path
    if write_missing_checksum(path, read_file(path, facts_alone=True)):
        print_log(
            f"{path} had no checksum, as after a kill in the middle of its save; it was read whole "
            f"and has {sidecar_of(path).name} now",
            "current",
            logging.WARNING,
        )
    return path


def check_checkpoint(path: str | Path) -> str | None:
    """Why a checkpoint is not whole; None if it is.

    The checksum decides. A file without one is read completely, the archive's own CRC-32
    included, which torch.load does not compare.
    """
    path = Path(path)
    if not path.is_file():
        return f"there is no file {path}"
    facts = read_sidecar(path)
    try:
        if facts is None:
            return _reading_fails(path)
        size = path.stat().st_size
        if size != facts.bytes:
            return f"it has {size} bytes and {sidecar_of(path).name} says {facts.bytes}"
        if sha256_of(path) != facts.sha256:
            return (
                f"its SHA-256 is not that in {sidecar_of(path).name}: it is damaged, or another "
                "program has replaced it (if so, remove the .sha256 file)"
            )
        if facts.shards is not None:
            return check_shards(path, read_file(path)[KEY])
    except OSError as error:
        return f"it cannot be read: {error}"
    return None


def refuse_other_bytes(path: Path) -> None:
    """Refuse a file whose checksum file says other bytes; one without is read as it is.

    Args:
        path: of weights that are about to be read; who reads them says so if there are none.

    Raises:
        CheckpointError: the file was damaged, or replaced, since its checksum was written.
    """
    if not path.is_file() or read_sidecar(path) is None:
        return
    if reason := check_checkpoint(path):
        raise CheckpointError(f"{path} is not loaded: {reason}. Copy it again, or give another")


def training_checkpoints(folder: str | Path) -> list[Path]:
    """Files that training can go on from, whole or not: epoch_N, iter_N, or said by a sidecar."""
    found = []
    for path in sorted(Path(folder).glob("*.pth")):
        if not path.is_file():
            continue
        facts = None if _NAME.fullmatch(path.name) else read_sidecar(path)
        if _NAME.fullmatch(path.name) or (facts and facts.resumable and facts.iter is not None):
            found.append(path)
    return found


def checkpoints_ahead(folder: str | Path, epoch: int, iteration: int) -> list[Path]:
    """Training checkpoints of a folder that have seen more than these epochs or iterations."""
    ahead = []
    for path in training_checkpoints(folder):
        done = _iterations_done(path)
        further = _number(path) > epoch if done is None else done[0] > iteration
        if further:
            ahead.append(path)
    return ahead


def _first_whole(paths: list[Path]) -> Path | None:
    for path in paths:
        reason = check_checkpoint(path)
        if reason is None:
            return path
        _pass_over(path, reason)
    return None


def _newest_first(paths: list[Path]) -> list[Path]:
    names = [_NAME.fullmatch(path.name) for path in paths]
    if all(name and name["unit"] == "epoch" for name in names):
        return sorted(paths, key=_number, reverse=True)
    progress: dict[Path, tuple[int, int]] = {}
    for path in paths:
        try:
            progress[path] = _iterations_done(path) or _meta_iterations(path)
        except CheckpointError as error:
            _pass_over(path, str(error))
    return sorted(progress, key=lambda path: progress[path], reverse=True)


def _number(path: Path) -> int:
    name = _NAME.fullmatch(path.name)
    return int(name["number"]) if name else 0


def _iterations_done(path: Path) -> tuple[int, int] | None:
    """(iterations, epochs finished) as told without opening a file; None where it is not."""
    facts = read_sidecar(path)
    if facts is not None and facts.iter is not None:
        return facts.iter, -1 if facts.epoch is None else facts.epoch
    name = _NAME.fullmatch(path.name)
    return (int(name["number"]), -1) if name and name["unit"] == "iter" else None


def _meta_iterations(path: Path) -> tuple[int, int]:
    meta = read_file(path).get("meta") or {}
    if not isinstance(meta.get("iter"), int):
        raise CheckpointError("its meta does not say how many iterations were done")
    return meta["iter"], int(meta.get("epoch", -1))


def _reading_fails(path: Path) -> str | None:
    try:
        if zipfile.is_zipfile(path):  # torch's format since 1.6
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
            if damaged is not None:
                return f"its record {damaged} is damaged"
        content = read_file(path)
        return check_shards(path, content[KEY]) if KEY in content else None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, MaskSSLError) as error:
        return str(error) or type(error).__name__


def _pass_over(path: Path, reason: str) -> None:
    print_log(f"checkpoint {path} is passed over: {reason}", "current", logging.WARNING)
