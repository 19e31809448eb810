"""What sentence-transformers' folders say of pooling, in the forms that its versions write."""

import json
from pathlib import Path
from typing import Any

import pytest

from model_export.checkpoints.recognise import read_checkpoint
from model_export.checkpoints.sentence_pooling import FoundPooling, find_pooling
from model_export.errors import CheckpointError
from tests.model_export.exported_models import save_model
from tests.model_export.reference_models import make_config, make_model

# As sentence-transformers 2 and 6 write them.
OLD = {
    "word_embedding_dimension": 384,
    "pooling_mode_cls_token": False,
    "pooling_mode_mean_tokens": False,
    "pooling_mode_max_tokens": False,
    "pooling_mode_mean_sqrt_len_tokens": False,
}
NEW = {"embedding_dimension": 384, "include_prompt": True}


def folder_with(folder: Path, pooling: dict[str, Any], *modules: str) -> Path:
    for name in ("1_Pooling", *modules):
        (folder / name).mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


@pytest.mark.parametrize(
    ("values", "pooling"),
    [
        pytest.param({**OLD, "pooling_mode_mean_tokens": True}, "mean", id="the mean, as versions 2 to 5 write it"),
        pytest.param({**OLD, "pooling_mode_cls_token": True}, "cls", id="CLS, as they write it"),
        pytest.param({**NEW, "pooling_mode": "mean"}, "mean", id="the mean, as version 6 writes it"),
        pytest.param({**NEW, "pooling_mode": ["cls"]}, "cls", id="CLS, in a list"),
    ],
)
def test_a_pooling_of_ours_is_taken(tmp_path: Path, values: dict[str, Any], pooling: str) -> None:
    found = find_pooling(folder_with(tmp_path, values, "2_Normalize"))
    assert (found.pooling, found.changes) == (pooling, ())
    assert found.files == (tmp_path / "1_Pooling" / "config.json",)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        pytest.param({**OLD, "pooling_mode_max_tokens": True}, "'max'", id="max"),
        pytest.param({**NEW, "pooling_mode": ["mean", "max"]}, "'mean' and 'max'", id="two, one after the other"),
        pytest.param({**NEW, "pooling_mode": {}}, "{}", id="none that could be"),
        pytest.param(OLD, "none", id="no field that is true"),
    ],
)
def test_another_pooling_is_told(tmp_path: Path, values: dict[str, Any], named: str) -> None:
    found = find_pooling(folder_with(tmp_path, values))
    assert found.pooling is None
    assert found.changes == (
        f"1_Pooling/config.json: pooling {named} is not in /embed, which takes the mean; embeddings are others",
    )


def test_a_module_that_is_not_computed_is_told(tmp_path: Path) -> None:
    found = find_pooling(folder_with(tmp_path, {**NEW, "pooling_mode": "mean"}, "2_Dense", "3_Normalize"))
    assert found.changes == (
        "2_Dense: a module of sentence-transformers that is left out, so that embeddings are others than there",
    )


def test_nothing_is_known_where_nothing_is_said(tmp_path: Path) -> None:
    assert find_pooling(tmp_path) == FoundPooling()


@pytest.mark.parametrize("content", ["[]", "{", ""])
def test_a_spoilt_file_is_named(tmp_path: Path, content: str) -> None:
    file = folder_with(tmp_path, {}) / "1_Pooling" / "config.json"
    file.write_text(content)
    with pytest.raises(CheckpointError, match=f"^{file}: "):
        find_pooling(tmp_path)


def test_an_encoder_has_it_and_its_hash_covers_it(tmp_path: Path) -> None:
    folder = save_model(make_model("embed", make_config(100)), tmp_path)
    before = read_checkpoint(folder)
    folder_with(folder, {**NEW, "pooling_mode": "cls"})
    checkpoint = read_checkpoint(folder)
    assert (before.pooling, checkpoint.pooling) == (None, "cls")
    assert before.sha256() != checkpoint.sha256()
