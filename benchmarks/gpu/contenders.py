"""The ways to run the model that are compared: ours, and the peers with the same weights.

Each is made for documents of one length, in a process of its own. It takes a batch in ordinary memory and returns
logits there, so a run holds everything from ids to logits, and the device has finished when it returns. Documents fill
their length, so that no peer needs a padding mask: the fastest case of each.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch._dynamo
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.benchmark import Timer

from benchmarks.gpu.plan import CPU, FIRST_RUNG, Plan
from benchmarks.random_documents import random_batch
from bigbird_inference.bundle import Bundle, read_manifest
from bigbird_inference.runtime.cuda.device import CudaDevice
from bigbird_inference.runtime.cuda.features import RUNGS, GpuFeatures
from bigbird_inference.runtime.session import (
    Batch,
    CapturingSession,
    Float32Array,
    OutOfMemory,
    Outputs,
    RunControl,
    Shape,
)
from model_export.checkpoints.recognise import read_checkpoint
from model_export.nn.attention import Dropout, heads_together
from model_export.nn.model import BigBird
from model_export.patterns.registry import get_pattern

Run = Callable[[Batch], Float32Array]
Load = Callable[[int, Sequence[int]], Run]

OURS = "ours"
TRANSFORMERS = "transformers, eager, block_sparse"
DENSE = "dense, SDPA, torch.compile"
LOWER_RUNGS = (FIRST_RUNG, *(",".join(RUNGS[:number]) for number in range(1, len(RUNGS))))
CONTENDERS = (OURS, *(f"{OURS}, {features}" for features in LOWER_RUNGS), TRANSFORMERS, DENSE)
"""Ours as it serves, ours on each lower rung, the peers."""

DTYPES: Mapping[str, torch.dtype] = {"fp16": torch.float16, "fp32": torch.float32}

_BACKENDS = (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH)
_MOST_COMPILED = 64
# Long enough for the GPU's clocks to settle.
_TIMED_SECONDS = 0.7


def contenders(plan: Plan) -> dict[str, Load]:
    """Return what makes each of those that are compared, for documents of a length, and so many of them at a time."""
    peer = (plan.checkpoint, plan.device, plan.precision)
    ours = [partial(Ours, plan.bundle, plan.device, features) for features in (plan.features, *LOWER_RUNGS)]
    return dict(zip(CONTENDERS, [*ours, partial(_transformers, *peer), partial(Dense, *peer)], strict=True))


class RungLost(Exception):
    """A rung that was to be measured is off; the ladder answers from below, and the time would be that rung's."""


class OurSessions:
    """A bundle in the sessions that serve it on a GPU, without a server around them.

    On a CPU they are the same ladder of rungs, on onnxruntime's provider for CPUs.

    Args:
        bundle: Its folder.
        device: Where it runs.
        features: The rungs above the first, as `BIGBIRD_GPU_FEATURES` has them.
    """

    def __init__(self, bundle: Path, device: str, features: str) -> None:
        checked = Bundle(bundle.resolve(), read_manifest(bundle))
        opened = CudaDevice(device, features=GpuFeatures.parse(features)).open(checked)
        assert opened.ladder is not None
        self._ladder = opened.ladder
        self._sessions = {bucket.length: opened.sessions[bucket.attention] for bucket in opened.manifest.buckets}

    def run(self, batch: Batch, control: RunControl | None = None) -> Outputs:
        """Run a batch; as `Session.run`.

        Raises:
            RungLost: Not all the rungs that were asked for are on.
        """
        outputs = self._sessions[batch.input_ids.shape[1]].run(batch, control)
        for outcome in self._ladder.outcomes:
            if outcome.state in ("unfit", "failed", "wrong"):
                raise RungLost(f"{outcome.rung} is off ({outcome.state}): {outcome.reason}")
        return outputs

    def record(self, shapes: Sequence[Shape]) -> list[int]:
        """Record CUDA graphs of shapes that have run, as the service does; return the rows of those that it keeps."""
        kept: list[Shape] = []
        for session in set(self._sessions.values()):
            own = [shape for shape in shapes if self._sessions[shape.length] is session]
            if own and isinstance(session, CapturingSession):
                session.capture(own)
                kept += session.drop_wrong_captures()
        return [shape.rows for shape in kept if shape in shapes]


class Ours:
    """Our bundle; as at the service's start, first everything runs, then it is recorded."""

    def __init__(self, bundle: Path, device: str, features: str, length: int, documents: Sequence[int]) -> None:
        self._sessions = OurSessions(bundle, device, features)
        fitting = []
        with suppress(OutOfMemory):
            for count in documents:
                self._sessions.run(random_batch(range(count), length))
                fitting.append(Shape(count, length))
        recorded = ", ".join(map(str, self._sessions.record(fitting)))
        self.remark = f"rungs: {features}; CUDA graphs of {recorded or 'no'} documents"

    def __call__(self, batch: Batch) -> Float32Array:
        return self._sessions.run(batch)["logits"]


