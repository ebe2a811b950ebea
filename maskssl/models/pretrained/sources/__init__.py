"""One map a file, and the order in which they are tried: those with the surest marks first."""

from ..source import Source
from .beit import BEIT, BEITV2, CAE, SIMMIM
from .bootmae import BOOTMAE
from .dino import DINO, IBOT
from .dinov2 import DINOV2, DINOV2_REGISTERS
from .dinov3 import DINOV3
from .extrema import EXTREMA
from .huggingface_dinov2 import HUGGINGFACE_DINOV2, HUGGINGFACE_DINOV2_REGISTERS
from .huggingface_dinov3 import HUGGINGFACE_DINOV3
from .huggingface_vit import HUGGINGFACE_VIT
from .ijepa import IJEPA
from .mae import MAE
from .maskssl import MASKSSL
from .mmpretrain import MMPRETRAIN
from .mocov3 import MOCOV3
from .plain import PLAIN
from .timm_dinov3 import TIMM_DINOV3
from .timm_vit import TIMM_VIT

SOURCES: tuple[Source, ...] = (
    MASKSSL,
    MMPRETRAIN,
    BOOTMAE,
    EXTREMA,
    MOCOV3,
    IJEPA,
    DINOV3,
    DINOV2_REGISTERS,
    DINOV2,
    IBOT,
    DINO,
    TIMM_DINOV3,
    BEITV2,
    SIMMIM,
    CAE,
    BEIT,
    HUGGINGFACE_DINOV3,
    HUGGINGFACE_DINOV2_REGISTERS,
    HUGGINGFACE_DINOV2,
    HUGGINGFACE_VIT,
    MAE,
    TIMM_VIT,
    PLAIN,
)
