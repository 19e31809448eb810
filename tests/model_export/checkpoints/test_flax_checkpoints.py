"""Exported Flax checkpoints against what Flax BigBird itself answered (`tests/fixtures/make_flax.py`)."""

import numpy as np
import pytest

from tests.model_export.checkpoints.exported_fixtures import FIXTURES, TOLERANCE, ExportedFixture, export_fixture

LOGITS = {"logits": "logits"}
# Folder, task to export, and for each output its name in the fixture.
CASES = [
    pytest.param(("qa", None, LOGITS), id="question answering, larger arrays in chunks"),
    pytest.param(("classify", None, LOGITS), id="classification"),
    pytest.param(("ner", None, LOGITS), id="token classification, in shards"),
    pytest.param(("fill-mask", None, LOGITS), id="masked language model"),
    pytest.param(("pre-training", None, LOGITS), id="pre-training, its masked language model"),
    pytest.param(("pre-training", "next-sentence", {"logits": "next_sentence_logits"}), id="pre-training, its pairs"),
    pytest.param(("multiple-choice", None, LOGITS), id="multiple choice, in bfloat16"),
    pytest.param(("embed", None, {"hidden": "hidden", "pooled": "pooled"}), id="encoder alone"),
    pytest.param(("generate", None, LOGITS), id="causal language model, decoder not tied"),
]
WHOLE_WAY = pytest.param(("qa", None, LOGITS, "exported"), id="the whole way", marks=pytest.mark.integration)


@pytest.fixture(scope="module", params=[*CASES, WHOLE_WAY])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ExportedFixture:
    name, task, outputs, *whole = request.param
    bundle = tmp_path_factory.mktemp("flax") / "bundle"
    return export_fixture(FIXTURES / "flax" / name, task, outputs, bundle, whole=bool(whole))


def test_the_bundle_answers_as_flax_does(exported: ExportedFixture) -> None:
    differences = exported.differences()
    # The causal language model has full attention at every length.
    kinds = {"full"} if exported.task == "generate" else {"full", "block_sparse"}
    assert {attention for attention, _ in differences} == kinds
    assert max(differences.values()) <= TOLERANCE, differences


def test_the_checkpoint_says_where_the_weights_come_from(exported: ExportedFixture) -> None:
    assert exported.kind == "flax"
    assert exported.pattern == "transformers"


def test_the_fixture_tells_full_from_block_sparse_attention(exported: ExportedFixture) -> None:
    """What Flax answers with its configuration unchanged, which is not our definition for short documents."""
    if exported.task == "generate":
        return
    for theirs in exported.outputs.values():
        unchanged = exported.reference[f"full_as_block_sparse/{theirs}"]
        assert np.abs(unchanged - exported.reference[f"full/{theirs}"]).max() >= 100 * TOLERANCE
