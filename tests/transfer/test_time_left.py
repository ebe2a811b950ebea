"""What a queue tells about its jobs: where they are, and when it will be empty."""

import pytest

from maskssl.transfer.time_left import Underway, eta, position, tail, time_left

TRAIN = (
    "11/27 10:35:15 - mmengine - INFO - Epoch(train) [1][420/781]  lr: 1e-03  eta: {}  time: 1.2\n"
)
VAL = "11/27 10:35:39 - mmengine - INFO - Epoch(val) [1][ 40/100]    eta: 0:00:02  time: 0.1\n"
TEST = "11/27 10:35:39 - mmengine - INFO - Iter(test) [ 90/200]    eta: 0:00:11  time: 0.1\n"


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ("", None),
        ("epochs: 12, the eta: 0:00:10 of something else\n", None),
        (TRAIN.format("0:00:09"), 9),
        (TRAIN.format("1:56:26"), 6986),
        (TRAIN.format("1 day, 2:00:03"), 93603),
        (TRAIN.format("2 days, 0:01:00"), 172860),
        (TRAIN.format("0:02:00") + TRAIN.format("0:01:00"), 60),
        (TRAIN.format("0:01:00") + VAL, 60),  # the training goes on behind its validation
        (VAL, None),
        (TEST, 11),
    ],
)
def test_the_time_left_by_a_log(lines, seconds):
    assert eta(lines) == seconds


def test_the_position_by_a_log():
    assert position("") == "starting"
    assert position(TRAIN.format("0:01:00")) == "[1][420/781]"
    assert position(TRAIN.format("0:01:00") + VAL) == "[1][40/100]"
    assert position(TEST) == "[90/200]"


def test_only_the_end_of_a_log_is_read(tmp_path):
    log = tmp_path / "train.log"
    log.write_bytes(b"")
    assert tail(log) == ""
    log.write_text(TRAIN.format("0:01:00") + "x" * 20_000 + "\n" + TEST)
    assert TRAIN[:40] not in tail(log) and tail(log).endswith(TEST)


def test_the_time_left_of_a_queue():
    assert time_left([], [], [], 2) == 0
    assert time_left([60, 60, 60], [], [], 2) == 90  # two lanes share them
    assert time_left([60], [], [], 2) == 60  # one job is on one lane
    assert time_left([], [Underway(60, 20)], [], 2) == 40
    assert time_left([], [Underway(60, 200)], [], 2) == 3  # late, and nobody knows how long


def test_what_has_ended_corrects_what_is_expected():
    assert time_left([60], [], [(60, 120), (30, 60)], 1) == 120
    assert time_left([], [Underway(60, 20)], [(60, 120)], 1) == 100


def test_a_job_that_knows_is_believed_and_corrects_the_others():
    slow = Underway(600, active=300, eta=6900)  # 7200 s in place of 600
    assert time_left([], [slow], [], 2) == 6900
    assert time_left([60], [slow, Underway(60, 20)], [], 1) == 6900 + 720 + 700
    quick = Underway(600, active=300, eta=0)
    assert time_left([60], [quick], [], 1) == 30


def test_a_finished_job_weighs_with_those_under_way():
    known = Underway(100, active=50, eta=250)  # three times as long; the other one as expected
    assert time_left([100], [known], [(100, 100)], 1) == 250 + 200
