"""Exported `pytorch_model.bin` checkpoints against what their model answered (`tests/fixtures/make_torch.py`)."""

import pytest

from tests.model_export.checkpoints.exported_fixtures import FIXTURES, TOLERANCE, ExportedFixture, export_fixture

LOGITS = {"logits": "logits"}
CASES = [
    pytest.param(("qa", None, LOGITS), id="question answering, in shards"),
    pytest.param(("pre-training", None, LOGITS), id="pre-training in half precision, its masked language model"),
    pytest.param(
        ("pre-training", "next-sentence", {"logits": "next_sentence_logits"}),
        id="pre-training in half precision, its pairs",
    ),
]


@pytest.fixture(scope="module", params=CASES)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ExportedFixture:
    name, task, outputs = request.param
    bundle = tmp_path_factory.mktemp("pytorch") / "bundle"
    return export_fixture(FIXTURES / "pytorch" / name, task, outputs, bundle, whole=name == "qa")


def test_the_bundle_answers_as_transformers_does(exported: ExportedFixture) -> None:
    differences = exported.differences()
    assert {attention for attention, _ in differences} == {"full", "block_sparse"}
    assert max(differences.values()) <= TOLERANCE, differences


def test_the_checkpoint_says_where_the_weights_come_from(exported: ExportedFixture) -> None:
    assert exported.kind == "pytorch"
    assert exported.pattern == "transformers"
