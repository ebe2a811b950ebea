"""What an export needs to know of a backbone, and what a target is."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor

from ...errors import MaskSSLError
from ..backbone import PretrainedViT

Model = Callable[[Tensor], Tensor]  # images -> tokens behind the final norm, as our 'tokens'


@dataclass(frozen=True)
class Target:
    """One library, or format, that a backbone is written for.

    Attributes:
        name: as ``--to`` has it.
        write: writes files into a folder.
        reload: builds the library's own model from that folder.
        sizes: of images (h, w) at which both are compared.
        packages: that ``reload`` imports, and that the extra 'export' brings.
    """

    name: str
    write: Callable[[PretrainedViT, Path], None]
    reload: Callable[[PretrainedViT, Path], Model]
    packages: tuple[str, ...] = ()
    sizes: Callable[[PretrainedViT], list[tuple[int, int]]] = lambda backbone: [backbone.img_size]

    def check_installed(self) -> None:
        """Refuse what could not be compared.

        Raises:
            MaskSSLError: names the packages and the extra.
        """
        missing = [name for name in self.packages if find_spec(name) is None]
        if missing:
            raise MaskSSLError(
                f"--to {self.name} compares by {', '.join(missing)}, which is not installed: pip "
                "install 'maskssl[export]'"
            )


def inexpressible(backbone: PretrainedViT, target: str, **has: bool) -> None:
    """Refuse what a target's class cannot compute.

    Args:
        backbone: to be written.
        target: name of the class.
        has: property -> whether the backbone has it.

    Raises:
        MaskSSLError: names the properties.
    """
    found = [name.replace("_", " ") for name, value in has.items() if value]
    if backbone.class_attention is not None:
        found.append("class attention (export with out_type='tokens')")
    if found:
        raise MaskSSLError(
            f"{target} cannot express this backbone: it has {', '.join(found)}; --to safetensors "
            "keeps everything"
        )


def is_gated(backbone: PretrainedViT) -> bool:
    """Whether its MLPs are SwiGLU."""
    mlp = backbone.blocks[0].mlp
    return mlp.fc1.out_features == 2 * mlp.fc2.in_features


def num_registers(backbone: PretrainedViT) -> int:
    """Tokens between cls and patches."""
    return backbone.num_prefix - int(backbone.with_cls_token)
