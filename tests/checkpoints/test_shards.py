"""Checkpoints whose tensors lie in a folder of shards: whole or absent like all others."""

import errno
import os
import re

import pytest
import torch
from mmengine.runner import load_checkpoint
from safetensors import SafetensorError
from safetensors.torch import load_file

from maskssl.checkpoints import hidden_files, shards, writing
from maskssl.checkpoints.errors import CheckpointError, DiskFullError
from maskssl.checkpoints.finding import check_checkpoint, newest_valid
from maskssl.checkpoints.reading import read_checkpoint, read_file
from maskssl.checkpoints.tree import map_leaves
from maskssl.checkpoints.writing import (
    read_sidecar,
    remove_checkpoint,
    remove_orphans,
    sidecar_of,
    write_checkpoint,
)
from maskssl.models.backbones.plain_vit import PlainViT
from maskssl.models.pretrained.guard import UnloadedWeightsError
from tests.killing import killed_after


def content(step: int) -> dict:
    weights = torch.nn.Linear(3, 2).state_dict()
    weights["weight"] = torch.full((2, 3), float(step))
    state = {0: dict(step=torch.tensor(4.0), exp_avg=torch.arange(6.0).view(2, 3))}
    groups = [dict(lr=0.1, params=[0], betas=(0.9, 0.99))]
    return dict(state_dict=weights, optimizer=dict(state=state, param_groups=groups))


def written(tensors, path):
    writer = shards.ShardsWriter(tensors, path)
    writer.write()
    return writer.finish()


def save(path, step=3):
    tensors: dict = {}
    rest = map_leaves(content(step), lambda name, leaf: taken_out(tensors, name, leaf))
    facts = written(tensors, path)
    write_checkpoint(dict(rest, meta=dict(iter=step, epoch=step), shards=facts), path)
    return path


def taken_out(tensors, name, leaf):
    if not torch.is_tensor(leaf):
        return leaf
    tensors[name] = leaf
    return None


def folders(folder):
    return sorted(path.name for path in folder.glob("*.shards"))


def shard(path):
    return next(path.with_name(read_sidecar(path).shards).glob("*.safetensors"))


def test_every_leaf_has_its_path():
    whole, found = content(2), {}
    rest = map_leaves(whole, lambda name, leaf: taken_out(found, name, leaf))
    assert sorted(found) == [
        "optimizer/state/0/exp_avg",
        "optimizer/state/0/step",
        "state_dict/bias",
        "state_dict/weight",
    ]
    assert rest["optimizer"]["state"] == {0: dict(step=None, exp_avg=None)}
    assert rest["optimizer"]["param_groups"] == whole["optimizer"]["param_groups"]
    assert type(rest["optimizer"]["param_groups"][0]["betas"]) is tuple
    assert rest["state_dict"]._metadata == whole["state_dict"]._metadata
    assert whole["state_dict"]["weight"] is found["state_dict/weight"]  # not touched


def test_a_file_and_its_shards_are_read_as_one(tmp_path):
    path, expected = save(tmp_path / "epoch_3.pth"), content(3)
    assert read_file(path)["state_dict"]["weight"] is None
    found = read_checkpoint(path)
    assert found.keys() == {"state_dict", "optimizer", "meta"}
    assert torch.equal(found["state_dict"]["weight"], expected["state_dict"]["weight"])
    for key, value in expected["optimizer"]["state"][0].items():
        assert torch.equal(found["optimizer"]["state"][0][key], value)
    assert newest_valid(tmp_path) == path


def test_shards_are_files_of_a_known_format_that_the_group_may_read(tmp_path):
    path = save(tmp_path / "epoch_3.pth")
    tensors = load_file(shard(path))
    assert torch.equal(tensors["state_dict/weight"], torch.full((2, 3), 3.0))
    assert shard(path).stat().st_mode & 0o777 == path.stat().st_mode & 0o777


