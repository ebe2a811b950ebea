"""Configs and options that cannot be meant as they stand end in a sentence."""

import argparse

import pytest

from maskssl import config_file
from maskssl.cli import config
from maskssl.cli.argument_types import output_file
from maskssl.cli.config import ConfigError, load_config

PRETRAIN = "pretrain/bootmae_vit-mini-p8_1xb32-amp-coslr-12e_scenes.py"


@pytest.mark.parametrize(
    ("option", "place"),
    [
        ("max_epochs", "train_cfg.max_epochs"),
        ("batch_size", "train_dataloader.batch_size"),
        ("lr", "optim_wrapper.optimizer.lr"),
    ],
)
def test_a_key_without_its_parents_is_refused(option, place):
    with pytest.raises(ConfigError, match=rf"{option}: .* at the top .* has it at {place}"):
        load_config(PRETRAIN, {option: 3})


def test_a_key_that_nothing_of_ours_reads_is_said(monkeypatch):
    said = []
    monkeypatch.setattr(config, "print_log", lambda text, **_: said.append(text))
    assert load_config(PRETRAIN, {"my_note": 3}).my_note == 3
    (text,) = said
    assert "nor maskssl reads 'my_note' at the top of a config; it stays there" in text


@pytest.mark.parametrize(
    "options", [dict(load_from="a.pth"), dict(find_unused_parameters=True), {"sharding": None}]
)
def test_new_keys_that_are_read_are_taken(options):
    cfg = load_config(PRETRAIN, options)
    assert all(cfg[key] == value for key, value in options.items())


def test_a_checkpoint_in_the_config_s_place_is_told(tmp_path):
    (tmp_path / "epoch_1.pth").write_bytes(b"weights")
    with pytest.raises(ConfigError, match=r"epoch_1\.pth cannot be read .* CONFIG comes first"):
        load_config(str(tmp_path / "epoch_1.pth"))
    assert load_config(config_file(PRETRAIN)).model.type == "BootMAE"


def test_a_file_to_write_is_looked_at_before_the_work(tmp_path):
    assert output_file(f"{tmp_path}/new/folder/r.json") == f"{tmp_path}/new/folder/r.json"
    assert (tmp_path / "new" / "folder").is_dir()
    (tmp_path / "file").touch()
    for refused in (f"{tmp_path}/file/r.json", str(tmp_path)):
        with pytest.raises(argparse.ArgumentTypeError, match="no file fits|cannot be written"):
            output_file(refused)
