"""int8 graphs for OpenVINO, made by NNCF after training.

With documents, weights and activations get fixed ranges: those that the documents showed. Such a graph is the fastest,
and fits texts like them. Without documents only the weights are quantised, and OpenVINO quantises activations as they
come, for each token alone. Ranges of random tokens would be worse than none.

Either way the task's head keeps its weights in float32: its few products are worth more in accuracy than in time. With
ranges it had them of eight documents, and a classifier's logits were ten times as far off.

A document's numbers depend on nothing but the document, so batches are allowed, other than in onnxruntime.
"""

import contextlib
import importlib
import importlib.util
import io
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigbird_inference.runtime import quiet_openvino
from bigbird_inference.runtime.session import Batch
from model_export.errors import ExportError
from model_export.export.buckets import GraphPlan
from model_export.export.tokenizer import SpecialIds

_PACKAGE = "nncf"
# Its telemetry takes this for a run of its own tests, and does nothing.
_WITHOUT_TELEMETRY = "NNCF_CI"
_PRODUCT = "MatMul"
_ENCODER = "encoder."
_DOCUMENTS = 8
_LONGEST = 2048
# A question is short beside its document.
_FIRST_OF_A_PAIR = 8


def installed() -> bool:
    """Tell whether NNCF and OpenVINO are installed; nothing is imported."""
    return quiet_openvino.installed() and importlib.util.find_spec(_PACKAGE) is not None


def quantise(graph: Path, destination: Path, inputs: Sequence[str], documents: Sequence[Batch]) -> None:
    """Quantise a graph and write it in OpenVINO's format: `destination`, and its weights beside it in a `.bin`.

    Args:
        graph: In fp32, with its weights beside it.
        destination: A `.xml`.
        inputs: Names of what the graph takes.
        documents: What shows the ranges of activations; none to quantise weights alone.

    Raises:
        ExportError: NNCF or OpenVINO cannot do it.
    """
    openvino = quiet_openvino.imported()
    with quiet_nncf() as nncf:
        try:
            model = openvino.Core().read_model(graph)
            left_out = nncf.IgnoredScope(names=products_after_the_encoder(model))
            if documents:
                dataset = nncf.Dataset([document.feeds(inputs) for document in documents])
                model = nncf.quantize(
                    model,
                    dataset,
                    subset_size=len(documents),
                    model_type=nncf.ModelType.TRANSFORMER,
                    ignored_scope=left_out,
                    advanced_parameters=_without_smoothing(nncf),
                )
            else:
                mode = nncf.CompressWeightsMode.INT8_SYM
                model = nncf.compress_weights(model, mode=mode, ignored_scope=left_out)
            openvino.save_model(model, destination, compress_to_fp16=False)
        except (RuntimeError, ValueError) as error:
            reason = [*str(error).strip().splitlines()[-1:], type(error).__name__][0]
            raise ExportError(f"{graph.name}: NNCF cannot quantise it: {reason}") from error


def _without_smoothing(nncf: Any) -> Any:
    """Leave weights and activations as they are: with SmoothQuant, logits are further off (docs/architecture.md)."""
    return nncf.AdvancedQuantizationParameters(smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=-1))


def products_after_the_encoder(model: Any) -> list[str]:
    """Return the names of the products between the encoder's last ones and the outputs.

    Args:
        model: As OpenVINO read it; the encoder's weights have their parameters' names.
    """
    found: list[str] = []
    seen: set[str] = set()
    nodes = list(model.get_results())
    while nodes:
        node = nodes.pop()
        name = node.get_friendly_name()
        if name in seen:
            continue
        seen.add(name)
        before = [value.get_node() for value in node.input_values()]
        if node.get_type_name() == _PRODUCT:
            if any(own.get_friendly_name().startswith(_ENCODER) for own in before):
                continue
            found.append(name)
        nodes += before
    return found


def calibration_documents(
    plan: GraphPlan, token_ids: npt.NDArray[np.int64], special: SpecialIds, *, positions: bool, pairs: bool
) -> list[Batch]:
    """Return documents that a graph takes, of several lengths, cut out of one long text.

    Where the model knows a second token type, every other document is mostly of that: an input that no document shows
    would be cut off at the ends of ranges that were not made for it.

    Args:
        plan: The graph.
        token_ids: The text, `[tokens]`; one that is too short is repeated. None of them gives no documents.
        special: The ids that stand around a text.
        positions: Whether the graph takes positions; every token's are asked for then.
        pairs: Whether the model knows a second token type.
    """
    if not len(token_ids):
        return []
    longest = max(plan.shortest, min(plan.longest, _LONGEST))
    shortest = min(longest, max(plan.shortest, longest // 4))
    steps = np.linspace(shortest, longest, _DOCUMENTS).astype(np.int64)
    lengths = [int(max(3, plan.shortest + (step - plan.shortest) // plan.step * plan.step)) for step in steps]
    starts = np.linspace(0, max(0, len(token_ids) - longest), _DOCUMENTS).astype(np.int64)
    return [
        _document(
            np.resize(token_ids[start:], length - 2),
            special,
            positions=positions,
            first=length // _FIRST_OF_A_PAIR if pairs and number % 2 else length,
        )
        for number, (start, length) in enumerate(zip(starts, lengths, strict=True))
    ]


def _document(token_ids: npt.NDArray[np.int64], special: SpecialIds, *, positions: bool, first: int) -> Batch:
    """Return a document whose tokens after so many first ones are of the second type."""
    ids = np.concatenate([[special.cls], token_ids, [special.sep]]).astype(np.int64)[np.newaxis]
    asked = np.arange(ids.shape[1], dtype=np.int64)[np.newaxis] if positions else None
    types = (np.arange(ids.shape[1], dtype=np.int64) >= first).astype(np.int64)[np.newaxis]
    return Batch(ids, np.ones_like(ids), types, asked)


@contextlib.contextmanager
def quiet_nncf() -> Iterator[Any]:
    """Import NNCF without its telemetry; what it prints and warns of is about its own insides."""
    os.environ[_WITHOUT_TELEMETRY] = "1"
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nncf = importlib.import_module(_PACKAGE)
        nncf.set_log_level(logging.ERROR)
        yield nncf
