"""The interpreter and the packages: versions, origins, and sets that do not go together."""

import re

from .machine import Finding, Machine, Status

# import name -> distributions that provide it, the one that is wanted first
PROVIDERS: dict[str, tuple[str, ...]] = {
    "torch": ("torch",),
    "torchvision": ("torchvision",),
    "timm": ("timm",),
    "numpy": ("numpy",),
    "PIL": ("pillow", "pillow-simd"),
    "matplotlib": ("matplotlib",),
    "rich": ("rich",),
    "safetensors": ("safetensors",),
    "tensorboard": ("tensorboard",),
    "cv2": (
        "opencv-python-headless",
        "opencv-python",
        "opencv-contrib-python-headless",
        "opencv-contrib-python",
    ),
    "mmengine": ("onedl-mmengine", "mmengine"),
    "mmcv": ("onedl-mmcv", "mmcv", "mmcv-full", "mmcv-lite"),
    "mmpretrain": ("onedl-mmpretrain", "mmpretrain", "mmcls"),
    "mmseg": ("onedl-mmsegmentation", "mmsegmentation"),
    "mmdet": ("onedl-mmdetection", "mmdet"),
    "pycocotools": ("pycocotools",),
}
# of what has no rival line, as pyproject.toml asks for it
LEAST = {
    "torch": "2.6",
    "torchvision": "0.21",
    "timm": "1.0.20",
    "numpy": "1.26",
    "pillow": "10",
    "matplotlib": "3.8",
    "rich": "13",
    "safetensors": "0.4",
    "tensorboard": "2.20",
    "opencv-python-headless": "4.9",
    "pycocotools": "2.0.8",
}
EXTRAS = {"mmseg": "seg", "mmdet": "det", "pycocotools": "det"}  # not needed by the core
SET_UP = "bash tools/setup.sh, or in an environment of your own: pip install '.[seg,det]'"


def provider(machine: Machine, module: str) -> str:
    """Distribution that a module comes from; empty if none of the known ones is there."""
    return next((name for name in PROVIDERS[module] if name in machine.versions), "")


def check_python(machine: Machine) -> list[Finding]:
    """The interpreter's version."""
    version = ".".join(map(str, machine.python))
    if machine.python < (3, 10):
        remedy = "make the environment with Python 3.10 or newer"
        return [Finding("python", "refused", f"{version} is too old", remedy)]
    return [Finding("python", "ok", version)]


def check_old_line(machine: Machine) -> list[Finding]:
    """Old open-mmlab distributions: refused beside onedl ones, whose folders they overwrite."""
    onedl = sorted(name for name in machine.versions if name.startswith("onedl-mm"))
    findings = []
    for wanted, *others in PROVIDERS.values():
        if not wanted.startswith("onedl-"):
            continue
        for old in (name for name in others if name in machine.versions):
            findings.append(_old_beside(old, wanted, onedl))
    return findings


def _old_beside(old: str, wanted: str, onedl: list[str]) -> Finding:
    if not onedl:
        detail = f"{old} has had no release since 2024"
        remedy = f"where it breaks with torch: pip uninstall -y {old}, pip install {wanted}"
        return Finding("old open-mmlab", "warn", detail, remedy)
    rivals = [wanted] if wanted in onedl else onedl
    # removing one of two that share a folder breaks the other, so both go
    gone = f"{old} {wanted}" if wanted in onedl else old
    return Finding(
        "old open-mmlab",
        "refused",
        f"{old} is installed beside {', '.join(rivals)}, and the two lines cannot be mixed",
        f"pip uninstall -y {gone}, then {SET_UP}",
    )


def check_one_cv2(machine: Machine) -> list[Finding]:
    """OpenCV's distributions overwrite one another's files."""
    names = [name for name in PROVIDERS["cv2"] if name in machine.versions]
    if len(names) < 2:
        return []
    detail = f"{' and '.join(names)} are both installed and write the same cv2"
    remedy = f"pip uninstall -y {' '.join(names)}, then pip install opencv-python-headless"
    return [Finding("one OpenCV", "refused", detail, remedy)]


def check_torch_pair(machine: Machine) -> list[Finding]:
    """torch and torchvision are released together; another one's operators do not load."""
    torchvision = machine.versions.get("torchvision", "")
    fitting = _fitting_torchvision(machine)
    if not fitting or not torchvision.startswith("0.") or torchvision.startswith(fitting + "."):
        return []
    detail = f"torchvision {torchvision} was not built for torch {machine.versions['torch']}"
    return [Finding("torch pair", "refused", detail, import_remedy(machine, "torchvision", ""))]


def _fitting_torchvision(machine: Machine) -> str:
    """'0.N' for the installed torch 2.M; empty where that cannot be told."""
    found = re.match(r"2\.(\d+)", machine.versions.get("torch", ""))
    # the two have been released together since torchvision 0.15 and torch 2.0
    return f"0.{int(found.group(1)) + 15}" if found else ""


def check_installed(machine: Machine) -> list[Finding]:
    """Each package: its version, the distribution it comes from, and whether it is to be had."""
    return [_installed(machine, module) for module in PROVIDERS]


def _installed(machine: Machine, module: str) -> Finding:
    name = provider(machine, module)
    failure = machine.failure(module)
    if not name and failure:
        return _missing(module)
    source = f"{machine.versions[name]} from {name}" if name else "from an unknown distribution"
    status: Status = "warn" if module in EXTRAS else "refused"
    if name in LEAST and _numbers(machine.versions[name]) < _numbers(LEAST[name]):
        detail = f"{source}, and {LEAST[name]} or newer is needed"
        return Finding(module, status, detail, f"pip install '{name}>={LEAST[name]}'; {SET_UP}")
    if not failure:
        return Finding(module, "ok", source)
    detail = f"{source} cannot be imported ({failure})"
    return Finding(module, status, detail, import_remedy(machine, module, failure))


def _numbers(version: str) -> tuple[int, ...]:
    """(2, 13, 0) of '2.13.0+cu130'; a release candidate counts as its release."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found.group().split("."))) if found else ()


def _missing(module: str) -> Finding:
    if module in EXTRAS:
        remedy = f"pip install '.[{EXTRAS[module]}]', or bash tools/setup.sh"
        return Finding(module, "absent", "not installed", remedy)
    return Finding(module, "refused", f"{PROVIDERS[module][0]} is not installed", SET_UP)


def import_remedy(machine: Machine, module: str, failure: str) -> str:
    """What to do when an installed package cannot be imported.

    Args:
        machine: where it was tried.
        module: import name, a key of PROVIDERS.
        failure: what the import raised, in one line.
    """
    if module == "torchvision":
        version = _fitting_torchvision(machine)
        fitting = f"torchvision=={version}.*" if version else "torch torchvision"
        return f"pip install --force-reinstall --no-deps '{fitting}' from where torch came from"
    if module == "cv2" and "cannot open shared object file" in failure:
        others = " ".join(PROVIDERS["cv2"][1:])
        return (
            f"pip uninstall -y {others}, then pip install --force-reinstall --no-deps "
            "opencv-python-headless; or, on Debian or Ubuntu, apt-get install libgl1 libglib2.0-0"
        )
    return f"pip install --force-reinstall --no-deps {PROVIDERS[module][0]}; {SET_UP}"
