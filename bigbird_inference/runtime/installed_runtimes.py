"""Which distributions of onnxruntime are installed; more than one is none that works.

`onnxruntime` and `onnxruntime-gpu` unpack into the same folder, so pip installs the second over the first without a
word. What is imported then is a mixture: the GPU may be missing although it was asked for, and removing one of the two
breaks the other.
"""

from importlib import metadata

_DISTRIBUTIONS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-migraphx",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
    "onnxruntime-rocm",
    "onnxruntime-training",
)


def conflicting_runtimes() -> str | None:
    """Return what to tell the person who starts the service, or None if nothing is in another's way."""
    installed = [name for name in _DISTRIBUTIONS if _is_installed(name)]
    if len(installed) < 2:
        return None
    names = " and ".join(installed)
    return (
        f"{names} are installed together and overwrite each other: run `pip uninstall --yes {' '.join(installed)}`, "
        "then install exactly one, with the extra `cpu` or the extra `gpu`"
    )


def _is_installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
