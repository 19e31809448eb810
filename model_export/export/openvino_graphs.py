"""The graphs of an int8 bundle that OpenVINO runs: quantised by NNCF, in OpenVINO's format, beside onnxruntime's."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from bigbird_inference.manifest import Graph, HashedFile
from bigbird_inference.runtime.session import Batch
from model_export.export.buckets import GraphPlan
from model_export.export.graph_files import described_graphs, graph_name
from model_export.export.nncf_quantise import calibration_documents, quantise
from model_export.export.signature import Signature
from model_export.export.tokenizer import SpecialIds


class OpenVinoGraphs:
    """Makes them one by one.

    Args:
        folder: The bundle's, while it is made.
        signature: What the graphs take.
        text: Token ids, `[tokens]`, of texts like those that will be asked about; none to quantise weights alone.
        special_ids: What stands around a text.
        pairs: Whether the model knows a second token type.
    """

    def __init__(
        self,
        folder: Path,
        signature: Signature,
        text: npt.NDArray[np.int64],
        special_ids: SpecialIds,
        *,
        pairs: bool,
    ) -> None:
        self.graphs: list[Graph] = []
        self.weights: list[HashedFile] = []
        self.calibrated_on = 0
        self._folder = folder
        self._signature = signature
        self._text = text
        self._special_ids = special_ids
        self._pairs = pairs

    @property
    def calibrates(self) -> bool:
        """Whether documents give activations their ranges; then each kind of attention has a graph of its own.

        In a graph of both, one of the two has no numbers to take ranges from, whatever the document: logits were off by
        0.8 standard deviations, and by 0.03 with two graphs.
        """
        return len(self._text) > 0

    def add(self, graph: ir.Model, plans: Sequence[GraphPlan]) -> None:
        """Quantise a graph that was traced in fp32, its weights inside; it is left as it is.

        Raises:
            ExportError: NNCF or OpenVINO cannot do it.
        """
        documents = [document for plan in plans for document in self._documents(plan)]
        self.calibrated_on += len(documents)
        made = self._folder / f"{graph_name(plans, 'openvino')}.xml"
        with tempfile.TemporaryDirectory() as folder:
            unquantised = Path(folder) / f"{graph_name(plans)}.onnx"
            ir.save(graph, unquantised, external_data="weights.bin")
            quantise(unquantised, made, [tensor.name for tensor in self._signature.inputs], documents)
        self.weights.append(HashedFile.of(made.with_suffix(".bin")))
        self.graphs += described_graphs(made, plans, "composed")

    def _documents(self, plan: GraphPlan) -> list[Batch]:
        return calibration_documents(
            plan, self._text, self._special_ids, positions=self._signature.takes_positions, pairs=self._pairs
        )

    def remove(self) -> None:
        """Remove them: nothing runs them, and the manifest does not name them."""
        for file in {*(graph.file for graph in self.graphs), *(weights.file for weights in self.weights)}:
            (self._folder / file).unlink()
