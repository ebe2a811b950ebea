"""Files are read without running code, whichever numpy and mmengine wrote them."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub

from maskssl.checkpoints.errors import CheckpointError
from maskssl.checkpoints.mmengine_loader import load_safely
from maskssl.checkpoints.reading import checkpoint_at, read_file


def renamed(path: Path, old: bytes, new: bytes) -> Path:
    """The same archive of torch.save with another module named in its pickle."""
    out = path.with_name(f"renamed-{path.name}")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("data.pkl"):
                assert data.count(old)
                data = data.replace(old, new)
            target.writestr(name, data)
    return out


def test_what_a_runner_saves_is_read(tmp_path):
    hub = MessageHub("read")
    hub.update_scalar("loss", 2.5)
    hub.update_info("step", np.int64(3))
    buffer = HistoryBuffer([1.0, 2.0, 4.0], [1, 1, 1])
    content = dict(hub=hub.state_dict(), buffer=buffer, state=np.random.get_state())
    torch.save(content, tmp_path / "a.pth")
    read = read_file(tmp_path / "a.pth")
    assert read["buffer"].mean() == pytest.approx(7 / 3)
    assert read["hub"]["log_scalars"]["loss"].current() == 2.5
    assert read["hub"]["runtime_info"]["step"] == 3
    assert np.array_equal(read["state"][1], content["state"][1])


@pytest.mark.parametrize("home", ["numpy.core", "numpy._core"])
def test_arrays_of_either_numpy_are_read(home, tmp_path):
    torch.save(dict(array=np.arange(4.0), scalar=np.float32(1.5)), tmp_path / "a.pth")
    now = np.zeros(0).__reduce__()[0].__module__.removesuffix(".multiarray")
    path = tmp_path / "a.pth"
    if home != now:
        path = renamed(path, f"c{now}.".encode(), f"c{home}.".encode())
    read = read_file(path)
    assert read["array"].tolist() == [0, 1, 2, 3] and read["scalar"] == 1.5


class Runs:
    """What a hostile file would hold: a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __call__(self):
        """Pickled as what is called, it only has to be callable."""

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("function", ["exec", "getattr"])
def test_a_call_is_refused(function, tmp_path):
    """Neither a function that is not listed, nor one that the listed getattr finds."""
    target = tmp_path / "touched"
    code = f"open({str(target)!r}, 'w')"
    hostile = Runs(exec, code)
    if function == "getattr":
        hostile = Runs(Runs(getattr, np.zeros(1), "tofile"), str(target))
    torch.save(dict(state_dict={}, more=hostile), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="could run code"):
        read_file(tmp_path / "a.pth")
    assert not target.exists()


@pytest.mark.parametrize("ending", ["", "?download=1/2", "/"])
def test_a_url_is_fetched_once_under_its_own_name(ending, tmp_path, monkeypatch):
    fetched = []

    def fetch(url, path, digits):
        fetched.append((url, digits))
        Path(path).write_bytes(b"content")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    url = f"https://example.org/weights/vit-0123abcd.pth{ending}"
    for _ in range(2):
        path = Path(checkpoint_at(url))
        assert path == tmp_path / "hub" / "checkpoints" / "vit-0123abcd.pth"
        assert path.read_bytes() == b"content"
    assert fetched == [(url, "0123abcd")]


def test_a_url_that_nobody_serves_is_told(tmp_path, monkeypatch):
    def fetch(url, path, digits):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    with pytest.raises(CheckpointError, match=r"/a\.pth cannot be downloaded \(no route to host\)"):
        checkpoint_at("https://example.org/a.pth")


def test_of_two_files_of_weights_the_one_without_pickle_is_read(tmp_path):
    (tmp_path / "pytorch_model.bin").touch()
    assert checkpoint_at(str(tmp_path)) == str(tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").touch()
    assert checkpoint_at(str(tmp_path)) == str(tmp_path / "model.safetensors")


@pytest.mark.parametrize("device", ["meta", torch.device("meta")])
def test_mmengines_loader_puts_tensors_where_they_are_asked_for(device, tmp_path):
    content = dict(state_dict={"a": torch.ones(2)}, optimizer=[dict(b=torch.ones(1))], epoch=3)
    torch.save(content, tmp_path / "a.pth")
    found = load_safely(str(tmp_path / "a.pth"), device)
    assert found["state_dict"]["a"].is_meta and found["optimizer"][0]["b"].is_meta
    assert found["epoch"] == 3
    for other in (None, lambda storage, place: storage):
        assert load_safely(str(tmp_path / "a.pth"), other)["state_dict"]["a"].device.type == "cpu"


def test_addresses_that_end_alike_are_different_files(tmp_path, monkeypatch):
    """As all of Hugging Face's do; a letter behind a dash is no checksum."""
    fetched = []

    def fetch(url, path, digits):
        fetched.append(digits)
        Path(path).write_text(url)

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    urls = [f"https://hub.org/{who}/resolve/main/model.safetensors" for who in "ab"]
    urls += [f"https://drive.org/uc?id={number}" for number in range(2)]
    urls += ["https://hub.org/vit-b.pth"]
    for _ in range(2):
        paths = [Path(checkpoint_at(url)) for url in urls]
        assert [path.read_text() for path in paths] == urls
    assert paths[0].name == "model.safetensors"
    assert fetched == [None] * 5
