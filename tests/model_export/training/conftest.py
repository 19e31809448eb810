from pathlib import Path

import pytest

from service.tokenization.tokenizer import Tokenizer
from tests.model_export.training.small_models import save_small_checkpoint, tokenizer_of


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint without task head."""
    return save_small_checkpoint(tmp_path_factory.mktemp("encoder"), "embed")


@pytest.fixture(scope="session")
def tokenizer(encoder: Path) -> Tokenizer:
    return tokenizer_of(encoder)
