"""The MLPs on top of a pooled feature: ExtreMA's projector and predictor."""

from typing import Any

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ..layers.depth import checked_depth
from ..layers.initialisation import init_linears

LAYER_NORM = dict(type="LN", eps=1e-5)


@MODELS.register_module()
class ProjectionMLP(BaseModule):
    """Linear layers with a norm and GELU in between (lib/builder.py: _build_proj).

    A norm over the batch takes ``dict(type="BN1d", track_running_stats=False)``: the teacher, which
    is always in eval mode, then counts its own batch too. Its batch is that of one process.

    Args:
        in_channels: width of the input; the algorithm fills it in.
        hidden_channels: width in between.
        out_channels: width of the output.
        num_layers: linear layers: 3 for the projector, 2 for the predictor.
        norm_cfg: of mmcv; the authors' LayerNorm when None.
        last_norm_cfg: of a norm behind the last linear layer; the authors have none.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 4096,
        out_channels: int = 256,
        num_layers: int = 3,
        norm_cfg: dict[str, Any] | None = None,
        last_norm_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        num_layers = checked_depth("the MLP", num_layers)
        widths = [in_channels, *[hidden_channels] * (num_layers - 1), out_channels]
        layers: list[nn.Module] = []
        for index in range(num_layers):
            layers.append(nn.Linear(widths[index], widths[index + 1]))
            if index < num_layers - 1:
                norm = build_norm_layer(norm_cfg or LAYER_NORM, widths[index + 1])[1]
                layers += [norm, nn.GELU()]
        if last_norm_cfg:
            layers.append(build_norm_layer(last_norm_cfg, out_channels)[1])
        self.layers = nn.Sequential(*layers)
        init_linears(self)

    def forward(self, features: Tensor) -> Tensor:
        """(…, in_channels) -> (…, out_channels); a norm over the batch counts all but the last."""
        rows = self.layers(features.flatten(0, -2))  # (B or B * K, out_channels)
        return rows.unflatten(0, features.shape[:-1])
