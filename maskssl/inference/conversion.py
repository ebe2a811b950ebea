"""A checkpoint's encoder as one safetensors file, with the ledger of how it came about."""

import json
from pathlib import Path

import torch
from torch import Tensor

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
    content = torch.load(source, map_location="cpu", weights_only=False)
    left_out: set[str] = set()
    kept = _plain(content, left_out)
    if not isinstance(kept, dict) or not any(isinstance(x, (dict, Tensor)) for x in kept.values()):
        raise MaskSSLError(f"{source} holds no dict of tensors; save model.state_dict()")
    write_checkpoint(kept, out)
    return f"written to {out}, without {', '.join(sorted(left_out)) or 'leaving anything out'}"


def _names(key: object) -> bool:
    return isinstance(key, (str, int))


def _plain(node: object, left_out: set[str]) -> object:
    """Tensors, numbers and text in dicts and lists; a module is its state_dict."""
    if isinstance(node, torch.nn.Module):
        node = node.state_dict()
    if isinstance(node, dict):
        left_out |= {f"keys of {type(key).__name__}" for key in node if not _names(key)}
        return {key: _plain(value, left_out) for key, value in node.items() if _names(key)}
    if isinstance(node, (list, tuple)):
        return [_plain(value, left_out) for value in node]
    if node is None or isinstance(node, (bool, int, float, str)):
        return node
    if isinstance(node, Tensor):
        return node.detach().clone().as_subclass(Tensor)
    left_out.add(type(node).__name__)
    return None
