"""The known answer that an export writes, and that the service asks for again."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_export.errors import ExportError
from model_export.export.known_answer import TEXT, bucket_to_ask, known_answer
from model_export.pipeline import ExportOptions, export_checkpoint
from service.bundle import Attention, Bucket, Manifest, Parity, open_bundle
from service.errors import BundleError
from service.runtime.onnx_session import OnnxSession, open_session
from service.runtime.session import Batch, Outputs, RunControl
from service.self_test import check_known_answer
from service.tokenization.tokenizer import Tokenizer
from tests.model_export.conftest import SmallExport


def session_to_ask(folder: Path, manifest: Manifest, threads: int = 1) -> OnnxSession:
    assert manifest.known_answer is not None
    graph = folder / f"graph-{manifest.known_answer.bucket}.onnx"
    return open_session(graph, manifest, device="cpu", threads=threads)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_exported_bundle_gives_its_known_answer(small_export: SmallExport, threads: int) -> None:
    check_known_answer(small_export.manifest, session_to_ask(small_export.bundle, small_export.manifest, threads))


def test_the_bundles_tokenizer_gives_the_known_tokens(small_export: SmallExport) -> None:
    Tokenizer.from_bundle(open_bundle(small_export.bundle))


def test_it_is_asked_where_attention_is_block_sparse_with_padding(small_export: SmallExport) -> None:
    """The buckets hold up to 112 and up to 160 tokens, in blocks of 16; 137 fill eight blocks and a half."""
    known = small_export.manifest.known_answer
    assert known is not None
    assert (known.text, known.bucket, known.length) == (TEXT, 160, 137)
    # 137 tokens of 3 labels: 16 of 411 numbers.
    assert [(output.output, len(output.values)) for output in known.expected] == [("logits", 16)]
    assert known.tolerance == pytest.approx(1e-3 * max(1.0, small_export.manifest.buckets[1].parity.logits_std))


def test_other_weights_are_noticed(small_export: SmallExport, tmp_path: Path) -> None:
    """One number of a hundred is 1% larger, as no hash would notice if the machine read it so."""
    folder = Path(shutil.copytree(small_export.bundle, tmp_path / "bundle"))
    weights = np.fromfile(folder / "weights.bin", dtype=np.float32)
    weights[::100] *= np.float32(1.01)
    weights.tofile(folder / "weights.bin")
    with pytest.raises(BundleError, match="is not reproduced"):
        check_known_answer(small_export.manifest, session_to_ask(folder, small_export.manifest))


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
    assert known is not None and known.bucket == 112
    check_known_answer(manifest, session_to_ask(tmp_path / "bundle", manifest))
    if options.precision == "int8":
        assert known.tolerance == pytest.approx(0.15 * manifest.buckets[0].parity.logits_std)
    else:
        assert [output.output for output in known.expected] == [tensor.name for tensor in manifest.outputs]


def bucket(length: int, attention: Attention) -> Bucket:
    parity = Parity(0.0, 0.0, 1.0, correlation=1.0, agreement=None, tolerance=1e-4, documents=[length])
    return Bucket(length, attention, f"graph-{length}.onnx", 1, "0" * 64, parity, None)


@pytest.mark.parametrize(
    ("buckets", "asked"),
    [
        pytest.param([(128, "full"), (704, "full"), (1024, "block_sparse"), (4096, "block_sparse")], 1024, id="both"),
        pytest.param([(4096, "block_sparse"), (704, "full"), (1024, "block_sparse")], 1024, id="in no order"),
        pytest.param([(512, "full"), (128, "full")], 128, id="only full attention"),
    ],
)
def test_the_smallest_bucket_with_every_kind_of_operator_is_asked(
    buckets: list[tuple[int, Attention]], asked: int
) -> None:
    assert bucket_to_ask([bucket(*each) for each in buckets]).length == asked


class Constant:
    """Gives the same logits for everything."""

    def run(self, batch: Batch, control: RunControl | None = None) -> Outputs:
        return {"logits": np.ones((1, batch.input_ids.shape[1], 3), dtype=np.float32)}


def test_a_vocabulary_that_could_not_be_served_is_not_exported(small_export: SmallExport) -> None:
    """Piece 50 is a piece of ordinary text."""
    special = replace(small_export.manifest.tokenizer, sep_id=50)
    with pytest.raises(ExportError, match="is the sep token, but a text can contain it"):
        known_answer(
            replace(small_export.manifest, tokenizer=special), small_export.bundle / "tokenizer.model", Constant()
        )
