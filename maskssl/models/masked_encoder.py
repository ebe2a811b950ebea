"""What an encoder whose patches are hidden must be, and what it can be given."""

from torch import Tensor

from ..errors import MaskSSLError
from .backbones.plain_vit import PlainViT


def check_masked(encoder: PlainViT) -> None:
    """Refuse an encoder that cannot leave patches out.

    Raises:
        MaskSSLError: registers, or relative positions of the whole grid.
    """
    registers = encoder.num_prefix - encoder.with_cls_token
    bias = encoder.blocks[0].rel_pos is not None
    if registers or bias:
        given = "rel_pos_bias=True" if bias else f"num_registers={registers}"
        raise MaskSSLError(
            f"{given}: masked pretraining takes neither registers nor a relative position bias; "
            "leave both out of the backbone"
        )


def check_size(encoder: PlainViT, images: Tensor) -> None:
    """Refuse images of another grid than the masks are drawn for.

    Args:
        encoder: built for a size.
        images: (B, 3, H, W).

    Raises:
        MaskSSLError: H x W is another size.
    """
    built = tuple(side * encoder.patch_size for side in encoder.grid_size)
    if tuple(images.shape[-2:]) != built:
        raise MaskSSLError(
            f"the model is built for images of {built} pixels, got {tuple(images.shape[-2:])}; "
            "make the crop and the backbone's img_size agree"
        )
