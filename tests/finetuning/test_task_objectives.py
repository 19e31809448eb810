import pytest

from finetuning.task_objectives import window_length
from model_export.config import BigBirdConfig
from model_export.errors import ConfigError


@pytest.mark.parametrize("wanted", [None, 514, 512, 64])
def test_a_window_is_whole_blocks_or_as_long_as_the_model(wanted: int | None) -> None:
    config = BigBirdConfig(max_position_embeddings=514)
    assert window_length(config, wanted) == (wanted or 514)
    with pytest.raises(ConfigError, match="must be a multiple of the block size 64 and at most 514, is 513"):
        window_length(config, 513)
