"""The newest whole checkpoint is found, and what is passed over is said."""

import logging

import pytest
import torch
from mmengine.logging import MMLogger

from maskssl.checkpoints import finding, writing
from maskssl.checkpoints.errors import CheckpointError, DiskFullError
from maskssl.checkpoints.finding import (
    check_checkpoint,
    checkpoints_ahead,
    newest_to_resume,
    newest_valid,
)
from maskssl.checkpoints.writing import read_sidecar, sidecar_of, write_checkpoint


@pytest.fixture
def logged(caplog):
    """Warnings of print_log(logger="current")."""
    logger = MMLogger.get_instance("finding")
    logger.addHandler(caplog.handler)
    yield lambda: [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    logger.removeHandler(caplog.handler)


def save(path, iteration, epoch=0, checksum=True, **entries):
    meta = dict(iter=iteration, epoch=epoch)
    weights = dict(w=torch.arange(5000.0))
    write_checkpoint(dict(meta=meta, state_dict=weights, optimizer={}) | entries, path)
    if not checksum:
        sidecar_of(path).unlink()
    return path


def cut(path):
    path.write_bytes(path.read_bytes()[:-3000])


def flip(path, place=0.5):
    damaged = bytearray(path.read_bytes())
    damaged[int(place * len(damaged))] ^= 4
    path.write_bytes(damaged)


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("checksum", "damage", "reason"),
    [
        (True, cut, "bytes and epoch_3.pth.sha256 says"),
        (True, flip, "its SHA-256 is not that in epoch_3.pth.sha256: it is damaged"),
        (True, empty, "it has 0 bytes and epoch_3.pth.sha256 says"),
        (False, cut, "no complete checkpoint"),
        (False, flip, "its record archive/data/0 is damaged"),
        (False, empty, "no complete checkpoint"),
    ],
)
def test_a_damaged_last_checkpoint(checksum, damage, reason, tmp_path, logged):
    second = save(tmp_path / "epoch_2.pth", 20, 2, checksum)
    third = save(tmp_path / "epoch_3.pth", 30, 3, checksum)
    assert newest_valid(tmp_path) == third
    assert logged() == []
    damage(third)
    assert newest_valid(tmp_path) == second
    assert check_checkpoint(third) is not None
    [warning] = logged()
    assert warning.startswith(f"checkpoint {third} is passed over: ")
    assert reason in warning


def test_a_flipped_bit_is_seen_without_a_checksum_where_it_matters(tmp_path):
    """In a tensor, the pickle or the archive's tables; padding and the like may differ."""
    path = save(tmp_path / "epoch_1.pth", 1, checksum=False)
    whole = path.read_bytes()
    content = torch.load(path)
    seen = 0
    for place in range(100):
        flip(path, place / 100)
        seen += check_checkpoint(path) is not None
        if check_checkpoint(path) is None:
            found = torch.load(path)
            torch.testing.assert_close(found.pop("state_dict"), content["state_dict"])
            assert found.items() <= content.items()
        path.write_bytes(whole)
    assert check_checkpoint(path) is None
    assert seen > 90


def test_nothing_whole(tmp_path, logged):
    assert newest_valid(tmp_path / "nowhere") is None
    assert newest_valid(tmp_path) is None
    cut(save(tmp_path / "epoch_1.pth", 1))
    assert newest_valid(tmp_path) is None
    assert len(logged()) == 1
    assert "there is no file" in check_checkpoint(tmp_path / "epoch_2.pth")


def test_the_newest_by_iterations_whatever_the_name(tmp_path):
    order = [
        save(tmp_path / "epoch_2.pth", 200, 2),
        save(tmp_path / "iter_250.pth", 250, 2),
        save(tmp_path / "iter_300.pth", 300, 2),  # the end of epoch 3, not yet finished
        save(tmp_path / "epoch_3.pth", 300, 3),
        save(tmp_path / "mine-4.pth", 400, 4),  # filename_tmpl="mine-{}.pth"
    ]
    save(tmp_path / "best_acc_epoch_9.pth", 900, 9)
    (tmp_path / "best_acc_epoch_9.pth").unlink()
    write_checkpoint(dict(meta=dict(iter=900), state_dict={}), tmp_path / "best_acc_epoch_9.pth")
    for path in reversed(order):
        assert newest_valid(tmp_path) == path
        path.unlink()
    assert newest_valid(tmp_path) is None


