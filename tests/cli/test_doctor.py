"""The doctor's findings on simulated machines, and the tool on this one."""

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from maskssl.cli.doctor import check_hardware, examine, verdict, works
from maskssl.cli.doctor.machine import (
    Finding,
    Machine,
    cpu_flags,
    findable,
    gpu_files,
    installed_versions,
)
from maskssl.cli.doctor.packages import LEAST, PROVIDERS
from maskssl.cli.doctor.tested_choices import TESTED

PAIR = {"torch": "2.13.0+cu130", "torchvision": "0.28.0"}
HEALTHY = {names[0]: LEAST.get(names[0], "1.0") for names in PROVIDERS.values()} | PAIR
LIBGL = ImportError("libGL.so.1: cannot open shared object file: No such file or directory")
NO_NMS = RuntimeError("operator torchvision::nms does not exist")
NO_OPS = ModuleNotFoundError("No module named 'mmcv._ext'")


def test_minima_are_those_of_the_package():
    text = Path(__file__).parents[2].joinpath("pyproject.toml").read_text()
    text = text[text.index("\ndependencies") : text.index("\ndev = [")]
    asked = dict(re.findall(r'"([a-z-]+)>=([\d.]+)"', text))
    assert asked == LEAST | {"ftfy": "6"}  # which nothing of ours imports


