"""No constant of a length is left in the graphs: each gives at every number of blocks what torch gives.

The tracer sees one length only, and what it takes for a constant is right at that length. Sessions are opened as the
service opens them, in each runtime; torch computes the same documents with the composed kernel, each padded to its own
last block.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from bigbird_inference.manifest import Attention, AttentionKernelName
from bigbird_inference.runtime.openvino_session import WHOLE_LENGTHS
from bigbird_inference.runtime.session import Outputs, Session
from model_export.config import BigBirdConfig
from model_export.export.buckets import GraphPlan, plan_graphs
from model_export.export.references import Document, TorchSession, pad_batch, random_document
from model_export.export.signature import signature
from model_export.export.trace import graphs_of, traced_model
from tests.cpu_runtimes import ONNXRUNTIME, OPENVINO, OPENVINO_BF16, CpuCase
from tests.model_export.export.traced_models import SMALL, open_traced, save_traced, spread_model

TOLERANCE = 1e-4
SMALLEST_SPREAD = 0.5


@dataclass(frozen=True)
class Case:
    """A model, and one of its graphs.

    Attributes:
        attention: Of the graph.
        kernels: Those that graphs are made with.
        plan: What the graph must turn out to take.
    """

    config: BigBirdConfig
    pattern: str
    attention: Attention
    kernels: tuple[AttentionKernelName, ...]
    plan: GraphPlan


def _case(pattern: str, attention: Attention, kernels: str, plan: tuple[int, int, int], **fields: object) -> Case:
    names: tuple[AttentionKernelName, ...] = ("composed", "fused") if kernels == "both" else (kernels,)  # type: ignore[assignment]
    return Case(replace(SMALL, **fields), pattern, attention, names, GraphPlan(attention, *plan))  # type: ignore[arg-type]


SPARSE: Attention = "block_sparse"
CASES = {
    "transformers": _case("transformers", SPARSE, "both", (128, 224, 16)),
    # Blocks of 128: 1,024 tokens are a listed length of transformers and google, 2,048 one of google only.
    "transformers-train, which lists some lengths, blocks of 128": _case(
        "transformers-train", SPARSE, "both", (1024, 2176, 128), block_size=128, max_position_embeddings=17 * 128
    ),
    "google, which lists others, blocks of 128": _case(
        "google", SPARSE, "fused", (1024, 2176, 128), block_size=128, max_position_embeddings=17 * 128
    ),
    "model-garden": _case(
        "model-garden", SPARSE, "composed", (192, 416, 16), num_random_blocks=3, max_position_embeddings=416
    ),
    "no random blocks, blocks of 2": _case(
        "transformers", SPARSE, "composed", (12, 40, 2), block_size=2, num_random_blocks=0, max_position_embeddings=41
    ),
    "blocks of a single token, three layers": _case(
        "transformers", SPARSE, "composed", (8, 24, 1), block_size=1, num_hidden_layers=3, max_position_embeddings=24
    ),
    "a single block-sparse length, with a random block and positions to spare": _case(
        "model-garden", SPARSE, "composed", (128, 128, 16), max_position_embeddings=133
    ),
    "two block-sparse lengths": _case("none", SPARSE, "composed", (128, 144, 16), max_position_embeddings=144),
    "full attention up to the edge": _case("transformers", "full", "both", (1, 112, 1)),
    "full attention to the maximum, which is the edge": _case(
        "transformers", "full", "composed", (1, 112, 1), max_position_embeddings=112
    ),
    "a maximum of less than two blocks": _case(
        "transformers", "full", "composed", (1, 30, 1), max_position_embeddings=30
    ),
    "a maximum of a single token": _case(
        "transformers", "full", "composed", (1, 1, 1), block_size=1, max_position_embeddings=1
    ),
    "full attention by configuration, 514 positions": _case(
        "transformers", "full", "both", (1, 514, 1), attention_type="original_full", max_position_embeddings=514
    ),
}


@dataclass(frozen=True)
class Traced:
    case: Case
    graphs: dict[AttentionKernelName, Path]
    reference: TorchSession
    references: dict[int, np.ndarray] = field(default_factory=dict)

    def alone(self, document: Document) -> np.ndarray:
        """Return what torch gives for one of the documents, padded to its own last block; it is asked once."""
        own, config = len(document.input_ids), self.case.config
        if own not in self.references:
            padded = min(-(-own // config.block_size) * config.block_size, config.max_length)
            (self.references[own],) = _cut(self.reference.run(pad_batch([document], padded)), [document])
        return self.references[own]

    def sessions(self, cpu: CpuCase) -> dict[AttentionKernelName, Session]:
        """Return a runtime's; only onnxruntime has the operators of the fused kernel."""
        graphs = {
            kernel: graph
            for kernel, graph in self.graphs.items()
            if cpu.runtime == "onnxruntime" or kernel == "composed"
        }
        if not graphs:
            pytest.skip("the fused kernel alone")
        return {kernel: open_traced(graph, cpu) for kernel, graph in graphs.items()}


