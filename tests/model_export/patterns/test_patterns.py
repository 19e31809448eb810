import pytest

from model_export.errors import ExportError
from model_export.patterns.registry import PATTERNS, get_pattern


def test_the_patterns_are_found_by_the_names_of_the_command_line() -> None:
    assert {"transformers", "none"} <= set(PATTERNS)
    for name in ("transformers", "none"):
        assert get_pattern(name).name == name


@pytest.mark.parametrize("name", ["", "Transformers", "random"])
def test_an_unknown_pattern_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(ExportError, match=rf"^pattern: '{name}' is not one of .*transformers.*none"):
        get_pattern(name)


@pytest.mark.parametrize(("slots", "copies"), [(0, 0), (1, 1), (3, 3)])
def test_transformers_in_eval_attends_the_first_block_once_more_for_each_slot(slots: int, copies: int) -> None:
    blocks = get_pattern("transformers").random_blocks(0, heads=12, max_blocks=64, slots=slots)
    assert blocks.first_block_copies == copies
    assert blocks.table.shape[1:] == (62, 0)


@pytest.mark.parametrize("slots", [0, 3])
def test_none_has_no_random_blocks_whatever_the_configuration_says(slots: int) -> None:
    blocks = get_pattern("none").random_blocks(0, heads=12, max_blocks=64, slots=slots)
    assert blocks.first_block_copies == 0
    assert blocks.table.shape[1:] == (62, 0)


@pytest.mark.parametrize("name", ["transformers", "none"])
def test_layers_with_the_same_blocks_share_one_object(name: str) -> None:
    first, last = (get_pattern(name).random_blocks(n, heads=2, max_blocks=20, slots=2) for n in (0, 11))
    assert first is last
