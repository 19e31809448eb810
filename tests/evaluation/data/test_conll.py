from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evaluation.data.conll import read_conll
from tests.evaluation.data.malformed import refusal

NEWS = """-DOCSTART- -X- -X- O

EU NNP B-NP I-ORG
rejects VBZ B-VP O
Peter NNP B-NP I-PER
Blackburn NNP I-NP I-PER

BRUSSELS NNP B-NP I-LOC

-DOCSTART- -X- -X- O

Nadim NNP B-NP I-PER
Ladki NNP B-NP B-PER
"""


def test_a_document_is_its_sentences_and_spans_are_characters_of_its_text(tmp_path: Path) -> None:
    path = tmp_path / "dev.conll"
    path.write_text(NEWS)
    first, second = read_conll(path).texts
    assert first.text == "EU rejects Peter Blackburn\nBRUSSELS"
    assert [(one.label, first.text[one.start : one.end]) for one in first.entities] == [
        ("ORG", "EU"),
        ("PER", "Peter Blackburn"),
        ("LOC", "BRUSSELS"),
    ]
    assert [first.text[start:][:2] for start in first.word_starts] == ["EU", "re", "Pe", "Bl", "BR"]
    assert [(one.first, one.stop) for one in first.entities] == [(0, 1), (2, 4), (4, 5)]
    assert [second.text[one.start : one.end] for one in second.entities] == ["Nadim", "Ladki"]
    assert (first.line, second.line) == (3, 12)


def test_a_sentence_may_be_a_text(tmp_path: Path) -> None:
    path = tmp_path / "dev.conll"
    path.write_text(NEWS)
    assert [text.text for text in read_conll(path, unit="sentence").texts] == [
        "EU rejects Peter Blackburn",
        "BRUSSELS",
        "Nadim Ladki",
    ]


def test_a_text_knows_its_document(tmp_path: Path) -> None:
    path = tmp_path / "dev.conll"
    path.write_text(NEWS)
    file, sentences = read_conll(path), read_conll(path, unit="sentence")
    assert [text.document for text in file.texts] == [0, 1]
    assert [text.document for text in sentences.texts] == [0, 0, 1]
    assert file.divided
    assert sentences.divided
    path.write_text("a O\n\nb O\n")
    file = read_conll(path)
    assert [text.document for text in file.texts] == [0, 1]
    assert not file.divided


def test_without_docstart_every_sentence_is_a_document(tmp_path: Path) -> None:
    path = tmp_path / "dev.conll"
    path.write_text("a O\r\n\r\n\r\nb B-X\r\n")
    assert [(text.text, text.tags, text.line) for text in read_conll(path).texts] == [
        ("a", ("O",), 1),
        ("b", ("B-X",), 4),
    ]


def test_an_entity_ends_with_its_sentence(tmp_path: Path) -> None:
    path = tmp_path / "dev.conll"
    path.write_text("-DOCSTART- O\n\na B-X\n\nb I-X\n")
    (text,) = read_conll(path).texts
    assert [text.text[one.start : one.end] for one in text.entities] == ["a", "b"]


def test_words_of_columns_with_tabs_may_hold_spaces_and_other_blanks(tmp_path: Path) -> None:
    path = tmp_path / "dev.conll"
    path.write_text("10\u00a0km\tB-X\nNew York\tB-X\n", encoding="utf-8")
    (text,) = read_conll(path).texts
    assert text.words == ("10\u00a0km", "New York")


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        pytest.param("I-X I-X O I-Y B-Y", "IOB1", id="IOB1: B only between neighbours"),
        pytest.param("B-X I-X O B-Y B-Y", "BIO", id="BIO: B always"),
        pytest.param("B-X I-X O B-X B-X I-Y", "BIO", id="BIO with one broken tag"),
        pytest.param("B-X E-X O S-Y", "BIOES", id="BIOES: E and S"),
        pytest.param("B-X L-X O U-Y", "BILOU", id="BILOU: L and U"),
        pytest.param("X X O Y", "plain", id="types alone"),
        pytest.param("O O", "BIO", id="nothing to tell from"),
    ],
)
def test_the_scheme_is_found(tmp_path: Path, tags: str, scheme: str) -> None:
    path = tmp_path / "dev.conll"
    path.write_text("\n".join(f"w {tag}" for tag in tags.split()))
    assert read_conll(path).scheme == scheme


