from pathlib import Path

import pytest

from bigbird_inference.tokenization.tokenizer import Tokenizer
from demo.vocabulary import CLASSIFY, MASK, PAD, SEPARATOR, train_vocabulary


@pytest.fixture(scope="session")
def vocabulary_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vocabulary") / "spiece.model"
    train_vocabulary(path, size=4000, reports=1200)
    return path


@pytest.fixture(scope="session")
def tokenizer(vocabulary_file: Path) -> Tokenizer:
    return Tokenizer(vocabulary_file, CLASSIFY, SEPARATOR, PAD, MASK).load()
