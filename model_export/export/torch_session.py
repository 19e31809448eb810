"""A torch model behind the same narrow door as a graph: what graphs are compared with, or what stands in for one."""

import torch

from bigbird_inference.runtime.session import Batch, Outputs, RunControl
from model_export.export.signature import Signature
from model_export.nn.model import BigBird
from model_export.nn.precision import WideProducts


class TorchSession:
    """Runs a model.

    Args:
        model: In evaluation mode.
        signature: Its inputs and outputs.
    """

    def __init__(self, model: BigBird, signature: Signature) -> None:
        self._model = model
        self._signature = signature

    def run(self, batch: Batch, control: RunControl | None = None) -> Outputs:
        """Return every output by name, in the model's type, batch axis first; a run cannot be ended."""
        feeds = [torch.from_numpy(getattr(batch, tensor.name)) for tensor in self._signature.inputs]
        with torch.inference_mode(), WideProducts():
            results = self._model(*feeds)
        results = results if isinstance(results, tuple) else (results,)
        return {tensor.name: result.numpy() for tensor, result in zip(self._signature.outputs, results, strict=True)}
