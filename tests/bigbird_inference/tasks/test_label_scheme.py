"""Labels of the three families are read as what they are."""

import pytest

from bigbird_inference.tasks.entity_grouping import LabelScheme


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
    assert [label for label, outside in zip(labels, scheme.outside, strict=True) if outside] == [
        label for label in labels if label == "O"
    ]
