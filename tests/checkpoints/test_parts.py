"""Weights in parts beside an index: all of them, or a sentence."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import maskssl
from maskssl.checkpoints.errors import CheckpointError
from maskssl.checkpoints.reading import checkpoint_at, read_checkpoint
from maskssl.models.backbones.plain_vit import PlainViT

ARCH = dict(embed_dims=16, num_layers=2, num_heads=4)
NAMES = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


def encoder() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return PlainViT(arch=ARCH, img_size=16, patch_size=8).state_dict()


def write(folder: Path, state: dict[str, torch.Tensor], suffix: str = "safetensors") -> Path:
    """As save_pretrained with a max_shard_size: parts, index and config.json."""
    files = [Path(name).with_suffix(f".{suffix}").name for name in NAMES]
    where = {name: files[at % 2] for at, name in enumerate(state)}
    for file in files:
        own = {name: value for name, value in state.items() if where[name] == file}
        save_file(own, folder / file) if suffix == "safetensors" else torch.save(own, folder / file)
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    index = folder / f"{stem}.{suffix}.index.json"
    index.write_text(json.dumps(dict(metadata=dict(total_size=1), weight_map=where)))
    (folder / "config.json").write_text(json.dumps(dict(num_attention_heads=4)))
    return index


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_a_folder_in_parts_is_one_model(suffix, tmp_path):
    state = encoder()
    index = write(tmp_path, state, suffix)
    assert checkpoint_at(str(tmp_path)) == str(index)
    for path in (tmp_path, index):
        backbone = maskssl.load_backbone(path)
        assert backbone.num_heads == 4  # of config.json beside it
        for name, value in backbone.state_dict().items():
            torch.testing.assert_close(value, state[name], rtol=0, atol=0)
    files = [index, *sorted(tmp_path.glob(f"model-*.{suffix}"))]
    lines = "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}\n" for file in files)
    assert backbone.ledger.sha256 == hashlib.sha256(lines.encode()).hexdigest()


def lose(index: Path) -> None:
    index.with_name(NAMES[1]).unlink()


def cut(index: Path) -> None:
    part = index.with_name(NAMES[1])
    part.write_bytes(part.read_bytes()[:-40])


def swap(index: Path) -> None:
    """One part under both names, as a download that went wrong leaves it."""
    index.with_name(NAMES[1]).write_bytes(index.with_name(NAMES[0]).read_bytes())


def point_elsewhere(index: Path) -> None:
    index.write_text(json.dumps(dict(weight_map={"cls_token": "../elsewhere.safetensors"})))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lose, rf"{NAMES[1]} is missing, a part of .*index\.json; download it too"),
        (cut, rf"{NAMES[1]} \(\d+ bytes\) is no complete safetensors file"),
        (swap, rf"{NAMES[1]} and model\.safetensors\.index\.json do not agree on \d+ tensors"),
        (point_elsewhere, r"names '\.\./elsewhere\.safetensors' as a part; parts lie beside it"),
        (lambda index: index.write_text("{"), r"index\.json is no index of weights in parts"),
        (lambda index: index.write_text("[]"), r"index\.json is no index of weights in parts"),
        (lambda index: index.write_text("{}"), r"index\.json is no index of weights in parts"),
        (lambda index: index.write_text('{"weight_map": {"a": 3}}'), "names 3 as a part"),
        (lambda index: index.write_text('{"weight_map": {"a": ["b"]}}'), "no index of weights"),
    ],
)
def test_what_is_not_whole_is_a_sentence(harm, said, tmp_path):
    index = write(tmp_path, encoder())
    harm(index)
    with pytest.raises(CheckpointError, match=said):
        read_checkpoint(index)
    with pytest.raises(CheckpointError, match=said):
        maskssl.load_backbone(tmp_path)
