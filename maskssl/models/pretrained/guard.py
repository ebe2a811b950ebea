"""Refuse to score a model whose weights never arrived.

mmengine loads checkpoints loosely: what does not fit is left at its random values
with a warning, and the test goes on. A backbone with this guard sees every load that
its model gets, in any scope and under a plain Runner, and stops the evaluation.
"""

from typing import Any

from torch import nn

from ...errors import MaskSSLError


class UnloadedWeightsError(MaskSSLError):
    """A model is about to be evaluated, or was loaded, with weights missing."""


class LoadGuard(nn.Module):
    """Mixin for backbones: remembers what loading left out until training begins."""

    init_cfg: dict[str, Any] | None
    is_init: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The loader's own lists, shared by the whole model: modules behind this one go on
        # filling them, so they are read when evaluation starts.
        self._missing_keys: list[str] | None = None
        self._load_errors: list[str] | None = None
        self._has_trained = False
        self.register_load_state_dict_pre_hook(_note_load)

    def refuse_unloaded(self) -> None:
        """Call at the start of ``forward``.

        Raises:
            UnloadedWeightsError: in eval mode, before any training step, when the last
                load left weights of the model out, or when the pretrained weights that
                ``init_cfg`` names were never loaded.
        """
        if self.training:
            self._has_trained = True
        if self._has_trained:
            return
        if self._missing_keys is None:
            if self.init_cfg and not self.is_init:
                raise UnloadedWeightsError(
                    "evaluation starts with random weights: neither the pretrained weights of "
                    f"init_cfg={self.init_cfg} nor a checkpoint of the model were loaded; give "
                    "the checkpoint (load_from, or maskssl test CONFIG CHECKPOINT)"
                )
            return
        missing = [key for key in self._missing_keys if "num_batches_tracked" not in key]
        wrong = [text for text in self._load_errors or [] if "size mismatch" in text]
        if missing or wrong:
            shown = "\n  ".join(
                [*(f"{key}: not in the checkpoint" for key in missing), *wrong][:20]
            )
            raise UnloadedWeightsError(
                f"{len(missing) + len(wrong)} tensors of the model were never loaded, so its "
                f"scores would mean nothing:\n  {shown}\nTest a checkpoint that was trained with "
                "this config, or train first (maskssl train)"
            )


def _note_load(
    guard: LoadGuard,
    state_dict: dict[str, Any],
    prefix: str,
    local_metadata: dict[str, Any],
    strict: bool,
    missing_keys: list[str],
    unexpected_keys: list[str],
    error_msgs: list[str],
) -> None:
    """Before a module takes its tensors: refuse what holds none for it, and keep the lists."""
    own = [value for key, value in state_dict.items() if key.startswith(prefix)]
    if not own:
        raise UnloadedWeightsError(
            f"the checkpoint holds no tensor named '{prefix}…' for {type(guard).__name__}; it was "
            "not saved from this model. For pretrained weights of any source use "
            "init_cfg=dict(type='Pretrained', checkpoint=...) of the backbone, or maskssl train "
            "--pretrained"
        )
    if any(value is None for value in own):
        raise UnloadedWeightsError(
            "the checkpoint names tensors and holds none: they lie in the .shards folder beside "
            "it, which this loader does not read. Load it with maskssl train or maskssl test, or "
            "save it as one file: torch.save(maskssl.checkpoints.reading.read_checkpoint(PATH), "
            "NEW_PATH)"
        )
    guard._missing_keys, guard._load_errors = missing_keys, error_msgs
