"""Numbers and folders of every command: a slip is told by its option, before any work."""

import argparse
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from maskssl.__main__ import main
from maskssl.cli.argument_types import at_least, output_file, output_folder
from maskssl.commands import COMMANDS

TOLD_ELSEWHERE = {"--num-classes", "--local_rank", "--value-range", "--minutes"}


def options_of(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from options_of(one)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_number_has_a_least_and_every_folder_is_looked_at(command):
    parser = argparse.ArgumentParser()
    import_module(f"maskssl.commands.{command.replace('-', '_')}").add_arguments(parser)
    for action in options_of(parser):
        name = action.option_strings[0] if action.option_strings else action.dest
        if name not in TOLD_ELSEWHERE:
            assert action.type not in (int, float), name
        if name in ("--out", "--cache", "--results", "--work-dir", "--json") and action.nargs != 0:
            assert action.type is not None, name


@pytest.mark.parametrize(("text", "least"), [("0", 1), ("-1", 0), ("1.5", 1), ("one", 0)])
def test_a_number_below_the_least_is_refused(text, least):
    with pytest.raises(argparse.ArgumentTypeError, match=f"{text} is no whole number of {least}"):
        at_least(least)(text)
    assert at_least(least)(str(least)) == least


def test_a_folder_cannot_stand_on_or_below_a_file(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "lost").symlink_to(tmp_path / "gone")
    for path in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "lost" / "below"):
        with pytest.raises(argparse.ArgumentTypeError, match="is no folder; give another"):
            output_folder(str(path))
    for path in (tmp_path, tmp_path / "new" / "one"):
        assert output_folder(str(path)) == str(path)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "slip",
    [
        ["--batch-size", "0"],
        ["--num-workers", "-1"],
        ["--img-size", "0"],
        ["--blocks", "0"],
        ["--out", "{file}"],
        ["--cache", "{file}/below"],
    ],
)
def test_slips_of_transfer(slip, tmp_path, capsys):
    (tmp_path / "file").touch()
    option, value = (word.format(file=tmp_path / "file") for word in slip)
    with pytest.raises(SystemExit) as end:
        main(["transfer", "a.pth", "--data", str(tmp_path), option, value])
    assert end.value.code == 2
    assert f"argument {option}: " in capsys.readouterr().err


@pytest.mark.parametrize("device", ["foo", "cuda:77", "meta!"])
def test_a_device_that_is_not_there(device, tmp_path):
    with pytest.raises(SystemExit) as end:
        main(["transfer", "a.pth", "--data", str(tmp_path), "--device", device])
    assert str(end.value.code).startswith(f"MaskSSLError: --device {device} cannot be used (")
    assert str(end.value.code).endswith("give cpu or cuda")


@pytest.mark.parametrize("slip", [["--k", "0"], ["--limit", "-1"], ["--limit", "0"]])
def test_slips_of_pictures(slip, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["visualize", "neighbours", "a.pth", str(tmp_path), *slip])
    assert end.value.code == 2 and f"argument {slip[0]}: " in capsys.readouterr().err


def test_the_home_folder_is_meant_behind_an_equals_sign(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert output_folder("~/runs") == str(tmp_path / "runs")
    assert output_file("~/new/a.json") == str(tmp_path / "new" / "a.json")
    assert output_folder("work_dirs/a") == "work_dirs/a"  # what is relative stays so


def test_a_file_is_refused_where_a_folder_stands_and_its_own_folder_is_made(tmp_path):
    with pytest.raises(argparse.ArgumentTypeError, match="cannot be written; give another file"):
        output_file(str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(argparse.ArgumentTypeError, match="no file fits there"):
        output_file(str(tmp_path / "file" / "below" / "a.json"))
    assert output_file(str(tmp_path / "new" / "a.json")) == str(tmp_path / "new" / "a.json")
    assert Path(tmp_path, "new").is_dir()


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["visualize", "masks", "c.py", "photos", "--out", "{}/masks"], "--out"),
        (["visualize", "schedule", "c.py", "--out", "{}/schedule.txt"], "--out"),
        (["benchmark", "c.py", "--vary", "batch_size=1,2", "--picture", "{}/growth"], "--picture"),
        (["check-data", "c.py", "--show", "{}/file"], "--show"),
    ],
)
def test_pictures_that_could_not_be_written_are_refused_before_any_work(
    words, option, tmp_path, capsys
):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as end:
        main([word.format(tmp_path) for word in words])
    assert end.value.code == 2 and f"argument {option}: " in capsys.readouterr().err
