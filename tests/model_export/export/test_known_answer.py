"""The known answer that an export writes, and that the service asks for again."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bigbird_inference.bundle import open_bundle
from bigbird_inference.errors import BundleError
from bigbird_inference.known_answer import check_known_answer
from bigbird_inference.manifest import Attention, Bucket, Manifest, Parity
from bigbird_inference.runtime.onnx_session import OnnxSession, open_session
from bigbird_inference.runtime.session import Batch, Outputs, RunControl
from bigbird_inference.tokenization.tokenizer import Tokenizer
from model_export.errors import ExportError
from model_export.export.known_answer import TEXT, known_runs, token_ids_of
from model_export.pipeline import export_checkpoint
from model_export.preparation import ExportOptions
from tests.model_export.conftest import SmallExport


def sessions_to_ask(folder: Path, manifest: Manifest, threads: int = 1) -> dict[Attention, OnnxSession]:
    return {
        graph.attention: open_session(folder / graph.file, manifest, device="cpu", threads=threads)
        for graph in manifest.graphs
    }


@pytest.mark.parametrize("threads", [1, 2])
def test_the_exported_bundle_gives_its_known_answer(small_export: SmallExport, threads: int) -> None:
    check_known_answer(small_export.manifest, sessions_to_ask(small_export.bundle, small_export.manifest, threads))


def test_the_bundles_tokenizer_gives_the_known_tokens(small_export: SmallExport) -> None:
    Tokenizer.from_bundle(open_bundle(small_export.bundle))


def test_each_kind_of_attention_is_asked_with_padding(small_export: SmallExport) -> None:
    """The buckets hold up to 112 and up to 160 tokens, in blocks of 16; 137 fill eight blocks and a half."""
    known = small_export.manifest.known_answer
    assert known is not None
    assert known.text == TEXT
    assert [(run.bucket, run.length) for run in known.runs] == [(112, 58), (160, 137)]
    for run, bucket in zip(known.runs, small_export.manifest.buckets, strict=True):
        # 16 of the numbers of 3 labels for each token.
        assert [(output.output, len(output.values)) for output in run.expected] == [("logits", 16)]
        assert run.tolerance == pytest.approx(1e-3 * max(1.0, bucket.parity[0].logits_std))


@pytest.mark.parametrize("attention", ["full", "block_sparse"])
def test_other_weights_are_noticed(small_export: SmallExport, tmp_path: Path, attention: Attention) -> None:
    """One number of a hundred is 1% larger, as no hash would notice if the machine read it so."""
    folder = Path(shutil.copytree(small_export.bundle, tmp_path / "bundle"))
    weights = np.fromfile(folder / "weights.bin", dtype=np.float32)
    weights[::100] *= np.float32(1.01)
    weights.tofile(folder / "weights.bin")
    good = sessions_to_ask(small_export.bundle, small_export.manifest)
    wrong = {attention: sessions_to_ask(folder, small_export.manifest)[attention]}
    with pytest.raises(BundleError, match="is not reproduced"):
        check_known_answer(small_export.manifest, good | wrong)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(ExportOptions(task="embed", buckets=(112,)), id="two outputs"),
        pytest.param(ExportOptions(buckets=(112,), precision="int8"), id="int8"),
    ],
)
def test_every_kind_of_bundle_has_one(options: ExportOptions, small_export: SmallExport, tmp_path: Path) -> None:
    manifest = export_checkpoint(small_export.checkpoint, tmp_path / "bundle", options)
    known = manifest.known_answer
    assert known is not None and [run.bucket for run in known.runs] == [112]
    check_known_answer(manifest, sessions_to_ask(tmp_path / "bundle", manifest))
    if options.precision == "int8":
        assert known.runs[0].tolerance == pytest.approx(0.15 * manifest.buckets[0].parity[0].logits_std)
    else:
        assert [output.output for output in known.runs[0].expected] == [tensor.name for tensor in manifest.outputs]


def bucket(length: int) -> Bucket:
    parity = Parity("composed", 0.0, 0.0, 1.0, correlation=1.0, agreement=None, tolerance=1e-4, documents=[length])
    return Bucket(length, "full", [parity], None, peak_memory_measured=False)


class Constant:
    """Gives the same logits for everything, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def run(self, batch: Batch, control: RunControl | None = None) -> Outputs:
        self.asked.append((int(batch.attention_mask.sum()), batch.input_ids.shape[1]))
        return {"logits": np.ones((1, batch.input_ids.shape[1], 3), dtype=np.float32)}


@pytest.mark.parametrize(
    ("graph", "buckets", "asked"),
    [
        pytest.param((1, 1), [128, 512, 704], [(66, 128), (609, 704)], id="the shortest and the longest"),
        pytest.param((768, 64), [1024, 1536, 4096], [(865, 1024), (2817, 4096)], id="none with full attention"),
        pytest.param((768, 64), [768], [(737, 768)], id="a single one once"),
        pytest.param((1, 1), [1, 2, 3, 4], [(3, 3), (4, 4)], id="none that CLS, a token and SEP do not fit in"),
        pytest.param((1, 1), [1, 2], [], id="nothing where all are too short"),
    ],
)
def test_the_shortest_and_the_longest_bucket_are_asked_with_a_length_that_only_they_serve(
    graph: tuple[int, int], buckets: list[int], asked: list[tuple[int, int]], small_export: SmallExport
) -> None:
    session = Constant()
    described = replace(small_export.manifest.graphs[0], shortest=graph[0], step=graph[1], longest=4096)
    runs = known_runs(small_export.manifest, [7, 8, 9], described, [bucket(length) for length in buckets], session)
    assert session.asked == asked
    assert [(run.length, run.bucket) for run in runs] == asked


def test_a_vocabulary_that_could_not_be_served_is_not_exported(small_export: SmallExport) -> None:
    """Piece 50 is a piece of ordinary text."""
    special = replace(small_export.manifest.tokenizer, sep_id=50)
    with pytest.raises(ExportError, match="is the sep token, but a text can contain it"):
        token_ids_of([TEXT], replace(small_export.manifest, tokenizer=special), small_export.bundle / "tokenizer.model")
