"""A fixture taken the whole way: exported, loaded by onnxruntime, and asked about the documents of its reference.

What a source differs in is how its weights are read, which block-sparse attention shows as well in torch; that its
graph gives the same as torch is what parity tests and every export are about. So that graph is traced for one fixture
of each source only, and of the others torch is asked.

The scripts `tests/fixtures/make_*.py` wrote the references with the libraries that the checkpoints come from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bigbird_inference.bundle import Attention, Manifest, open_bundle
from bigbird_inference.runtime.onnx_session import open_session
from bigbird_inference.runtime.session import Batch, Outputs, Session
from model_export.checkpoints.recognise import read_checkpoint
from model_export.export.references import TorchSession
from model_export.export.signature import signature
from model_export.patterns.registry import get_pattern
from model_export.pipeline import ExportOptions, export_checkpoint

FIXTURES = Path(__file__).parents[2] / "fixtures"
TOLERANCE = 1e-4
BUCKETS = {"full": 112, "block_sparse": 256}


@dataclass(frozen=True, slots=True)
class ExportedFixture:
    """A bundle of a fixture, and what the checkpoint's own library answered.

    Attributes:
        manifest: Of the bundle.
        sessions: By kind of attention.
        reference: Arrays named `<attention>/<input or output>`.
        outputs: For each output of the bundle, its name in the reference.
    """

    manifest: Manifest
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
        takes_positions = any(tensor.name == "positions" for tensor in self.manifest.inputs)
        positions = self.reference[f"{attention}/positions"] if takes_positions else None
        # A decoder attends in full whatever the length.
        kind: Attention = "full" if attention == "full" or self.manifest.task == "generate" else "block_sparse"
        return self.sessions[kind].run(Batch(ids, mask, types, positions))


def export_fixture(
    checkpoint: Path, task: str | None, outputs: Mapping[str, str], bundle: Path, *, whole: bool
) -> ExportedFixture:
    """Export a checkpoint and open the bundle.

    Args:
        checkpoint: A folder of the fixtures.
        task: The task to export; None for the checkpoint's own.
        outputs: For each output of the bundle, its name in the reference.
        bundle: The folder to make.
        whole: Whether the bundle has a graph of block-sparse attention.
    """
    is_decoder = read_checkpoint(checkpoint, task).config.is_decoder
    buckets = tuple(BUCKETS.values()) if whole or is_decoder else (BUCKETS["full"],)
    manifest = export_checkpoint(checkpoint, bundle, ExportOptions(task=task, buckets=buckets))
    with np.load(checkpoint / "reference.npz") as reference:
        return ExportedFixture(manifest, sessions(checkpoint, task, bundle), dict(reference), outputs)


def sessions(checkpoint: Path, task: str | None, bundle: Path) -> dict[Attention, Session]:
    """Return the sessions of a bundle's graphs, and the torch model of its checkpoint for the attention it lacks."""
    opened = open_bundle(bundle)
    found = read_checkpoint(checkpoint, task)
    model, _ = found.load_model(get_pattern(found.default_pattern))
    loaded: dict[Attention, Session] = {"block_sparse": TorchSession(model, signature(found.task, model.config))}
    for graph in opened.manifest.graphs:
        loaded[graph.attention] = open_session(opened.path(graph.file), opened.manifest, device="cpu", threads=1)
    return loaded
