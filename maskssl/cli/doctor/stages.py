"""The stages, and mmcv's compiled ops: what this environment can run."""

from .machine import Finding, Machine
from .packages import EXTRAS, PROVIDERS, import_remedy, provider

BUILD_OPS = (
    "pip install ninja wheel 'setuptools>=80' and then, with MMCV_WITH_OPS=1 set, pip install "
    "--force-reinstall --no-deps --no-cache-dir --no-build-isolation onedl-mmcv"
)


def check_stages(machine: Machine) -> list[Finding]:
    """Pretraining, probing and kNN as one; mmcv's ops; segmentation; detection."""
    ops = _ops(machine)
    return [
        _core(machine),
        ops,
        _dense(machine, "segmentation", ("mmseg",), ops),
        _dense(machine, "detection", ("mmdet", "pycocotools"), ops),
    ]


def _core(machine: Machine) -> Finding:
    name = "pretraining, probing, kNN"
    failure = machine.failure("maskssl.registration")
    if not failure:
        return Finding(name, "ok", machine.praise("maskssl.registration"))
    remedy = "mend what is refused above; if nothing is, pip install --no-deps --editable ."
    return Finding(name, "refused", f"import maskssl.registration fails ({failure})", remedy)


def _ops(machine: Machine) -> Finding:
    if machine.deep:
        machine.failure("torch")  # loads the libraries that the ops link against
    failure = machine.failure("mmcv._ext")
    users = [module for module in ("mmseg", "mmdet") if provider(machine, module)]
    if failure and users:
        detail = f"{' and '.join(users)} will not run without them ({failure})"
        return Finding("mmcv ops", "warn", detail, BUILD_OPS)
    if failure:
        return Finding("mmcv ops", "absent", "only segmentation and detection use them", BUILD_OPS)
    if machine.deep and _sees_gpu(machine) and not _compiled_for_gpu(machine):
        detail = "compiled for the CPU only; some, such as nms, will not run on the GPU"
        remedy = f"with nvcc on the PATH and FORCE_CUDA=1 set: {BUILD_OPS}"
        return Finding("mmcv ops", "warn", detail, remedy)
    return Finding("mmcv ops", "ok", machine.praise("mmcv._ext"))


def _sees_gpu(machine: Machine) -> bool:
    return not machine.failure("torch") and bool(machine.load("torch").cuda.is_available())


def _compiled_for_gpu(machine: Machine) -> bool:
    return bool(machine.load("mmcv._ext").get_compiling_cuda_version() != "not available")


def _dense(machine: Machine, stage: str, modules: tuple[str, ...], ops: Finding) -> Finding:
    for module in modules:
        if not provider(machine, module) and machine.failure(module):
            remedy = f"pip install '.[{EXTRAS[module]}]', or bash tools/setup.sh"
            return Finding(stage, "absent", f"needs {PROVIDERS[module][0]}", remedy)
    if machine.failure("mmcv._ext"):
        return Finding(stage, "warn", "will not run: mmcv has no usable ops", ops.remedy)
    models = f"{modules[0]}.models"  # imports far more than the package itself
    for module in (models, *modules[1:]):
        failure = machine.failure(module)
        if failure:
            remedy = import_remedy(machine, module.split(".")[0], failure)
            return Finding(stage, "warn", f"will not run: {module} fails ({failure})", remedy)
    # ops without a GPU part are a drawback of detection alone
    if stage == "detection" and ops.status != "ok":
        return Finding(stage, ops.status, ops.detail, ops.remedy)
    return Finding(stage, "ok", machine.praise(models))
