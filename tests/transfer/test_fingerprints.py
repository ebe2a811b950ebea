"""What a folder's record keeps of the time that its jobs took."""

from types import SimpleNamespace

import pytest

from maskssl.errors import MaskSSLError
from maskssl.transfer import experiment as experiments
from maskssl.transfer.fingerprints import SPENT, open_record
from maskssl.transfer.job_queue import Job


def test_a_part_s_seconds_outlive_the_call_that_spent_them(tmp_path):
    record = open_record(tmp_path)
    record.spend("a finetune 0", 50)
    record.spend("a finetune-frozen 0", 7)
    record = open_record(tmp_path)
    record.spend("a finetune 0", 4)  # it was whole, and is looked at again
    record.spend("a finetune 1", 60)
    record.finished("choose a finetune", {}, 3, parts="a finetune ")
    assert record.seconds == {"choose a finetune": 3 + 50 + 4 + 60}
    again = open_record(tmp_path)
    assert again.seconds == record.seconds
    assert again.spent == {"a finetune-frozen 0": 7}
    again.finished("choose a finetune", {}, 1, parts="a finetune ")
    assert again.seconds == {"choose a finetune": 1}


def test_other_processes_write_nothing(tmp_path):
    record = open_record(tmp_path, writes=False)
    record.spend("a finetune 0", 50)
    record.finished("choose a finetune", {}, 3, parts="a finetune ")
    assert record.seconds == {"choose a finetune": 53}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["{", "[1]", '{"a": "long"}'])
def test_a_damaged_file_costs_seconds_alone_and_says_so(tmp_path, content):
    (tmp_path / SPENT).write_text(content)
    with pytest.raises(MaskSSLError, match="spent.json cannot be read .* no result is"):
        open_record(tmp_path)


def test_a_queue_that_is_broken_off_has_told_what_it_spent(tmp_path, monkeypatch):
    def broken_off(jobs, lanes, line, finished, failed):
        finished("a finetune 0", 40.0)
        raise KeyboardInterrupt

    monkeypatch.setattr(experiments, "run_jobs", broken_off)
    record = open_record(tmp_path)
    work = SimpleNamespace(line=None, plan=SimpleNamespace(jobs_per_gpu=1))
    experiment = SimpleNamespace(record=record, work=work)
    jobs = [Job(f"a finetune {seed}", "a:b", (), tmp_path / "log") for seed in (0, 1)]
    stage = "finetune"
    with pytest.raises(KeyboardInterrupt):
        experiments._run(experiment, {("a", stage): jobs})
    assert open_record(tmp_path).spent == {"a finetune 0": 40.0}