def _transformers(checkpoint: Path, device: str, precision: str, length: int, documents: Sequence[int]) -> Run:
    """Return transformers' model as its users run it; only this process needs it, and a GPU host need not have it."""
    from benchmarks.transformers_models import EagerModel

    return EagerModel(checkpoint, length, "block_sparse", DTYPES[precision], device)


def torch_model(checkpoint: Path) -> BigBird:
    """Return our torch model in fp32, in evaluation mode."""
    return read_checkpoint(checkpoint).load(get_pattern("transformers")).model.eval()


class Reference:
    """Our torch model in fp32 without TF32, which the tests compare with transformers: what all must compute."""

    def __init__(self, checkpoint: Path, device: str) -> None:
        torch.set_float32_matmul_precision("highest")
        self._device = device
        self._model = torch_model(checkpoint).to(device)

    def logits(self, batch: Batch) -> Float32Array:
        arrays = (batch.input_ids, batch.attention_mask, batch.token_type_ids)
        with torch.inference_mode():
            logits = self._model(*(torch.from_numpy(array).to(self._device) for array in arrays))
        return np.asarray(logits.cpu())


class Dense:
    """Our torch layers with full attention through torch's SDPA, compiled for fixed shapes.

    The whole pass is recorded as a CUDA graph. On a CPU only what is around compiler and recording is run.
    """

    def __init__(self, checkpoint: Path, device: str, precision: str, length: int, documents: Sequence[int]) -> None:
        self._device = device
        self._model = torch_model(checkpoint).to(device, DTYPES[precision])
        # All layers are one code, so that they share what is compiled for a shape: several entries for each, and
        # beyond the usual eight, compiling fails.
        torch._dynamo.config.recompile_limit = _MOST_COMPILED
        for layer in self._model.encoder.layers:
            layer.compile(fullgraph=True, dynamic=False, backend="eager" if device == CPU else "inductor")
        config = self._model.config
        self._backend = fastest_backend(config.num_attention_heads, length, config.head_dim, device, precision)
        self._forwards: dict[tuple[int, ...], Callable[..., torch.Tensor]] = {}
        self.remark = f"the fastest of torch's SDPA backends here is {self._backend.name}"

    def __call__(self, batch: Batch) -> Float32Array:
        inputs = [torch.from_numpy(array) for array in (batch.input_ids, batch.token_type_ids)]
        shape = batch.input_ids.shape
        with torch.inference_mode(), sdpa_kernel([self._backend]):
            if shape not in self._forwards:
                self._forwards[shape] = self._forward if self._device == CPU else self._recorded(inputs)
            return np.asarray(self._forwards[shape](*inputs).float().cpu())

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, dropout: Dropout
    ) -> torch.Tensor:
        """Attend fully, in the form that our layers take for one of their own layouts."""
        batch, length, width = query.shape
        query, key, value = (
            states.view(batch, length, heads, width // heads).transpose(1, 2) for states in (query, key, value)
        )
        return heads_together(F.scaled_dot_product_attention(query, key, value))

    def _forward(self, input_ids: torch.Tensor, token_type_ids: torch.Tensor) -> torch.Tensor:
        """Map int64 `[batch, length]` ids and token types to logits."""
        hidden = self._model.embeddings(input_ids, token_type_ids)
        for layer in self._model.encoder.layers:
            hidden = layer(hidden, self)
        logits: torch.Tensor = self._model.head(hidden)
        return logits

    def _recorded(self, example: list[torch.Tensor]) -> Callable[..., torch.Tensor]:
        """Return the forward pass of a shape as one launch instead of hundreds."""
        inputs = [tensor.to(self._device) for tensor in example]
        # What a first run sets up must not be recorded, and must not run on the default stream.
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._forward(*inputs)
        torch.cuda.synchronize(self._device)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            logits = self._forward(*inputs)

        def replay(*batch: torch.Tensor) -> torch.Tensor:
            for place, tensor in zip(inputs, batch, strict=True):
                place.copy_(tensor)
            graph.replay()
            return logits

        return replay


def fastest_backend(heads: int, length: int, head_dim: int, device: str, precision: str) -> SDPBackend:
    """Return the fastest backend of torch's fused attention for a document, by timing each of those that run.

    torch's own order of preference is by what is stable, not by what is fast on this device.
    """
    query, key, value = torch.randn(3, 1, heads, length, head_dim, device=device, dtype=DTYPES[precision])
    attend = partial(F.scaled_dot_product_attention, query, key, value)
    seconds: dict[SDPBackend, float] = {}
    for backend in _BACKENDS:
        with sdpa_kernel([backend]), suppress(RuntimeError), warnings.catch_warnings():
            # A backend that is not there says why in a warning, then raises.
            warnings.simplefilter("ignore")
            seconds[backend] = timed(attend)
    return min(seconds, key=lambda backend: seconds[backend])


def timed(run: Callable[[], object]) -> float:
    """Return the median seconds of a run, until the device has done it."""
    timer = Timer("run()", globals={"run": run})
    return float(timer.blocked_autorange(min_run_time=_TIMED_SECONDS).median)
