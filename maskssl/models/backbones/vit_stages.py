"""A ViT as stages: the stem, block after block, and what is behind them."""

from typing import Any

from torch import nn

from ...errors import MaskSSLError


class VitStages(nn.Module):
    """Mixin of a ViT: learning rates that fall with the depth, and stages that do not learn.

    Attributes:
        frozen_stages: -1 for none, 0 for the stem, k for the stem and k blocks.
    """

    num_layers: int
    blocks: nn.ModuleList
    frozen_stages: int = -1
    # the other parts, by the names that PlainViT gives them; a token that is not there is None
    patch_embed: nn.Module
    norm: nn.Module
    class_attention: nn.Module | None
    pos_embed: nn.Parameter | None
    cls_token: nn.Parameter | None
    register_tokens: nn.Parameter | None

    def get_layer_depth(self, param_name: str, prefix: str = "") -> tuple[int, int]:
        """Depth of a parameter for layer-wise learning rates.

        Args:
            param_name: as in the model's ``named_parameters()``.
            prefix: the backbone's own, e.g. 'backbone.'.

        Returns:
            The depth (0 for the stem, k + 1 for block k, last for everything behind)
            and the number of depths, num_layers + 2.
        """
        num_depths = self.num_layers + 2
        name = param_name[len(prefix) :] if param_name.startswith(prefix) else ""
        if name in ("cls_token", "register_tokens", "pos_embed") or name.startswith("patch_embed."):
            return 0, num_depths
        if name.startswith("blocks."):
            return int(name.split(".")[1]) + 1, num_depths
        return num_depths - 1, num_depths

    def freeze_stages(self, count: int) -> None:
        """Take gradients from the first stages, and keep them in eval mode from now on.

        Args:
            count: -1 for none, 0 for the stem, k for the stem and k blocks.

        Raises:
            MaskSSLError: there are not so many.
        """
        if not -1 <= count <= self.num_layers:
            raise MaskSSLError(
                f"frozen_stages={count} with {self.num_layers} blocks; use -1 (none) to "
                f"{self.num_layers} (all)"
            )
        self.frozen_stages = count
        for part in self._frozen_parts():
            part.requires_grad_(False)
        if count >= 0:
            for tokens in (self.pos_embed, self.cls_token, self.register_tokens):
                if tokens is not None:
                    tokens.requires_grad_(False)

    def train(self, mode: bool = True) -> Any:
        """Set the mode; frozen parts stay in eval mode."""
        super().train(mode)
        for part in self._frozen_parts():
            part.eval()
        return self

    def _frozen_parts(self) -> list[nn.Module]:
        if self.frozen_stages < 0:
            return []
        parts: list[nn.Module] = [self.patch_embed, *self.blocks[: self.frozen_stages]]
        if self.frozen_stages >= len(self.blocks):
            parts += [self.norm, *([self.class_attention] if self.class_attention else [])]
        return parts
