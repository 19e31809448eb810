"""People: who assists and employs them, where they come from, since when they hold office, and what they were paid."""

from demo.facts import Attribute, SubjectKind

PERSON = SubjectKind(
    name="person",
    heading="People",
    label="PER",
    it="[The same person|This colleague|The same colleague|The person named above]",
    its="[This colleague's|This person's]",
    attributes={
        "deputy": Attribute(
            label="PER",
            titles=("Deputy", "Assistant"),
            statements=(
                "The deputy of {subject} is {deputy}.",
                "{deputy} [is the deputy of|stands in for|assists|is the assistant of] {subject}.",
                "{subject} is [assisted|represented] by {deputy}.",
            ),
            continuations=(
                "{It} is [assisted|represented] by {deputy}.",
                "{Its} [deputy|assistant] is {deputy}.",
            ),
            questions=(
                "Who is the [deputy|assistant] of {subject}?",
                "Who [assists|stands in for|represents] {subject}?",
                "What is the name of the deputy of {subject}?",
                "By whom is {subject} [assisted|represented]?",
            ),
        ),
        "employer": Attribute(
            label="ORG",
            titles=("Employer", "Employed by"),
            statements=(
                "{subject} [works for|is employed by|is on the staff of] {employer}.",
                "{employer} employs {subject} as [an engineer|an analyst|an adviser|a consultant|a specialist].",
                "The employer of {subject} is {employer}.",
            ),
            continuations=(
                "{It} [works for|is employed by|is on the staff of] {employer}.",
                "{Its} employer is {employer}.",
            ),
            questions=(
                "Who employs {subject}?",
                "Which [company|organisation] [employs {subject}|does {subject} work for]?",
                "Who is the employer of {subject}?",
                "For whom does {subject} work?",
            ),
        ),
        "birthplace": Attribute(
            label="LOC",
            titles=("Birthplace", "Home town", "Born in"),
            statements=(
                "{subject} was born in {birthplace}.",
                "{subject} [comes from|is a native of] {birthplace}.",
                "{birthplace} is the [birthplace|home town] of {subject}.",
                "The [birthplace|home town] of {subject} is {birthplace}.",
            ),
            continuations=(
                "{It} [was born in|comes from|is a native of] {birthplace}.",
                "{Its} [birthplace|home town] is {birthplace}.",
            ),
            questions=(
                "Where was {subject} born?",
                "Where does {subject} come from?",
                "What is the [birthplace|home town] of {subject}?",
                "In which [city|town|place] was {subject} born?",
            ),
        ),
        "appointed": Attribute(
            label="DATE",
            titles=("Appointed", "In office since"),
            statements=(
                "{subject} [was appointed|took office|took up the post] {on appointed}.",
                "The appointment of {subject} dates from {appointed}.",
                "{On appointed} {subject} [was appointed|took office].",
            ),
            continuations=(
                "{It} [was appointed|took office|took up the post] {on appointed}.",
                "The appointment dates from {appointed}.",
            ),
            questions=(
                "When was {subject} appointed?",
                "When did {subject} [take office|take up the post]?",
                "On what date was {subject} appointed?",
                "What is the date of the appointment of {subject}?",
            ),
        ),
        "grant": Attribute(
            label="MONEY",
            titles=("Grant", "Bonus", "Payment"),
            statements=(
                "{subject} received [a grant|an award|a bonus] of {grant}.",
                "A [grant|bonus|payment] of {grant} [went to|was awarded to] {subject}.",
                "{grant} was [paid|awarded|granted] to {subject}.",
            ),
            continuations=(
                "{It} received [a grant|an award|a bonus] of {grant}.",
                "{Its} [grant|bonus|award] [came to|amounted to] {grant}.",
            ),
            questions=(
                "How much [did {subject} receive|was paid to {subject}|was awarded to {subject}]?",
                "What [sum|amount] did {subject} receive?",
                "What [sum|amount] was [paid|awarded|granted] to {subject}?",
                "How much money did {subject} receive?",
            ),
        ),
    },
    pairs=(
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
        "{subject} [is known to most readers|has been with us for years|was asked for advice].",
    ),
)
