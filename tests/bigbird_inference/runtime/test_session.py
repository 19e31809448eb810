"""How a run is ended from outside, and what a failure of the runtime means."""

import pytest

from bigbird_inference.runtime.session import DeviceLost, OutOfMemory, RunControl, RunTerminated, meaning_of


def test_terminating_ends_the_run_that_is_attached() -> None:
    ended: list[str] = []
    control = RunControl()
    control.attach(lambda: ended.append("run"))
    assert not control.terminated
    assert ended == []
    control.terminate()
    assert control.terminated
    assert ended == ["run"]


def test_a_run_that_begins_after_the_end_was_asked_for_is_ended_at_once() -> None:
    ended: list[str] = []
    control = RunControl()
    control.terminate()
    assert control.terminated
    control.attach(lambda: ended.append("run"))
    assert ended == ["run"]


def test_a_run_is_ended_only_once() -> None:
    ended: list[str] = []
    control = RunControl()
    control.attach(lambda: ended.append("run"))
    control.terminate()
    control.terminate()
    assert ended == ["run"]


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        pytest.param(MemoryError("no room"), OutOfMemory, id="Python has no memory"),
        pytest.param(RuntimeError("Exiting due to terminate flag being set to true."), RunTerminated, id="ended"),
        pytest.param(
            RuntimeError("CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; hostname=host"),
            DeviceLost,
            id="the GPU read where nothing is",
        ),
        pytest.param(RuntimeError("CUDA failure 710: device-side assert triggered"), DeviceLost, id="a kernel gave up"),
        pytest.param(
            RuntimeError("CUDA failure 214: uncorrectable ECC error encountered"), DeviceLost, id="the memory is broken"
        ),
        pytest.param(RuntimeError("CUDA failure 2: out of memory ; GPU=0"), OutOfMemory, id="the GPU is full"),
    ],
)
def test_a_failure_means_what_its_text_says(error: Exception, meaning: type[Exception]) -> None:
    found = meaning_of(error)
    assert type(found) is meaning
    assert str(found) == str(error)


def test_any_other_failure_speaks_for_itself() -> None:
    assert meaning_of(RuntimeError("Gather: indices element out of data bounds")) is None
