"""Labels as positions and types, and those that only look as if they had positions."""

import pytest

from bigbird_inference.tasks.label_scheme import LabelScheme, unread_positions


@pytest.mark.parametrize(
    ("labels", "entities", "opens", "closes"),
    [
        (["O", "B-PER", "I-PER"], ["O", "PER", "PER"], [1], []),
        (["O", "B-X", "I-X", "E-X", "S-X"], ["O", "X", "X", "X", "X"], [1, 4], [3, 4]),
        (["B-X", "I-X", "L-X", "U-X", "O"], ["X", "X", "X", "X", "O"], [0, 3], [2, 3]),
        (["O", "PER", "LOC"], ["O", "PER", "LOC"], [], []),
        (["O", "E-MAIL", "PHONE"], ["O", "E-MAIL", "PHONE"], [], []),
        (["O", "B-E-MAIL", "I-E-MAIL"], ["O", "E-MAIL", "E-MAIL"], [1], []),
        (["O", "B-PER", "I-PER", "MISC", "S-BAHN"], ["O", "PER", "PER", "MISC", "S-BAHN"], [1], []),
        (["I-PER", "B-", "-"], ["PER", "B-", "-"], [], []),
    ],
    ids=[
        "BIO",
        "BIOES",
        "BILOU with the outside last",
        "plain labels",
        "a plain label that looks like an end",
        "a hyphen in an entity type",
        "positions on some labels only",
        "no entity type after a prefix",
    ],
)
def test_schemes(labels: list[str], entities: list[str], opens: list[int], closes: list[int]) -> None:
    scheme = LabelScheme.of(labels)
    assert [scheme.entities[entity] for entity in scheme.entity_of] == entities
    assert scheme.opens.nonzero()[0].tolist() == opens
    assert scheme.closes.nonzero()[0].tolist() == closes


@pytest.mark.parametrize(
    ("labels", "unread"),
    [
        pytest.param(["O", "B-X", "I-X"], [], id="BIO"),
        pytest.param(["O", "B-X", "I-X", "E-X", "S-X", "S-Y"], [], id="BIOES"),
        pytest.param(["B-X", "I-X", "L-X", "U-X", "O"], [], id="BILOU"),
        pytest.param(["O", "PER", "E-MAIL", "M-16"], [], id="types alone"),
        pytest.param(["O", "B-X", "M-X", "E-X", "S-X", "S-Y"], ["M-X", "E-X", "S-X", "S-Y"], id="BMES"),
        pytest.param(["O", "B-X", "I-X", "E-X", "DATE"], ["E-X"], id="BIOES with a type alone"),
        pytest.param(["O", "b-X", "i-X"], ["b-X", "i-X"], id="small letters"),
        pytest.param(["O", "B_X", "I_X"], ["B_X", "I_X"], id="underscores"),
        pytest.param(["O", "X-B", "X-I"], ["X-B", "X-I"], id="positions at the end"),
        pytest.param(["O", "B", "I"], ["B", "I"], id="positions without types"),
        pytest.param(["O", "S", "M", "L"], [], id="sizes"),
    ],
)
def test_positions_that_are_not_read_are_found_in(labels: list[str], unread: list[str]) -> None:
    """An unread position makes a label a type of its own: BMES would be served as four types."""
    assert unread_positions(labels) == unread
    assert set(unread) <= set(LabelScheme.of(labels).entities)
