"""The MLPs on top of a pooled feature: ExtreMA's projector and predictor."""

from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ..layers.initialisation import init_linears


@MODELS.register_module()
class ProjectionMLP(BaseModule):
    """Linear layers with LayerNorm and GELU in between (lib/builder.py: _build_proj).

    Args:
        in_channels: width of the input; the algorithm fills it in.
        hidden_channels: width in between.
        out_channels: width of the output.
        num_layers: linear layers: 3 for the projector, 2 for the predictor.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 4096,
        out_channels: int = 256,
        num_layers: int = 3,
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        widths = [in_channels, *[hidden_channels] * (num_layers - 1), out_channels]
        layers: list[nn.Module] = []
        for index in range(num_layers):
            layers.append(nn.Linear(widths[index], widths[index + 1]))
            if index < num_layers - 1:
                layers += [nn.LayerNorm(widths[index + 1]), nn.GELU()]
        self.layers = nn.Sequential(*layers)
        init_linears(self)

    def forward(self, features: Tensor) -> Tensor:
        """(…, in_channels) -> (…, out_channels)."""
        return self.layers(features)
