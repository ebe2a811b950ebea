"""What two processes do for the sharding tests; the tests run parts of it as one process.

Usage under torchrun: sharding_worker.py fsdp2|deepspeed FOLDER. The first process saves
what it found as FOLDER/found.pt.
"""

import errno
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from mmengine.dataset import default_collate
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from safetensors.torch import save_file
from torch.distributed.tensor import DTensor

import maskssl.registration  # noqa: F401  registers
from maskssl.checkpoints import shards
from maskssl.checkpoints.reading import read_checkpoint
from maskssl.checkpoints.writing import write_checkpoint
from maskssl.cli.ending import leave_processes
from maskssl.engine.hooks import checkpoint as checkpoint_hook
from maskssl.engine.hooks.checkpoint import SafeCheckpointHook
from maskssl.engine.runner import runner as runner_module
from maskssl.engine.runner.runner import MaskSSLRunner
from maskssl.engine.sharding.fsdp2 import share_out, whole_weights
from maskssl.engine.sharding.options import sharding_options
from maskssl.masking import split_ordering

FSDP2 = dict(type="fsdp2")
SHARDED = dict(type="fsdp2", checkpoint="sharded")
BESIDE = dict(background=True)
DDP = dict(type="MMDistributedDataParallel", device_ids=None, broadcast_buffers=False)
BATCH = 4  # of one process; two take half each
STEPS = 3
MODEL = dict(
    type="BootMAE",
    backbone=dict(
        type="PlainViT",
        arch=dict(embed_dims=16, num_layers=2, num_heads=2),
        img_size=16,
        patch_size=4,
    ),
    neck=dict(type="TargetAwareDecoders", pixel=dict(embed_dims=8, num_layers=1), num_layers=1),
    head=dict(type="BootMAEHead", feature_weight=1.0),
    target_generator=dict(
        type="MomentumEncoder", schedule=dict(type="bootmae", start=0.5, end=0.9, ramp_epochs=2)
    ),
)
# eps well above the rounding of gradients that are zero in theory (those of k's bias), which
# Adam would otherwise blow up to steps of the size of the lr
OPTIM_WRAPPER = dict(
    optimizer=dict(type="AdamW", lr=5e-3, weight_decay=0.05, eps=1e-3),
    clip_grad=dict(max_norm=1.0, norm_type=2),
    constructor="LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.8),
)


def build(seed: int = 0, **backbone: Any) -> torch.nn.Module:
    torch.manual_seed(seed)
    model = MODELS.build({**MODEL, "backbone": {**MODEL["backbone"], **backbone}})
    draw = model.draw_split

    def handed_in(images, samples, ids_shuffle=None):
        return draw(images, samples, torch.stack([sample.ids for sample in samples]))

    model.draw_split = handed_in
    return model


def samples(count: int = BATCH * STEPS) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(1)
    found = []
    for _ in range(count):
        sample = DataSample()
        sample.set_field(torch.rand(16, generator=generator).argsort(), "ids")
        found.append(dict(inputs=torch.randn(3, 16, 16, generator=generator), data_samples=sample))
    return found


def share(batch: list[Any]) -> list[Any]:
    """This process's, as mmengine's sampler deals them."""
    return batch[dist.get_rank() :: dist.get_world_size()] if dist.is_initialized() else batch


def losses(model: torch.nn.Module, batch: list[dict[str, Any]]) -> torch.Tensor:
    data = model.data_preprocessor(default_collate(batch), True)
    found = model(**data, mode="loss")
    return found["loss_pixel"] + found["loss_feature"]


def perturbed(model: torch.nn.Module) -> torch.nn.Module:
    """With a teacher unlike the student."""
    generator = torch.Generator().manual_seed(3)
    for parameter in model.target_generator.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


def averaged(value: torch.Tensor) -> float:
    value = value.detach().clone()
    if dist.is_initialized():
        dist.all_reduce(value)
        value /= dist.get_world_size()
    return value.item()


