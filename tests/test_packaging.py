"""The wheel holds the package and its configs; from it, every command runs in an empty folder."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from maskssl.commands import COMMANDS
from maskssl.methods import METHODS
from tests.wheel import ODD_NAMES, relative

CONFIGS = METHODS["bootmae"].configs
KNN = "finetune/bootmae_vit-mini-p8_knn_1xb128_scenes.py"


def test_wheel_holds_every_module_and_config_and_nothing_else(checkout, installed):
    modules = {f"maskssl/{name}" for name in relative(checkout / "maskssl")}
    configs = {f"maskssl/configs/{name}" for name in relative(checkout / "configs")}
    configs = {name for name in configs if not name.endswith(".md")}
    assert len(configs) > len(ODD_NAMES), "the checkout has no configs"
    found = {name for name in relative(installed.site) if name.startswith("maskssl/")}
    assert found == modules | configs
    assert "maskssl/py.typed" in found and "maskssl/configs/model-index.yml" in found


def test_metadata_names_the_extras_the_python_and_the_command(installed):
    (folder,) = installed.site.glob("maskssl-*.dist-info")
    lines = (folder / "METADATA").read_text().splitlines()
    assert "Requires-Python: >=3.10" in lines
    assert {"Provides-Extra: seg", "Provides-Extra: det"} <= set(lines)
    assert "License-Expression: Apache-2.0" in lines
    assert "maskssl = maskssl.__main__:main" in (folder / "entry_points.txt").read_text()


def test_the_script_is_the_command(installed, tmp_path):
    ran = subprocess.run(
        [str(installed.site / "bin" / "maskssl"), "--help"],
        env={"PYTHONPATH": str(installed.site)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert all(f"  {name} " in ran.stdout for name in COMMANDS)


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Path:
    """The folder that the commands run in, one after the other."""
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(scope="module")
def command(installed, empty):
    """Run a command of the wheel there, and expect it to end well."""

    def run(*words, **options):
        ran = installed.run(*words, cwd=empty, **options)
        assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
        return ran.stdout

    return run


def options(*loaders: str) -> list[str]:
    return [
        "--cfg-options",
        *(f"{loader}.{option}" for loader in loaders
          for option in ("num_workers=0", "persistent_workers=False", "dataset.indices=32")),
    ]  # fmt: skip


class TestEveryCommandFromTheWheel:
    """In this order: what one leaves, the next reads. The quickstart's own tests run it so."""

    def test_doctor(self, command):
        assert json.loads(command("doctor", "--json"))["works"]

    def test_scenes(self, command, empty):
        sizes = ["--num-train", "64", "--num-val", "8", "--num-dense-train", "2"]
        command("scenes", "data/scenes", *sizes, "--num-dense-val", "2")
        assert len(list((empty / "data/scenes/imagefolder/train").rglob("*.*"))) == 64

    def test_train_on_two_processes(self, command, empty):
        port = {"PORT": "29651", "OMP_NUM_THREADS": "1"}
        command(
            "train", CONFIGS["pretrain"], "--nproc", "2", "--work-dir", "run",
            *options("train_dataloader"), "train_cfg.max_epochs=1",
            "train_dataloader.batch_size=8", "default_hooks.logger.interval=1", env=port,
        )  # fmt: skip
        (log,) = (empty / "run").glob("*/vis_data/scalars.json")
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert max(line["step"] for line in lines) == 2  # 32 images, 2 processes of 8

    def test_test(self, command, empty):
        loaders = options("test_dataloader", "test_cfg.bank_dataloader")
        loaders = [
            word.replace("test_dataloader.dataset.indices=32", "test_dataloader.dataset.indices=8")
            for word in loaders
        ]
        command("test", KNN, "--pretrained", "run", "--work-dir", "knn", *loaders)
        assert "accuracy/top1" in json.loads((empty / "knn" / "metrics.json").read_text())

    @pytest.mark.parametrize("view", ["reconstruction", "attention", "neighbours"])
    def test_visualize(self, view, command, empty):
        words = ("visualize", view, "run", "data/scenes/imagefolder/val", "--out", f"{view}.png")
        command(*words, "--limit", "2")
        assert Image.open(empty / f"{view}.png").width > 100

    def test_visualize_schedule(self, command, empty):
        told = command("visualize", "schedule", CONFIGS["pretrain"], "--images", "64")
        assert "learning rate: start " in told and (empty / "schedule.png").is_file()

    def test_compare(self, command, empty):
        words = ("compare", "run", "run", "--labels", "once", "twice", "--out", "both")
        assert "picture: " in command(*words)
        assert (empty / "both" / "compare.png").is_file()

    def test_index(self, command):
        told = command("index", "data/scenes/imagefolder/train", "--out", "train.index")
        assert "64 images" in told and "labels 0 to 7" in told

    def test_check_data(self, command):
        loaders = options("train_dataloader")[1:]
        told = command("check-data", CONFIGS["pretrain"], "--cfg-options", *loaders)
        assert "train_dataloader" in told and "32" in told

    def test_convert_checkpoint(self, command, empty):
        assert "tensors from" in command("convert-checkpoint", "run", "encoder.safetensors")
        assert (empty / "encoder.safetensors").stat().st_size > 10**5

    def test_export_backbone(self, command, empty):
        command("export-backbone", "encoder.safetensors", "plain", "--to", "safetensors")
        assert list((empty / "plain").glob("*.safetensors"))

    def test_transfer(self, command, empty):
        words = ("transfer", "run", "--data", "data/scenes/imagefolder", "--out", "worth")
        command(*words, "--stages", "knn", "--seeds", "0", "--num-workers", "0")
        assert "knn" in (empty / "worth" / "report" / "report.json").read_text()

    def test_convert(self, installed, empty):
        ran = installed.run("convert", "yolo", "data/scenes/seg", cwd=empty)
        assert ran.returncode == 1
        assert "data.yaml" in ran.stderr.splitlines()[-1]

    def test_cache(self, command):
        loaders = options("train_dataloader")[1:]
        told = command(
            "cache",
            CONFIGS["pretrain"],
            "--out",
            "decoded",
            "--estimate",
            "--cfg-options",
            *loaders,
        )
        assert "64 images" in told, told

    def test_study(self, installed, empty):
        """Its own tests run it; here it gets as far as its slip."""
        ran = installed.run("study", "--images", "nowhere", cwd=empty)
        assert ran.returncode == 1
        assert "nowhere: there is no such folder" in ran.stderr

    def test_evidence(self, installed, empty):
        """The same: which sets there are."""
        words = ("evidence", "frozen", "--data-root", "nowhere", "--sets", "moons")
        ran = installed.run(*words, cwd=empty)
        assert ran.returncode == 1
        assert "MaskSSLError: --sets moons: they are tiny_imagenet, " in ran.stderr

    def test_benchmark(self, installed, empty):
        """Its own tests measure; here it gets as far as its slip."""
        ran = installed.run("benchmark", CONFIGS["pretrain"], "--mode", "slow", cwd=empty)
        assert ran.returncode == 1
        assert ran.stderr.splitlines()[-1].startswith(
            "MaskSSLError: compile mode='slow' is unknown"
        )

    @pytest.mark.parametrize("name", ["slurm-train", "slurm-test"])
    def test_slurm(self, name, installed, empty):
        if shutil.which("srun"):
            pytest.skip("would start a job")
        ran = installed.run(name, "p", "j", CONFIGS["pretrain"], cwd=empty)
        assert ran.returncode == 1
        assert re.match("SlurmError: there is no srun on the PATH", ran.stderr)

    def test_none_is_forgotten(self):
        tested = {name for name in dir(type(self)) if name.startswith("test_")}
        for command in COMMANDS:
            if command != "quickstart":  # tests/quickstart/test_quickstart.py
                stem = "slurm" if command.startswith("slurm") else command.replace("-", "_")
                assert any(name.startswith(f"test_{stem}") for name in tested), command


def test_config_of_the_checkout_is_found(run_python, repository, tmp_path):
    (name, *_) = sorted(path.name for path in (repository / "configs" / "pretrain").glob("*.py"))
    code = f"import maskssl; print(maskssl.config_file({'pretrain/' + name!r}))"
    ran = run_python("-c", code, cwd=tmp_path, env={"PYTHONPATH": str(repository)})
    assert ran.returncode == 0, ran.stderr
    assert Path(ran.stdout.splitlines()[-1]) == repository / "configs" / "pretrain" / name


def test_blocked_script_runs_as_if_started_by_python(run_python, tmp_path):
    (tmp_path / "beside.py").write_text("value = 7")
    script = tmp_path / "script.py"
    script.write_text("import sys, beside; print(__name__, sys.argv[1:], beside.value)")
    ran = run_python("-m", "tests.blocked_imports", script, "a", "--b")
    assert ran.stdout == "__main__ ['a', '--b'] 7\n", ran.stderr
