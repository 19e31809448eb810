"""Our torch layers as peers: in fp32 as the reference, and with other attentions in half precision."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

import torch

from benchmarks.contenders import FloatArray
from benchmarks.gpu.attention import PeerModel, bigbird_attention, dense_backend, fastest_backend
from bigbird_inference.runtime.session import Batch
from model_export.checkpoints.recognise import read_checkpoint
from model_export.nn.model import BigBird
from model_export.patterns.registry import get_pattern

PLAIN = "plain"
GRAPH = "CUDA graph"
DTYPES: Mapping[str, torch.dtype] = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}

_UNRECORDED_RUNS = 3


def torch_model(checkpoint: Path) -> BigBird:
    """Return our torch model in fp32, in evaluation mode."""
    model = read_checkpoint(checkpoint).load(get_pattern("transformers")).model
    return model.eval()


class Reference:
    """Our torch model in fp32 without TF32, which the tests compare with transformers: what all must compute.

    Args:
        checkpoint: Folder of the checkpoint.
        device: Where it runs.
    """

    def __init__(self, checkpoint: Path, device: str) -> None:
        torch.set_float32_matmul_precision("highest")
        self._device = device
        self._model = torch_model(checkpoint).to(device)

    def logits(self, batch: Batch) -> FloatArray:
        """Return the logits of the documents, each run alone."""
        tensors = [torch.from_numpy(array) for array in (batch.input_ids, batch.attention_mask, batch.token_type_ids)]
        with torch.inference_mode():
            rows = [
                self._model(*(tensor[row : row + 1].to(self._device) for tensor in tensors))
                for row in range(len(batch.input_ids))
            ]
        logits: FloatArray = torch.cat(rows).cpu().numpy()
        return logits


class Peer:
    """Our torch layers with another attention.

    Args:
        checkpoint: Folder of the checkpoint.
        device: Where it runs.
        precision: Of weights and activations.
        attention: Every token to every other, or along BigBird's pattern.
        compiled: Whether torch compiles the layers; then they run as a CUDA graph too.
    """

    def __init__(
        self, checkpoint: Path, device: str, precision: str, attention: Literal["dense", "bigbird"], *, compiled: bool
    ) -> None:
        model = torch_model(checkpoint)
        self._config = model.config
        self._copies = model.encoder.random_blocks[0].first_block_copies
        self._device = device
        self._model = PeerModel(model.to(device, DTYPES[precision]))
        self.variants: tuple[str, ...] = (PLAIN, GRAPH) if compiled and device != "cpu" else (PLAIN,)
        if compiled:
            # On a CPU only what is around the compiler is rehearsed.
            self._model.compile_layers("inductor" if device != "cpu" else "eager")
        self._backend = None
        self.remark = ""
        if attention == "dense":
            heads, head_dim = self._config.num_attention_heads, self._config.head_dim
            self._backend = fastest_backend(heads, head_dim, device, DTYPES[precision])
            self.remark = f"the fastest of torch's SDPA backends here: {self._backend.name}"
        self._graphs: dict[tuple[int, ...], _GraphedForward] = {}

    def prepare(self, length: int, documents: Sequence[int]) -> None:
        """Forget what was compiled for other lengths, which would count against the most that is kept."""
        self._graphs.clear()
        torch.compiler.reset()
        if self._backend is None:
            self._model.attend_by(bigbird_attention(length, self._config.block_size, self._copies, self._device))

    def run(self, variant: str, batch: Batch) -> FloatArray:
        """Return logits in fp32."""
        ids, types = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.token_type_ids)
        with torch.inference_mode(), nullcontext() if self._backend is None else dense_backend(self._backend):
            if variant == GRAPH:
                logits = self._recorded(ids, types)(ids, types)
            else:
                logits = self._model(ids.to(self._device), types.to(self._device))
        found: FloatArray = logits.float().cpu().numpy()
        return found

    def _recorded(self, ids: torch.Tensor, types: torch.Tensor) -> "_GraphedForward":
        shape = tuple(ids.shape)
        if shape not in self._graphs:
            self._graphs[shape] = _GraphedForward(self._model, ids.to(self._device), types.to(self._device))
        return self._graphs[shape]


class _GraphedForward:
    """A forward pass recorded as a CUDA graph: one launch instead of hundreds.

    Args:
        model: What to record.
        ids: An example on the device; its memory becomes the graph's input.
        types: Likewise.
    """

    def __init__(self, model: PeerModel, ids: torch.Tensor, types: torch.Tensor) -> None:
        self._ids, self._types = ids, types
        # What a first run sets up must not be recorded, and must not run on the default stream.
        default = torch.cuda.current_stream(ids.device)
        stream = torch.cuda.Stream(ids.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(default)
        with torch.cuda.stream(stream):
            for _ in range(_UNRECORDED_RUNS):
                model(ids, types)
        default.wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._logits: torch.Tensor = model(ids, types)

    def __call__(self, ids: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        self._ids.copy_(ids)
        self._types.copy_(types)
        self._graph.replay()
        return self._logits
