"""A checkpoint's encoder as one safetensors file, with the ledger of how it came about."""

import json
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoints.errors import CheckpointError
from ..checkpoints.plain import plain_content
from ..checkpoints.reading import BROKEN
from ..checkpoints.writing import write_checkpoint, write_text
from ..errors import MaskSSLError
from ..models.pretrained.ledger import Ledger
from .backbone import load_backbone
from .exporting.export import export_backbone
from .exporting.plain import FILE


def convert_checkpoint(
    source: str,
    out: str | None = None,
    branch: str | None = None,
    num_heads: int | None = None,
    unverified: bool = False,
    json_file: str | None = None,
) -> Ledger:
    """Load an encoder as ``load_backbone`` does, say how, and write it where asked.

    Args:
        source: as ``load_backbone`` takes it.
        out: .safetensors file; None for none.
        branch: 'student' or 'teacher'; None for the one that its authors evaluate.
        num_heads: where nothing tells it.
        unverified: take sources that were compared with nobody's code.
        json_file: for the whole ledger.

    Raises:
        MaskSSLError: the source cannot be loaded, or ``out`` is no .safetensors file.
    """
    if out is not None and Path(out).suffix != ".safetensors":
        raise MaskSSLError(f"{out} is written as safetensors; call it {Path(out).stem}.safetensors")
    out_type = "tokens"
    backbone = load_backbone(source, out_type, None, branch, num_heads, unverified)
    if json_file is not None:
        write_text(json.dumps(backbone.ledger.as_json(), indent=1), json_file)
    if out is not None:
        part = Path(f"{out}.parts")
        export_backbone(backbone, "safetensors", part)
        (part / FILE).replace(out)
        part.rmdir()
    return backbone.ledger


def rewrite_trusted(source: str, out: str | None) -> str:
    """Unpickle a file of one's own, whatever it runs, and write its tensors and plain values alone.

    Args:
        source: of torch.save.
        out: .pth file to write.

    Returns:
        What was done, in a sentence.

    Raises:
        MaskSSLError: there is nowhere to write to, or no tensor in the file.
    """
    if out is None or Path(out).resolve() == Path(source).resolve():
        raise MaskSSLError("--trust needs another file to write to: SOURCE NEW.pth --trust")
    if not Path(source).is_file():
        raise MaskSSLError(f"there is no file {source}; --trust takes a file of your own")
    content = _unpickled(source)
    left_out: dict[str, str] = {}
    kept = plain_content(content, left_out)
    if not isinstance(kept, dict) or not any(isinstance(x, (dict, Tensor)) for x in kept.values()):
        raise MaskSSLError(f"{source} holds no dict of tensors; save model.state_dict()")
    write_checkpoint(kept, out)
    without = ", ".join(sorted(set(left_out.values()))) or "leaving anything out"
    return f"written to {out}, without {without}"


def _unpickled(source: str) -> Any:
    try:
        return torch.load(source, map_location="cpu", weights_only=False)
    except (ImportError, AttributeError) as error:
        raise CheckpointError(
            f"{source} holds objects of code that is not here ({error}); set PYTHONPATH to where "
            "that code lies, and call again"
        ) from error
    except (pickle.UnpicklingError, *BROKEN) as error:
        raise CheckpointError(
            f"{source} is no whole file of torch.save ({error}); copy it again"
        ) from error
