"""Remarks: sentences with names, dates and sums that belong to no subject and that nobody is asked about."""

from demo.facts import Attribute, SubjectKind

REMARK = SubjectKind(
    name="remark",
    heading="Remarks",
    label=None,
    it="",
    its="",
    attributes={
        "person": Attribute(
            label="PER",
            titles=(),
            statements=(
                "{person} [took the minutes|collected the papers|read the draft].",
                "[Thanks are due to|The photographs were taken by|The translation is by] {person}.",
                "{person} [was ill and sent a note|has retired in the meantime|made the coffee].",
            ),
            continuations=(),
            questions=(),
        ),
        "organisation": Attribute(
            label="ORG",
            titles=(),
            statements=(
                "[An offer by|A complaint by|A letter from] {organisation} was [not considered|put on file].",
                "{organisation} [supplied the furniture|printed this text|lent a projector].",
            ),
            continuations=(),
            questions=(),
        ),
        "place": Attribute(
            label="LOC",
            titles=(),
            statements=(
                "[A similar case|The same thing] was [heard of|observed] in {place}.",
                "[Some readers|The guests] [travelled from|are writing from] {place}.",
            ),
            continuations=(),
            questions=(),
        ),
        "date": Attribute(
            label="DATE",
            titles=(),
            statements=(
                "[This text|This part] was [last changed|printed|translated] {on date}.",
                "{On date} [the weather was bad|the office was closed|nothing worth mentioning happened].",
            ),
            continuations=(),
            questions=(),
        ),
        "money": Attribute(
            label="MONEY",
            titles=(),
            statements=(
                "[Insurance for the whole group|Repairs of all kinds|Last year's spending] came to {money}.",
                "[A refund|A reserve] of {money} is [still open|kept for emergencies].",
            ),
            continuations=(),
            questions=(),
        ),
    },
    pairs=(
        "{person} [sent a postcard|called] from {place}.",
        "{organisation} [sent a bill|asked] for {money}.",
        "{person} [left|came back] {on date}.",
    ),
    mentions=(),
)
