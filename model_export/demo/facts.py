"""What a report can state: the kinds of subjects, their attributes, and the sentences that state them.

A statement is a phrase whose fields name the subject and the attributes it gives away: ``{subject}``, ``{leader}``,
``{site}``. A date's field may ask for the preposition that fits the date: ``{on start}`` becomes "on 12 May 2019" or
"in 2019", ``{On start}`` the same at the head of a sentence. Statements of one attribute and of two stand in one list;
the report picks those that fit the facts it has still to state.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

Label = Literal["PER", "ORG", "LOC", "DATE", "MONEY"]

LABELS: tuple[Label, ...] = ("PER", "ORG", "LOC", "DATE", "MONEY")

FIELD = re.compile(r"\{(?:(on|On) )?(\w+)\}")


@dataclass(frozen=True, slots=True)
class SubjectKind:
    """A kind of thing that reports state facts about.

    Attributes:
        name: "project", "organisation" or "person".
        label: The entity label of the subject's own name; a project is no entity.
        attributes: The label of the value of each attribute.
        statements: Phrases that state one or two attributes of one subject.
        mentions: Phrases that name the subject and state nothing that is ever asked.
    """

    name: str
    label: Label | None
    attributes: dict[str, Label]
    statements: tuple[str, ...]
    mentions: tuple[str, ...]
    stated: dict[str, frozenset[str]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Looks up once which attributes each statement gives away."""
        fields = {phrase: {name for _, name in FIELD.findall(phrase)} for phrase in self.statements}
        object.__setattr__(self, "stated", {phrase: frozenset(names - {"subject"}) for phrase, names in fields.items()})


PROJECT = SubjectKind(
    name="project",
    label=None,
    attributes={
        "leader": "PER",
        "contractor": "ORG",
        "sponsor": "ORG",
        "site": "LOC",
        "start": "DATE",
        "deadline": "DATE",
        "budget": "MONEY",
    },
    statements=(
        "{subject} is [led|managed|directed|headed] by {leader}.",
        "{leader} [leads|manages|heads|runs] {subject}.",
        "Responsibility for {subject} [lies|rests] with {leader}.",
        "The [manager|leader|head] of {subject} is {leader}.",
        "{leader} [is in charge of|was put in charge of|has taken over the management of] {subject}.",
        "At {subject}, {leader} [holds the post of project manager|has the final say].",
        "The [main contractor|contractor] for {subject} is {contractor}.",
        "{contractor} [carries out the work on|does the work for|is the contractor for] {subject}.",
        "{contractor} was [hired|chosen|appointed] as contractor for {subject}.",
        "The contract for {subject} [went to|was awarded to|was won by] {contractor}.",
        "{subject} is [funded|financed|sponsored] by {sponsor}.",
        "{sponsor} [finances|sponsors|funds|pays for] {subject}.",
        "The [sponsor|financial backer] of {subject} is {sponsor}.",
        "The money for {subject} [comes from|is provided by] {sponsor}.",
        "{subject} is [carried out|based|located] in {site}.",
        "The site of {subject} [is|lies] in {site}.",
        "The work on {subject} takes place in {site}.",
        "{site} [is|was chosen as] the site of {subject}.",
        "Work on {subject} [began|started] {on start}.",
        "{subject} was [launched|started|opened] {on start}.",
        "{On start} the work on {subject} [began|started].",
        "The [start|launch] of {subject} dates from {start}.",
        "{subject} [is due to finish|must be finished|is to be completed] {on deadline}.",
        "The deadline for {subject} is {deadline}.",
        "The completion of {subject} is [planned|scheduled] for {deadline}.",
        "{deadline} [is|was set as] the deadline for {subject}.",
        "The budget of {subject} [is|amounts to|comes to] {budget}.",
        "{subject} has a budget of {budget}.",
        "{budget} [was set aside|has been reserved|was approved] for {subject}.",
        "The [cost|total cost] of {subject} is [put at|estimated at] {budget}.",
        "{subject}, [led|managed] by {leader}, is [based|located] in {site}.",
        "{subject}, which has a budget of {budget}, is [led|managed] by {leader}.",
        "{subject} was launched {on start} by {leader}, who is its manager.",
        "{subject} [began|started] {on start} with a budget of {budget}.",
        "{contractor} carries out the work on {subject}, which is paid for by {sponsor}.",
        "{subject} [began|was launched] {on start} and is due to finish {on deadline}.",
        "In {site}, {contractor} does the work for {subject}.",
        "{sponsor} has set aside {budget} for {subject}, which it finances.",
        "{leader}, who leads {subject}, must finish it {on deadline}.",
    ),
    mentions=(
        "{subject} is described in [more detail|full] in a separate [note|annex].",
        "Several [readers|colleagues] asked how {subject} fits into the plans.",
        "The figures for {subject} were [checked|reviewed] once more.",
        "{subject} was also [discussed|mentioned].",
    ),
)

