"""Malicious, truncated, foreign and empty files: each a sentence, and none runs anything."""

import io
import json
import os
import pickle
import pickletools
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import load_checkpoint

import maskssl.registration  # noqa: F401
from maskssl.checkpoints.errors import CheckpointError
from maskssl.checkpoints.reading import read_checkpoint


class Calls:
    """Pickled as a call; unpickled by anyone careless, it leaves a witness."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __call__(self):
        """Where a call is expected of what a call returns."""

    def __reduce__(self):
        return self.call


def saved(content, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def repacked(data: bytes, change) -> bytes:
    """An archive of torch.save with each member changed, or left out where that gives None."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            member = change(name, source.read(name))
            if member is not None:
                target.writestr(name, member)
    return out.getvalue()


def safetensors(header, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


WITNESS = "WITNESS"  # replaced by a path of the test's
GOOD = saved(dict(state_dict={"a": torch.arange(6.0), "b": torch.ones(2, 3)}))
OLD = saved({"a": torch.arange(6.0)}, _use_new_zipfile_serialization=False)
TENSOR = {"a": dict(dtype="F32", shape=[2], data_offsets=[0, 8])}
MALICIOUS = {
    "a call of exec": Calls(exec, f"open({WITNESS!r}, 'w')"),
    "a call of eval": Calls(eval, f"open({WITNESS!r}, 'w')"),
    "a call of os.system": Calls(os.system, f"touch {WITNESS}"),
    "a call of Path.touch": Calls(Path.touch, Path(WITNESS)),
    "a call of open": Calls(open, WITNESS, "w"),
    "a found method": Calls(Calls(getattr, np.zeros(1), "tofile"), WITNESS),
    "globals of a method": Calls(getattr, HistoryBuffer.mean, "__globals__"),
    "torch.load": Calls(torch.load, WITNESS),
    "numpy.load": Calls(np.load, WITNESS, None, True),
    "numpy.save": Calls(np.save, WITNESS, np.zeros(1)),
    "an import": Calls(__import__, "antigravity"),
    "a nested call": [dict(x=(Calls(os.mkdir, WITNESS),))],
}
FILES = {
    "empty": b"",
    "one byte": b"P",
    "a magic alone": b"PK\x03\x04",
    "a web page": b"<!DOCTYPE html><html>404</html>",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(40),
    "text": b"tensor([1., 2.])\n",
    "json": b'{"state_dict": {}}',
    "a gzip": b"\x1f\x8b\x08" + bytes(60),
    "a tenth of an archive": GOOD[: len(GOOD) // 10],
    "half an archive": GOOD[: len(GOOD) // 2],
    "an archive without its end": GOOD[:-30],
    "a tenth of a pickle": OLD[: len(OLD) // 10],
    "half a pickle": OLD[: len(OLD) // 2],
    "a pickle without its end": OLD[:-9],
    "an archive of something else": repacked(GOOD, lambda name, data: None),
    "no pickle in it": repacked(GOOD, lambda n, d: None if n.endswith("data.pkl") else d),
    "an empty pickle in it": repacked(GOOD, lambda n, d: b"" if n.endswith("data.pkl") else d),
    "a broken pickle in it": repacked(GOOD, lambda n, d: d[:20] if n.endswith("data.pkl") else d),
    "no tensors in it": repacked(GOOD, lambda n, d: None if "/data/" in n else d),
    "short tensors in it": repacked(GOOD, lambda n, d: d[:4] if "/data/" in n else d),
    "a pickle of noise": b"\x80\x02" + bytes(range(255)),
    "a pickle of protocol 9": b"\x80\x09K\x01.",
    "a bare pickle": pickle.dumps({"a": 1}),
    "a list": saved([torch.ones(1)]),
    "a tensor": saved(torch.ones(1)),
    "a module": saved(torch.nn.Linear(1, 1)),
    "a lambda's name": repacked(GOOD, lambda n, d: b"\x80\x02cos\nsystem\n." if "pkl" in n else d),
    "safetensors: empty": safetensors({}) [:8],
    "safetensors: a header too long": struct.pack("<Q", 1 << 40) + b'{"',
    "safetensors: half a header": safetensors(TENSOR)[:20],
    "safetensors: no data": safetensors(TENSOR),
    "safetensors: short data": safetensors(TENSOR, bytes(4)),
    "safetensors: too much data": safetensors(TENSOR, bytes(80)),
    "safetensors: no JSON": safetensors(b'{"a": {"dtype": F32}}', bytes(8)),
    "safetensors: an unknown dtype": safetensors({"a": dict(TENSOR["a"], dtype="Q9")}, bytes(8)),
    "safetensors: a wrong shape": safetensors({"a": dict(TENSOR["a"], shape=[9])}, bytes(8)),
    "safetensors: negative": safetensors({"a": dict(TENSOR["a"], shape=[-2])}, bytes(8)),
    "safetensors: a list": safetensors(b'{"a": [1, 2]}', bytes(8)),
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_none_is_a_sentence(name, suffix, tmp_path):
    path = tmp_path / f"file{suffix}"
    path.write_bytes(FILES[name])
    with pytest.raises(CheckpointError, match=r"file\.") as refusal:
        read_checkpoint(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize("form", ["archive", "pickle"])
@pytest.mark.parametrize("name", MALICIOUS)
def test_a_file_that_calls_runs_nothing(name, form, tmp_path):
    witness = tmp_path / "witness"
    options = {} if form == "archive" else dict(_use_new_zipfile_serialization=False)
    data = saved(dict(state_dict={}, more=MALICIOUS[name]), **options)
    # the same length, so that no count in the file is wrong
    short = str(witness)[-len(WITNESS) :].encode()
    path = tmp_path / "hostile.pth"
    path.write_bytes(data.replace(WITNESS.encode(), short))
    before = set(tmp_path.iterdir())
    cwd = Path.cwd()
    os.chdir(tmp_path)
    try:
        with pytest.raises(CheckpointError, match="could run code"):
            read_checkpoint(path)
    finally:
        os.chdir(cwd)
    assert set(tmp_path.iterdir()) == before


def test_the_hostile_files_are_hostile(tmp_path):
    """Else their refusal would say nothing: unpickled as they are, they leave their witness."""
    data = saved(dict(more=MALICIOUS["a call of open"]))
    path = tmp_path / "hostile.pth"
    path.write_bytes(data)
    assert "open" in "".join(str(op) for op in pickletools.genops(member(path)))
    cwd = Path.cwd()
    os.chdir(tmp_path)
    try:
        torch.load(path, weights_only=False)
    finally:
        os.chdir(cwd)
    assert (tmp_path / WITNESS).exists()


def member(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return next(archive.read(n) for n in archive.namelist() if n.endswith("data.pkl"))


def test_there_are_thirty_at_least():
    assert len(FILES) + len(MALICIOUS) >= 30


@pytest.mark.parametrize("address", ["{path}", "file://{path}"])
def test_mmengines_loader_runs_nothing_either(address, tmp_path):
    """Of itself it unpickles what weights_only refuses."""
    path, witness = tmp_path / "hostile.pth", tmp_path / "witness"
    path.write_bytes(saved(dict(state_dict={}, more=Calls(open, str(witness), "w"))))
    with pytest.raises(CheckpointError, match="could run code"):
        load_checkpoint(torch.nn.Linear(1, 1), address.format(path=path))
    assert not witness.exists()
    model = torch.nn.Linear(2, 1)
    path.write_bytes(saved(dict(state_dict=model.state_dict())))
    other = torch.nn.Linear(2, 1)
    load_checkpoint(other, address.format(path=path), map_location="cpu")
    torch.testing.assert_close(other.weight, model.weight)


def test_safetensors_are_read_with_their_metadata(tmp_path):
    data = safetensors({"__metadata__": {"format": "pt"}} | TENSOR, struct.pack("<2f", 1, 2))
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    content = read_checkpoint(path)
    assert content["state_dict"]["a"].tolist() == [1, 2] and content["meta"] == {"format": "pt"}
    unnamed = path.rename(tmp_path / "a.bin")  # known by what it holds
    assert read_checkpoint(unnamed)["meta"] == {"format": "pt"}
