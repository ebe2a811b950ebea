"""What a model was initialised with: compared with its images, and kept with the run."""

import json
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ...checkpoints.writing import write_text
from ...models.pretrained.ledger import Ledger
from ...models.pretrained.loading import check_pixels
from ..unwrapping import unwrapped

FILE = "ledger.json"


@HOOKS.register_module()
class LedgerHook(Hook):
    """Ledgers of pretrained weights: ledger.json in the work dir, 'pretrained' of each meta.

    Before training or a test it refuses images that are normalised otherwise than those of the
    pretraining, unless ``init_cfg=dict(…, accept=['pixels'])``.
    """

    def before_train(self, runner: Runner) -> None:
        """Compare, and write the file."""
        ledgers = self._compare(runner)
        if ledgers and is_main_process():
            path = Path(runner.work_dir, FILE)
            write_text(json.dumps(ledgers, indent=1), path)

    def before_test(self, runner: Runner) -> None:
        """Compare."""
        self._compare(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Plain values alone, so that the file needs no list to be read."""
        ledgers = {name: ledger.as_json() for name, ledger in self._ledgers(runner).items()}
        if ledgers:
            checkpoint.setdefault("meta", {})["pretrained"] = ledgers

    def _compare(self, runner: Runner) -> dict[str, Any]:
        model = unwrapped(runner.model)
        mean, std = (getattr(model.data_preprocessor, name, None) for name in ("mean", "std"))
        modules = dict(model.named_modules())
        for name, ledger in self._ledgers(runner).items():
            if mean is None or std is None:
                continue  # whoever normalises elsewhere answers for it
            init_cfg = modules[name].init_cfg
            accept = init_cfg.get("accept", ()) if isinstance(init_cfg, dict) else ()
            check_pixels(ledger, mean.flatten().tolist(), std.flatten().tolist(), accept)
        return {name: ledger.as_json() for name, ledger in self._ledgers(runner).items()}

    def _ledgers(self, runner: Runner) -> dict[str, Ledger]:
        found = unwrapped(runner.model).named_modules()
        ledgers = {name: getattr(module, "ledger", None) for name, module in found}
        return {name: ledger for name, ledger in ledgers.items() if isinstance(ledger, Ledger)}
