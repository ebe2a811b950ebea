"""Where the checkpoints of a run lie: in its work dir, or below a folder given to its hook."""

import os
from pathlib import Path

POINTER = "last_checkpoint"  # mmengine's, in the work dir: it names the file saved last


def hook_folder(work_dir: str | Path, out_dir: str | Path | None) -> Path:
    """Where a checkpoint hook writes; one ``out_dir`` serves several runs, as mmengine has it.

    That is an absolute path: ``last_checkpoint`` names the folder to runs started elsewhere.

    Args:
        work_dir: of the run.
        out_dir: the hook's option.
    """
    if out_dir is None or str(out_dir) == str(work_dir):
        return Path(work_dir)
    return Path(os.path.abspath(out_dir), Path(os.path.abspath(work_dir)).name)


def checkpoint_folders(work_dir: str | Path, out_dir: str | Path | None = None) -> list[Path]:
    """Folders with checkpoints of a run, that of its last one first; they need not exist.

    A run that was resumed with another ``out_dir`` has several, and who has its work dir alone
    knows no ``out_dir``: so the pointer to its last checkpoint counts more.

    Args:
        work_dir: of the run.
        out_dir: of its checkpoint hook, where that is known.
    """
    work_dir = Path(work_dir)
    found = [hook_folder(work_dir, out_dir), work_dir]
    named = named_last(work_dir)
    if named is not None and not _is_of_another_run(named.parent, work_dir):
        found.insert(0, named.parent)
    return list({folder.resolve(): folder for folder in found}.values())


def last_checkpoint(work_dir: str | Path) -> Path | None:
    """The file that a run saved last, wherever its work dir has been moved to; None if it is gone.

    Args:
        work_dir: of the run; it need not exist.
    """
    named = named_last(work_dir)
    if named is None:
        return None
    places = [folder / named.name for folder in checkpoint_folders(work_dir)]
    return next((path for path in places if path.is_file()), None)


def named_last(work_dir: str | Path) -> Path | None:
    """What ``last_checkpoint`` says, as it was when it was written."""
    pointer = Path(work_dir, POINTER)
    text = pointer.read_text().strip() if pointer.is_file() else ""
    return Path(text) if text else None


def _is_of_another_run(folder: Path, work_dir: Path) -> bool:
    """A copied work dir names a file of the run that it was copied from."""
    return (folder / POINTER).is_file() and folder.resolve() != work_dir.resolve()
