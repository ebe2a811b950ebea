"""Save and leave when the scheduler says that the machine will be taken away."""

import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_reduce, barrier, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ...errors import MaskSSLError

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: try again later


class Shielded:
    """A ``worker_init_fn`` after which a loader process minds only its parent's signals.

    Schedulers signal every process of a job, and a loader process that ended by it would take
    the training process down before that can save. The training process itself ends its loader
    processes by SIGTERM, so the sender is looked at, as torch's own handler does.

    Args:
        inner: the loader's own ``worker_init_fn``, which runs first.
        signals: numbers of the signals.
    """

    def __init__(self, inner: Callable[[int], None] | None, signals: Sequence[int]) -> None:
        self.inner, self.signals = inner, tuple(signals)

    def __call__(self, worker: int) -> None:
        """Run in the loader process as it starts."""
        if self.inner is not None:
            self.inner(worker)
        # blocked here and in threads to come; only the one below takes them
        signal.pthread_sigmask(signal.SIG_BLOCK, self.signals)
        watch = threading.Thread(target=self._watch, args=(os.getppid(),), daemon=True)
        watch.start()

    def _watch(self, parent: int) -> None:
        while True:
            told = signal.sigwaitinfo(self.signals)
            if told.si_signo == signal.SIGTERM and told.si_pid == parent:
                os._exit(0)


@HOOKS.register_module()
class PreemptionHook(Hook):
    """On a signal: finish the step, save a checkpoint, leave with exit code 75.

    The handler only sets a flag, so a signal during the save changes nothing. A run on one
    process acts at the end of the running step. Ranks may get the signal in different steps, or
    one rank alone, and must save the same one: they agree every ``interval`` optimizer steps by
    one all_reduce of a number, which makes the delay at most ``interval`` steps and the cost a
    fraction of the gradients' own all_reduce. During a validation nothing is saved; the step
    after it does.

    After the save every rank raises SystemExit(75). ``srun`` hands that code on, so a batch
    script requeues by ``srun ... || { [ $? -eq 75 ] && scontrol requeue $SLURM_JOB_ID; }``
    (the job submitted with ``sbatch --requeue --signal=USR1@120``). torchrun reports its own
    code instead of its workers'. Resume with ``--resume``.

    Args:
        signals: names. Slurm sends SIGTERM at preemption and at the time limit.
        interval: steps between agreements of several ranks, at least 1. ``interval`` steps and
            the save must fit into the time that the scheduler grants (SHUTDOWN_TIMEOUT, 60 s).

    Raises:
        MaskSSLError: an unknown signal, an interval below 1, or training outside the main thread.
    """

    # the last of all: step, teacher, schedulers, logs and a due checkpoint are done
    priority = "LOWEST"

    def __init__(self, signals: Sequence[str] = ("SIGTERM", "SIGUSR1"), interval: int = 10) -> None:
        unknown = [name for name in signals if name not in signal.Signals.__members__]
        if unknown:
            raise MaskSSLError(f"signals={unknown} are unknown; use names such as 'SIGTERM'")
        if interval < 1:
            raise MaskSSLError(f"interval={interval}: give 1 or more steps")
        self.signals = [signal.Signals[name] for name in signals]
        self.interval = interval
        self._received = 0
        self._owner = 0  # the process that trains
        self._steps = 0  # of the optimizer, since this process began; alike on all ranks
        self._before: dict[int, Any] = {}

    def before_train(self, runner: Runner) -> None:
        """Install the handlers, and shield the loader processes that will be started."""
        if threading.current_thread() is not threading.main_thread():
            raise MaskSSLError(
                "PreemptionHook needs the main thread, where Python runs signal handlers; train "
                "there or remove the hook"
            )
        self._received, self._owner, self._steps = 0, os.getpid(), 0
        self._before = {number: signal.signal(number, self._note) for number in self.signals}
        loops = (runner.train_loop, runner.val_loop)
        for loader in (loop.dataloader for loop in loops if loop is not None):
            if isinstance(loader, DataLoader):
                loader.worker_init_fn = Shielded(loader.worker_init_fn, self.signals)
            else:
                runner.logger.warning(
                    f"PreemptionHook cannot shield the processes of {type(loader).__name__}: if "
                    "a signal ends them, the run may break before it has saved"
                )

    def after_train(self, runner: Runner) -> None:
        """Put the handlers of before back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
        if self._received:
            name = signal.Signals(self._received).name
            runner.logger.warning(f"{name} came in the last steps: the run has ended as planned")

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Save and leave if a signal has come."""
        received = self._agreed(runner)
        if not received:
            return
        name = signal.Signals(received).name
        runner.logger.warning(f"{name}: saving after step {runner.iter + 1}")
        save_here(runner)
        barrier()  # a launcher ends the other ranks once one has left, the writing one too
        runner.logger.warning(
            f"{name}: left after step {runner.iter + 1} with exit code {EXIT_CODE}, to be "
            "requeued and resumed"
        )
        raise SystemExit(EXIT_CODE)

    def _note(self, number: int, frame: Any) -> None:
        if os.getpid() == self._owner:
            self._received = self._received or number
        elif number == signal.SIGTERM:  # a forked child has inherited this handler
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        # other signals warn the training process; their default would end the child

    def _agreed(self, runner: Runner) -> int:
        """The signal that all ranks act on in this step, or 0."""
        if not runner.optim_wrapper.should_update():
            return 0  # gradients are gathered up, which no checkpoint holds
        self._steps += 1
        if get_world_size() == 1:
            return self._received
        if self._steps % self.interval:
            return 0
        flag = torch.tensor(self._received)
        all_reduce(flag, "max")
        return int(flag)


def save_here(runner: Runner) -> None:
    """Let the checkpoint hook save behind the running step, or the runner if no hook can."""
    hook = next((hook for hook in runner.hooks if hasattr(hook, "save_now")), None)
    if hook is not None:
        if hook.save_now(runner) is None:
            runner.logger.error("nothing was saved; resume goes on from an older checkpoint")
        return
    runner.logger.warning("no hook has save_now: the runner itself saves, not atomically")
    name = f"iter_{runner.iter + 1}.pth"
    runner.save_checkpoint(runner.work_dir, name, by_epoch=False)
    if is_main_process():
        path = Path(runner.work_dir, name)
        Path(runner.work_dir, "last_checkpoint").write_text(str(path))
