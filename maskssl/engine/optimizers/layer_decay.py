"""Layer-wise learning rates and weight-decay groups, for every scope."""

from typing import Any

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from ...errors import MaskSSLError

NEVER_DECAYED = ("pos_embed", "cls_token", "register_tokens")


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Groups of parameters by depth and decay: lr falls with the distance from the head.

    The lr of depth d of D is base_lr * layer_decay_rate ** (D - 1 - d), where the
    backbone's ``get_layer_depth`` tells d: 0 for the stem, k + 1 for block k. Heads
    and necks take the full lr. Matrices, or vectors, of the same lr and decay are one group,
    which the optimizer updates in one pass; ``param_names`` lists them. No weight decay on
    one-dimensional parameters, biases, position embeddings and cls tokens, wherever they are;
    mask tokens decay.

    Args (in ``paramwise_cfg``):
        layer_decay_rate: 1.0 (default) keeps one lr and only groups weight decay.
        backbone_lr_mult: multiplies the lr of the stem and of all blocks; what lies behind
            them keeps its own (BootMAE's ``--backbone_decay``, 1 in its scripts).
    """

    def __init__(
        self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: dict[str, Any] | None = None
    ) -> None:
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        paramwise_cfg = paramwise_cfg or {}
        unknown = set(paramwise_cfg) - {"layer_decay_rate", "backbone_lr_mult"}
        if unknown:
            raise MaskSSLError(
                f"paramwise_cfg has {sorted(unknown)}, which {type(self).__name__} does not know; "
                "it takes layer_decay_rate and backbone_lr_mult"
            )
        self.layer_decay_rate: float = paramwise_cfg.get("layer_decay_rate", 1.0)
        if not 0 < self.layer_decay_rate <= 1:
            raise MaskSSLError(
                f"layer_decay_rate={self.layer_decay_rate} must lie in (0, 1]; 1.0 turns it off"
            )
        self.backbone_lr_mult: float = paramwise_cfg.get("backbone_lr_mult", 1.0)
        if not self.backbone_lr_mult > 0:
            raise MaskSSLError(
                f"backbone_lr_mult={self.backbone_lr_mult} must be positive; to keep the backbone "
                "as it is, freeze it (model.backbone.frozen_stages)"
            )
        # the base class takes its own per-parameter path only when there is a paramwise_cfg
        self.paramwise_cfg = {"layer_decay_rate": self.layer_decay_rate}

    def add_params(
        self, params: list[dict[str, Any]], module: nn.Module, prefix: str = "", **kwargs: Any
    ) -> None:
        """Append the groups of the trainable parameters of ``module``."""
        depths = dict(_backbones(module))
        if not depths and (self.layer_decay_rate != 1 or self.backbone_lr_mult != 1):
            asked = f"layer_decay_rate={self.layer_decay_rate}"
            if self.layer_decay_rate == 1:
                asked = f"backbone_lr_mult={self.backbone_lr_mult}"
            raise MaskSSLError(
                f"{asked} needs a backbone with get_layer_depth (e.g. PlainViT), and "
                f"{type(module).__name__} has none"
            )
        groups: dict[tuple[float, bool, bool], dict[str, Any]] = {}
        for name, param in module.named_parameters():
            if not param.requires_grad:
                continue
            scale = self._lr_scale(name, depths)
            decays = param.ndim > 1 and name.rsplit(".", 1)[-1] not in NEVER_DECAYED
            new: dict[str, Any] = dict(params=[], param_names=[], lr_scale=scale)
            # LARS treats matrices and vectors differently
            group = groups.setdefault((scale, decays, param.ndim > 1), new)
            group["params"].append(param)
            group["param_names"].append(name)
            if self.base_lr is not None:
                group["lr"] = self.base_lr * scale
            if self.base_wd is not None:
                group["weight_decay"] = self.base_wd if decays else 0.0
        params.extend(groups.values())
        counts: dict[float, int] = {}
        for (scale, *_), group in groups.items():
            counts[scale] = counts.get(scale, 0) + len(group["params"])
        shown = ", ".join(f"{scale:.4g} x {count}" for scale, count in sorted(counts.items()))
        print_log(f"learning-rate scales (scale x parameters): {shown}", logger="current")

    def _lr_scale(self, name: str, backbones: dict[str, nn.Module]) -> float:
        for prefix, backbone in backbones.items():
            if name.startswith(prefix):
                depth, num_depths = backbone.get_layer_depth(name, prefix)
                below = num_depths - 1 - depth
                return self.layer_decay_rate**below * (self.backbone_lr_mult if below else 1.0)
        return 1.0


def _backbones(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Submodules that know their depths, by prefix: 'backbone.' in all three scopes."""
    return [
        (f"{name}.", child)
        for name, child in module.named_modules()
        if name and hasattr(child, "get_layer_depth") and name.split(".")[-1] == "backbone"
    ]