def stored(folder, shape, rows):
    """A tensor whose rows several processes have written; some have none."""
    whole = torch.arange(torch.Size(shape).numel()).view(shape)
    files, told, start = {}, [], 0
    for rank, count in enumerate(rows):
        name = f"{rank:05d}.safetensors"
        own = whole[start : start + count].clone()
        shards.save_file({"a": own} if count else {}, folder / name)
        files[name] = dict(bytes=(folder / name).stat().st_size, sha256="")
        told.append((name, files[name], {"a": count} if count else {}))
        start += count
    index = shards._index({"a": shape}, told)
    facts = dict(folder=folder.name, files=files, tensors=index)
    return whole, shards.stored_tensors(facts, folder.with_name("epoch_1.pth"))["a"]


@pytest.mark.parametrize("rows", [(7,), (3, 3, 1), (2, 2, 2, 1), (4, 3, 0)])
def test_any_rows_are_read_from_any_files(rows, tmp_path):
    whole, found = stored(tmp_path, [7, 2], rows)
    assert found.shape == whole.shape and torch.equal(found[:], whole)
    for start in range(8):
        for stop in range(start, 8):
            assert torch.equal(found[start:stop], whole[start:stop]), (start, stop)


def test_a_process_takes_what_it_asks_for(tmp_path):
    path, asked = save(tmp_path / "epoch_3.pth"), {}

    def place(name, found):
        asked[name] = tuple(found.shape)
        if name == "state_dict/weight":
            return found[1:2]
        return found[:] if isinstance(found, shards.StoredTensor) else found

    assert torch.equal(
        read_checkpoint(path, place)["state_dict"]["weight"], torch.full((1, 3), 3.0)
    )
    assert asked["state_dict/weight"] == (2, 3) and asked["optimizer/state/0/step"] == ()
    whole = tmp_path / "whole.pth"
    torch.save(read_checkpoint(path), whole)
    again = read_checkpoint(whole, place)  # of one file likewise
    assert again["state_dict"]["weight"].shape == (1, 3)


def cut(path):
    shard(path).write_bytes(shard(path).read_bytes()[:-1])


def flip(path):
    damaged = bytearray(shard(path).read_bytes())
    damaged[len(damaged) // 2] ^= 4
    shard(path).write_bytes(damaged)


def lose(path):
    shard(path).unlink()


def move(path):
    folder = path.with_name(read_sidecar(path).shards)
    folder.rename(path.with_name("elsewhere"))


@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut, r"00000.safetensors has \d+ bytes and not \d+"),
        (flip, "00000.safetensors is damaged: its SHA-256 is another one"),
        (lose, "00000.safetensors is missing; copy epoch_3.*.shards along"),
        (move, "is missing; copy epoch_3.*.shards along with the file"),
    ],
)
def test_damaged_shards_are_passed_over(damage, reason, checksum, tmp_path):
    older, newer = save(tmp_path / "epoch_2.pth", 2), save(tmp_path / "epoch_3.pth")
    damage(newer)
    if not checksum:
        sidecar_of(newer).unlink()
    assert re.search(reason, check_checkpoint(newer))
    assert newest_valid(tmp_path) == older
    if damage is not flip:  # what is read in training is measured, not hashed
        with pytest.raises(CheckpointError, match=reason):
            read_checkpoint(newer)


def test_shards_of_a_former_release_are_refused(tmp_path):
    """Their index is a pickle."""
    path = save(tmp_path / "epoch_3.pth")
    facts = read_file(path)
    del facts["shards"]["tensors"]
    write_checkpoint(facts, path)
    said = "is of a former release, whose pickled index is not read here; write the checkpoint as"
    with pytest.raises(CheckpointError, match=said):
        read_checkpoint(path)
    assert said in check_checkpoint(path) and newest_valid(tmp_path) is None


def test_a_file_that_is_not_safetensors_is_refused(tmp_path):
    path = save(tmp_path / "epoch_3.pth")
    shard(path).write_bytes(b"x" * shard(path).stat().st_size)
    with pytest.raises(CheckpointError, match="holds a file that is not safetensors"):
        read_checkpoint(path)