def machine(
    add: tuple[str, ...] = (),
    remove: tuple[str, ...] = (),
    broken: Mapping[str, Exception] | None = None,
    modules: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Machine:
    """A healthy machine but for what is said.

    Args:
        add: distributions that are there as well.
        remove: import names of packages that are not there.
        broken: what the import of a module raises.
        modules: what the import of a module gives; real torch otherwise.
        settings: other fields of Machine.
    """
    versions = {**HEALTHY, **dict.fromkeys(add, "1.0")}
    for name in remove:
        versions.pop(PROVIDERS[name][0])

    def load(name: str) -> Any:
        if name.split(".")[0] in remove:
            raise ModuleNotFoundError(f"No module named {name!r}")
        if name in (broken or {}):
            raise (broken or {})[name]
        if name in (modules or {}):
            return (modules or {})[name]
        return importlib.import_module("torch") if name == "torch" else SimpleNamespace()

    fields = dict(python=(3, 11, 7), cores=4, flags={"avx512_bf16"}, deep=True) | settings
    return Machine(versions=versions, load=load, **fields)


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    """Findings by name; what needs action must say which, in one line."""
    for finding in findings:
        assert "\n" not in finding.detail + finding.remedy
        assert bool(finding.remedy) == (finding.status != "ok"), finding
    return {finding.name: finding for finding in findings}


def fake_torch(gpus: int = 0, cuda: str | None = "13.0", **distributed: bool) -> SimpleNamespace:
    """As much of torch as the hardware checks read before they compute."""
    properties = SimpleNamespace(name="Example GPU", total_memory=80 * 2**30)
    return SimpleNamespace(
        cuda=SimpleNamespace(
            is_available=lambda: gpus > 0,
            device_count=lambda: gpus,
            get_device_properties=lambda index: properties,
            is_bf16_supported=lambda including_emulation: False,
        ),
        version=SimpleNamespace(cuda=cuda),
        distributed=SimpleNamespace(
            is_available=lambda: distributed.get("built", True),
            is_gloo_available=lambda: distributed.get("gloo", True),
            is_nccl_available=lambda: distributed.get("nccl", True),
        ),
        # on any device, as the CPU would
        ones=lambda *shape, device, dtype=torch.float32: torch.ones(*shape, dtype=dtype),
        autocast=lambda device, dtype: torch.autocast("cpu", dtype),
        bfloat16=torch.bfloat16,
        float32=torch.float32,
        nn=torch.nn,
    )


def test_healthy_machine():
    findings = examine(machine())
    found = by_name(findings)
    assert set(PROVIDERS) <= set(found)
    assert found["mmcv"].detail == "1.0 from onedl-mmcv"
    assert works(findings)
    assert verdict(findings) == ("OK: pretraining, probing, kNN, segmentation, detection will work")


@pytest.mark.parametrize(
    ("old", "onedl"),
    [
        ("mmengine", "onedl-mmengine"),
        ("mmcv", "onedl-mmcv"),
        ("mmcv-full", "onedl-mmcv"),
        ("mmcv-lite", "onedl-mmcv"),
        ("mmpretrain", "onedl-mmpretrain"),
        ("mmcls", "onedl-mmpretrain"),
        ("mmsegmentation", "onedl-mmsegmentation"),
        ("mmdet", "onedl-mmdetection"),
    ],
)
def test_old_line_beside_onedl_is_refused(old, onedl):
    findings = examine(machine(add=(old,)))
    finding = by_name(findings)["old open-mmlab"]
    assert finding.status == "refused"
    assert not works(findings)
    assert f"{old} is installed beside {onedl}," in verdict(findings)
    assert f"pip uninstall -y {old} {onedl}," in verdict(findings)


def test_old_line_without_its_counterpart_is_refused_beside_the_others():
    finding = by_name(examine(machine(add=("mmdet",), remove=("mmdet",))))["old open-mmlab"]
    assert finding.status == "refused"
    assert "mmdet is installed beside onedl-mmcv, onedl-mmengine" in finding.detail
    assert finding.remedy.startswith("pip uninstall -y mmdet, ")


def test_old_line_alone_is_a_warning():
    old = ("mmengine", "mmcv", "mmpretrain")
    versions = dict.fromkeys(old, "1.0") | {"torch": "2.6.0"}
    findings = examine(Machine(versions, machine().load, (3, 11, 0), 2, (), deep=True))
    warned = [item for item in findings if item.name == "old open-mmlab"]
    assert [item.status for item in warned] == ["warn"] * 3
    assert works(findings)


def test_two_opencv_distributions_are_refused():
    findings = examine(machine(add=("opencv-python",)))
    assert by_name(findings)["one OpenCV"].status == "refused"
    assert "opencv-python-headless and opencv-python are both installed" in verdict(findings)
    assert "pip uninstall -y opencv-python-headless opencv-python," in verdict(findings)
    assert not works(findings)


def test_opencv_without_libgl_is_refused_with_the_remedy():
    findings = examine(machine(broken={"cv2": LIBGL}))
    cv2 = by_name(findings)["cv2"]
    assert cv2.status == "refused"
    assert "libGL.so.1" in cv2.detail
    assert "--force-reinstall --no-deps opencv-python-headless" in cv2.remedy
    assert "apt-get install libgl1" in cv2.remedy
    assert not works(findings)


def test_opencv_that_breaks_otherwise_gets_no_advice_on_libgl():
    broken = {"cv2": ImportError("numpy.core.multiarray failed to import")}
    assert "libgl1" not in by_name(examine(machine(broken=broken)))["cv2"].remedy


def test_torchvision_of_another_torch_is_refused():
    findings = examine(machine(broken={"torchvision": NO_NMS}))
    torchvision = by_name(findings)["torchvision"]
    assert torchvision.status == "refused"
    assert "operator torchvision::nms does not exist" in torchvision.detail
    assert "torchvision==0.28.*" in torchvision.remedy  # for torch 2.13
    assert not works(findings)


def test_no_ops_stops_the_dense_stages_alone():
    findings = examine(machine(broken={"mmcv._ext": NO_OPS}))
    found = by_name(findings)
    for name in ("mmcv ops", "segmentation", "detection"):
        assert found[name].status == "warn"
        assert "MMCV_WITH_OPS=1" in found[name].remedy
    assert "mmseg and mmdet will not run" in found["mmcv ops"].detail
    assert works(findings)
    assert verdict(findings) == (
        "OK: pretraining, probing, kNN will work; see above for segmentation, detection"
    )


def test_no_ops_is_no_warning_without_the_packages_that_use_them():
    gone = ("mmseg", "mmdet", "pycocotools")
    findings = examine(machine(remove=gone, broken={"mmcv._ext": NO_OPS}))
    found = by_name(findings)
    for name in (*gone, "mmcv ops", "segmentation", "detection"):
        assert found[name].status == "absent"
    assert "[seg]" in found["segmentation"].remedy
    assert "[det]" in found["detection"].remedy
    assert works(findings)


def test_detection_needs_pycocotools():
    found = by_name(examine(machine(remove=("pycocotools",))))
    assert found["segmentation"].status == "ok"
    assert found["detection"].status == "absent"
    assert "pycocotools" in found["detection"].detail


def test_dense_package_whose_models_fail_is_a_warning():
    broken = {"mmseg.models": ModuleNotFoundError("No module named 'ftfy'")}
    findings = examine(machine(broken=broken))
    found = by_name(findings)
    assert found["segmentation"].status == "warn"
    assert "ftfy" in found["segmentation"].detail
    assert found["detection"].status == "ok"
    assert works(findings)


@pytest.mark.parametrize("module", ["torch", "timm", "mmpretrain", "matplotlib"])
def test_missing_requirement_is_refused(module):
    findings = examine(machine(remove=(module,)))
    assert by_name(findings)[module].status == "refused"
    assert f"{PROVIDERS[module][0]} is not installed" in verdict(findings)
    assert not works(findings)


def test_package_of_unknown_origin_is_accepted_if_it_imports():
    versions = {name: version for name, version in HEALTHY.items() if name != "timm"}
    found = by_name(examine(Machine(versions, machine().load, (3, 11, 0), 2, (), deep=True)))
    assert found["timm"] == Finding("timm", "ok", "from an unknown distribution")


def test_maskssl_that_cannot_be_imported_is_refused():
    findings = examine(
        machine(broken={"maskssl.registration": AssertionError("MMCV==3.0 is incompatible")})
    )
    assert "import maskssl.registration fails (AssertionError: MMCV==3.0" in verdict(findings)
    assert not works(findings)


def test_old_python_is_refused():
    findings = examine(machine(python=(3, 9, 18)))
    assert by_name(findings)["python"].status == "refused"
    assert not works(findings)


def test_of_several_refusals_the_first_cause_is_named():
    broken = {"cv2": LIBGL, "mmcv": LIBGL, "maskssl.registration": LIBGL}
    assert verdict(examine(machine(broken=broken))).startswith("REFUSED: cv2: ")
    assert verdict(examine(machine(broken=broken))).endswith("(2 more refused)")


def test_hardware_of_a_gpu_node():
    found = by_name(check_hardware(machine(modules={"torch": fake_torch(gpus=2)}, cores=16)))
    assert found["processor cores"].detail == "16"
    assert found["GPU 0"].detail == found["GPU 1"].detail == "Example GPU, 80 GiB"
    assert found["bf16 on the GPU"].status == "warn"  # is_bf16_supported says no
    assert found["bf16 on the CPU"].status == "ok"
    assert found["fused attention on the GPU"].status == "ok"
    assert found["nccl"].status == found["gloo"].status == "ok"


@pytest.mark.parametrize(
    ("cuda", "words"), [("13.0", "torch (CUDA 13.0) sees none"), (None, "build without CUDA")]
)
def test_without_a_gpu(cuda, words):
    found = by_name(check_hardware(machine(modules={"torch": fake_torch(cuda=cuda)})))
    assert found["GPU"].status == "absent"
    assert words in found["GPU"].detail
    assert "bf16 on the GPU" not in found


def test_torch_without_process_groups():
    bare = fake_torch(gloo=False, nccl=False)
    found = by_name(check_hardware(machine(modules={"torch": bare})))
    assert (found["gloo"].status, found["nccl"].status) == ("warn", "absent")
    none = fake_torch(built=False)
    assert by_name(check_hardware(machine(modules={"torch": none})))["gloo"].status == "warn"


@pytest.mark.parametrize(
    ("flags", "status"), [({"amx_bf16"}, "ok"), ({"bf16"}, "ok"), ({"avx2", "avx512f"}, "warn")]
)
def test_bf16_on_the_cpu_asks_the_processor(flags, status):
    found = by_name(check_hardware(machine(modules={"torch": fake_torch()}, flags=flags)))
    assert found["bf16 on the CPU"].status == status


def test_autocast_that_does_nothing_is_seen():
    idle = fake_torch()
    idle.autocast = lambda device, dtype: torch.autocast("cpu", dtype, enabled=False)
    found = by_name(check_hardware(machine(modules={"torch": idle})))
    assert found["bf16 on the CPU"].status == "warn"
    assert "float32" in found["bf16 on the CPU"].detail


def test_attention_without_a_fused_kernel_is_a_warning(monkeypatch):
    def refuse(*tensors: torch.Tensor) -> None:
        raise RuntimeError("No available kernel. Aborting execution.")

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", refuse)
    found = by_name(check_hardware(machine(modules={"torch": fake_torch()})))
    assert found["fused attention on the CPU"].status == "warn"


@pytest.mark.parametrize(("compiler", "status"), [("not available", "warn"), ("13.0", "ok")])
def test_ops_compiled_without_cuda_on_a_gpu_machine(compiler, status):
    ops = SimpleNamespace(get_compiling_cuda_version=lambda: compiler)
    modules = {"torch": fake_torch(gpus=1), "mmcv._ext": ops}
    found = by_name(examine(machine(modules=modules)))
    assert found["mmcv ops"].status == found["detection"].status == status
    assert found["segmentation"].status == "ok"


@pytest.mark.parametrize("line", ["flags\t\t: fpu avx2 amx_bf16", "Features\t: fp bf16 avx2"])
def test_processor_flags_are_read(tmp_path, line):
    (tmp_path / "cpuinfo").write_text(f"model name : x\n{line}\n\n{line} later\n")
    flags = cpu_flags(str(tmp_path / "cpuinfo"))
    assert "avx2" in flags and "later" not in flags
    assert cpu_flags(str(tmp_path / "none")) == frozenset()


def old_distribution(folder, name="Mmcv_Full"):
    """Metadata of an installed distribution, in the spelling that a build may give it."""
    info = folder / f"{name}-1.7.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.7.2\n")


