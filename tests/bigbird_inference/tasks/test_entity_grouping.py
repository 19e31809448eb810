"""Entities from token scores: by hand, and against the pipeline of transformers on the same logits."""

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.pipelines.token_classification import TokenClassificationPipeline

from bigbird_inference.tasks.entity_grouping import Aggregation, Entity, group_entities, word_starts
from bigbird_inference.tasks.label_scheme import LabelScheme
from bigbird_inference.tasks.scores import softmax
from bigbird_inference.tokenization.encoded import TokenizedText

UNKNOWN = 4
BIO = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
BIOES = ["O", "B-PER", "I-PER", "E-PER", "S-PER", "S-LOC"]
STRATEGIES: list[Aggregation] = ["none", "simple", "first", "average", "max"]


def cut(text: str, pieces: str, ids: list[int] | None = None) -> TokenizedText:
    """Tokens of a text whose pieces are given with bars between them, spaces left out."""
    starts, ends, position = [], [], 0
    for piece in pieces.split("|"):
        position = text.index(piece, position)
        starts.append(position)
        position += len(piece)
        ends.append(position)
    return TokenizedText(np.array(ids or [9] * len(starts)), np.array(starts), np.array(ends))


def labelled(labels: list[str], names: list[str], score: float = 0.9) -> np.ndarray:
    """Probabilities in which each token's label has the score and the others share the rest."""
    scores = np.full((len(names), len(labels)), (1 - score) / (len(labels) - 1))
    for token, name in enumerate(names):
        scores[token, labels.index(name)] = score
    return scores


def group(
    text: str,
    pieces: str,
    labels: list[str],
    names: str,
    how: Aggregation = "simple",
    *,
    punctuation_parts: bool = False,
) -> list[tuple[str, str]]:
    tokens, scores = cut(text, pieces), labelled(labels, names.split())
    scheme = LabelScheme.of(labels)
    found = group_entities(text, tokens, scores, scheme, how, UNKNOWN, punctuation_parts=punctuation_parts)
    assert all(text[entity.start : entity.end] == entity.text for entity in found)
    return [(entity.entity, entity.text) for entity in found]


@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        (BIO, "B-PER I-PER O B-LOC I-LOC", [("PER", "Ann Lee"), ("LOC", "New York")]),
        (BIO, "B-PER B-PER O I-LOC I-LOC", [("PER", "Ann"), ("PER", "Lee"), ("LOC", "New York")]),
        (BIO, "B-PER I-LOC I-LOC O O", [("PER", "Ann"), ("LOC", "Lee in")]),
        (BIO, "I-PER I-PER I-PER B-PER I-PER", [("PER", "Ann Lee in"), ("PER", "New York")]),
        (BIO, "O O O O O", []),
        (BIOES, "B-PER E-PER O S-LOC S-LOC", [("PER", "Ann Lee"), ("LOC", "New"), ("LOC", "York")]),
        (BIOES, "B-PER E-PER I-PER E-PER O", [("PER", "Ann Lee"), ("PER", "in New")]),
        (BIOES, "S-PER I-PER E-PER E-PER O", [("PER", "Ann"), ("PER", "Lee in"), ("PER", "New")]),
        (BIOES, "B-PER I-PER S-PER I-PER O", [("PER", "Ann Lee"), ("PER", "in"), ("PER", "New")]),
        (BIOES, "B-PER S-LOC E-PER O O", [("PER", "Ann"), ("LOC", "Lee"), ("PER", "in")]),
        (["O", "PER", "LOC"], "PER PER O LOC PER", [("PER", "Ann Lee"), ("LOC", "New"), ("PER", "York")]),
    ],
    ids=[
        "two entities",
        "a new beginning parts neighbours; an inside opens where nothing is open",
        "a change of type ends an entity",
        "an entity without a beginning ends at the next beginning",
        "nothing found",
        "ends and singles close at once",
        "after an end the same type begins anew",
        "singles stand alone, a stray end is an entity of its own",
        "a single inside an open entity closes it",
        "a change of type ends an open entity",
        "plain labels join while they are the same",
    ],
)
def test_simple_grouping(labels: list[str], names: str, expected: list[tuple[str, str]]) -> None:
    assert group("Ann Lee in New York", "Ann|Lee|in|New|York", labels, names) == expected