def loss_and_gradients(entry: dict[str, Any] | None, **backbone: Any) -> dict[str, Any]:
    model = perturbed(build(**backbone)).train()
    if entry is not None:
        share_out(model, sharding_options(entry))
    loss = losses(model, share(samples()[:BATCH]))
    block = model.backbone.blocks[0].mlp.fc1.weight
    loss.backward()
    gradients = {
        name: p.grad.full_tensor() if entry else p.grad
        for name, p in model.named_parameters()
        if p.grad is not None
    }
    sharded = isinstance(block, DTensor)  # after the forward, before the backward
    assert entry is None or all(isinstance(p, DTensor) for p in model.parameters())
    return dict(loss=averaged(loss), gradients=gradients, sharded=sharded)


class Recorder(Hook):
    priority = "LOWEST"

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.norms: list[float] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.losses.append(averaged(outputs["loss"]))
        if "train/grad_norm" in (scalars := runner.message_hub.log_scalars):
            self.norms.append(float(scalars["train/grad_norm"].current()))


class Broken(Hook):
    """On the first process alone one step's first image is not finite, or a later gradient."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.first = not dist.is_initialized() or dist.get_rank() == 0

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter == self.step and self.first:
            data_batch["inputs"][0] = torch.inf

    def before_train(self, runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        model.backbone.norm.register_full_backward_hook(
            lambda module, inputs, outputs: (
                tuple(g * torch.inf for g in inputs)
                if runner.iter == self.step + 2 and self.first
                else None
            )
        )


def run(
    work_dir: Path,
    epochs: int = 1,
    seed: int = 0,
    resume: Path | bool = False,
    every: int = 1,
    kind: str = "OptimWrapper",
    broken: int | None = None,
    publish: tuple[str, ...] = (),
    saving: dict[str, Any] | None = None,
    hooks: tuple[Hook, ...] = (),
    **cfg: Any,
) -> tuple[MaskSSLRunner, Recorder]:
    """Epochs of three steps with the usual hooks; of two processes each takes half a batch."""
    recorder = Recorder()
    processes = dist.get_world_size() if dist.is_initialized() else 1
    rank = dist.get_rank() if dist.is_initialized() else 0
    runner = MaskSSLRunner(
        build(seed + rank),  # every process draws other weights
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=samples(),
            sampler=dict(type="DefaultSampler", shuffle=False),
            batch_size=BATCH // processes,
            collate_fn=dict(type="default_collate"),
        ),
        # of another number of processes, which draws nothing here
        train_cfg=dict(by_epoch=True, max_epochs=epochs, new_draws=bool(resume)),
        optim_wrapper={**OPTIM_WRAPPER, "type": kind, "accumulative_counts": every},
        custom_hooks=[
            dict(type="MomentumUpdateHook"),
            dict(type="FeatureWeightHook"),
            *([] if broken is None else [Broken(broken), dict(type="FiniteStepHook")]),
            recorder,
            *hooks,
        ],
        default_scope="mmpretrain",
        randomness=dict(seed=3),
        default_hooks=dict(
            checkpoint=dict(
                type="SafeCheckpointHook",
                interval=1,
                published_keys=list(publish) or None,
                **(saving or {}),
            )
        ),
        load_from=str(resume) if isinstance(resume, Path) else None,
        resume=bool(resume),
        launcher="none" if processes == 1 else "pytorch",
        experiment_name=f"{work_dir.name}-{processes}",
        log_level="ERROR",
        cfg=dict(cfg, model_wrapper_cfg=DDP) if "sharding" not in cfg else cfg,
    )
    runner.train()
    return runner, recorder


@contextmanager
def allocations() -> Iterator[dict[str, tuple[int, int]]]:
    """Path -> rows that this process reads, and rows of the whole; FSDP2 splits rows."""
    placed_like, read = runner_module.placed_like, {}

    def noting(*args):
        place = placed_like(*args)

        def note(path, stored):
            tensor = place(path, stored)
            local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
            read[path] = (len(local), stored.shape[0]) if stored.shape else (1, 1)
            return tensor

        return note

    runner_module.placed_like = noting
    try:
        yield read
    finally:
        runner_module.placed_like = placed_like


def without_space(folder: Path) -> dict[str, Any]:
    """Training when the disk of the second process is full at the save of the second epoch."""
    calls = []

    def write(*args):
        calls.append(1)
        if len(calls) == 2 and dist.get_rank() == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return save_file(*args)

    with patch.object(shards, "save_file", write):
        _, recorder = run(folder, epochs=3, sharding=SHARDED, saving=BESIDE)
    return dict(steps=len(recorder.losses), left=names(folder))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Held(Hook):
    """The second process writes its share of epoch 1 between steps 5 and 6; what lies there."""

    priority = "LOWEST"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gate, self.seen = threading.Event(), []

    def save_file(self, *args: Any) -> None:
        assert threading.current_thread() is not threading.main_thread()
        assert dist.get_rank() == 0 or self.gate.wait(60)
        save_file(*args)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.seen.append([name for name in names(self.folder) if name.endswith(".pth")])
        hook = next(hook for hook in runner.hooks if isinstance(hook, SafeCheckpointHook))
        if runner.iter + 1 == 5:
            self.gate.set()
        if hook._saver.begun and (dist.get_rank() == 0 or self.gate.is_set()):
            hook._saver.begun[0].written.result()
        dist.barrier()


def only_in_main(talk: Any) -> Any:
    """A talk of the processes, which no other thread may hold."""

    def talked(*args: Any, **options: Any) -> Any:
        assert threading.current_thread() is threading.main_thread()
        return talk(*args, **options)

    return talked


class Validated(Hook):
    """Stands in for validations before epochs 2, 3 and 4."""

    def before_train_epoch(self, runner) -> None:
        scores = {1: 1.0, 2: 3.0, 3: 2.0}
        hook = next(hook for hook in runner.hooks if isinstance(hook, SafeCheckpointHook))
        if runner.epoch in scores:
            hook.after_val_epoch(runner, dict(acc=scores[runner.epoch]))


def beside(folder: Path) -> dict[str, Any]:
    """Sharded checkpoints written beside the training."""
    held = Held(folder / "held")
    with (
        patch.object(shards, "save_file", held.save_file),
        patch.object(checkpoint_hook, "_ASKED_EVERY", 2),
        patch.object(shards, "all_gather_object", only_in_main(shards.all_gather_object)),
        patch.object(shards, "broadcast_object_list", only_in_main(shards.broadcast_object_list)),
    ):
        run(folder / "held", epochs=3, sharding=SHARDED, saving=BESIDE, hooks=(held,))

    def full_for_one(own: dict[str, torch.Tensor], file: Path) -> None:
        if dist.get_rank() == 1 and "best_acc_epoch_2" in str(file):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save_file(own, file)

    best = dict(BESIDE, save_best="acc", max_keep_ckpts=1, keep_every=2)
    with patch.object(shards, "save_file", full_for_one):
        run(folder / "best", epochs=4, sharding=SHARDED, saving=best, hooks=(Validated(),))
    return dict(seen=held.seen, best=names(folder / "best"))


def pictures(runner: MaskSSLRunner) -> list[torch.Tensor]:
    """What the model predicts by a method that is not forward, for the whole batch."""
    batch = samples()[:BATCH]
    images = torch.stack([sample["inputs"] for sample in batch])
    split = split_ordering(torch.stack([sample["data_samples"].ids for sample in batch]), 4)
    model = runner.model.eval()
    with torch.no_grad(), whole_weights(model):
        found = list(model.predict_targets(images, split))
    assert not dist.is_initialized() or all(isinstance(p, DTensor) for p in model.parameters())
    return found


def under_autocast(entry: dict[str, Any] | None) -> float:
    model = build().train()
    if entry is not None:
        share_out(model, sharding_options(entry))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = losses(model, share(samples()[:BATCH]))
    loss.backward()
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert all(p.grad.dtype == torch.float32 for p in model.parameters() if p.requires_grad)
    return averaged(loss)


def fsdp2(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {
        "default": loss_and_gradients(FSDP2),
        "kept": loss_and_gradients({**FSDP2, "reshard_after_forward": False}),
        "recomputed": loss_and_gradients(FSDP2, with_cp=True),
        "autocast": under_autocast(FSDP2),
    }
    sharded, recorder = run(folder / "fsdp2", epochs=2, sharding=FSDP2)
    found["run"] = dict(losses=recorder.losses, norms=recorder.norms)
    found["pictures"] = pictures(sharded)
    _, recorder = run(folder / "sharded", epochs=2, sharding=SHARDED)
    found["sharded"] = recorder.losses
    run(folder / "stopped", sharding=SHARDED)
    publish = ("meta", "state_dict")
    with allocations() as read:
        _, recorder = run(
            folder / "stopped", epochs=2, seed=6, resume=True, publish=publish, sharding=SHARDED
        )
    found["went on"], found["read"] = recorder.losses, read
    _, recorder = run(folder / "broken", epochs=2, broken=1, sharding=SHARDED)
    found["broken"] = dict(losses=recorder.losses, norms=recorder.norms)
    found["without space"] = without_space(folder / "full")
    found["beside"] = beside(folder)
    run(folder / "whole beside", epochs=2, sharding=FSDP2, saving=BESIDE)  # as the configs have it
    _, recorder = run(folder / "accumulated", every=2, sharding=FSDP2)
    found["accumulated"] = recorder.losses
    run(folder / "ddp", epochs=2)
    _, recorder = run(
        folder / "from shards", epochs=2, seed=5, resume=folder / "sharded" / "epoch_1.pth"
    )
    found["from shards"] = recorder.losses
    again = folder / "ddp" / "epoch_1.pth"
    _, recorder = run(folder / "resumed", epochs=2, seed=5, resume=again, sharding=FSDP2)
    found["resumed"] = recorder.losses
    before = folder / "ddp" / "former.pth"
    if dist.get_rank() == 0:
        write_checkpoint(in_former_groups(read_checkpoint(again)), before)
    dist.barrier()
    _, recorder = run(folder / "former", epochs=2, seed=5, resume=before, sharding=FSDP2)
    found["former"] = recorder.losses
    return found


def in_former_groups(content: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint as earlier versions wrote it: a group for each parameter, in its order."""
    groups, states = (content["optimizer"][key] for key in ("param_groups", "state"))
    own = {name: group for group in groups for name in group["param_names"]}
    place = {name: index for index, name in enumerate(own)}
    order = [name for name, _ in build().named_parameters() if name in own]
    parts = [{**own[name], "param_name": name, "params": [i]} for i, name in enumerate(order)]
    for part in parts:
        del part["param_names"]
    moved = {index: states[place[name]] for index, name in enumerate(order)}
    assert list(moved) != [place[name] for name in order]
    return {**content, "optimizer": {**content["optimizer"], "param_groups": parts, "state": moved}}


def deepspeed(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    run(folder / "ddp")
    for stage in (1, 2):
        zero = dict(type="deepspeed", stage=stage)
        _, recorder = run(folder / f"zero{stage}", epochs=2, sharding=zero)
        found[f"zero{stage}"] = dict(losses=recorder.losses, norms=recorder.norms)
        again = folder / "ddp" / "epoch_1.pth"
        name = f"resumed{stage}"
        _, recorder = run(folder / name, epochs=2, seed=5, resume=again, sharding=zero)
        found[name] = recorder.losses
        _, recorder = run(folder / f"broken{stage}", epochs=2, broken=1, sharding=zero)
        found[f"broken{stage}"] = dict(losses=recorder.losses, norms=recorder.norms)
    zero = dict(type="deepspeed")
    _, recorder = run(folder / "bf16", kind="AutocastOptimWrapper", sharding=zero)
    found["bf16"] = recorder.losses
    return found


def main(which: str, folder: Path) -> None:
    dist.init_process_group("gloo")
    found = dict(fsdp2=fsdp2, deepspeed=deepspeed)[which](folder)
    if dist.get_rank() == 0:
        torch.save(found, folder / "found.pt")
    dist.barrier()
    leave_processes()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