# `make test` takes each kind of attention once, and a maximum that is no whole blocks.
IN_MAKE_TEST = ("transformers", "full attention up to the edge", "a maximum of less than two blocks")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(case, id=name, marks=[] if name in IN_MAKE_TEST else [pytest.mark.integration])
        for name, case in CASES.items()
    ],
)
def traced(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Traced:
    case: Case = request.param
    plans = plan_graphs(case.config)
    assert case.plan in plans
    model = spread_model(case.config, case.pattern)
    folder = tmp_path_factory.mktemp("traced")
    graphs = {}
    for kernel in case.kernels:
        (together,) = [own for own in graphs_of("fp32", kernel, plans) if case.plan in own]
        graphs[kernel] = save_traced(traced_model(model, "fp32", kernel), together, folder / f"{kernel}.onnx")
    return Traced(case, graphs, TorchSession(model, signature("ner", case.config)))


def _padded_lengths(case: Case) -> list[int]:
    """Return every number of blocks; with full attention some lengths that are no whole blocks, too."""
    plan, block_size = case.plan, case.config.block_size
    whole = {length for length in range(block_size, plan.longest + 1, block_size) if length >= plan.shortest}
    odd = (
        {1, 2, 3, block_size + 1, plan.longest - 1, plan.longest}
        if plan.step == 1 and case.attention == "full"
        else set()
    )
    return sorted(length for length in whole | odd if plan.shortest <= length <= plan.longest)


def _documents(case: Case, length: int) -> list[Document]:
    """Return one that fills the padded length, and the shortest of its kind, whose last block is partly filled."""
    edge = case.config.full_attention_edge
    shortest = edge + 1 if case.attention == "block_sparse" else max(1, length // 2)
    return [random_document(case.config, length), random_document(case.config, min(shortest, length))]


def _cut(outputs: Outputs, documents: list[Document]) -> Iterator[np.ndarray]:
    for row, document in zip(outputs["logits"], documents, strict=True):
        yield row[: len(document.input_ids)]


@pytest.mark.parametrize("cpu", [ONNXRUNTIME, OPENVINO])
def test_every_number_of_blocks_gives_what_torch_gives(traced: Traced, cpu: CpuCase) -> None:
    case, sessions = traced.case, traced.sessions(cpu)
    differences, lengths = {}, _padded_lengths(case)
    for length in lengths:
        documents = _documents(case, length)
        for kernel, session in sessions.items():
            found = _cut(session.run(pad_batch(documents, length)), documents)
            for document, logits in zip(documents, found, strict=True):
                own = len(document.input_ids)
                differences[kernel, length, own] = float(np.abs(logits - traced.alone(document)).max())
    print(f"{len(lengths)} lengths: {max(differences.values()):.3g}")
    assert max(differences.values()) <= TOLERANCE, differences
    spread = np.concatenate([logits.ravel() for logits in traced.references.values()]).std()
    assert spread >= SMALLEST_SPREAD


@pytest.mark.parametrize("cpu", [ONNXRUNTIME, OPENVINO, OPENVINO_BF16])
def test_a_document_has_the_same_bits_at_every_number_of_blocks(traced: Traced, cpu: CpuCase) -> None:
    case = traced.case
    # OpenVINO is not asked for other lengths: `unfit_for_openvino`.
    step = 1 if cpu.runtime == "onnxruntime" else WHOLE_LENGTHS
    lengths = [length for length in _padded_lengths(case) if length % step == 0]
    if not lengths:
        pytest.skip("no length that OpenVINO is asked for")
    shortest = _documents(case, lengths[0])[-1]
    for kernel, session in traced.sessions(cpu).items():
        for document in (shortest, random_document(case.config, lengths[len(lengths) // 2])):
            fitting = [length for length in lengths if length >= len(document.input_ids)]
            alone = [next(_cut(session.run(pad_batch([document], length)), [document])) for length in fitting]
            others = [random_document(case.config, length) for length in fitting]
            batches = [[document, other, document] for other in others]
            mixed = [
                found
                for batch, length in zip(batches, fitting, strict=True)
                for found, own in zip(_cut(session.run(pad_batch(batch, length)), batch), batch, strict=True)
                if own is document
            ]
            differences = {float(np.abs(logits - alone[-1]).max()) for logits in (*alone, *mixed)}
            print(kernel, len(document.input_ids), differences)
            assert differences == {0.0}, (kernel, len(document.input_ids))