# One row for each row of the table in docs/http.md.
@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        pytest.param("O B-PER I-PER", "B-PER I-PER B-PER O I-PER", "PER:Ann Lee PER:in PER:York", id="BIO"),
        pytest.param("O I-PER B-PER", "I-PER I-PER B-PER O I-PER", "PER:Ann Lee PER:in PER:York", id="IOB1"),
        pytest.param("O B-PER I-PER E-PER S-PER", "B-PER E-PER S-PER O O", "PER:Ann Lee PER:in", id="BIOES"),
        pytest.param("O B-PER I-PER L-PER U-PER", "B-PER L-PER U-PER O O", "PER:Ann Lee PER:in", id="BILOU"),
        pytest.param("O PER", "PER PER PER O PER", "PER:Ann Lee in PER:York", id="types alone"),
        pytest.param("O B_PER I_PER", "B_PER I_PER B_PER O O", "B_PER:Ann I_PER:Lee B_PER:in", id="an underscore"),
        pytest.param("O PER-B PER-I", "PER-B PER-I PER-B O O", "PER-B:Ann PER-I:Lee PER-B:in", id="behind the type"),
        pytest.param("O b-per i-per", "b-per i-per b-per O O", "b-per:Ann i-per:Lee b-per:in", id="small letters"),
        pytest.param(
            "LABEL_0 LABEL_1",
            "LABEL_1 LABEL_1 LABEL_0 LABEL_0 LABEL_0",
            "LABEL_1:Ann Lee LABEL_0:in New York",
            id="none",
        ),
    ],
)
def test_what_becomes_of_each_way_to_name_labels(labels: str, names: str, expected: str) -> None:
    found = group("Ann Lee in New York", "Ann|Lee|in|New|York", labels.split(), names)
    assert " ".join(f"{entity}:{text}" for entity, text in found) == expected


def test_bilou_is_grouped_like_bioes() -> None:
    labels = ["O", "B-PER", "I-PER", "L-PER", "U-PER"]
    assert group("Ann Lee in New York", "Ann|Lee|in|New|York", labels, "B-PER L-PER U-PER B-PER I-PER") == [
        ("PER", "Ann Lee"),
        ("PER", "in"),
        ("PER", "New York"),
    ]


def test_none_gives_each_token_with_its_label() -> None:
    assert group("Ann Lee in York", "Ann|Le|e|in|York", BIO, "B-PER I-PER O O B-LOC", "none") == [
        ("B-PER", "Ann"),
        ("I-PER", "Le"),
        ("B-LOC", "York"),
    ]


@pytest.mark.parametrize(
    ("how", "expected", "score"),
    [
        ("simple", [("PER", "York"), ("LOC", "shi")], 0.6),
        ("first", [("PER", "Yorkshire")], 0.6),
        ("average", [("LOC", "Yorkshire")], 1.3 / 3),
        ("max", [("LOC", "Yorkshire")], 0.8),
    ],
    ids=[
        "simple cuts words where labels change",
        "first takes the label of the word's first token",
        "average takes the label with the largest mean",
        "max takes the label of the surest token",
    ],
)
def test_strategies_on_one_word(how: Aggregation, expected: list[tuple[str, str]], score: float) -> None:
    text, tokens = "Yorkshire", cut("Yorkshire", "York|shi|re")
    scores = np.array([[0.3, 0.6, 0.1], [0.15, 0.05, 0.8], [0.5, 0.1, 0.4]])
    found = group_entities(text, tokens, scores, LabelScheme.of(["O", "PER", "LOC"]), how, UNKNOWN)
    assert [(entity.entity, entity.text) for entity in found] == expected
    assert found[0].score == pytest.approx(score)


def test_a_groups_score_is_the_mean_of_its_tokens() -> None:
    scores = np.array([[0.1, 0.8, 0.1, 0.0, 0.0], [0.2, 0.1, 0.7, 0.0, 0.0], [0.4, 0.0, 0.6, 0.0, 0.0]])
    found = group_entities("Ann Lee Fox", cut("Ann Lee Fox", "Ann|Lee|Fox"), scores, LabelScheme.of(BIO), "simple", 4)
    assert found == [Entity("PER", "Ann Lee Fox", 0, 11, pytest.approx(0.7))]


def test_equally_sure_tokens_of_a_word_leave_the_label_to_the_first() -> None:
    scores = np.array([[0.2, 0.8, 0.0], [0.2, 0.0, 0.8]])
    found = group_entities("Ab", cut("Ab", "A|b"), scores, LabelScheme.of(["O", "X", "Y"]), "max", UNKNOWN)
    assert [entity.entity for entity in found] == ["X"]


def test_tokens_without_characters_part_no_entity() -> None:
    tokens = TokenizedText(np.array([9, 5, 9]), np.array([0, 4, 4]), np.array([3, 4, 7]))
    found = group_entities("Ann Lee", tokens, labelled(BIO, ["B-PER", "O", "I-PER"]), LabelScheme.of(BIO), "simple", 4)
    assert [(entity.entity, entity.text) for entity in found] == [("PER", "Ann Lee")]


