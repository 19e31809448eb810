"""Models in which every length is full attention read as many tokens as they have positions, whole blocks or not."""

from pathlib import Path

import numpy as np
import pytest

from bigbird_inference.bundle import open_bundle
from bigbird_inference.runtime.onnx_session import open_session
from bigbird_inference.runtime.session import Batch
from bigbird_inference.tasks.entity_recognition import EntityRequest
from bigbird_inference.tasks.registry import create_task
from bigbird_inference.tokenization.tokenizer import Tokenizer
from model_export.checkpoints.recognise import read_checkpoint
from model_export.patterns.registry import get_pattern
from model_export.pipeline import export_checkpoint
from model_export.preparation import ExportOptions
from tests.model_export.exported_models import save_model, vocabulary_size
from tests.model_export.our_models import logits_alone
from tests.model_export.reference_models import Reference, make_config, make_document, make_model

TOLERANCE = 1e-4


@pytest.mark.parametrize(
    ("positions", "block_size", "lengths"),
    [
        pytest.param(514, 64, (1, 511, 512, 513, 514), id="514 positions and blocks of 64"),
        pytest.param(86, 8, (79, 80, 81, 82, 83, 84, 85, 86), id="86 positions and blocks of 8"),
        pytest.param(50, 64, (49, 50), id="less than a block"),
    ],
)
def test_every_position_is_read_as_in_transformers(
    tmp_path: Path, positions: int, block_size: int, lengths: tuple[int, ...]
) -> None:
    fields = {"max_position_embeddings": positions, "block_size": block_size, "num_random_blocks": 3, "num_labels": 5}
    theirs = make_model("ner", make_config(100, **fields))
    ours = read_checkpoint(save_model(theirs, tmp_path)).load(get_pattern("transformers")).model
    assert (ours.config.max_length, ours.config.full_attention_edge) == (positions, positions)
    for length in lengths:
        document = make_document(length, vocab_size=100)
        expected = Reference(theirs).alone(document)
        assert expected.std() >= 0.5
        assert abs(logits_alone(ours, document) - expected).max() <= TOLERANCE


def test_a_bundle_of_such_a_model_reads_its_longest_texts_in_one_window(tmp_path: Path) -> None:
    fields = {"max_position_embeddings": 86, "block_size": 8, "num_random_blocks": 3, "num_labels": 5}
    theirs = make_model("ner", make_config(vocabulary_size(tmp_path / "vocabulary"), **fields))
    export_checkpoint(save_model(theirs, tmp_path / "checkpoint"), tmp_path / "bundle", ExportOptions(buckets=(40, 86)))
    bundle = open_bundle(tmp_path / "bundle")
    manifest = bundle.manifest
    assert (manifest.max_length, [bucket.attention for bucket in manifest.buckets]) == (86, ["full", "full"])
    task = create_task(manifest, Tokenizer.from_bundle(bundle))
    session = open_session(bundle.path("graph-full.onnx"), manifest, device="cpu", threads=1)
    for length in range(81, 87):
        (window,) = task.encode(EntityRequest(" ".join(["project"] * (length - 2)))).windows
        assert len(window.sequence) == length
        document = make_document(length, vocab_size=theirs.config.vocab_size)
        ids, types, mask = (np.zeros((1, 86), dtype=np.int64) for _ in range(3))
        ids[0, :length], types[0, :length], mask[0, :length] = document.input_ids, document.token_type_ids, 1
        logits = session.run(Batch(input_ids=ids, attention_mask=mask, token_type_ids=types))["logits"][0, :length]
        assert abs(logits - Reference(theirs).alone(document)).max() <= TOLERANCE