ORGANISATION = SubjectKind(
    name="organisation",
    label="ORG",
    attributes={
        "director": "PER",
        "owner": "ORG",
        "headquarters": "LOC",
        "founded": "DATE",
        "revenue": "MONEY",
    },
    statements=(
        "{subject} is [headed|led|run] by {director}.",
        "{director} is the [director|chief executive|managing director] of {subject}.",
        "The [director|chief executive|head] of {subject} is {director}.",
        "{director} [runs|heads|leads] {subject}.",
        "The board of {subject} has chosen {director} as its chief executive.",
        "{subject} is [owned|controlled] by {owner}.",
        "{owner} [owns|controls|is the owner of] {subject}.",
        "The [parent company|owner] of {subject} is {owner}.",
        "{subject} [belongs to|is a subsidiary of] {owner}.",
        "{subject} has its [headquarters|head office|main office] in {headquarters}.",
        "The [headquarters|head office|main office] of {subject} [is|lies] in {headquarters}.",
        "{subject} is based in {headquarters}.",
        "{headquarters} is home to the head office of {subject}.",
        "{subject} was [founded|established|set up] {on founded}.",
        "The history of {subject} goes back to {founded}.",
        "{On founded} {subject} was [founded|established].",
        "The founding of {subject} dates from {founded}.",
        "{subject} [reported|posted|announced] [revenue|sales|turnover] of {revenue}.",
        "The [annual revenue|revenue|turnover] of {subject} [came to|amounted to|reached] {revenue}.",
        "{revenue} was the turnover of {subject}.",
        "{subject}, based in {headquarters}, is [run|headed] by {director}.",
        "{subject}, founded {on founded}, [belongs to|is owned by] {owner}.",
        "{director}, the chief executive of {subject}, reported revenue of {revenue}.",
        "{subject} was founded {on founded} and has its head office in {headquarters}.",
        "{owner} owns {subject}, whose turnover reached {revenue}.",
    ),
    mentions=(
        "{subject} [sent|handed in] the documents that had been requested.",
        "A representative of {subject} [was present|answered all questions].",
        "{subject} [agreed with|had no objection to] the proposed wording.",
        "The [letter|answer] of {subject} is attached.",
    ),
)

PERSON = SubjectKind(
    name="person",
    label="PER",
    attributes={
        "deputy": "PER",
        "employer": "ORG",
        "birthplace": "LOC",
        "appointed": "DATE",
        "grant": "MONEY",
    },
    statements=(
        "The deputy of {subject} is {deputy}.",
        "{deputy} [is the deputy of|stands in for|assists|is the assistant of] {subject}.",
        "{subject} is [assisted|represented] by {deputy}.",
        "{subject} [works for|is employed by|is on the staff of] {employer}.",
        "{employer} employs {subject} as [an engineer|an analyst|an adviser|a consultant|a specialist].",
        "The employer of {subject} is {employer}.",
        "{subject} was born in {birthplace}.",
        "{subject} [comes from|is a native of] {birthplace}.",
        "{birthplace} is the [birthplace|home town] of {subject}.",
        "The [birthplace|home town] of {subject} is {birthplace}.",
        "{subject} [was appointed|took office|took up the post] {on appointed}.",
        "The appointment of {subject} dates from {appointed}.",
        "{On appointed} {subject} [was appointed|took office].",
        "{subject} received [a grant|an award|a bonus] of {grant}.",
        "A [grant|bonus|payment] of {grant} [went to|was awarded to] {subject}.",
        "{grant} was [paid|awarded|granted] to {subject}.",
        "{subject}, who was born in {birthplace}, [works for|is employed by] {employer}.",
        "{subject}, appointed {on appointed}, is assisted by {deputy}.",
        "{employer} paid {grant} to {subject}, who is on its staff.",
        "{subject} comes from {birthplace} and took office {on appointed}.",
        "{deputy} stands in for {subject}, who received a bonus of {grant}.",
    ),
    mentions=(
        "{subject} [presented|explained] the [documents|drawings|tables].",
        "The [draft|text] was read and signed by {subject}.",
        "{subject} [thanked everyone involved|could not attend in person].",
        "Questions may be sent to {subject}.",
    ),
)

KINDS = (PROJECT, ORGANISATION, PERSON)
