"""The command line: its help, its slips, and what it takes to answer them."""

from pathlib import Path

import pytest

from maskssl import __version__
from maskssl.__main__ import main
from maskssl.commands import COMMANDS

HEAVY = ("torch", "numpy", "mmengine", "mmcv", "mmpretrain", "timm", "matplotlib", "cv2", "PIL")


def test_the_table_names_the_modules_of_the_room(repository):
    files = {path.stem for path in (repository / "maskssl" / "commands").glob("[a-z]*.py")}
    assert {name.replace("-", "_") for name in COMMANDS} == files


def test_help_lists_every_command(capsys):
    main(["--help"])
    told = capsys.readouterr().out
    main([])
    assert capsys.readouterr().out == told
    for name, what in COMMANDS.items():
        assert f"  {name} " in told and what in told
    main(["--version"])
    assert capsys.readouterr().out == f"maskssl {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    told = capsys.readouterr().out
    assert told.startswith(f"usage: maskssl {command} ")
    assert "--debug" in told


@pytest.mark.parametrize(
    ("given", "said"), [("tran", "did you mean 'train'?"), ("xyz", "they are train, test, ")]
)
def test_a_command_that_is_not_there(given, said):
    with pytest.raises(SystemExit) as end:
        main([given])
    assert end.value.code.startswith(f"maskssl: there is no command {given!r}; {said}")


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (["--help"], ()),
        (["doctor"], ()),
        (["quickstart", "--help"], ()),
        (["train", "--help"], ("mmengine",)),  # its parser of options
    ],
)
def test_answers_import_nothing_heavy(words, allowed, run_python, tmp_path):
    """The rest is the machine's: half a second of CPU on ours."""
    code = (
        "import sys; from maskssl.__main__ import main\n"
        "try:\n"
        f"    main({words!r})\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "print('IMPORTED', *{name.split('.')[0] for name in sys.modules})"
    )
    ran = run_python("-c", code)
    assert ran.returncode == 0, ran.stderr
    imported = set(ran.stdout.splitlines()[-1].split()[1:])
    assert "maskssl" in imported
    assert imported & set(HEAVY) <= {*allowed, "numpy"} if allowed else not imported & set(HEAVY)


def test_importing_the_package_registers_nothing(run_python):
    code = "import sys, maskssl; print(*{name.split('.')[0] for name in sys.modules})"
    ran = run_python("-c", code)
    imported = set(ran.stdout.split())
    assert "maskssl" in imported and not imported & set(HEAVY)


@pytest.mark.parametrize(
    ("tool", "command"),
    [
        ("train", "train"),
        ("test", "test"),
        ("doctor", "doctor"),
        ("quickstart", "quickstart"),
        ("transfer", "transfer"),
        ("make_scenes", "scenes"),
        ("reconstruct", "visualize reconstruction"),
        ("visualize", "visualize"),
        ("compare_runs", "compare"),
        ("index_images", "index"),
        ("benchmark", "benchmark"),
        ("check_data", "check-data"),
        ("convert_checkpoint", "convert-checkpoint"),
        ("export_backbone", "export-backbone"),
    ],
)
def test_tools_are_the_commands(tool, command, run_python, repository):
    script = repository / "tools" / f"{tool}.py"
    assert len(script.read_text().splitlines()) < 20
    ran = run_python(script, "--help")
    assert ran.stdout.startswith(f"usage: maskssl {command} "), ran.stderr


def test_a_slip_in_the_arguments_is_told_before_anything_is_started(capsys):
    with pytest.raises(SystemExit) as end:
        main(["train", "c.py", "--nproc", "2", "--resum"])
    assert end.value.code == 2
    assert "unrecognized arguments: --resum" in capsys.readouterr().err
    assert not Path("c.py").exists()
