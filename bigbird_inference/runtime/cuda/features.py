"""The rungs above onnxruntime's CUDA provider, by name: which are asked for, and what became of each.

    first rung        onnxruntime's CUDA provider with nothing of ours: arrays in, arrays out, the composed graph
    fused_attention   the graph whose attention is one operator
    iobinding         inputs and outputs at fixed places on the GPU
    cuda_graphs       the work of frequent shapes, recorded once and launched at once

Each is one module of its name beside this one, and is there as long as that file is. `bigbird_inference.runtime.cuda`
imports them by name, and only those that are asked for.
"""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from bigbird_inference.manifest import Manifest

RungName = Literal["fused_attention", "iobinding", "cuda_graphs"]
RUNGS: tuple[RungName, ...] = get_args(RungName)

State = Literal["on", "waiting", "not_asked", "unfit", "failed", "wrong", "no_gain"]
STATES: tuple[State, ...] = get_args(State)
"""`waiting` is for warm-up's end, where shapes are recorded; `unfit` the bundle has nothing for it, or its file is
missing; `failed` it raised, crashed or hung; `wrong` other numbers than the first rung; `no_gain` right, and not
faster."""


@dataclass(frozen=True, slots=True)
class GpuFeatures:
    """What `BIGBIRD_GPU_FEATURES` asks for.

    Attributes:
        rungs: What is tried.
        pinned: Whether what gives the right numbers is kept even if it gains nothing.
    """

    rungs: tuple[RungName, ...] = RUNGS
    pinned: bool = False

    @classmethod
    def parse(cls, text: str) -> "GpuFeatures":
        """Read `auto`, `none`, or names with commas between them.

        Raises:
            ValueError: A name is none of the rungs'.
        """
        if text == "auto":
            return cls()
        names = set() if text == "none" else {name.strip() for name in text.split(",")}
        if strangers := sorted(names - set(RUNGS)):
            raise ValueError(f"there is no {strangers[0]!r}; write auto, none, or some of {','.join(RUNGS)}")
        return cls(tuple(rung for rung in RUNGS if rung in names), pinned=True)

    def __str__(self) -> str:
        return ",".join(self.rungs) or "none" if self.pinned else "auto"


def unfit(rung: RungName, manifest: Manifest) -> str | None:
    """Return why a bundle cannot have a rung, and what to do, or None if it can."""
    if rung == "fused_attention":
        if manifest.kernels == {"composed", "fused"}:
            return None
        return f"the bundle has {' '.join(manifest.kernels)} graphs only; export the checkpoint with --precision fp16"
    if any(tensor.name == "positions" for tensor in manifest.inputs):
        return "its graphs take positions, of which every batch has another number"
    return None


@dataclass(frozen=True, slots=True)
class RungOutcome:
    """What became of a rung.

    Attributes:
        rung: Its name.
        state: Whether it is on, and if not, why in one word.
        reason: The same in a sentence; empty where it is on.
        difference: The largest from the first rung's answers, or None if there is none to compare.
        seconds: What its probes took.
        seconds_below: What they took on the rung below.
    """

    rung: RungName
    state: State
    reason: str = ""
    difference: float | None = None
    seconds: float | None = None
    seconds_below: float | None = None


def said_by(error: Exception | str) -> str:
    """Return an error in one line, without the name of the machine, which CUDA's errors hold."""
    text = error if isinstance(error, str) else str(error) or type(error).__name__
    return " ".join(re.sub(r"hostname=\S+\s*;?", "", text).split())[:500]
