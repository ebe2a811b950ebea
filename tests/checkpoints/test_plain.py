"""What we write is tensors and plain values, which torch reads with no list of classes."""

import enum
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer, MessageHub, MMLogger, message_hub

from maskssl.checkpoints.errors import CheckpointError
from maskssl.checkpoints.plain import plain_content
from maskssl.checkpoints.reading import read_checkpoint
from maskssl.checkpoints.writing import write_checkpoint


class Colour(enum.IntEnum):
    """A number with a name."""

    RED = 3


class Word(str, enum.Enum):  # as older code has it
    """A text with a name."""

    YES = "yes"


def hub(name: str) -> MessageHub:
    found = MessageHub(name)
    for value in (1.0, 4.0, 7.0):
        found.update_scalar("train/loss", value, count=2)
    found.update_info("best_score", np.float32(0.5))
    return found


def test_values_become_pythons_own():
    content = dict(
        scalar=np.int64(3), array=np.array([[1.5, 2.0]]), colour=Colour.RED, word=Word.YES,
        meta=ConfigDict(classes=("a", "b"), lr=0.5), size=torch.Size([2]), some={1, 2},
        frozen=frozenset([3]), deep=[dict(x=(np.bool_(True), None))], linear=torch.nn.Linear(2, 1),
    )  # fmt: skip
    left_out: dict[str, str] = {}
    found = plain_content(content, left_out)
    assert not left_out
    module = found.pop("linear")
    assert found == dict(
        scalar=3, array=[[1.5, 2.0]], colour=3, word="yes",
        meta=dict(classes=("a", "b"), lr=0.5), size=(2,), some={1, 2}, frozen={3},
        deep=[dict(x=(True, None))],
    )  # fmt: skip
    kinds = {name: type(value) for name, value in found.items()}
    assert (kinds["scalar"], kinds["colour"], kinds["word"], kinds["meta"]) == (int, int, str, dict)
    assert type(found["deep"][0]["x"][0]) is bool and module.keys() == {"weight", "bias"}


def test_tensors_and_versions_of_a_state_dict_stay(tmp_path):
    state = torch.nn.BatchNorm1d(2).state_dict()
    found = plain_content(dict(state_dict=state), {})["state_dict"]
    assert type(found) is OrderedDict and found._metadata == state._metadata
    assert found["weight"] is state["weight"]
    write_checkpoint(dict(state_dict=state), tmp_path / "a.pth")
    assert torch.load(tmp_path / "a.pth", weights_only=True)["state_dict"]._metadata[""]


def test_what_is_not_plain_is_left_out_and_told(tmp_path, caplog):
    content = dict(meta={"epoch": 1, "where": Path("x"), (1, 2): 3}, more=[lambda: 0])
    logger = MMLogger.get_current_instance()  # of a runner before, if there was one
    logger.addHandler(caplog.handler)
    write_checkpoint(content, tmp_path / "a.pth")
    logger.removeHandler(caplog.handler)
    assert "saved without meta/where (PosixPath), " in caplog.text
    found = torch.load(tmp_path / "a.pth", weights_only=True)
    assert found == dict(meta=dict(epoch=1, where=None), more=[None])
    left_out: dict[str, str] = {}
    plain_content(content, left_out)
    assert left_out == {
        "meta/where": "PosixPath", "meta/(1, 2)": "keys of tuple", "more/0": "function"
    }  # fmt: skip


def test_a_message_hub_comes_back_with_its_logs(tmp_path):
    before = hub("written").state_dict()
    write_checkpoint(dict(message_hub=before), tmp_path / "new.pth")
    torch.save(dict(message_hub=before), tmp_path / "old.pth")
    torch.load(tmp_path / "new.pth", weights_only=True)
    for file in ("new.pth", "old.pth"):  # a former release's too
        again = MessageHub(f"read {file}")
        again.load_state_dict(read_checkpoint(tmp_path / file)["message_hub"])
        assert again.log_scalars.keys() == {"train/loss"} and again.get_info("best_score") == 0.5
        log = again.get_scalar("train/loss")
        assert [list(part) for part in log.data] == [[1, 4, 7], [2, 2, 2]]
        assert (log.mean(2), log.current(), log.max_length) == (2.75, 7, 1_000_000)
        assert again.state_dict()["log_scalars"].keys() == {"train/loss"}
        again.update_scalar("train/loss", 9.0)
        assert again.get_scalar("train/loss").mean(1) == 9
        # and a save of what was resumed holds all of it again
        write_checkpoint(dict(message_hub=again.state_dict()), tmp_path / "next.pth")
        logs = read_checkpoint(tmp_path / "next.pth")["message_hub"]["log_scalars"]
        assert list(logs["train/loss"].data[0]) == [1, 4, 7, 9]
    assert isinstance(before["log_scalars"]["train/loss"], HistoryBuffer)  # as it was


def test_what_was_written_plain_may_be_written_again(tmp_path):
    write_checkpoint(dict(message_hub=hub("twice").state_dict()), tmp_path / "a.pth")
    write_checkpoint(torch.load(tmp_path / "a.pth", weights_only=True), tmp_path / "b.pth")
    logs = read_checkpoint(tmp_path / "b.pth")["message_hub"]["log_scalars"]
    assert list(logs["train/loss"].data[0]) == [1, 4, 7]


def test_mmengine_without_us_takes_the_rest_and_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(message_hub, "print_log", lambda text, *_, **__: pytest.fail(text))
    write_checkpoint(dict(message_hub=hub("ours").state_dict()), tmp_path / "a.pth")
    stock = MessageHub("stock")
    stock.load_state_dict(torch.load(tmp_path / "a.pth")["message_hub"])
    assert stock.get_info("best_score") == 0.5 and not stock.log_scalars


def test_broken_logs_are_a_sentence(tmp_path):
    for log in (3, dict(log=torch.ones(2), count=torch.ones(1), max_length=9), dict(log="x")):
        content = dict(message_hub=dict(histories=dict(loss=log), resumed_keys={}))
        torch.save(content, tmp_path / "a.pth")
        with pytest.raises(CheckpointError, match=r"a\.pth .* is no complete checkpoint"):
            read_checkpoint(tmp_path / "a.pth")
