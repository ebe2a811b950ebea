"""mmengine's runner, made to lose nothing: exact resume and checked checkpoints."""

import copy
import re
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.hooks import CheckpointHook
from mmengine.model import BaseAveragedModel
from mmengine.optim import OptimWrapper
from mmengine.registry import RUNNERS
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner, load_state_dict
from torch import nn

from ...checkpoints.errors import CheckpointError
from ...checkpoints.finding import newest_to_resume, refuse_other_bytes
from ...checkpoints.reading import checkpoint_at, read_checkpoint
from ...errors import MaskSSLError
from ...occupied import occupied
from ...private_names import accumulative_counts
from ..finite_steps.guard import guarded
from ..optimizers.autocast import without_loss_scaling
from ..optimizers.former_groups import in_present_groups
from ..sharding.fsdp2 import share_out
from ..sharding.options import (
    DeepSpeedOptions,
    FSDP2Options,
    refuse_one_process,
    sharding_options,
)
from ..sharding.placing import copied, placed_like, whole
from ..sharding.zero import ZeroOptimWrapper
from ..unwrapping import unwrapped
from .configured import Configured, configured
from .content import check_resumable
from .resuming import from_first_process, refuse_damaged, settle_resume
from .saving import Taken, taken
from .schedule_ends import cut_off, refuse_rising
from .train_loops import RESUMABLE


