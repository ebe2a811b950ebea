"""The wheel holds the package and its configs, and imports without the dense stages."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

IGNORED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "*.pt", "work_dirs")
COPIED = ("maskssl", "configs", "tests", "tools", "requirements")
CLUTTER = ("data/scenes/x.jpg", "data/x.py", "logs/setup.log", "work_dirs/run/config.py")
# files of such names stand in folders that are no packages: the hard case for a wheel
ODD_NAMES = ("pretrain/a_vit-base_16xb256-1.5x_in1k.py", "pretrain/metafile.yml")


@pytest.fixture(scope="module")
def checkout(repository, tmp_path_factory) -> Path:
    """A copy of the checkout, with what work leaves behind in it."""
    copy = tmp_path_factory.mktemp("checkout")
    for folder in COPIED:
        shutil.copytree(repository / folder, copy / folder, ignore=IGNORED)
    for file in (*repository.glob("*.toml"), *repository.glob("*.py"), *repository.glob("*.md")):
        shutil.copy(file, copy)
    for name in (*CLUTTER, *(f"configs/{name}" for name in ODD_NAMES)):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("")
    return copy


@pytest.fixture(scope="module")
def wheel(checkout, run_python, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    ran = run_python("-m", "pip", "wheel", *offline, "--wheel-dir", out, ".", cwd=checkout)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (built,) = out.glob("maskssl-*.whl")
    return built


@pytest.fixture(scope="module")
def unpacked(wheel, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def relative_files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel_holds_every_module_and_config_and_nothing_else(checkout, unpacked):
    modules = {f"maskssl/{name}" for name in relative_files(checkout / "maskssl")}
    configs = {f"maskssl/configs/{name}" for name in relative_files(checkout / "configs")}
    assert len(configs) > len(ODD_NAMES), "the checkout has no configs"
    installed = {name for name in relative_files(unpacked) if ".dist-info/" not in name}
    assert installed == modules | configs


def test_metadata_names_the_extras_and_the_python(unpacked):
    (metadata,) = unpacked.glob("maskssl-*.dist-info/METADATA")
    lines = metadata.read_text().splitlines()
    assert "Requires-Python: >=3.10" in lines
    assert {"Provides-Extra: seg", "Provides-Extra: det"} <= set(lines)


def test_config_of_the_wheel_is_found_and_loads(unpacked, checkout, run_python, tmp_path):
    leaves = sorted(p for p in (checkout / "configs" / "pretrain").glob("*.py") if p.stat().st_size)
    assert leaves, "configs/pretrain holds no config"
    name = f"pretrain/{leaves[0].name}"
    code = (
        "import json, maskssl; from mmengine.config import Config\n"
        f"path = maskssl.config_file({name!r}); cfg = Config.fromfile(path)\n"
        "print(json.dumps([maskssl.__file__, path, cfg.model.type, cfg.custom_imports.imports]))"
    )
    ran = run_python("-c", code, cwd=tmp_path, env={"PYTHONPATH": str(unpacked)})
    assert ran.returncode == 0, ran.stderr
    package, path, model, imports = json.loads(ran.stdout.splitlines()[-1])
    assert Path(package) == unpacked / "maskssl" / "__init__.py"
    assert Path(path) == unpacked / "maskssl" / "configs" / name
    assert model and imports == ["maskssl.registration"]


def test_config_of_the_checkout_is_found(run_python, repository, tmp_path):
    (name, *_) = sorted(path.name for path in (repository / "configs" / "pretrain").glob("*.py"))
    code = f"import maskssl; print(maskssl.config_file({'pretrain/' + name!r}))"
    ran = run_python("-c", code, cwd=tmp_path, env={"PYTHONPATH": str(repository)})
    assert ran.returncode == 0, ran.stderr
    assert Path(ran.stdout.splitlines()[-1]) == repository / "configs" / "pretrain" / name


def test_import_works_where_the_dense_stages_cannot_be_imported(run_python):
    code = (
        "import maskssl, maskssl.registration\n"
        "for name in ('mmcv._ext', 'mmseg', 'mmdet.models', 'pycocotools.mask'):\n"
        "    try:\n"
        "        __import__(name)\n"
        "    except ModuleNotFoundError as error:\n"
        "        assert (name + '.').startswith(error.name + '.'), error\n"
        "    else:\n"
        "        raise AssertionError(f'{name} was not blocked')\n"
        "print('imported', maskssl.__version__)"
    )
    ran = run_python("-m", "tests.blocked_imports", "-c", code)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1].startswith("imported ")


def test_blocked_script_runs_as_if_started_by_python(run_python, tmp_path):
    (tmp_path / "beside.py").write_text("value = 7")
    script = tmp_path / "script.py"
    script.write_text("import sys, beside; print(__name__, sys.argv[1:], beside.value)")
    ran = run_python("-m", "tests.blocked_imports", script, "a", "--b")
    assert ran.stdout == "__main__ ['a', '--b'] 7\n", ran.stderr


def test_importing_maskssl_leaves_the_dense_stages_alone(run_python):
    # mmpretrain.models itself imports mmdet where it can (res_layer_extra_norm.py), so
    # what is asked is that maskssl adds nothing to that
    code = (
        "import sys, mmpretrain.models\n"
        "before = set(sys.modules)\n"
        "import maskssl.registration\n"
        "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    )
    ran = run_python("-c", code)
    assert ran.returncode == 0, ran.stderr
    added = set(ran.stdout.splitlines()[-1].split())
    assert "maskssl" in added
    assert added.isdisjoint({"mmseg", "mmdet", "pycocotools"})
