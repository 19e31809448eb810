import pytest

from model_export.errors import ExportError
from model_export.patterns.pattern import RandomBlocks
from model_export.patterns.registry import PATTERNS, get_pattern

NAMES = ("transformers", "transformers-train", "google", "model-garden", "none")


def _blocks(name: str, layer: int = 0, slots: int = 3) -> RandomBlocks:
    return get_pattern(name).random_blocks(layer, heads=12, slots=slots, block_size=64, max_position_embeddings=4096)


def test_the_patterns_are_found_by_the_names_of_the_command_line() -> None:
    assert tuple(PATTERNS) == NAMES
    for name in NAMES:
        assert get_pattern(name).name == name


@pytest.mark.parametrize("name", ["", "Transformers", "random"])
def test_an_unknown_pattern_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(ExportError, match=rf"^pattern: '{name}' is not one of .*transformers.*none"):
        get_pattern(name)


@pytest.mark.parametrize(("slots", "copies"), [(0, 0), (1, 1), (3, 3)])
def test_transformers_in_eval_attends_the_first_block_once_more_for_each_slot(slots: int, copies: int) -> None:
    blocks = _blocks("transformers", slots=slots)
    assert blocks.first_block_copies == copies
    assert blocks.table.shape[1:] == (62, 0)


@pytest.mark.parametrize("slots", [0, 3])
def test_none_has_no_random_blocks_whatever_the_configuration_says(slots: int) -> None:
    blocks = _blocks("none", slots=slots)
    assert blocks.first_block_copies == 0
    assert blocks.table.shape[1:] == (62, 0)


@pytest.mark.parametrize("name", NAMES)
def test_every_pattern_works_without_random_blocks(name: str) -> None:
    blocks = _blocks(name, slots=0)
    assert blocks.first_block_copies == 0
    assert blocks.table.shape[1:] == (62, 0)
    assert blocks.listed_table is None
    # Layers with the same blocks share one object, so that index tables are built once.
    assert _blocks(name, layer=11, slots=0) is blocks


@pytest.mark.parametrize("name", ["transformers", "none"])
def test_layers_without_random_numbers_share_one_object(name: str) -> None:
    assert _blocks(name, layer=0) is _blocks(name, layer=11)