def test_distribution_names_are_normalised(tmp_path, monkeypatch):
    old_distribution(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert installed_versions()["mmcv-full"] == "1.7.2"


def test_doctor_refuses_and_says_so_last(tmp_path, run_python):
    old_distribution(tmp_path)
    ran = run_python("tools/doctor.py", env={"PYTHONPATH": str(tmp_path)})
    assert ran.returncode == 1, ran.stderr
    last = ran.stdout.splitlines()[-1]
    assert last.startswith("REFUSED: old open-mmlab: mmcv-full is installed beside onedl-mmcv")
    assert "pip uninstall -y mmcv-full onedl-mmcv" in last


# Without importing anything


def shallow(missing: tuple[str, ...] = (), **settings: Any) -> Machine:
    """A machine that is only looked at: what is loaded would be a defect."""

    def load(name: str) -> Any:
        raise AssertionError(f"{name} was imported")

    def find(name: str) -> bool:
        return not any(f"{name}.".startswith(f"{gone}.") for gone in missing)

    fields = dict(versions=HEALTHY, python=(3, 11, 7), cores=4, gpus=0) | settings
    return Machine(load=load, find=find, **fields)


def test_a_look_imports_nothing():
    findings = examine(shallow())
    found = by_name(findings)
    assert works(findings)
    assert found["mmcv ops"].detail == "mmcv._ext is there"
    assert found["segmentation"].detail == "mmseg.models is there"
    assert found["GPU"].status == "absent"
    assert not any(name.startswith(("bf16", "fused", "gloo", "nccl")) for name in found)


def test_a_look_misses_files():
    findings = examine(shallow(("mmcv._ext",)))
    found = by_name(findings)
    assert [found[name].status for name in ("mmcv ops", "segmentation")] == ["warn"] * 2
    assert works(findings)
    refused = examine(shallow(("timm",)))
    assert by_name(refused)["timm"].status == "refused" and not works(refused)


@pytest.mark.parametrize(
    ("torch_version", "torchvision", "refused"),
    [("2.13.0", "0.28.0", False), ("2.13.0+cu130", "0.27.1+cpu", True), ("2.1", "0.28.0", True)],
)
def test_a_look_knows_which_torchvision_fits(torch_version, torchvision, refused):
    versions = {**HEALTHY, "torch": torch_version, "torchvision": torchvision}
    found = by_name(examine(shallow(versions=versions)))
    assert ("torch pair" in found) == refused
    if refused:
        minor = int(torch_version.split(".")[1]) + 15
        assert f"'torchvision==0.{minor}.*'" in found["torch pair"].remedy


def test_a_look_counts_the_drivers_gpus(tmp_path):
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert gpu_files(str(tmp_path)) == 2
    assert by_name(examine(shallow(gpus=2)))["GPU"].status == "ok"
    versions = HEALTHY | {"torch": "2.13.0+cpu"}
    assert by_name(examine(shallow(gpus=2, versions=versions)))["GPU"].status == "warn"


def test_modules_are_found_without_importing_their_parents(tmp_path, monkeypatch):
    package = tmp_path / "unheard_of" / "inner"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").write_text("raise AssertionError('imported')")
    (package / "part.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert findable("unheard_of") and findable("unheard_of.inner.part")
    assert not findable("unheard_of.inner.other") and not findable("unheard_of.other.part")
    assert not findable("never_heard_of.inner") and not findable("unheard_of.inner.part.deeper")


def test_the_doctor_says_what_was_tried_and_what_was_not():
    found = by_name(examine(shallow()))
    for (way, where), how in TESTED.items():
        assert f"{way} on {where}: {how}" in found["tried by us"].detail
    assert "several nodes" in found["not tried by us"].detail


@pytest.mark.parametrize("name", ["safetensors", "tensorboard"])
def test_what_every_run_imports_is_looked_for(name):
    findings = examine(machine(remove=(name,)))
    assert not works(findings)
    assert any(one.status == "refused" and name in one.detail for one in findings)


@pytest.mark.parametrize(
    ("name", "version", "refused"),
    [("torch", "2.1.0", True), ("timm", "0.6.7", True), ("timm", "1.0.20rc1", False),
     ("numpy", "1.26.4", False), ("pycocotools", "2.0.6", True)],
)  # fmt: skip
def test_versions_older_than_the_package_asks_for_are_told(name, version, refused, monkeypatch):
    monkeypatch.setitem(HEALTHY, name, version)
    told = [one for one in examine(machine()) if "or newer is needed" in one.detail]
    assert bool(told) == refused
    for one in told:
        assert f"{version} from {name}, and {LEAST[name]} or newer is needed" in one.detail
        assert one.status == ("warn" if name == "pycocotools" else "refused")
