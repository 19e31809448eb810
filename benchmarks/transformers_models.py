"""transformers' BigBird as the peer: run by torch, compiled by it, and traced for onnxruntime."""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

from benchmarks.base_checkpoint import BASE_CONFIG, CHECKPOINT_SOURCES, base_checkpoint
from benchmarks.cache import CACHE, cached
from benchmarks.worker import Worker
from bigbird_inference.runtime.cores import available_cores
from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime
from bigbird_inference.runtime.session import Batch

INPUTS = ("input_ids", "attention_mask", "token_type_ids")

_GRAPH = "model.onnx"
_OPSET = 17
# It has one in every model; these logits do not come from it.
_UNUSED = "bert.pooler."


class EagerModel:
    """A transformers model for documents of one length.

    Args:
        checkpoint: Folder of the checkpoint.
        length: In tokens, whole blocks.
        attention: `block_sparse` or `original_full`.
        dtype: Of weights and activations.
        device: Where it runs, as torch calls it.
    """

    def __init__(self, checkpoint: Path, length: int, attention: str, dtype: torch.dtype, device: str = "cpu") -> None:
        self._logits = _Logits(_load(checkpoint, attention, dtype)).to(device)
        self._device = device
        # A short input switches the model to full attention for good; here all inputs are of one length.
        self._attention = "original_full" if length <= BASE_CONFIG.full_attention_edge else attention

    def __call__(self, batch: Batch) -> npt.NDArray[np.float32]:
        """Return logits in fp32.

        Raises:
            ValueError: The model did not attend as it was asked to.
        """
        with torch.inference_mode():
            tensors = (torch.from_numpy(getattr(batch, name)).to(self._device) for name in INPUTS)
            logits: torch.Tensor = self._logits(*tensors)
        if self._logits.attention != self._attention:
            raise ValueError(f"attention became {self._logits.attention}, not {self._attention}")
        return logits.float().cpu().numpy()


class CompiledModel(EagerModel):
    """The same with each layer compiled by torch, for its length and in one piece, or it fails.

    All layers are one compiled graph, as PyTorch advises for layers that repeat: compiling the model as a whole takes
    minutes for each length.

    Args:
        checkpoint: Folder of the checkpoint.
        length: In tokens, whole blocks.
        dtype: Of weights and activations.
    """

    def __init__(self, checkpoint: Path, length: int, dtype: torch.dtype) -> None:
        super().__init__(checkpoint, length, "block_sparse", dtype)
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(CACHE / "torch-compile")
        for layer in self._logits.layers:
            layer.compile(fullgraph=True)


class TracedModel:
    """A traced graph with every optimisation of onnxruntime and with prepacked weights.

    Args:
        graph: What `traced_transformers` returned.
    """

    def __init__(self, graph: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = available_cores()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        self._session = onnxruntime.InferenceSession(str(graph), options, providers=providers)
        self._inputs = [entry.name for entry in self._session.get_inputs()]

    def __call__(self, batch: Batch) -> npt.NDArray[np.float32]:
        """Return logits."""
        feeds = {name: getattr(batch, name) for name in self._inputs}
        logits: npt.NDArray[np.float32] = self._session.run(None, feeds)[0]
        return logits


def traced_transformers(length: int, layers: int) -> Path:
    """Return the base checkpoint's graph for one document of this length, traced on the first call."""
    checkpoint = base_checkpoint(layers)

    def trace(folder: Path) -> None:
        with Worker(f"tracing transformers at {length} tokens", _trace, checkpoint, length, folder) as worker:
            worker.wait_until_made()

    return cached(f"traced-{layers}-layers-{length}", [*CHECKPOINT_SOURCES, Path(__file__)], trace) / _GRAPH


def _trace(checkpoint: Path, length: int, folder: Path) -> None:
    """Export with the legacy tracer; the newer one cannot do it."""
    folder.mkdir()
    model = _Logits(_load(checkpoint, "block_sparse", torch.float32))
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            tuple(torch.ones(1, length, dtype=torch.int64) for _ in INPUTS),
            folder / _GRAPH,
            dynamo=False,
            input_names=list(INPUTS),
            output_names=["logits"],
            opset_version=_OPSET,
        )


class _Logits(torch.nn.Module):
    """A transformers model as a function of three tensors, which is what the tracer needs."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    @property
    def attention(self) -> str:
        return str(self.model.get_submodule("bert").attention_type)

    @property
    def layers(self) -> list[torch.nn.Module]:
        return list(self.model.get_submodule("bert.encoder.layer").children())

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(input_ids=ids, attention_mask=mask, token_type_ids=types).logits
        return logits


def _load(checkpoint: Path, attention: str, dtype: torch.dtype) -> torch.nn.Module:
    # transformers is typed in part only.
    library: Any = transformers
    library.logging.set_verbosity_error()
    library.logging.disable_progress_bar()
    model, loading = library.BigBirdForSequenceClassification.from_pretrained(
        checkpoint, attention_type=attention, dtype=dtype, output_loading_info=True
    )
    missing = {name for name in loading["missing_keys"] if not name.startswith(_UNUSED)}
    if missing or loading["unexpected_keys"] or loading["mismatched_keys"]:
        raise ValueError(f"transformers does not load the checkpoint as it is: {missing or loading}")
    evaluated: torch.nn.Module = model.eval()
    return evaluated