def test_broken_tags_begin_entities_unless_a_scheme_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "dev.conll"
    path.write_text("a B-X\nb I-Y\nc O\nd I-X\n")
    (text,) = read_conll(path).texts
    assert [(one.label, one.first, one.stop) for one in text.entities] == [("X", 0, 1), ("Y", 1, 2), ("X", 3, 4)]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        pytest.param("B-X L-X O U-Y U-Y", [("X", 0, 2), ("Y", 3, 4), ("Y", 4, 5)], id="BILOU"),
        pytest.param("X X O Y X", [("X", 0, 2), ("Y", 3, 4), ("X", 4, 5)], id="types alone"),
        pytest.param("E-MAIL PER O", [("E-MAIL", 0, 1), ("PER", 1, 2)], id="a type that begins like a position"),
    ],
)
def test_entities_are_read_from(tmp_path: Path, tags: str, expected: list[tuple[str, int, int]]) -> None:
    path = tmp_path / "dev.conll"
    path.write_text("\n".join(f"w {tag}" for tag in tags.split()))
    file = read_conll(path)
    assert [(one.label, one.first, one.stop) for one in file.texts[0].entities] == expected
    assert file.labels == tuple(sorted({label for label, _, _ in expected}))


def test_tags_that_the_model_has_mean_what_they_mean_there(tmp_path: Path) -> None:
    path = tmp_path / "dev.conll"
    path.write_text("a E-MAIL\nb E-MAIL\n")
    assert read_conll(path).labels == ("MAIL",)
    file = read_conll(path, model_labels=["O", "PER", "E-MAIL"])
    assert [(one.label, one.first, one.stop) for one in file.texts[0].entities] == [("E-MAIL", 0, 2)]


def test_comments_before_a_sentence_are_skipped_and_words_that_look_like_them_are_not(tmp_path: Path) -> None:
    path = tmp_path / "dev.conll"
    path.write_text(
        "# id 5239d808-f300\tdomain=train\n# text = Ann met Bo\nAnn B-PER\nmet O\n# O\n\n"
        "#\n# id 2\n# O\n1 B-NUM\n\n#Oslo B-LOC\n"
    )
    file = read_conll(path)
    assert [(text.words, text.line) for text in file.texts] == [
        (("Ann", "met", "#"), 3),
        (("#", "1"), 9),
        (("#Oslo",), 12),
    ]
    assert file.scheme == "BIO"


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        pytest.param("", {}, "dev.conll: the file is empty", id="an empty file"),
        pytest.param("-DOCSTART- O\n", {}, "dev.conll: no word in the file", id="a file without words"),
        pytest.param("a O\nb\n", {}, "dev.conll:2: one column, where a word and its tag are needed", id="one column"),
        pytest.param("a O\nb X O\n", {}, "dev.conll:2: 3 columns, where the lines before have 2", id="a column more"),
        pytest.param("a B-X\nb PER\n", {}, "dev.conll:2: 'PER' is not an entity tag", id="a type alone among others"),
        pytest.param("a O\nb B-\n", {}, "dev.conll:2: 'B-' is not an entity tag", id="a tag without type"),
        pytest.param("a B-X\nb M-X\nc E-X", {}, "dev.conll:2: 'M-X' is not an entity tag", id="BMES"),
        pytest.param("#a O\n#b\n", {}, "dev.conll:2: one column, where a", id="a word with # that has no tag"),
        pytest.param(b"a O\n\nb\xff O\n", {}, "dev.conll:3: not UTF-8", id="another encoding"),
        pytest.param(
            "a B-X\nb B-Z\n",
            {"model_labels": ["O", "B-X", "I-X", "B-Y", "I-Y"]},
            "dev.conll:2: unknown label 'Z'; the model's labels are: X, Y",
            id="an unknown type",
        ),
        pytest.param(
            "a B-X\n\nb I-X\n",
            {"scheme": "BIO"},
            "dev.conll:3: I-X: no entity of its type is open after O",
            id="BIO that begins inside",
        ),
        pytest.param("a S-X\n", {"scheme": "BIO"}, "dev.conll:1: S-X: BIO has no S-", id="BIO with a prefix of BIOES"),
        pytest.param(
            "a B-X\nb I-X\nc O",
            {"scheme": "BIOES"},
            "dev.conll:2: I-X: its entity has no E- before O",
            id="BIOES that does not end",
        ),
        pytest.param(
            "a B-X\n", {"scheme": "IOB1"}, "dev.conll:1: B-X: IOB1 uses B- only", id="IOB1 that begins with B"
        ),
        pytest.param(
            "a B-X\nb O\n", {"scheme": "BILOU"}, "dev.conll:1: B-X: its entity has no L- before O", id="BILOU without L"
        ),
        pytest.param("a X\n", {"scheme": "BIO"}, "dev.conll:1: X: BIO has a position before", id="BIO of types alone"),
        pytest.param("a B-X\n", {"scheme": "plain"}, "dev.conll:1: B-X: plain has no B-", id="types alone with B"),
    ],
)
def test_one_line_names_file_line_and_problem_of(
    tmp_path: Path, content: str | bytes, options: dict[str, Any], message: str
) -> None:
    assert refusal(partial(read_conll, **options), tmp_path / "dev.conll", content).startswith(message)
