"""The wheel, built from a copy of the checkout and installed into a folder of its own."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

IGNORED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "*.pt", "work_dirs")
COPIED = ("maskssl", "configs", "tests", "tools", "requirements")
CLUTTER = ("data/scenes/x.jpg", "data/x.py", "logs/setup.log", "work_dirs/run/config.py")
# files of such names stand in folders that are no packages: the hard case for a wheel
ODD_NAMES = ("pretrain/a_vit-base_16xb256-1.5x_in1k.py", "pretrain/metafile.yml")


@pytest.fixture(scope="session")
def checkout(repository, tmp_path_factory) -> Path:
    """A copy of the checkout, with what work leaves behind in it."""
    copy = tmp_path_factory.mktemp("checkout")
    for folder in COPIED:
        shutil.copytree(repository / folder, copy / folder, ignore=IGNORED)
    for pattern in ("*.toml", "*.py", "*.md", "LICENSE"):
        for file in repository.glob(pattern):
            shutil.copy(file, copy)
    for name in (*CLUTTER, *(f"configs/{name}" for name in ODD_NAMES)):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("")
    return copy


@pytest.fixture(scope="session")
def wheel(checkout, run_python, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    ran = run_python("-m", "pip", "wheel", *offline, "--wheel-dir", out, ".", cwd=checkout)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (built,) = out.glob("maskssl-*.whl")
    return built


@dataclass(frozen=True)
class Installed:
    """maskssl as a user has it: from a wheel.

    Attributes:
        site: folder that it was installed into.
        run: ``python -m maskssl WORDS`` in a folder, without the checkout.
    """

    site: Path
    run: Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def installed(wheel, run_python, run_warm, tmp_path_factory) -> Installed:
    site = tmp_path_factory.mktemp("site")
    offline = ["--no-deps", "--no-index", "--disable-pip-version-check", "--quiet"]
    ran = run_python("-m", "pip", "install", *offline, "--target", site, wheel)
    assert ran.returncode == 0, ran.stdout + ran.stderr

    def run(*words: object, cwd: Path, **options: object) -> subprocess.CompletedProcess[str]:
        more = options.pop("env", {})
        env = {"PYTHONPATH": str(site), "PYTHONSAFEPATH": "1", **more}
        return run_warm("-m", "maskssl", *words, cwd=cwd, env=env, **options)

    return Installed(site, run)


def relative(folder: Path) -> set[str]:
    """Files below a folder, by their path in it."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