def test_epochs_and_iterations_without_checksums_are_compared_by_content(tmp_path, logged):
    cut(save(tmp_path / "epoch_9.pth", 900, 9, checksum=False))
    third = save(tmp_path / "epoch_3.pth", 300, 3, checksum=False)
    between = save(tmp_path / "iter_250.pth", 250, 2, checksum=False)
    assert newest_valid(tmp_path) == third
    assert ["epoch_9.pth" in text for text in logged()] == [True]
    later = save(tmp_path / "iter_350.pth", 350, 3, checksum=False)
    assert newest_valid(tmp_path) == later
    later.unlink()
    third.unlink()
    assert newest_valid(tmp_path) == between


def test_names_suffice_where_they_can(tmp_path, monkeypatch):
    for epoch in (1, 2, 10):
        save(tmp_path / f"epoch_{epoch}.pth", epoch, epoch, checksum=False)
    opened = []
    read = finding.read_file
    monkeypatch.setattr(finding, "read_file", lambda path: opened.append(path) or read(path))
    assert newest_valid(tmp_path) == tmp_path / "epoch_10.pth"
    assert opened == [tmp_path / "epoch_10.pth"]


@pytest.mark.parametrize("text", ["", "abc", "# {}\nabc  x\n", '# {"bytes": 1\nabc  x\n'])
def test_a_broken_checksum_file_speaks_against_nothing(text, tmp_path, logged):
    path = save(tmp_path / "epoch_1.pth", 1)
    sidecar_of(path).write_text(text)
    assert check_checkpoint(path) is None
    assert "epoch_1.pth.sha256 cannot be read" in logged()[0]
    flip(path)
    assert check_checkpoint(path) is not None


def test_checkpoints_ahead_of_a_run(tmp_path):
    save(tmp_path / "epoch_2.pth", 200, 2, checksum=False)
    save(tmp_path / "epoch_3.pth", 300, 3)
    save(tmp_path / "iter_350.pth", 350, 3, checksum=False)
    for position, expected in {
        (0, 0): ["epoch_2.pth", "epoch_3.pth", "iter_350.pth"],
        (2, 200): ["epoch_3.pth", "iter_350.pth"],
        (3, 300): ["iter_350.pth"],
        (3, 350): [],
    }.items():
        assert [path.name for path in checkpoints_ahead(tmp_path, *position)] == expected


@pytest.mark.parametrize("left", [None, ""], ids=["none", "not readable"])
def test_who_resumes_gives_a_whole_file_its_checksum(left, tmp_path, logged):
    """The very one that it would have had; looking alone writes nothing."""
    path = save(tmp_path / "epoch_3.pth", 30, 3)
    text = sidecar_of(path).read_text()
    assert newest_to_resume(tmp_path) == path and logged() == []
    sidecar_of(path).unlink()
    if left is not None:
        sidecar_of(path).write_text(left)
    assert newest_valid(tmp_path) == path
    assert read_sidecar(path) is None
    assert newest_to_resume(tmp_path) == path
    assert sidecar_of(path).read_text() == text
    told = [line for line in logged() if "had no checksum" in line]
    assert len(told) == 1 and "and has epoch_3.pth.sha256 now" in told[0]
    flip(path)
    with pytest.raises(CheckpointError, match="none is whole"):
        newest_to_resume(tmp_path)


def test_a_damaged_file_gets_no_checksum(tmp_path):
    older = save(tmp_path / "epoch_2.pth", 20, 2)
    damaged = save(tmp_path / "epoch_3.pth", 30, 3, checksum=False)
    flip(damaged)
    assert newest_to_resume(tmp_path) == older
    assert not sidecar_of(damaged).exists()
    assert newest_to_resume(tmp_path / "nowhere") is None


def test_a_full_disk_keeps_no_run_from_its_checkpoint(tmp_path, monkeypatch, logged):
    path = save(tmp_path / "epoch_3.pth", 30, 3, checksum=False)

    def full(text, path):
        raise DiskFullError(f"{path} was not saved")

    monkeypatch.setattr(writing, "write_text", full)
    assert newest_to_resume(tmp_path) == path
    assert logged() == [f"{sidecar_of(path)} was not saved"]
