from pathlib import Path

import pytest

from bigbird_inference.tokenization.tokenizer import Tokenizer
from tests.finetuning.command_line import texts
from tests.finetuning.small_models import save_small_checkpoint, tokenizer_of


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint without task head."""
    return save_small_checkpoint(tmp_path_factory.mktemp("encoder"), "embed")


@pytest.fixture(scope="session")
def tokenizer(encoder: Path) -> Tokenizer:
    return tokenizer_of(encoder)


@pytest.fixture
def arguments(encoder: Path, tmp_path: Path) -> list[str]:
    train, evaluation = texts(tmp_path / "train.tsv", 40), texts(tmp_path / "eval.tsv", 20, first=40)
    files = ["--train", str(train), "--eval", str(evaluation), "--output", str(tmp_path / "out")]
    return [str(encoder), "--task", "classify", *files, "--epochs", "2", "--learning-rate", "0.001"]