@pytest.mark.parametrize(
    ("text", "pieces", "expected"),
    [
        ("New York's", "Ne|w|York|'|s", [1, 0, 1, 0, 0]),
        ("a\nb\tc\u3000d", "a|b|c|d", [1, 1, 1, 1]),
        (" a", "a", [1]),
        ("北京", "北|京", [1, 0]),
    ],
    ids=[
        "spaces part words, punctuation does not",
        "all whitespace parts words",
        "the first token",
        "no spaces",
    ],
)
def test_words_begin_after_whitespace(text: str, pieces: str, expected: list[int]) -> None:
    assert word_starts(text, cut(text, pieces), UNKNOWN).astype(int).tolist() == expected


@pytest.mark.parametrize(
    ("text", "pieces", "expected"),
    [
        ("New York's", "Ne|w|York|'|s", [1, 0, 1, 1, 1]),
        ("(New York).", "(|New|Yo|rk|)|.", [1, 1, 1, 0, 1, 1]),
        ("US. ... #50", "US|.|.|..|#|5|0", [1, 1, 1, 1, 1, 1, 0]),
        ("(U.S.), T.J. Ax", "(|U|.|S|.|)|,|T|.|J|.|Ax", [1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1]),
        ("7.30 p.m. C. Ax. a.bc v.o", "7|.|30|p|.|m|.|C|.|Ax|.|a|.|bc|v|.|o", [int(c) for c in "10010001111111100"]),
        ("($5,000.50), 11.1%.", "(|$|5|,|000|.|50|)|,|11|.|1|%|.", [int(c) for c in "11000001110001"]),
        ("2004-04-17, 10:30. 5-a", "2004|-|04|-|17|,|10|:|30|.|5|-|a", [int(c) for c in "1000011001111"]),
    ],
    ids=[
        "apostrophes",
        "brackets and full stops",
        "punctuation alone, and signs",
        "dotted letters",
        "others",
        "signs at a number",
        "signs in a number",
    ],
)
def test_punctuation_parts_words_where_the_model_is_told_so(text: str, pieces: str, expected: list[int]) -> None:
    found = word_starts(text, cut(text, pieces), UNKNOWN, punctuation_parts=True)
    assert found.astype(int).tolist() == expected


@pytest.mark.parametrize("how", ["first", "average", "max"])
def test_a_full_stop_is_part_of_an_entity_only_if_the_model_says_so(how: Aggregation) -> None:
    found = group("in Paris.", "in|Pa|ris|.", BIO, "O B-LOC I-LOC O", how, punctuation_parts=True)
    assert found == [("LOC", "Paris")]
    labels = "O O B-LOC I-LOC I-LOC I-LOC"
    assert group("in the U.S.", "in|the|U|.|S|.", BIO, labels, how, punctuation_parts=True) == [("LOC", "U.S.")]


@pytest.mark.parametrize("how", ["first", "average", "max"])
def test_no_entity_begins_or_ends_among_dotted_letters_or_within_a_number(how: Aggregation) -> None:
    labels = "O B-LOC I-LOC I-LOC I-LOC O"
    assert group("at 7 p.m.", "at|7|p|.|m|.", BIO, labels, how, punctuation_parts=True) == [("LOC", "7 p.m.")]
    assert group("at 11.1%.", "at|11|.|1|%|.", BIO, labels, how, punctuation_parts=True) == [("LOC", "11.1%")]


@pytest.mark.parametrize("how", ["simple", "first", "average", "max"])
@pytest.mark.parametrize(
    ("between", "joined"),
    [(" ", True), ("\n", True), ("\n\n", False), ("\r\n\r\n", False), ("\n \t\n", False), ("  ", True)],
)
def test_no_entity_goes_on_across_an_empty_line(how: Aggregation, between: str, joined: bool) -> None:
    text = f"Ann{between}Lee"
    expected = [("PER", text)] if joined else [("PER", "Ann"), ("PER", "Lee")]
    assert group(text, "Ann|Lee", BIO, "B-PER I-PER", how) == expected


@pytest.mark.parametrize("how", ["simple", "average"])
def test_no_entity_goes_on_from_one_column_to_the_next(how: Aggregation) -> None:
    for between in ("\t", " \t", "   "):
        assert group(f"Ann{between}Lee", "Ann|Lee", BIO, "B-PER I-PER", how) == [("PER", "Ann"), ("PER", "Lee")]
    for indented in ("\n\t", "\n     ", "    \r\n"):
        assert group(f"Ann{indented}Lee", "Ann|Lee", BIO, "B-PER I-PER", how) == [("PER", f"Ann{indented}Lee")]


