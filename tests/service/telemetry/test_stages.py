import pytest

from service.telemetry.stages import MOST_INTERVALS, Interval, StageClock


def test_each_stage_begins_where_the_one_before_it_ended() -> None:
    clock = StageClock(10.0)
    clock.until("parse", 11.0)
    clock.until("tokenise", 13.0)
    clock.until("queue", 13.5)
    assert clock.intervals == [
        Interval("parse", 10.0, 11.0),
        Interval("tokenise", 11.0, 13.0),
        Interval("queue", 13.0, 13.5),
    ]
    assert clock.seconds == {"parse": 1.0, "tokenise": 2.0, "queue": 0.5}
    assert (clock.start, clock.end) == (10.0, 13.5)


def test_a_stage_that_is_passed_again_adds_up() -> None:
    clock = StageClock(0.0)
    for stage, end in (("queue", 1.0), ("inference", 3.0), ("queue", 7.0), ("inference", 15.0)):
        clock.until(stage, end)  # type: ignore[arg-type]
    assert clock.seconds == {"queue": 5.0, "inference": 10.0}
    assert len(clock.intervals) == 4


def test_time_never_runs_backwards() -> None:
    clock = StageClock(5.0)
    clock.until("parse", 6.0)
    clock.until("tokenise", 5.5)
    clock.until("queue", 7.0)
    assert clock.seconds == {"parse": 1.0, "tokenise": 0.0, "queue": 1.0}


def test_a_fork_that_is_joined_goes_on_where_the_tape_was() -> None:
    request = StageClock(0.0)
    request.until("parse", 1.0)
    short, long = request.fork(), request.fork()
    short.until("tokenise", 2.0)
    long.until("tokenise", 2.0)
    long.until("queue", 4.0)
    request.join(long)
    request.until("respond", 5.0)
    assert request.seconds == {"parse": 1.0, "tokenise": 1.0, "queue": 2.0, "respond": 1.0}
    assert [interval.stage for interval in request.intervals] == ["parse", "tokenise", "queue", "respond"]
    assert short.seconds == {"tokenise": 1.0}


def test_a_way_of_thousands_of_stages_keeps_all_seconds_and_few_intervals() -> None:
    clock = StageClock(0.0)
    for step in range(5000):
        clock.until("inference", step + 1.0)
    other = StageClock(0.0)
    other.join(clock)
    other.until("respond", 5001.0)
    for tape in (clock, other):
        assert tape.seconds["inference"] == pytest.approx(5000.0)
        assert len(tape.intervals) == MOST_INTERVALS
