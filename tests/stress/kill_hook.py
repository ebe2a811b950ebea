"""Signal the own process: what stress tests of resuming are made with.

A config finds it by ``custom_imports=dict(imports=["tests.stress.kill_hook"])``, with the checkout
on PYTHONPATH.
"""

import os
import signal
import threading
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class KillHook(Hook):
    """A signal at an iteration, or during the first save from there on.

    Args:
        iteration: iterations done when the shot is due.
        delay: seconds until it falls, so that it can fall anywhere in what follows.
        in_save: wait for the next save and count the delay from its beginning.
        kind: name of the signal.
    """

    priority = "VERY_HIGH"

    def __init__(
        self,
        iteration: int,
        delay: float = 0.0,
        in_save: bool = False,
        kind: str = "SIGKILL",
    ) -> None:
        self.number = signal.Signals[kind]
        self.iteration = iteration
        self.delay = delay
        self.in_save = in_save

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Shoot, unless a save is waited for."""
        if not self.in_save and runner.iter == self.iteration:
            self._shoot()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Shoot while the file is written."""
        if self.in_save and runner.iter + 1 >= self.iteration:
            self._shoot()

    def _shoot(self) -> None:
        if self.delay <= 0:
            os.kill(os.getpid(), self.number)
            return
        shot = threading.Timer(self.delay, os.kill, (os.getpid(), self.number))
        shot.daemon = True
        shot.start()
