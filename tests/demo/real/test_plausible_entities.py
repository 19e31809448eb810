"""What is kept of a teacher's entities."""

import pytest

from demo.real.plausible_entities import plausible


@pytest.mark.parametrize(
    ("text", "label", "kept"),
    [
        ("Ann Lee", "PER", ("Ann Lee", "PER")),
        ('"Ann Lee\u2019s', "PER", ("Ann Lee", "PER")),
        ("ann lee", "PER", None),
        ("Ann2", "PER", None),
        ("ann@example.org", "ORG", None),
        ("Apollo 11", "ORG", ("Apollo 11", "ORG")),
        ("$5 million", "MONEY", ("$5 million", "MONEY")),
        ("ten dollars", "MONEY", ("ten dollars", "MONEY")),
        ("7,281,048.11", "MONEY", None),
        ("$cmd", "MONEY", None),
        ("35 per cent", "MONEY", ("35 per cent", "PERCENT")),
        ("2.4.18-", "PERCENT", None),
        ("1861", "DATE", ("1861", "DATE")),
        ("9600", "DATE", None),
        ("last May,", "DATE", ("last May", "DATE")),
        ("8 mi", "TIME", None),
        ("8 am", "TIME", ("8 am", "TIME")),
        ("'s", "ORG", None),
    ],
)
def test_what_an_entity_cannot_be_is_dropped(text: str, label: str, kept: tuple[str, str] | None) -> None:
    found = [(text[start:end], told) for start, end, told in plausible(text, [(0, len(text), label)])]
    assert found == ([] if kept is None else [kept])


def test_an_amount_has_its_sign() -> None:
    assert plausible("It cost $400,000,000.", [(9, 20, "MONEY")]) == [(8, 20, "MONEY")]
    assert plausible("400,000,000", [(0, 11, "MONEY")]) == []
    assert plausible("5$6$", [(0, 2, "MONEY"), (2, 4, "MONEY")]) == [(0, 2, "MONEY"), (2, 4, "MONEY")]
