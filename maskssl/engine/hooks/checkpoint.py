"""When checkpoints are saved, and which stay: an old one is never given away too early."""

import time
from collections import deque
from collections.abc import Collection
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.optim import OptimWrapperDict
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner

from ...checkpoints.finding import checkpoints_ahead
from ...checkpoints.folders import hook_folder
from ...checkpoints.reading import read_checkpoint
from ...checkpoints.writing import is_local, publish_checkpoint, remove_orphans
from ...errors import MaskSSLError
from ...private_names import accumulative_counts
from .saving import Save, Saver, had_space, remove

_PREEMPTED = "preempt_ckpt"  # key of the message hub
_ASKED_EVERY = 10  # steps
# arguments of a save that the hook itself gives
_OWN = {"self", "out_dir", "filename", "meta", "save_optimizer", "save_param_scheduler", "by_epoch"}


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook with files that are whole or absent.

    The newest ``max_keep_ckpts`` are kept, and older ones go only when the new one is safely
    on the disk; the same holds for the best. When the disk is full the save is given up with
    a warning, training goes on, and no older checkpoint is lost. A run that goes on in another
    folder than it began in removes nothing from the first one. All processes call the hook; the
    runner is a MaskSSLRunner, or files are as whole as its own way of saving leaves them.

    A checkpoint that is due while gradients are gathered up, which no file holds, is saved behind
    the optimizer step that they go into, under the name of the epoch or iteration it was due at;
    its meta says where it stands.

    In the background, the run waits for a copy in host memory alone, and for the former save
    where that is not done yet; an error of the writer is raised at the next step. Training does
    not end, and ``save_now`` does not return, before all is on the disk. The best by a metric and
    the newest that speaks of it are copied together and written one behind the other. Shares of a
    sharded checkpoint count once every process has written its own, which they ask each other
    every few steps, since no thread beside the run may.

    Args:
        *args: of CheckpointHook.
        keep_every: checkpoints whose epoch (iteration if not by_epoch) is a multiple are
            kept for ever; None keeps none beyond the count.
        background: write beside the training, where the runner can.
        **kwargs: of CheckpointHook.

    Raises:
        MaskSSLError: ``keep_every`` names steps at which nothing is saved, an argument that no
            save takes, or the folder is on remote storage.
    """

    max_keep_ckpts: int
    out_dir: str

    def __init__(
        self,
        *args: Any,
        keep_every: int | None = None,
        background: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        taken = signature(Runner.save_checkpoint).parameters.keys() - _OWN
        unknown = self.args.keys() - taken
        if unknown:  # mmengine's hook hands them on, and the first save would end the run
            raise MaskSSLError(
                f"SafeCheckpointHook takes no {', '.join(sorted(unknown))}; see its arguments and "
                "those of mmengine's CheckpointHook"
            )
        step = max(1, self.interval)
        if keep_every is not None and (
            keep_every < 1 or keep_every % step or self.save_begin % step
        ):
            raise MaskSSLError(
                f"keep_every={keep_every} must be a positive multiple of interval={self.interval}, "
                f"and so must save_begin={self.save_begin} ; nothing is saved in between"
            )
        self.keep_every = keep_every
        self.keep_ckpt_ids: deque[int] = deque()
        self.background = background
        self._saver = Saver()
        self._superseded: list[tuple[str | None, str]] = []  # (former, new) best ones
        self._behind = False  # the last save was given up
        self._waited = 0.0  # seconds, since the last save was begun
        self._due: int | None = None  # the epoch or iteration whose save is to come

    def before_train(self, runner: Runner) -> None:
        """Find the folder, and finish what a killed run left undone."""
        folder = str(self.out_dir or runner.work_dir)
        if self.file_client_args is not None or not is_local(folder, self.backend_args):
            raise MaskSSLError(
                f"SafeCheckpointHook writes to local folders and {folder} is none (or "
                "file_client_args is set); use mmengine's CheckpointHook there"
            )
        counts_epochs = self.by_epoch and self.interval > 0
        if counts_epochs and not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise MaskSSLError(
                f"default_hooks.checkpoint counts epochs (interval={self.interval}) and this run "
                "counts iterations, so that nothing would be saved before its end; set "
                "by_epoch=False there, and interval to iterations"
            )
        self.out_dir = folder = str(hook_folder(runner.work_dir, folder))
        runner.logger.info(f"Checkpoints will be saved to {folder}.")
        source = getattr(runner, "checkpoint", None)  # None: the newest in the work dir
        own = source is None or self._is_own(source)
        self.keep_ckpt_ids = deque(runner.message_hub.get_info("keep_ckpt_ids", []) if own else [])
        ahead = checkpoints_ahead(folder, runner.epoch, runner.iter)
        if ahead:
            runner.logger.warning(
                f"this run starts at epoch {runner.epoch}, iteration {runner.iter}, and "
                f"{', '.join(path.name for path in ahead)} in {self.out_dir} is further on. Until "
                "overtaken, the newest whole one is what --resume auto would take; move it away if "
                "it is of another run"
            )
        if is_main_process():
            remove_orphans(folder)
        self._remove_beyond_count(runner)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Save if it is this iteration's turn; raise what has broken the writer."""
        self._saver.raise_errors()
        if self.every_n_train_iters(runner, _ASKED_EVERY) and self._saver.waits_for_all():
            self._settle(runner)
        if not self.by_epoch and (
            self.every_n_train_iters(runner, self.interval, self.save_begin)
            or (self.save_last and self.is_last_train_iter(runner))
        ):
            self._due = runner.iter + 1
        self._save_due(runner, dict(epoch=runner.epoch, iter=runner.iter + 1))

    def after_train_epoch(self, runner: Runner) -> None:
        """Save if it is this epoch's turn."""
        if self.by_epoch and (
            self.every_n_epochs(runner, self.interval, self.save_begin)
            or (self.save_last and self.is_last_train_epoch(runner))
        ):
            self._due = runner.epoch + 1
            self._save_due(runner, dict(epoch=runner.epoch + 1, iter=runner.iter))

    def after_val_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        """Save what is the best so far by a metric; the former best goes last."""
        if not self.save_best or not metrics:
            return
        if self.save_best == ["auto"]:  # the first metric, by mmengine's rules
            options = dict(greater_keys=self.greater_keys, less_keys=self.less_keys)
            ranks = CheckpointHook(save_best=next(iter(metrics)), rule=self.rules[0], **options)
        else:
            ranks = self
        self._settle(runner)
        step = runner.epoch if self.by_epoch else runner.iter
        meta = dict(epoch=runner.epoch, iter=runner.iter)
        hub = runner.message_hub
        for key, rule in zip(ranks.key_indicators, ranks.rules, strict=True):
            suffix = "" if len(ranks.key_indicators) == 1 else f"_{key}"
            score = _score(metrics, key)
            best = hub.get_info(f"best_score{suffix}", self.init_value_map[rule])
            if score is None or not ranks.is_better_than[key](score, best):
                continue
            name = f"best_{key}_{self.filename_tmpl.format(step)}".replace("/", "_")
            path = str(Path(self.out_dir, name))
            former = hub.get_info(f"best_ckpt{suffix}")
            facts = {f"best_score{suffix}": score, f"best_ckpt{suffix}": path}
            runner.logger.info(f"best {key} so far, {score:.4f}: saving {name}")
            self._superseded.append((former, path))
            self._begin(runner, path, dict(meta), facts, newest=False)
        # again, because the one saved before validation does not know of the new best
        if self._superseded and self.last_ckpt is not None:
            if _gathers(runner):
                self._due = step
            else:
                self._save_step(runner, step, meta)

    def after_train(self, runner: Runner) -> None:
        """Wait for the writer, publish, and say so if the end could not be saved."""
        if self._due is not None:  # no step follows, where a hook has ended the run before its time
            self._settle(runner)
            self._save_step(runner, self._due, dict(epoch=runner.epoch, iter=runner.iter))
        self._settle(runner)
        if self._behind:
            runner.logger.error(
                "training has ended and its last state is not saved, for want of disk space. Free "
                f"some and resume from {self.last_ckpt or 'the checkpoint it started from'}"
            )
        if self.published_keys is None:
            return
        hub = runner.message_hub.runtime_info
        best = [
            path for key, path in hub.items() if key.startswith("best_ckpt") and self._is_own(path)
        ]
        for path in [self.last_ckpt if self.save_last else None, *best]:
            if path is not None:
                had_space(runner, partial(self._publish, runner, path), self.last_ckpt)

    def save_now(self, runner: Runner) -> str | None:
        """Save the current step as iter_N.pth, in the middle of an epoch too.

        Every process calls it in ``after_train_iter``, at the same step, behind the hooks that move
        weights. The file is an extra: it counts for nothing and goes when the next checkpoint is
        written.

        Returns:
            The path of this step's checkpoint, or None when the disk is full.
        """
        self._settle(runner)
        done = runner.iter + 1  # the loop has yet to count the step
        path = str(Path(self.out_dir, f"iter_{done}.pth"))
        if runner.message_hub.get_info("last_ckpt") == path:
            return path  # it was this step's turn anyway
        meta = dict(epoch=runner.epoch, iter=done)
        facts = {_PREEMPTED: path, "last_ckpt": path}
        return path if self._begin(runner, path, meta, facts, background=False) else None

    def _save_due(self, runner: Runner, meta: dict[str, Any]) -> None:
        """Save what is due, if anything is, unless gradients are gathered up."""
        if self._due is not None and not _gathers(runner):
            self._settle(runner)
            self._save_step(runner, self._due, meta)

    def _save_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        """Save one of those that are counted; what it replaces goes when it is there."""
        self._due = None
        path = self._path_of(step)
        facts: dict[str, Any] = {"last_ckpt": path}
        if self.max_keep_ckpts > 0:
            # Too long by the ones to be removed: a run that is killed before it removes them
            # does so when it resumes from this file.
            facts["keep_ckpt_ids"] = [*(s for s in self.keep_ckpt_ids if s != step), step]
        runner.logger.info(f"Saving {path}")
        self._begin(runner, path, meta, facts)

    def _path_of(self, step: int) -> str:
        return str(Path(self.out_dir, self.filename_tmpl.format(step)))

    def _is_own(self, path: str | None) -> bool:
        """Whether a file lies in this run's folder: the message hub may come from another run's."""
        return path is not None and Path(path).parent.resolve() == Path(self.out_dir).resolve()

    def _publish(self, runner: Runner, path: str) -> None:
        if not is_main_process():
            return
        content = read_checkpoint(path)
        kept = {key: content[key] for key in content if key in self.published_keys}
        published = publish_checkpoint(kept, path)
        left_out = ", ".join(sorted(content.keys() - kept.keys()))
        runner.logger.info(f"{path} is published as {published}, without {left_out}")

    def _begin(
        self,
        runner: Runner,
        path: str,
        meta: dict[str, Any],
        facts: dict[str, Any],
        newest: bool = True,
        background: bool = True,
    ) -> bool:
        """Begin to save one file, or save it where nothing is left to the background.

        Returns:
            Whether it was saved or may yet be.
        """
        start = time.monotonic()
        background = background and self.background and hasattr(runner, "copied_checkpoint")
        replaced: list[str] = []
        if newest:
            named = [runner.message_hub.get_info(_PREEMPTED)]
            named += [former for former, best in self._superseded if former != best]
            replaced += filter(self._is_own, named)
            replaced += map(self._path_of, self._beyond_count(facts.get("keep_ckpt_ids", ())))
        self._saver.begin(
            runner,
            Save(path, facts, newest, replaced, self.last_ckpt),
            background,
            **self.args,
            save_optimizer=self.save_optimizer and newest,
            save_param_scheduler=self.save_param_scheduler and newest,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
        )
        self._waited += time.monotonic() - start
        saved = background or self._settle(runner)
        runner.logger.info(f"the run waited {self._waited:.2f} s for {Path(path).name}")
        self._waited = 0.0
        return saved

    def _settle(self, runner: Runner) -> bool:
        """Wait for the saves that were begun, if any, and do what was left until they are there.

        Returns:
            Whether all were saved, and the message hub keeps what it took up.
        """
        start = time.monotonic()
        settled = self._saver.settle(runner)
        for save, (saved, pointed, wanted) in settled:
            if not save.newest:
                if not saved:
                    self._superseded = [pair for pair in self._superseded if pair[1] != save.path]
                continue
            if wanted:
                self._behind = not saved
            if saved:
                self.last_ckpt = save.path
                self.keep_ckpt_ids = deque(save.facts.get("keep_ckpt_ids", self.keep_ckpt_ids))
            if pointed:
                self._superseded = []
                self._remove_beyond_count(runner)
                if _PREEMPTED not in save.facts:
                    runner.message_hub.pop_info(_PREEMPTED)
        self._waited += time.monotonic() - start
        return all(outcome.saved for _, outcome in settled)

    def _beyond_count(self, steps: Collection[int]) -> list[int]:
        """Which of the counted ones go."""
        beyond = list(steps)[: -self.max_keep_ckpts] if self.max_keep_ckpts > 0 else []
        return [step for step in beyond if not self.keep_every or step % self.keep_every]

    def _remove_beyond_count(self, runner: Runner) -> None:
        if self.max_keep_ckpts <= 0:
            return
        for step in self._beyond_count(self.keep_ckpt_ids):
            remove(runner, self._path_of(step))
        self.keep_ckpt_ids = deque(self.keep_ckpt_ids, self.max_keep_ckpts)
        runner.message_hub.update_info("keep_ckpt_ids", list(self.keep_ckpt_ids))


def _score(metrics: dict[str, Any], key: str) -> Any:
    if key not in metrics:
        raise MaskSSLError(
            f"default_hooks.checkpoint.save_best={key!r}: validation gives {', '.join(metrics)}; "
            "name one of these, or 'auto' for the first; --resume goes on from what is saved"
        )
    return metrics[key]


def _gathers(runner: Runner) -> bool:
    """Whether the next optimizer step has gradients already."""
    wrapper = runner.optim_wrapper
    if isinstance(wrapper, OptimWrapperDict):  # its wrappers count for themselves
        return False
    return accumulative_counts(wrapper) > 1 and not wrapper.should_update()
