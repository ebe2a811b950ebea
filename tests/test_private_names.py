"""Names taken without a promise stand in one file, and each of them is tried here."""

import ast
import atexit
import functools
import inspect
import re
import sys
from importlib import metadata
from pathlib import Path

import mmengine
import pytest
import torch
import torch._dynamo
from mmengine.dataset import BaseDataset, default_collate
from mmengine.dataset.base_dataset import force_full_init
from mmengine.optim import OptimWrapper

import maskssl
import maskssl.registration
from maskssl import private_names
from tests.engine.test_runner import build

PACKAGE = Path(maskssl.__path__[0])


def tried(distribution, function, *arguments):
    """Call one, and say which release broke it."""
    try:
        return function(*arguments)
    except AttributeError as error:
        version = sys.version if distribution == "Python" else metadata.version(distribution)
        pytest.fail(f"{distribution} {version} broke private_names.{function.__name__}: {error}")


def test_accumulation():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    wrapper = OptimWrapper(optimizer, accumulative_counts=3)
    assert tried("onedl-mmengine", private_names.accumulative_counts, wrapper) == 3


def test_loops(tmp_path):
    loop = build(tmp_path).train_loop
    tried("onedl-mmengine", private_names.put_loop_at, loop, 5, 1)
    assert (loop.iter, loop.epoch) == (5, 1), f"mmengine {mmengine.__version__} asks another name"
    private_names.put_loop_at(loop, 6)
    assert (loop.iter, loop.epoch) == (6, 1)


def test_modules():
    norm, shared = torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 2, bias=False)
    model = torch.nn.ModuleList([norm, torch.nn.ModuleList([shared]), shared])
    model.none = None
    model.register_buffer("mine", torch.zeros(1))
    parameters, buffers = tried("torch", private_names.tensors_of, model)
    assert [id(one) for one in parameters] == [id(one) for one in model.parameters()]
    assert [id(one) for one in buffers] == [id(one) for one in model.buffers()]
    assert len(parameters) == 3
    assert len(buffers) == 4


def test_datasets():
    class Images(BaseDataset):
        inits = 0

        def full_init(self):
            self.inits += 1

        @force_full_init
        def first(self):
            return self.inits

    images = Images(lazy_init=True)
    assert tried("onedl-mmengine", private_names.is_initialised, images) is False
    assert images.first() == 1
    tried("onedl-mmengine", private_names.mark_initialised, images)
    assert private_names.is_initialised(images)
    assert images.first() == 1, f"mmengine {mmengine.__version__} asks another name"


def test_inductor():
    options = tried("torch", private_names.inductor_options, "max-autotune")
    assert "max_autotune" in options
    assert tried("torch", private_names.inductor_knows, "max_autotune")
    assert not private_names.inductor_knows("none such")


def test_collating():
    class Own:
        pass

    tried("torch", private_names.collate_by, Own, lambda batch, **_: len(batch))
    assert default_collate([dict(own=Own())] * 3) == dict(own=3)
    assert torch.utils.data.default_collate([Own()] * 2) == 2


def test_graphs_under_ddp(monkeypatch):
    monkeypatch.setattr(torch._dynamo.config, "optimize_ddp", True)
    tried("torch", private_names.keep_graphs_whole_under_ddp)
    assert torch._dynamo.config.optimize_ddp is False


def test_exit_functions(monkeypatch):
    called = []
    monkeypatch.setattr(atexit, "_run_exitfuncs", lambda: called.append(1))
    tried("Python", private_names.run_exit_functions)
    assert called == [1]
    monkeypatch.undo()
    assert callable(atexit._run_exitfuncs), f"Python {sys.version} has no atexit._run_exitfuncs"


def test_every_one_is_tried():
    source = inspect.getsource(sys.modules[__name__])
    for name, function in vars(private_names).items():
        if inspect.isfunction(function):
            assert f"private_names.{name}," in source or f"private_names.{name})" in source, name


def private(name):
    return name.startswith("_") and not name.startswith("__")


def sources():
    for path in sorted(PACKAGE.rglob("*.py")):
        yield str(path.relative_to(PACKAGE)), ast.parse(path.read_text())


def own_names(tree):
    """Private names that a file itself gives to something."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id in ("self", "guard"):
                yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def test_no_other_file_touches_any():
    """Attributes of others that begin with an underscore, and imports of such names."""
    ours = {name for _, tree in sources() for name in own_names(tree) if private(name)}
    found = []
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and private(node.attr) and node.attr not in ours:
                found.append(f"{path}:{node.lineno}: {node.attr}")
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
                found += [f"{path}:{node.lineno}: {name}" for name in names if private(name)]
    allowed = ("private_names.py:", "cli/doctor/stages.py:")  # the doctor looks for mmcv._ext
    others = [place for place in found if not place.startswith(allowed)]
    others = [place for place in others if not place.endswith(": _exit")]
    assert not others, "\n".join(others)


def test_no_class_shares_private_names_with_the_classes_it_extends():
    """A release may rename them: what overrides or reads them would be dead without a word."""
    found = []
    for name, module in sorted(sys.modules.items()):
        if not name.startswith("maskssl."):
            continue
        for kind in vars(module).values():
            if inspect.isclass(kind) and kind.__module__ == name:
                foreign = [b for b in kind.__mro__ if b.__module__.partition(".")[0] in OTHERS]
                theirs = set().union(*map(used_by, foreign))
                found += [f"{name}.{kind.__name__}.{own}" for own in used_by(kind) & theirs]
    assert not found, "\n".join(found)


OTHERS = ("mmengine", "mmpretrain", "mmseg", "mmdet", "mmcv", "torch", "timm")


@functools.cache
def used_by(kind):
    """Private names of methods, and of what methods find at self."""
    source = inspect.getsource(kind)
    methods = {name for name, value in vars(kind).items() if private(name) and callable(value)}
    return methods | {name for name in re.findall(r"self\.(_\w+)", source) if private(name)}
