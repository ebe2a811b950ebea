"""Where the checkpoints of a run are looked for."""

import shutil
from pathlib import Path

import pytest

from maskssl.checkpoints.errors import CheckpointError
from maskssl.checkpoints.finding import newest_to_resume
from maskssl.checkpoints.folders import checkpoint_folders, hook_folder, last_checkpoint
from maskssl.checkpoints.reading import checkpoint_at
from maskssl.checkpoints.writing import write_checkpoint


def save(path: Path, work_dir: Path) -> Path:
    """A whole checkpoint, named as the newest of the run in ``work_dir``."""
    epoch = int(path.stem.removeprefix("epoch_"))
    write_checkpoint(dict(meta=dict(iter=epoch, epoch=epoch), optimizer={}), path)
    (work_dir / "last_checkpoint").write_text(str(path))
    return path


@pytest.fixture
def run(tmp_path) -> Path:
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    return folder


def test_a_hook_writes_below_its_own_folder_by_the_name_of_the_work_dir(run, tmp_path, monkeypatch):
    assert hook_folder(run, None) == hook_folder(run, str(run)) == run
    assert hook_folder(run, tmp_path / "big") == tmp_path / "big" / "one"
    monkeypatch.chdir(run)
    assert hook_folder(".", "big") == run / "big" / "one"


def test_the_folder_of_the_last_checkpoint_comes_first(run, tmp_path):
    big = tmp_path / "big"
    assert checkpoint_folders(run) == [run]
    assert checkpoint_folders(run, big) == [big / "one", run]
    small = save(run / "epoch_1.pth", run)
    assert checkpoint_folders(run, big) == [run, big / "one"]  # the disk was changed since
    assert newest_to_resume(run, big) == last_checkpoint(run) == small
    large = save(big / "one" / "epoch_2.pth", run)
    for out_dir in (big, None):  # the option may be left out
        assert checkpoint_folders(run, out_dir) == [big / "one", run]
        assert newest_to_resume(run, out_dir) == large
    assert checkpoint_at(str(run)) == str(large)
    save(run / "epoch_9.pth", run).rename(run / "epoch_3.pth")  # further on, of a run before
    save(big / "one" / "epoch_2.pth", run)
    assert newest_to_resume(run) == large


def test_where_nothing_is_whole_the_next_folder_is_looked_into(run, tmp_path):
    older = save(run / "epoch_1.pth", run)
    save(tmp_path / "big" / "one" / "epoch_2.pth", run).write_bytes(b"")
    assert newest_to_resume(run) == older


def test_a_copied_or_moved_run_has_checkpoints_of_its_own(run, tmp_path):
    save(run / "epoch_1.pth", run)
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    save(run / "epoch_2.pth", run)  # goes on without the copy
    assert checkpoint_folders(copy) == [copy]
    assert newest_to_resume(copy) == last_checkpoint(copy) == copy / "epoch_1.pth"
    shutil.rmtree(run)
    assert checkpoint_at(str(copy)) == str(copy / "epoch_1.pth")


def test_the_last_checkpoint_that_is_gone_is_named(run, tmp_path):
    gone = save(tmp_path / "big" / "one" / "epoch_2.pth", run)
    shutil.rmtree(tmp_path / "big")
    assert last_checkpoint(run) is None
    with pytest.raises(CheckpointError, match=f"last_checkpoint names {gone}, which is not there"):
        checkpoint_at(str(run))
    (run / "last_checkpoint").write_text("")
    assert last_checkpoint(run) is None and checkpoint_folders(run) == [run]
    with pytest.raises(CheckpointError, match="there is no checkpoint at"):
        checkpoint_at(str(run))


def test_where_none_is_whole_nothing_is_begun_that_would_write_over_them(run, tmp_path):
    assert newest_to_resume(run) is None
    for number in (1, 2):
        path = save(run / f"epoch_{number}.pth", run)
        path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"2 checkpoints in .*epoch_1\.pth .*none is whole"):
        newest_to_resume(run)
    large = save(tmp_path / "big" / "one" / "epoch_1.pth", run)
    assert newest_to_resume(run, tmp_path / "big") == large
