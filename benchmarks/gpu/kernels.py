"""Which attention kernels onnxruntime chose: asked of onnxruntime itself, in a process that prints them.

    python -m benchmarks.gpu.kernels BUNDLE DEVICE LENGTH...    run each bucket once

onnxruntime prints a line for each attention operator and run when the variable below is set, on standard output and
past Python.
"""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.gpu.batches import filled_batch
from benchmarks.gpu.sessions import open_buckets

PRINTS_KERNELS = "ORT_ENABLE_ATTENTION_KERNEL_DEBUG_INFO"

# What onnxruntime calls its fused kernels; the unfused one is MATH.
FUSED = frozenset(
    {
        "CUDNN_FLASH_ATTENTION",
        "EFFICIENT_ATTENTION",
        "FLASH_ATTENTION",
        "LEAN_ATTENTION",
        "TRT_CROSS_ATTENTION",
        "TRT_FLASH_ATTENTION",
        "TRT_FUSED_ATTENTION",
    }
)

Kernels = Mapping[int, Mapping[str, int]]
"""For each padded length, how many operators ran in each kernel."""

_BUCKET = re.compile(r"^bucket (\d+)$")
_KERNEL = re.compile(r"Operator=\S+.*\bSdpaKernel=(\w+)")


def used_kernels(bundle: Path, device: str, lengths: Sequence[int], answer_seconds: float) -> Kernels:
    """Return the kernels of every bucket.

    Raises:
        subprocess.CalledProcessError: A bucket could not be run.
    """
    command = [sys.executable, "-m", "benchmarks.gpu.kernels", str(bundle), device, *map(str, lengths)]
    process = subprocess.run(
        command, env={**os.environ, PRINTS_KERNELS: "1"}, stdout=subprocess.PIPE, timeout=answer_seconds, check=True
    )
    return parse_kernels(process.stdout.decode(errors="replace").splitlines())


def parse_kernels(lines: Iterable[str]) -> dict[int, Counter[str]]:
    """Read what the process printed."""
    kernels: dict[int, Counter[str]] = {}
    length = 0
    for line in lines:
        if bucket := _BUCKET.match(line):
            length = int(bucket[1])
            kernels[length] = Counter()
        elif length and (kernel := _KERNEL.search(line)):
            kernels[length][kernel[1]] += 1
    return kernels


def all_fused(kernels: Kernels) -> bool:
    """Return whether every bucket's attention ran, and all of it in fused kernels."""
    return bool(kernels) and all(names and set(names) <= FUSED for names in kernels.values())


def main(bundle: Path, device: str, lengths: Sequence[int]) -> None:
    """Run each bucket once."""
    sessions = open_buckets(bundle, device)
    for length in lengths:
        print(f"bucket {length}", flush=True)
        sessions[length].run(filled_batch(1, length))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], [int(length) for length in sys.argv[3:]])
