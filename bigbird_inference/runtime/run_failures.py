"""What ended a run. onnxruntime raises one of several unrelated classes for everything; only the text tells."""

from bigbird_inference.runtime.session import DeviceLost, OutOfMemory, RunTerminated

_TERMINATED = "terminate flag being set to true"
_NO_MEMORY = (
    "Failed to allocate memory",  # the arena, when its device gave it nothing
    "is smaller than requested bytes",  # the arena, when it has a limit
    "bad_alloc",  # the CPU without an arena
    "out of memory",  # the CUDA runtime and its libraries
    "ALLOC_FAILED",
)
# Errors after which the CUDA runtime refuses every further call of the process ("sticky" ones).
_LOST = (
    "an illegal memory access was encountered",
    "misaligned address",
    "an illegal instruction was encountered",
    "unspecified launch failure",
    "device-side assert triggered",
    "uncorrectable ECC error encountered",
    "uncorrectable NVLink error",
    "hardware stack error",
    "the launch timed out and was terminated",
)


def meaning_of(error: Exception) -> Exception | None:
    """Return what a session must raise in place of a failure, or None if the failure says it best itself."""
    text = str(error)
    if isinstance(error, MemoryError):
        return OutOfMemory(text)
    if _TERMINATED in text:
        return RunTerminated(text)
    if any(words in text for words in _LOST):
        return DeviceLost(text)
    if any(words in text for words in _NO_MEMORY):
        return OutOfMemory(text)
    return None
