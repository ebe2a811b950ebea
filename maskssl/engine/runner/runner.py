"""mmengine's runner, made to lose nothing: exact resume and checked checkpoints."""

from collections.abc import Callable
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop
from mmengine.runner.checkpoint import _load_checkpoint_to_model

from ...checkpoints.errors import CheckpointError
from ...checkpoints.finding import newest_valid
from ...checkpoints.reading import read_checkpoint
from ..sharding.run import ShardedRun
from .train_loops import RESUMABLE
from .whole_files import whole_files


class Runner(ShardedRun):
    """A run that can be killed at any iteration and resumed bit for bit.

    Loops are those of ``train_loops``; checkpoints are read without running code in them;
    ``resume`` without a path takes the newest whole one in the work dir.
    """

    _resume: bool
    _load_from: str | None
    _resuming = False

    def build_train_loop(self, loop: BaseLoop | dict[str, Any]) -> BaseLoop:
        """Build the loop that the config names, in its resumable form."""
        if isinstance(loop, BaseLoop):
            return loop
        options = dict(loop)
        by_epoch = options.pop("by_epoch", None)
        kind = options.pop("type", None) or (
            "EpochBasedTrainLoop" if by_epoch in (None, True) else "IterBasedTrainLoop"
        )
        if kind not in RESUMABLE:
            self.logger.warning(
                f"train_cfg.type={kind!r} is run as it is: it does not seed each step and sample, "
                f"so a resumed run will differ. Exact resume is for {', '.join(RESUMABLE)}"
            )
            return super().build_train_loop(loop)
        options.pop("fast_forward_on_resume", None)  # nothing is replayed
        return RESUMABLE[kind](self, self._train_dataloader, **options)

    def load_or_resume(self) -> None:
        """Load, or resume from the path given or the newest whole checkpoint."""
        if self._resume and self._load_from is None and not self._has_loaded:
            found = [newest_valid(self.work_dir) if is_main_process() else None]
            broadcast_object_list(found)
            if found[0] is None:
                self.logger.info(f"nothing to resume in {self.work_dir}: the run starts anew")
                self._resume = False
            else:
                self.logger.info(f"resuming from {found[0]}, the newest whole checkpoint")
                self._load_from = str(found[0])
        super().load_or_resume()

    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """Save whole or not at all. All ranks call it; the main process writes."""
        with whole_files(self.joined):
            super().save_checkpoint(out_dir, filename, *args, **kwargs)

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Go on from a training checkpoint.

        Raises:
            CheckpointError: it was not saved by training, or by that of another model.
        """
        self._resuming = True
        try:
            super().resume(filename, *args, **kwargs)
        finally:
            self._resuming = False

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
        checkpoint = read_checkpoint(filename, self.own_share)
        if self._resuming:
            _check_resumable(checkpoint, filename)
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        model = self.model.module if is_model_wrapper(self.model) else self.model
        try:
            checkpoint = _load_checkpoint_to_model(
                model, checkpoint, strict or self._resuming, revise_keys=revise_keys
            )
        except RuntimeError as error:
            raise CheckpointError(
                f"{filename} cannot be resumed with this config, whose model differs: {error}. "
                "Resume with the config that the run began with"
            ) from error
        self._has_loaded = True
        self.logger.info(f"Load checkpoint from {filename}")
        return checkpoint


def _check_resumable(checkpoint: dict[str, Any], filename: str) -> None:
    missing = {"meta", "optimizer", "message_hub", "state_dict"} - checkpoint.keys()
    if missing:
        raise CheckpointError(
            f"{filename} was not saved in the middle of a training: it has no "
            f"{', '.join(sorted(missing))}. To start from its weights use load_from, or "
            "--pretrained for a backbone"
        )
