"""The table's normal forms are the library's, for whole texts, and each character knows where it came from."""

from typing import Any

import pytest
from tokenizers import normalizers

from bigbird_inference.tokenization.character_table import CharacterTable
from tests.tokenizer_files import mixed_strings

OPTIONS: list[dict[str, Any]] = [
    {},
    {"lowercase": False},
    {"lowercase": True, "strip_accents": False},
    {"lowercase": False, "strip_accents": True},
    {"handle_chinese_chars": False, "clean_text": False},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_normal_forms_are_those_of_the_library(options: dict[str, Any]) -> None:
    normaliser = normalizers.BertNormalizer(**options)
    table = CharacterTable.of(normaliser.normalize_str)
    assert table is not None
    found = 0
    for text in [*mixed_strings(4_000, seed=4), "|a||b|", "\u1d165\u1d16d", "각\u302e가\u302f"]:
        normal = table.apply(text)
        if normal is not None:
            found += 1
            assert normal[0] == normaliser.normalize_str(text)
            assert [normaliser.normalize_str(text[origin]) for origin in normal[1].tolist()].count("") == 0
            assert all(
                letter in normaliser.normalize_str(text[origin])
                for letter, origin in zip(normal[0], normal[1].tolist(), strict=True)
            )
    assert found > 3_000


def test_marks_that_stay_and_rare_planes_are_left_to_the_library() -> None:
    table = CharacterTable.of(normalizers.BertNormalizer(lowercase=False).normalize_str)
    assert table is not None
    assert table.apply("a\u0323\u0301") is None
    assert table.apply("a\U00020000") is None
    assert table.apply("") is None


def test_a_normaliser_that_cannot_be_asked_about_single_characters_has_no_table() -> None:
    assert CharacterTable.of(lambda text: text.replace("|", "")) is None
