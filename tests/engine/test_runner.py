"""The runner: by its name, with the files that mmengine's own would write."""

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import AmpOptimWrapper
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import nn

from maskssl.checkpoints.reading import read_checkpoint
from maskssl.engine.finite_steps.guard import GuardedOptimWrapper
from maskssl.engine.optimizers.autocast import AutocastOptimWrapper, without_loss_scaling
from maskssl.engine.runner import runner as runner_module
from maskssl.engine.runner.runner import MaskSSLRunner
from maskssl.errors import MaskSSLError
from tests.holding import held_elsewhere


class Net(BaseModel):
    """With a buffer and two parameters."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.linear = nn.BatchNorm1d(4), nn.Linear(4, 1)

    def forward(self, inputs, data_samples=None, mode="loss"):
        return dict(loss=self.linear(self.norm(inputs)).square().mean())


def build(folder, runner=MaskSSLRunner, kind="OptimWrapper", **options):
    rows = [dict(inputs=row) for row in torch.arange(48.0).view(12, 4)]
    return runner(
        Net(),
        work_dir=str(folder),
        train_dataloader=dict(
            dataset=rows,
            batch_size=4,
            num_workers=0,
            collate_fn=dict(type="default_collate"),
            sampler=dict(type="DefaultSampler", shuffle=False),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(
            type=kind,
            optimizer=dict(type="AdamW", lr=0.01, weight_decay=0.05),
            paramwise_cfg=dict(norm_decay_mult=0.0),
        ),
        param_scheduler=dict(type="LinearLR", by_epoch=False, end=10),
        default_hooks=dict(checkpoint=dict(type="CheckpointHook", interval=1)),
        default_scope="mmpretrain",
        randomness=dict(seed=3),
        experiment_name=f"{folder.name}-{runner.__name__}",
        log_level="ERROR",
        **options,
    )


def test_a_work_dir_has_one_run_at_a_time(tmp_path):
    runner = build(tmp_path)
    with (
        held_elsewhere(tmp_path) as other,
        pytest.raises(MaskSSLError, match=f"{tmp_path} is in use by process {other} "),
    ):
        runner.train()
    assert not list(tmp_path.glob("*.pth"))
    runner.train()  # the other one has ended
    assert (tmp_path / "epoch_2.pth").is_file()
    with held_elsewhere(tmp_path):
        pass  # and so has this one


def test_a_run_that_fails_leaves_its_work_dir(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise KeyError("a bug")

    monkeypatch.setattr(Net, "forward", fails)
    with pytest.raises(KeyError, match="a bug"):
        build(tmp_path).train()
    with held_elsewhere(tmp_path):
        pass


def test_it_is_found_by_its_name():
    assert RUNNERS.get("MaskSSLRunner") is MaskSSLRunner


def test_what_it_needs_is_registered_when_it_is_built(tmp_path, monkeypatch):
    imported = []
    monkeypatch.setattr(runner_module, "import_module", imported.append)
    build(tmp_path)
    assert imported == ["maskssl.registration"]


def layout(node):
    """Keys in order and kinds of values, of nested dicts and lists; tensors by shape and type."""
    if isinstance(node, dict):
        return {key: layout(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [layout(value) for value in node]
    return (node.shape, node.dtype) if torch.is_tensor(node) else type(node)


def test_its_checkpoints_are_those_of_mmengine(tmp_path):
    """Entry by entry; each runner resumes the other's."""
    for name, kind in (("ours", MaskSSLRunner), ("stock", Runner)):
        build(tmp_path / name, kind).train()
    ours, stock = (read_checkpoint(tmp_path / n / "epoch_2.pth") for n in ("ours", "stock"))
    assert ours.keys() == stock.keys()
    assert ours["meta"].keys() == stock["meta"].keys()
    for key in ("state_dict", "optimizer", "param_schedulers"):
        assert layout(ours[key]) == layout(stock[key]), key
    assert ours["message_hub"].keys() == stock["message_hub"].keys()
    assert ours["state_dict"]._metadata == stock["state_dict"]._metadata
    for name, value in stock["state_dict"].items():
        assert torch.equal(ours["state_dict"][name], value), name
    for index, entries in stock["optimizer"]["state"].items():
        for key, value in entries.items():
            assert torch.equal(ours["optimizer"]["state"][index][key], value)
    for name, kind in (("stock", MaskSSLRunner), ("ours", Runner)):
        path = str(tmp_path / name / "epoch_1.pth")
        build(tmp_path / f"{name}-on", kind, load_from=path, resume=True).train()
        again = read_checkpoint(tmp_path / f"{name}-on" / "epoch_2.pth")
        for key, value in stock["state_dict"].items():
            assert torch.equal(again["state_dict"][key], value), key


@pytest.mark.parametrize(("by_epoch", "stands_at"), [(True, (1, 0)), (False, (0, 1))])
def test_a_checkpoint_says_where_it_stands(by_epoch, stands_at, tmp_path):
    runner = build(tmp_path)
    runner.train_loop  # noqa: B018  builds it: nothing is trained
    runner.save_checkpoint(
        str(tmp_path), "a.pth", save_optimizer=False, save_param_scheduler=False, by_epoch=by_epoch
    )
    meta = read_checkpoint(tmp_path / "a.pth")["meta"]
    assert (meta["epoch"], meta["iter"]) == stands_at
    own = dict(epoch=7, iter=9, note="mine")
    runner.save_checkpoint(
        str(tmp_path), "b.pth", save_optimizer=False, save_param_scheduler=False, meta=own
    )
    meta = read_checkpoint(tmp_path / "b.pth")["meta"]
    assert (meta["epoch"], meta["iter"], meta["note"]) == (7, 9, "mine")


def test_what_cannot_be_saved_is_refused(tmp_path):
    runner = build(tmp_path)
    runner.train_loop  # noqa: B018
    with pytest.raises(MaskSSLError, match="use backend_args"):
        runner.save_checkpoint(str(tmp_path), "a.pth", dict(backend="disk"))
    with pytest.raises(MaskSSLError, match="is not built yet"):
        runner.save_checkpoint(str(tmp_path), "a.pth")


AMP = dict(type="AmpOptimWrapper", loss_scale="dynamic", optimizer=dict(type="AdamW"))


@pytest.mark.parametrize(
    ("device", "entry", "replaced"),
    [
        ("cpu", AMP, True),
        ("cpu", {**AMP, "type": AmpOptimWrapper}, True),
        ("cpu", {**AMP, "type": "mmengine.AmpOptimWrapper"}, True),
        ("cuda", {**AMP, "dtype": "bfloat16"}, True),
        ("cuda", {**AMP, "dtype": torch.bfloat16}, True),
        ("cuda", AMP, False),  # fp16, which needs its loss scaling
        ("cuda", {**AMP, "dtype": "float16"}, False),
        ("cpu", dict(type="OptimWrapper", optimizer=dict(type="AdamW")), False),
    ],
)
def test_loss_scaling_only_where_it_is_needed(device, entry, replaced, monkeypatch):
    monkeypatch.setattr("maskssl.engine.optimizers.autocast.get_device", lambda: device)
    expected = dict(type="AutocastOptimWrapper", optimizer=dict(type="AdamW"))
    assert without_loss_scaling(entry) == (expected if replaced else entry)


def test_amp_on_a_cpu_runs_in_bf16(tmp_path):
    runner = build(tmp_path, kind="AmpOptimWrapper")
    runner.train()
    assert isinstance(runner.optim_wrapper, GuardedOptimWrapper)
    assert isinstance(runner.optim_wrapper.inner, AutocastOptimWrapper)
