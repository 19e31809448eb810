"""A checkpoint of another library, asked about the documents of its reference; one of each source is exported.

What a source differs in is how its weights are read, which shows as well in torch; that a graph gives the same as torch
is what parity tests and every export are about. So graphs are traced for one fixture of each source only, in `make
test-integration` but for PyTorch's, and of the others torch is asked.

The scripts `tests/fixtures/make_*.py` wrote the references with the libraries that the checkpoints come from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bigbird_inference.bundle import open_bundle
from bigbird_inference.manifest import Attention
from bigbird_inference.runtime.onnx_session import open_session
from bigbird_inference.runtime.session import Batch, Outputs, Session
from model_export.checkpoints.checkpoint import CheckpointOptions
from model_export.checkpoints.recognise import read_checkpoint
from model_export.export.references import TorchSession
from model_export.export.signature import signature
from model_export.patterns.registry import get_pattern
from model_export.pipeline import export_checkpoint
from model_export.preparation import ExportOptions

FIXTURES = Path(__file__).parents[2] / "fixtures"
TOLERANCE = 1e-4
BUCKETS = {"full": 112, "block_sparse": 256}


@dataclass(frozen=True, slots=True)
class ExportedFixture:
    """A bundle of a fixture, and what the checkpoint's own library answered.

    Attributes:
        task: Of the checkpoint.
        kind: Of its weights.
        pattern: Its own random-block pattern.
        takes_positions: Whether the model is told positions.
        sessions: By kind of attention.
        reference: Arrays named `<attention>/<input or output>`.
        outputs: For each output of the bundle, its name in the reference.
    """

    task: str
    kind: str
    pattern: str
    takes_positions: bool
    sessions: Mapping[Attention, Session]
    reference: Mapping[str, npt.NDArray[np.generic]]
    outputs: Mapping[str, str]

    def differences(self) -> dict[tuple[str, str], float]:
        """Return the largest absolute difference for each attention kind of the reference and each output."""
        found: dict[tuple[str, str], float] = {}
        for attention in BUCKETS:
            if f"{attention}/input_ids" in self.reference:
                answers = self._run(attention)
                for name, theirs in self.outputs.items():
                    expected = self.reference[f"{attention}/{theirs}"]
                    ours = answers[name][:, : expected.shape[1]]
                    assert ours.shape == expected.shape
                    found[attention, name] = float(np.abs(ours - expected).max())
        return found

    def _run(self, attention: str) -> Outputs:
        """Ask for the documents of one length, padded to the bucket with arbitrary tokens."""
        own_ids, own_types = (self.reference[f"{attention}/{name}"] for name in ("input_ids", "token_type_ids"))
        documents, length = own_ids.shape
        generator = np.random.default_rng(length)
        ids, types = (generator.integers(0, top, (documents, BUCKETS[attention])) for top in (60, 2))
        ids[:, :length], types[:, :length] = own_ids, own_types
        mask = np.zeros_like(ids)
        mask[:, :length] = 1
        positions = self.reference[f"{attention}/positions"] if self.takes_positions else None
        # A decoder attends in full whatever the length.
        kind: Attention = "full" if attention == "full" or self.task == "generate" else "block_sparse"
        return self.sessions[kind].run(Batch(ids, mask, types, positions))


def export_fixture(
    checkpoint: Path, task: str | None, outputs: Mapping[str, str], bundle: Path, *, whole: bool
) -> ExportedFixture:
    """Read a checkpoint, and export it if it is to be taken the whole way.

    Args:
        checkpoint: A folder of the fixtures.
        task: The task; None for the checkpoint's own.
        outputs: For each output of the task, its name in the reference.
        bundle: The folder to make.
        whole: Whether to make it, and ask onnxruntime; otherwise torch is asked.
    """
    found = read_checkpoint(checkpoint, CheckpointOptions(task))
    with np.load(checkpoint / "reference.npz") as reference:
        return ExportedFixture(
            found.task,
            found.weights.kind,
            found.default_pattern,
            signature(found.task, found.config).takes_positions,
            sessions(checkpoint, task, bundle, tuple(BUCKETS.values()) if whole else ()),
            dict(reference),
            outputs,
        )


def sessions(checkpoint: Path, task: str | None, bundle: Path, buckets: Sequence[int]) -> dict[Attention, Session]:
    """Return what answers for a checkpoint by kind of attention: onnxruntime if there are buckets, otherwise torch."""
    found = read_checkpoint(checkpoint, CheckpointOptions(task))
    model = found.load(get_pattern(found.default_pattern)).model
    torch_session = TorchSession(model.eval(), signature(found.task, model.config))
    loaded: dict[Attention, Session] = {"full": torch_session, "block_sparse": torch_session}
    if buckets:
        manifest = export_checkpoint(checkpoint, bundle, ExportOptions(task=task, buckets=tuple(buckets)))
        assert (manifest.source.kind, manifest.pattern) == (found.weights.kind, found.default_pattern)
        opened = open_bundle(bundle)
        for graph in manifest.graphs:
            loaded[graph.attention] = open_session(opened.path(graph.file), manifest, device="cpu", threads=1)
    return loaded
