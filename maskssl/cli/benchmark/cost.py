"""What a step costs by its shapes: operations, and activations that wait for the backward."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ...models.layers.decoder_block import DecoderBlock
from ...models.layers.encoder_block import EncoderBlock
from .step import TrainingStep


def flops_per_image(step: TrainingStep) -> float:
    """FLOPs of forward and backward of the matrix products, two per multiplication and addition.

    The step must run neither compiled nor with recomputed blocks.
    """
    inputs = step.inputs()
    # plain products of attention, since not every fused kernel is counted
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        loss, _ = step.model.parse_losses(step.forward(inputs))
        loss.backward()
    step.model.zero_grad()
    return counter.get_total_flops() / step.batch_size


def saved_per_block(step: TrainingStep) -> dict[str, int]:
    """Bytes that each block keeps for the backward, in a step that is not compiled.

    A tensor counts where it is kept first; weights do not count.
    """
    weights = {p.untyped_storage().data_ptr() for p in step.model.parameters()}
    found: dict[str, int] = {}
    seen: set[int] = set(weights)
    running: list[str] = []
    kept: list[Tensor] = []  # so that no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        address = tensor.untyped_storage().data_ptr()
        if running and address not in seen:
            seen.add(address)
            kept.append(tensor.detach())
            found[running[-1]] += tensor.untyped_storage().nbytes()
        # the tensor itself may be the output of the very node that keeps it: a circle that nobody
        # collects
        return tensor.detach()

    with _announced(step.model, running, found), saved_tensors_hooks(pack, lambda tensor: tensor):
        step.forward(step.inputs())
    return {name: size for name, size in found.items() if size}


@contextmanager
def _announced(model: nn.Module, running: list[str], found: dict[str, int]) -> Iterator[None]:
    """Put the name of the block that runs on top of ``running``."""
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, (EncoderBlock, DecoderBlock)):
            found[name] = 0
            begin = lambda *_, name=name: running.append(name)  # noqa: E731
            handles.append(module.register_forward_pre_hook(begin))
            handles.append(module.register_forward_hook(lambda *_: (running.pop(), None)[1]))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
