"""transformers' BigBird in OpenVINO: the traced graph as it is, and quantised by NNCF.

optimum-intel does the same: `--weight-format int8` quantises the weights as NNCF does it unless told otherwise, and
`--quant-mode int8` calibrates.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.base_checkpoint import CHECKPOINT_SOURCES
from benchmarks.cache import cached
from benchmarks.limited_worker import LimitedWorker
from benchmarks.random_documents import random_batch
from benchmarks.transformers_models import INPUTS, traced_transformers
from bigbird_inference.manifest import CpuPrecision
from bigbird_inference.runtime import quiet_openvino
from bigbird_inference.runtime.cores import available_cores
from bigbird_inference.runtime.openvino_session import OpenVinoSession, session_properties
from bigbird_inference.runtime.session import Batch
from model_export.export.nncf_quantise import quiet_nncf

QUANTISING_SECONDS = 600.0

_GRAPH = "model.xml"
# None of those that are timed.
_CALIBRATION = range(100, 108)
_SOURCES = (Path(__file__), Path(__file__).with_name("transformers_models.py"))


class OpenVinoModel:
    """A graph for one length.

    Args:
        graph: An `.onnx` file, or an `.xml` of OpenVINO's with its weights beside it.
        precision: What float32 is computed in.
    """

    def __init__(self, graph: Path, precision: CpuPrecision) -> None:
        model = quiet_openvino.imported().Core().read_model(graph)
        self._session = OpenVinoSession(model, session_properties(precision, available_cores()))

    def __call__(self, batch: Batch) -> npt.NDArray[np.float32]:
        """Return logits."""
        return self._session.run(batch)["logits"]


def quantised_transformers(length: int, layers: int, *, calibrated: bool) -> Path:
    """Return the traced graph for one document of this length with integers in its products, made on the first call.

    Args:
        length: In tokens.
        layers: Of the model.
        calibrated: Whether activations have fixed ranges, those of a few documents; otherwise only weights are
            quantised, and OpenVINO quantises activations as they come.

    Raises:
        WorkerFailed: NNCF cannot do it, or not in time.
    """
    traced = traced_transformers(length, layers)
    name = f"quantised-{'calibrated' if calibrated else 'weights'}-{layers}-layers-{length}"

    def quantise(folder: Path) -> None:
        with LimitedWorker(f"making {name}", QUANTISING_SECONDS, _quantise, traced, folder, length, calibrated) as made:
            made.wait_until_made()

    return cached(name, [*CHECKPOINT_SOURCES, *_SOURCES], quantise) / _GRAPH


def _quantise(graph: Path, folder: Path, length: int, calibrated: bool) -> None:
    openvino = quiet_openvino.imported()
    with quiet_nncf() as nncf:
        model = openvino.Core().read_model(graph)
        if calibrated:
            documents = [random_batch([number], length).feeds(INPUTS) for number in _CALIBRATION]
            kind = nncf.ModelType.TRANSFORMER
            model = nncf.quantize(model, nncf.Dataset(documents), subset_size=len(documents), model_type=kind)
        else:
            model = nncf.compress_weights(model)
    folder.mkdir()
    openvino.save_model(model, folder / _GRAPH, compress_to_fp16=False)