def test_the_average_is_of_types_where_the_model_is_told_so() -> None:
    tokens = cut("up 12% May", "up|12|%|May")
    scores = np.array([[0.9, 0.1, 0.0], [0.4, 0.6, 0.0], [0.3, 0.1, 0.6], [0.2, 0.5, 0.3]])
    scheme = LabelScheme.of(["O", "B-X", "I-X"])
    found = group_entities("up 12% May", tokens, scores, scheme, "average", UNKNOWN, punctuation_parts=True)
    assert [entity.text for entity in found] == ["12%", "May"]
    assert [entity.score for entity in found] == pytest.approx([(0.6 + 0.7) / 2, 0.8])


def test_punctuation_alone_is_no_entity_where_punctuation_parts_words() -> None:
    text, pieces, labels = "E., & Co", "E|.|,|&|Co", "O B-PER O B-PER B-PER"
    assert group(text, pieces, BIO, labels, "average", punctuation_parts=True) == [("PER", "Co")]
    assert [found for _, found in group(text, pieces, BIO, labels, "simple")] == [".", "&", "Co"]


def test_bytes_of_one_character_are_one_word() -> None:
    tokens = TokenizedText(np.full(5, 9), np.array([0, 2, 2, 2, 3]), np.array([1, 3, 3, 3, 4]))
    assert word_starts("a 😀b", tokens, UNKNOWN).tolist() == [True, True, False, False, False]


def transformers_entities(
    text: str, tokens: TokenizedText, logits: np.ndarray, labels: list[str], how: Aggregation
) -> list[tuple[str, int, int, float]]:
    """What the pipeline makes of the same logits; only its tokenizer and model are stand-ins."""
    pipeline = TokenClassificationPipeline.__new__(TokenClassificationPipeline)
    pipeline.model = SimpleNamespace(config=SimpleNamespace(id2label=dict(enumerate(labels))))
    pipeline.tokenizer = SimpleNamespace(
        is_fast=True,
        unk_token_id=UNKNOWN,
        convert_ids_to_tokens=str,
        convert_tokens_to_string="".join,
    )
    outputs = {
        "logits": torch.tensor(logits)[None],
        "sentence": text,
        "input_ids": torch.tensor(tokens.ids)[None],
        "offset_mapping": torch.tensor(np.stack([tokens.starts, tokens.ends], axis=1))[None],
        "special_tokens_mask": torch.zeros(1, len(tokens), dtype=torch.int64),
    }
    _, _, options = pipeline._sanitize_parameters(aggregation_strategy=how)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Tokenizer does not support real words")
        found: list[dict[str, Any]] = pipeline.postprocess([outputs], **options)
    key = "entity" if how == "none" else "entity_group"
    return [(entity[key], entity["start"], entity["end"], float(entity["score"])) for entity in found]


@st.composite
def texts_in_pieces(draw: st.DrawFn) -> tuple[str, TokenizedText]:
    """Words with single spaces between them, each cut into pieces, some of them unknown."""
    words = draw(st.lists(st.lists(st.text("abcé京", min_size=1, max_size=3), min_size=1, max_size=3), min_size=1))
    text, starts, ends = "", [], []
    for word in words:
        text += " " if text else ""
        for piece in word:
            starts.append(len(text))
            text += piece
            ends.append(len(text))
    ids = draw(st.lists(st.sampled_from([UNKNOWN, 7, 8, 9]), min_size=len(starts), max_size=len(starts)))
    return text, TokenizedText(np.array(ids), np.array(starts), np.array(ends))


@pytest.mark.parametrize("how", STRATEGIES)
@pytest.mark.parametrize(
    "labels",
    [BIO, ["O", "PER", "LOC"], ["B-X", "I-X", "O", "MISC"], ["A", "B"]],
    ids=["BIO", "plain labels", "some labels with positions", "no outside label"],
)
@settings(max_examples=40, deadline=None)
@given(document=texts_in_pieces(), seed=st.integers(0, 2**32 - 1))
def test_entities_equal_those_of_transformers(
    how: Aggregation, labels: list[str], document: tuple[str, TokenizedText], seed: int
) -> None:
    text, tokens = document
    logits = np.random.default_rng(seed).normal(0, 2, (len(tokens), len(labels))).astype(np.float32)
    ours = group_entities(text, tokens, softmax(logits), LabelScheme.of(labels), how, UNKNOWN)
    theirs = transformers_entities(text, tokens, logits, labels, how)
    assert [(entity.entity, entity.start, entity.end) for entity in ours] == [found[:3] for found in theirs]
    assert [entity.score for entity in ours] == pytest.approx([found[3] for found in theirs], abs=1e-6)