@RUNNERS.register_module()
class MaskSSLRunner(Runner):
    """A run that can be killed at any iteration and resumed bit for bit.

    Loops are those of ``train_loops``; checkpoints are read without running code in them;
    ``resume`` without a path takes the newest whole one of the work dir's run.

    With ``sharding=dict(type="fsdp2", ...)`` in the config, or "deepspeed", the model is shared
    out among all processes when training starts. Its checkpoints are gathered into the same whole
    files that every other run writes, or written in shares; every run reads both.

    Args:
        *args: of mmengine's Runner.
        load_from: a checkpoint; to load weights also a work dir or a URL.
        resume: go on from it, or from the newest of the work dir's run.
        **kwargs: of mmengine's Runner.
    """

    optim_wrapper: Any

    def __init__(
        self, *args: Any, load_from: str | None = None, resume: bool = False, **kwargs: Any
    ) -> None:
        import_module("maskssl.registration")  # a config without custom_imports runs too
        self.checkpoint, self.goes_on = load_from, resume
        self.loaded = self.shared_out = self.strict = False
        self._zero: ZeroOptimWrapper | None = None
        self.configured: Configured | None = None
        super().__init__(*args, load_from=load_from, resume=resume, **kwargs)

    @classmethod
    def from_cfg(cls, cfg: Config) -> "MaskSSLRunner":
        """Settle what a resumed run goes on from before anything is built."""
        cfg = copy.deepcopy(cfg)
        settle_resume(cfg)
        return super().from_cfg(cfg)

    @cached_property
    def sharding(self) -> FSDP2Options | DeepSpeedOptions | None:
        """How the config shares the model out."""
        entry = self.cfg.get("sharding")
        return sharding_options(entry) if entry else None

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """As mmengine does; a model that will be shared out stays as it is."""
        if self.sharding is None:
            return super().wrap_model(model_wrapper_cfg, model)
        return model.to(get_device())

    def build_train_loop(self, loop: BaseLoop | dict[str, Any]) -> BaseLoop:
        """Build the loop that the config names, in its resumable form."""
        if isinstance(loop, BaseLoop):
            return loop
        options = dict(loop)
        by_epoch = options.pop("by_epoch", None)
        kind = options.pop("type", None) or (
            "EpochBasedTrainLoop" if by_epoch in (None, True) else "IterBasedTrainLoop"
        )
        if isinstance(kind, str):
            kind = kind.removeprefix("mmengine.")
        if kind not in RESUMABLE:
            self.logger.warning(
                f"train_cfg.type={kind!r} is run as it is: it does not seed each step and sample, "
                "so a resumed run will differ. Exact resume is for EpochBasedTrainLoop and "
                "IterBasedTrainLoop"
            )
            return super().build_train_loop(loop)
        options.pop("fast_forward_on_resume", None)  # nothing is replayed
        return super().build_train_loop({**options, "type": RESUMABLE[kind]})

    def build_optim_wrapper(self, optim_wrapper: Any) -> OptimWrapper:
        """Build it, with bf16 in place of needless loss scaling, for DeepSpeed, and guarded."""
        if isinstance(optim_wrapper, dict):
            optim_wrapper = without_loss_scaling(optim_wrapper)
        built = super().build_optim_wrapper(optim_wrapper)
        if isinstance(self.sharding, DeepSpeedOptions) and self._zero is None:
            self._zero = built = ZeroOptimWrapper(built, self.sharding)
        return guarded(built)

    def build_param_scheduler(self, scheduler: Any) -> Any:
        """Build the schedules, and say what of them the run does not come to.

        Raises:
            MaskSSLError: one would not act at all.
        """
        loop = self.train_loop
        epochs = loop.max_epochs if isinstance(loop, EpochBasedTrainLoop) else None
        for missed in cut_off(scheduler, epochs, loop.max_iters):
            self.logger.warning(missed)
        return super().build_param_scheduler(scheduler)

    def scale_lr(
        self, optim_wrapper: OptimWrapper, auto_scale_lr: dict[str, Any] | None = None
    ) -> None:
        """Scale the lr by the images of an optimizer step, accumulation included.

        Raises:
            MaskSSLError: a schedule would end above it.
        """
        if auto_scale_lr and auto_scale_lr.get("enable"):
            forwards = accumulative_counts(optim_wrapper)
            base = auto_scale_lr["base_batch_size"] / forwards
            self.logger.info(f"{forwards} forwards make a step: base_batch_size / {forwards}")
            auto_scale_lr = dict(auto_scale_lr, base_batch_size=base)
        super().scale_lr(optim_wrapper, auto_scale_lr)
        # not the wrapper's groups, one of which is no parameter's and keeps the unscaled lr
        refuse_rising(self.param_schedulers, optim_wrapper.optimizer.param_groups)

    def train(self) -> nn.Module:
        """Train, as the one run of this work dir.

        Raises:
            MaskSSLError: another run that has not ended trains in it.
        """
        with ExitStack() as stack:
            from_first_process(lambda: stack.enter_context(occupied(self.work_dir)))
            return super().train()

    def load_or_resume(self) -> None:
        """Share the initialised model out, then load, or resume from the newest checkpoint."""
        if self.sharding is not None and isinstance(self.optim_wrapper, OptimWrapper):
            self._share_out()
        if self.loaded:  # by hand
            return
        path = self._newest() if self.goes_on and self.checkpoint is None else self.checkpoint
        if path is None:
            return
        if self.goes_on:
            if self.checkpoint is not None:
                from_first_process(partial(refuse_damaged, Path(path)))
            self.resume(path)
        else:
            from_first_process(partial(checkpoint_at, path))  # what is a URL is fetched once
            path = checkpoint_at(path)
            from_first_process(partial(refuse_other_bytes, Path(path)))
            self.load_checkpoint(path)

    def _newest(self) -> str | None:
        hooks = [hook for hook in self.hooks if isinstance(hook, CheckpointHook)]
        out_dir = hooks[0].out_dir if hooks else None
        found = from_first_process(lambda: newest_to_resume(self.work_dir, out_dir))
        if found is None:
            self.logger.info(f"nothing to resume in {self.work_dir}: the run starts anew")
            return None
        self.logger.info(f"resuming from {found}, the newest whole checkpoint")
        return str(found)

    def _share_out(self) -> None:
        """Between the weights' initialisation, which needs them whole, and a checkpoint's."""
        if self.shared_out or self.sharding is None:
            return
        refuse_one_process(self.sharding)
        if self._zero is not None:
            self._zero.start(self.model)
        elif isinstance(self.sharding, FSDP2Options):
            averages = [getattr(hook, "ema_model", None) for hook in self.hooks]
            share_out(
                self.model,
                self.sharding,
                self.optim_wrapper.optimizer,
                [average for average in averages if isinstance(average, BaseAveragedModel)],
            )
        self.shared_out = True

    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict[str, Any] | None = None,
        by_epoch: bool = True,
        backend_args: dict | None = None,
    ) -> None:
        """Save whole or not at all. All processes call it; the first one writes.

        Args:
            out_dir: a folder; on other storage than this machine's mmengine writes.
            filename: in it.
            file_client_args: not taken any more.
            save_optimizer: with the optimizer's state.
            save_param_scheduler: with the schedules'.
            meta: facts to save; 'epoch' and 'iter' are those after the running step unless given.
            by_epoch: the running step ends its epoch.
            backend_args: of mmengine's file backends.

        Raises:
            DiskFullError: no space; the file that was there before stays as it was.
        """
        if file_client_args is not None:
            raise MaskSSLError(
                f"file_client_args={file_client_args} is not taken any more; use backend_args"
            )
        states = dict(save_optimizer=save_optimizer, save_param_scheduler=save_param_scheduler)
        found = taken(self, whole, out_dir, filename, meta, by_epoch, backend_args, **states)
        found.write()
        if found.finish is not None:
            found.finish(True)

    def copied_checkpoint(self, out_dir: str, filename: str, **options: Any) -> Taken:
        """Copy what ``save_checkpoint`` would write into host memory. All processes call it.

        Args:
            out_dir: as of ``save_checkpoint``.
            filename: likewise.
            **options: likewise.

        Returns:
            What writes it while the run goes on.
        """
        return taken(self, copied, out_dir, filename, **options)

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Go on from a training checkpoint.

        Raises:
            CheckpointError: it was not saved by training, or by that of another model.
        """
        self.strict = True
        self.optim_wrapper = self.build_optim_wrapper(self.optim_wrapper)
        self.configured = configured(self)  # the checkpoint's values come in its place
        try:
            super().resume(filename, *args, **kwargs)
        finally:
            self.strict = False

    def load_checkpoint(
        self,
        filename: str,
        map_location: str | Callable = "cpu",
        strict: bool = False,
        revise_keys: list = [(r"^module.", "")],  # noqa: B006  # mmengine's signature
    ) -> dict[str, Any]:
        """Load weights; see mmengine. Nothing in the file can run code, all is read on the CPU.

        Raises:
            CheckpointError: unreadable, or, when resuming, not of this very model.
        """
        model = unwrapped(self.model)
        place = None
        if self.shared_out and self._zero is None:
            place = placed_like(model, self.optim_wrapper.optimizer)
        checkpoint = read_checkpoint(filename, place)
        if self.strict:
            check_resumable(checkpoint, filename)
            checkpoint = in_present_groups(checkpoint, self.optim_wrapper.param_groups)
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        weights = checkpoint.get("state_dict", checkpoint)
        try:
            load_state_dict(model, _renamed(weights, revise_keys), strict or self.strict)
        except RuntimeError as error:
            raise CheckpointError(
                f"{filename} cannot be resumed with this config, whose model differs: {error}. "
                "Resume with the config that the run began with"
            ) from error
        self.loaded = True
        self.logger.info(f"Load checkpoint from {filename}")
        return checkpoint


def _renamed(weights: dict[str, Any], revise_keys: list[tuple[str, str]]) -> dict[str, Any]:
    """A state_dict under the names that the model knows."""
    for pattern, replacement in revise_keys:
        if any(re.search(pattern, name) for name in weights):
            weights = {re.sub(pattern, replacement, name): weights[name] for name in weights}
    return weights
