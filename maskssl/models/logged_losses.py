"""What a step logs, copied to the host while the GPU goes on."""

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor


class LoggedLosses(OrderedDict[str, Tensor]):
    """The scalars of a step by name, as ``parse_losses`` gives them, whose copy has begun.

    Reading one by one waits for a GPU each time, until all that was handed to it is done. The
    copy stands behind the forward in its queue, so that whoever has waited for the backward (the
    guard of finite steps does) reads it without another wait.
    """

    def __init__(self, losses: Mapping[str, Tensor]) -> None:
        super().__init__(losses)
        values = [value.detach().reshape(()) for value in losses.values()]
        self._copied: torch.cuda.Event | None = None
        self._host = torch.empty(0)
        if values:
            self._host = torch.stack(values).to("cpu", non_blocking=True)  # in pinned memory
        if values and values[0].is_cuda:
            self._copied = torch.cuda.Event()
            self._copied.record()

    def on_host(self) -> dict[str, float]:
        """The numbers."""
        if self._copied is not None:
            self._copied.synchronize()
        return dict(zip(self, self._host.tolist(), strict=True))
