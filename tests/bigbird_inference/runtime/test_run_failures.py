import pytest

from bigbird_inference.runtime.session import DeviceLost, OutOfMemory, RunTerminated, meaning_of


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