def test_a_name_cannot_lead_elsewhere(tmp_path):
    path = save(tmp_path / "epoch_3.pth")
    assert shards.shards_folder(path, "../../other.shards") == tmp_path / "other.shards"


def test_shards_go_with_their_checkpoint(tmp_path):
    path = save(tmp_path / "epoch_3.pth")
    first = folders(tmp_path)
    save(path, 4)  # under the same name
    second = folders(tmp_path)
    assert len(first) == len(second) == 1 and first != second
    assert read_checkpoint(path)["state_dict"]["weight"].eq(4).all()
    remove_checkpoint(path)
    assert not list(tmp_path.iterdir())


def test_orphans_go_and_what_may_be_needed_stays(tmp_path):
    known, unsure = save(tmp_path / "epoch_1.pth"), save(tmp_path / "epoch_2.pth")
    sidecar_of(unsure).unlink()
    kept = folders(tmp_path)
    for name in ("epoch_1.0000.shards", "epoch_2.0000.shards", "epoch_3.0000.shards"):
        (tmp_path / name).mkdir()
    remove_orphans(tmp_path)
    assert folders(tmp_path) == sorted([*kept, "epoch_2.0000.shards"])
    assert newest_valid(tmp_path) == unsure and check_checkpoint(known) is None


def test_a_kill_at_any_moment_leaves_the_old_or_the_new(tmp_path):
    modules, ends = (shards, writing, hidden_files), set()
    for lines in range(0, 10_000, 5):
        folder = tmp_path / str(lines)
        folder.mkdir()
        path = save(folder / "epoch_1.pth", 1)
        killed = killed_after(lines, lambda path=path: save(path, 2), modules)
        assert newest_valid(folder) == path
        step = read_checkpoint(path)["state_dict"]["weight"][0, 0].item()
        ends.add(step)
        save(path, 3)
        remove_orphans(folder)
        assert len(folders(folder)) == 1
        assert len([name for name in folder.iterdir() if "part" in name.name]) == 0
        if not killed:
            break
    assert ends == {1.0, 2.0} and step == 2.0 and lines > 50


def test_shards_without_room_for_their_file_go(tmp_path, monkeypatch):
    path = save(tmp_path / "epoch_1.pth", 1)
    kept = folders(tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writing, "_write_content", full)
    with pytest.raises(DiskFullError, match="epoch_2.pth was not saved, the disk is full"):
        save(tmp_path / "epoch_2.pth", 2)
    assert folders(tmp_path) == kept and newest_valid(tmp_path) == path


@pytest.mark.parametrize("name", ["mkdir", "rename"])  # by the first process, before and behind
def test_a_folder_that_cannot_be_made_leaves_nothing(name, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shards.Path, name, full)
    with pytest.raises(DiskFullError, match="epoch_1.pth was not saved, the disk is full"):
        written({"a": torch.zeros(3)}, tmp_path / "epoch_1.pth")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (OSError(errno.EDQUOT, "quota"), DiskFullError),
        (SafetensorError("I/O error: No space left on device (os error 28)"), DiskFullError),
        (SafetensorError("I/O error: Input/output error (os error 5)"), OSError),
        (SafetensorError("no such dtype"), SafetensorError),
    ],
)
def test_a_full_disk_has_many_voices(cause, expected, tmp_path, monkeypatch):
    def write(*_, **__):
        raise cause

    monkeypatch.setattr(shards, "save_file", write)
    with pytest.raises(expected):
        save(tmp_path / "epoch_1.pth")
    assert not list(tmp_path.iterdir())


def test_a_stock_loader_does_not_take_nothing_for_weights(tmp_path):
    """mmengine's would go on with random ones."""
    arch = dict(embed_dims=16, num_layers=1, num_heads=2)
    model = torch.nn.Sequential(PlainViT(arch=arch, img_size=16, patch_size=4))
    content = read_file(save(tmp_path / "epoch_1.pth"))
    content["state_dict"] = dict.fromkeys(model.state_dict())
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(UnloadedWeightsError, match=r"they lie in the \.shards folder"):
        load_checkpoint(model, str(tmp_path / "other.pth"))
